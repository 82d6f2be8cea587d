// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/image-parts.h"
#include "lib/initramfs-image.h"
#include "lib/tool.h"

/* xz takes seconds for the largest ones, on a slow machine. */
#define TIMEOUT_S 120

#define MEMO_NAME "images"
#define MEMO_MAX (16 * 1024 * 1024)
#define MEMO_HEAD "1\n"
#define MEMO_END "end\n"
#define MEMO_LINES 64

/* ---- what the sandbox says */

int kp_image_parse(const char *text, size_t len, char ***ret)
{
	_cleanup_strv_ char **lines = NULL;
	const char *last = "";
	size_t n;

	if (strlen(text) != len || !len || text[len - 1] != '\n')
		return -EINVAL;
	lines = kp_strv_split(text, "\n");
	n = kp_strv_len(lines);
	if (!n || n - 1 > KP_IMAGE_MODULES || strcmp(lines[n - 1], KP_IMAGE_END) != 0)
		return -EINVAL;
	free(lines[n - 1]);
	lines[n - 1] = NULL;
	kp_strv_foreach(name, lines) {
		if (!kp_name_ok(*name) || strcmp(last, *name) >= 0)
			return -EINVAL;
		last = *name;
	}
	*ret = n > 1 ? kp_steal(&lines) : NULL;
	return 0;
}

static int read_answer(int fd, char ***ret, struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return kp_err_sys(err, -errno, "lseek");
	if (kp_read_fd(fd, KP_IMAGE_ANSWER, &text, &len) < 0 ||
	    kp_image_parse(text, len, ret) < 0)
		return kp_err_set(err, -EINVAL,
				  "it is damaged: reading it ends in nonsense");
	return 0;
}

static int read_in_sandbox(struct kp_ctx *ctx, int image, char ***ret, struct kp_err *err)
{
	_cleanup_close_ int out = memfd_create("modules", MFD_CLOEXEC);
	struct kp_proc_end end = { 0 };
	_cleanup_free_ char *said = NULL;
	int r;

	if (out < 0)
		return kp_err_sys(err, -errno, "memfd_create");
	r = kp_tool_run_own(ctx, "initramfs", KP_IMAGE_PROTOCOL, image, out, TIMEOUT_S,
			    &end, &said, err);
	if (r == -ETIME)
		return kp_err_set(err, r, "it takes more than %d s to read", TIMEOUT_S);
	if (r != -ECHILD)
		return r < 0 ? r : read_answer(out, ret, err);
	if (end.signal)
		return kp_err_set(err, -EINVAL,
				  "it is damaged: reading it ends in signal %d",
				  end.signal);
	return kp_err_set(err, end.exit_code == KP_IMAGE_BAD ? -EINVAL : -EIO, "%s",
			  said);
}

/* ---- what is remembered: a line "IMAGE<tab>LOOKS", and behind it the modules, a tab before each */

static char *memo_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, MEMO_NAME);
}

/* The lines, between head and end, each with its newline; NULL: not whole, or not what this program would write. To
 * be freed. */
static char *memo_load(const struct kp_ctx *ctx)
{
	_cleanup_free_ char *path = memo_path(ctx), *text = NULL;
	size_t len;

	if (kp_read_in(ctx->root_fd, path, MEMO_MAX, &text, &len) < 0 ||
	    strlen(text) != len || !kp_str_starts(text, MEMO_HEAD) ||
	    !kp_str_ends(text, "\n" MEMO_END))
		return NULL;
	text[len - strlen(MEMO_END)] = '\0';
	memmove(text, text + strlen(MEMO_HEAD), strlen(text + strlen(MEMO_HEAD)) + 1);
	return kp_steal(&text);
}

/* Where the line at TEXT goes on behind KEY; NULL: it is another's. */
static const char *behind_key(const char *line, const char *key)
{
	const char *rest = kp_str_starts(line, key) ? line + strlen(key) : NULL;

	return rest && (*rest == '\t' || *rest == '\n') ? rest : NULL;
}

/* In LINES, what there is for KEY, its path and looks. Pure; fuzzed. */
static bool memo_find(const char *lines, const char *key, char ***ret)
{
	for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
		const char *rest = behind_key(lines, key);
		_cleanup_free_ char *names = NULL;
		_cleanup_buf_ struct kp_buf answer = KP_BUF_INIT;

		if (!rest)
			continue;
		names = kp_strndup(rest, (size_t)(end - rest));
		for (char *p = names; (p = strchr(p, '\t'));)
			*p = '\n';
		kp_buf_addf(&answer, "%s\n" KP_IMAGE_END "\n", names);
		return !kp_image_parse(answer.s, answer.len, ret);
	}
	return false;
}

/* Is the image of the line LINE as it was then? */
static bool line_holds(const struct kp_ctx *ctx, const char *line)
{
	size_t path_len = strcspn(line, "\t\n");
	_cleanup_free_ char *path = kp_strndup(line, path_len);
	_cleanup_free_ char *looks = NULL, *key = NULL;
	int64_t newest_s = 0;

	if (!kp_path_ok(path))
		return false;
	looks = kp_looks_in(ctx->root_fd, path, &newest_s);
	key = kp_strf("%s\t%s", path, looks);
	return behind_key(line, key);
}

/* Write it down, if this process may; lines of images that are gone or others go. */
static void memo_add(const struct kp_ctx *ctx, const char *image, const char *key,
		     char *const *names)
{
	_cleanup_free_ char *path = memo_path(ctx), *lines = NULL;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	size_t n = 1;

	/* Not where nothing of ours is, nor by somebody who may not. */
	if (geteuid() != 0 || !kp_is_dir_in(ctx->root_fd, ctx->state_dir) ||
	    !kp_path_ok(image))
		return;
	lines = memo_load(ctx);
	kp_buf_addf(&b, MEMO_HEAD "%s", key);
	kp_strv_foreach(name, names)
		kp_buf_addf(&b, "\t%s", *name);
	kp_buf_addc(&b, '\n');
	for (const char *p = lines, *end; p && (end = strchr(p, '\n')) && n < MEMO_LINES;
	     p = end + 1)
		if (!behind_key(p, key) && line_holds(ctx, p)) {
			kp_buf_add(&b, p, (size_t)(end + 1 - p));
			n++;
		}
	kp_buf_adds(&b, MEMO_END);
	(void)kp_write_in(ctx->root_fd, path, b.s, b.len, 0644, NULL);
}

/* ---- */

static int open_image(struct kp_ctx *ctx, const char *image, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(ctx->root_fd, image, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return kp_err_sys(err, fd, "cannot be opened");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL, "it is not a file");
	return kp_steal_fd(&fd);
}

static int read_image(struct kp_ctx *ctx, const char *image, const char *looks,
		      char ***ret, struct kp_err *err)
{
	_cleanup_close_ int fd = open_image(ctx, image, err);
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *after = NULL;
	int64_t newest_s = 0;
	int r;

	if (fd < 0)
		return fd;
	r = read_in_sandbox(ctx, fd, &names, err);
	if (r < 0)
		return r;
	after = kp_looks_in(ctx->root_fd, image, &newest_s);
	if (strcmp(after, looks) != 0)
		return kp_err_set(err, -EAGAIN, "it changed while it was read");
	*ret = kp_steal(&names);
	return 0;
}

int kp_initramfs_modules(struct kp_ctx *ctx, const char *image, char ***ret,
			 struct kp_err *err)
{
	int64_t newest_s = 0;
	_cleanup_free_ char *looks = kp_looks_in(ctx->root_fd, image, &newest_s);
	_cleanup_free_ char *key = kp_strf("%s\t%s", image, looks);
	_cleanup_free_ char *lines = memo_load(ctx);
	bool young = newest_s + KP_RACY_S >= time(NULL);
	int r;

	if (lines && memo_find(lines, key, ret))
		return 0;
	r = read_image(ctx, image, looks, ret, err);
	if (r < 0) {
		kp_err_prefix(err, "'%s'", image);
		return r;
	}
	if (!young)
		memo_add(ctx, image, key, *ret);
	return 0;
}
