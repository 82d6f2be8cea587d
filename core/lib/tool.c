// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/tool.h"

#define SAID_MAX 512

bool kp_tool_is(const struct kp_ctx *ctx, const char *path)
{
	struct stat st;

	return !kp_stat_in(ctx->root_fd, path, &st) && S_ISREG(st.st_mode) &&
	       (st.st_mode & 0111);
}

char *kp_tool_find(const struct kp_ctx *ctx, const char *name)
{
	static const char *const dirs[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		char *path = kp_path_join(dirs[i], name);

		if (kp_tool_is(ctx, path))
			return path;
		free(path);
	}
	return NULL;
}

int kp_tool_need(const struct kp_ctx *ctx, const char *name, const char *package,
		 char **ret, struct kp_err *err)
{
	char *path = kp_tool_find(ctx, name);

	if (!path)
		return kp_err_set(err, -ENOPKG,
				  "'%s' is not installed: install the package %s", name,
				  package);
	*ret = path;
	return 0;
}

static const char *own_dir(void)
{
	const char *dir = secure_getenv("KMODPKG_LIBEXEC_DIR");

	return kp_str_empty(dir) ? KP_LIBEXEC_DIR : dir;
}

void kp_tool_open_own(struct kp_ctx *ctx)
{
	if (!ctx->programs_fd)
		ctx->programs_fd = open(own_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

const char *const kp_tool_own_env[] = { "LANG=C.UTF-8",
#ifdef __SANITIZE_ADDRESS__ /* looks for leaks by ptrace(2), which is refused inside */
					"ASAN_OPTIONS=detect_leaks=0",
#endif
					NULL };

int kp_tool_own(struct kp_ctx *ctx, const char *name, struct kp_err *err)
{
	int fd;

	kp_tool_open_own(ctx);
	fd = openat(ctx->programs_fd, name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return kp_err_set(err, -ENOPKG,
				  "%s/%s is not there: install kmodpkg as a whole",
				  own_dir(), name);
	return fd;
}

/* The first line in FD, at most SAID_MAX bytes of it, to be freed. */
static char *read_said(int fd)
{
	char *said = kp_calloc(SAID_MAX + 1, 1);

	if (pread(fd, said, SAID_MAX, 0) < 0)
		said[0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	kp_str_printable(said);
	return said;
}

int kp_tool_run_own(struct kp_ctx *ctx, const char *name, const char *protocol, int in_fd,
		    int out_fd, int timeout_s, struct kp_proc_end *ret_end,
		    char **ret_said, struct kp_err *err)
{
	_cleanup_close_ int program = kp_tool_own(ctx, name, err), said = -1, slot = -1;
	_cleanup_free_ char *path = kp_strf("/proc/self/fd/%d", program);
	const char *const argv[] = { path, protocol, NULL };
	struct kp_sandbox sb = { .timeout_s = timeout_s };
	struct kp_proc proc = { .argv = argv,
				.env = kp_tool_own_env,
				.in_fd = in_fd,
				.out_fd = out_fd,
				.keep_fds = &program,
				.n_keep_fds = 1 };
	int r;

	if (program < 0)
		return program;
	proc.err_fd = said = memfd_create("said", MFD_CLOEXEC);
	if (said < 0)
		return kp_err_sys(err, -errno, "memfd_create");
	/* A user that nobody else is: what it reads may be root's alone, as the keys in an initramfs. */
	r = kp_sandbox_has_own_user() ? kp_sandbox_take_slot(ctx, &sb.slot, &slot, err)
				      : 0;
	if (r < 0)
		return r;
	r = kp_sandbox_run(ctx, &sb, &proc, ret_end, err);
	if (r == -ECHILD && !ret_end->signal)
		*ret_said = read_said(said);
	return r;
}

static int filter_into(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		       const char *const *argv, int in, const char *temp, int log_fd,
		       struct kp_err *err)
{
	_cleanup_close_ int out = -1;
	/* XZ_DEFAULTS, GZIP, ZSTD_CLEVEL and the like would change what comes out. */
	static const char *const env[] = { "PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL };
	unsigned int met = 0;
	struct kp_sandbox own = { .slot = sb->slot,
				  .timeout_s = sb->timeout_s,
				  .met = &met };
	struct kp_proc proc = { .argv = argv, .env = env, .in_fd = in, .err_fd = log_fd };
	struct kp_proc_end end;
	uid_t uid = kp_sandbox_uid(sb->slot);
	bool root = geteuid() == 0;
	int r;

	out = kp_open_in(ctx->root_fd, temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return kp_err_sys(err, out, "create '%s'", temp);
	/* The program may open its standard output anew, by /proc/self/fd. */
	if (root && fchown(out, uid, uid) < 0)
		return kp_err_sys(err, -errno, "give '%s' to uid %u", temp, uid);
	proc.out_fd = out;
	r = kp_sandbox_run(ctx, &own, &proc, &end, err);
	if (r == -ECHILD && end.signal == SIGXFSZ && met & 1U << KP_LIMIT_DISK) {
		r = kp_limit_met(&ctx->config.limits, KP_LIMIT_DISK, err);
		kp_err_prefix(err, "%s", argv[0]);
	}
	if (r < 0)
		return r;
	if ((root && fchown(out, geteuid(), getegid()) < 0) || fchmod(out, 0644) < 0)
		return kp_err_sys(err, -errno, "take back '%s'", temp);
	return 0;
}

int kp_tool_filter(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		   const char *const *argv, const char *from, const char *to, int log_fd,
		   struct kp_err *err)
{
	_cleanup_free_ char *temp = kp_strf("%s.tmp%d", to, (int)getpid());
	_cleanup_close_ int in = -1;
	int r;

	in = kp_open_in(ctx->root_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	if (in < 0)
		return kp_err_sys(err, in, "open '%s'", from);
	(void)kp_unlink_in(ctx->root_fd, temp); /* of a dead process with our number */
	r = filter_into(ctx, sb, argv, in, temp, log_fd, err);
	if (!r) {
		r = kp_rename_in(ctx->root_fd, temp, to);
		if (r < 0)
			kp_err_sys(err, r, "rename '%s' to '%s'", temp, to);
	}
	if (r < 0)
		(void)kp_unlink_in(ctx->root_fd, temp);
	return r;
}
