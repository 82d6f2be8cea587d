// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"

char *kp_looks(const struct stat *st)
{
	return kp_strf("%o %jd %ju %jd.%09ld %jd.%09ld", st->st_mode,
		       (intmax_t)st->st_size, (uintmax_t)st->st_ino,
		       (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		       (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

char *kp_looks_in(int root_fd, const char *path, int64_t *newest_s)
{
	struct stat st;

	if (kp_stat_in(root_fd, path, &st) < 0)
		return kp_strdup("-");
	if (st.st_ctim.tv_sec > *newest_s)
		*newest_s = st.st_ctim.tv_sec;
	return kp_looks(&st);
}

char *kp_looks_all_in(int root_fd, const char *dir, const char *const *names,
		      int64_t *newest_s)
{
	struct kp_buf b = KP_BUF_INIT;

	for (; *names; names++) {
		_cleanup_free_ char *path = kp_path_join(dir, *names);
		_cleanup_free_ char *looks = kp_looks_in(root_fd, path, newest_s);

		kp_buf_addf(&b, "%s%s", b.len ? ", " : "", looks);
	}
	return kp_buf_steal(&b);
}
