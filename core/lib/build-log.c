// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build.h"
#include "lib/build-log.h"

#define RULE "----------------------------------------------------------------"

/* How much of a log's end is read to find its step that failed. */
#define EXCERPT_BYTES (1 << 20)
/* Of what a compiler says before an error: the function, the file that includes. */
#define LINES_BEFORE 2

char *kp_build_log_path(struct kp_ctx *ctx, const char *module, const char *version,
			const char *kernel)
{
	return kp_strf("%s/%s/%s/%s-%s.log", ctx->log_dir, module, version, kernel,
		       ctx->arch);
}

void kp_build_log_line(struct kp_build_log *log, const char *fmt, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = kp_vstrf(fmt, ap);
	va_end(ap);
	(void)kp_write_all(log->fd, s, strlen(s));
	(void)kp_write_all(log->fd, "\n", 1);
}

int kp_build_log_open(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, struct kp_build_log *ret, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_build_log_path(ctx, module, version, kernel);
	_cleanup_free_ char *dir = kp_path_dir(path);
	time_t now = time(NULL);
	struct tm tm;
	char date[64];
	int rc;

	rc = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (rc < 0)
		return rc;
	/* Anew, not truncated: somebody may be reading the last one. */
	kp_unlink_in(ctx->root_fd, path);
	rc = kp_open_in(ctx->root_fd, path, O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0644);
	if (rc < 0)
		return kp_err_sys(err, rc, "create the log '%s'", path);
	ret->fd = rc;
	ret->path = kp_steal(&path);
	kp_build_log_line(ret,
			  "kmodpkg (kmodpkg-" KP_VERSION
			  ") make.log for %s/%s for kernel %s (%s)",
			  module, version, kernel, ctx->arch);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Z %Y", localtime_r(&now, &tm));
	kp_build_log_line(ret, "%s", date);
	return 0;
}

void kp_build_log_close(struct kp_build_log *log)
{
	if (log->fd > 0)
		close(log->fd);
	free(log->path);
	*log = (struct kp_build_log){ NULL, -1, 0 };
}

void kp_build_log_begin(struct kp_build_log *log, const char *what, const char *command)
{
	log->step_since = kp_now_ms() / 1000;
	kp_build_log_line(log, "\n%s", what);
	if (command)
		kp_build_log_line(log, "# command: %s", command);
}

void kp_build_log_end(struct kp_build_log *log, int exit_code)
{
	int64_t s = kp_now_ms() / 1000 - log->step_since;

	kp_build_log_line(log, "\n# exit code: %d\n# elapsed time: %02d:%02d:%02d\n" RULE,
			  exit_code, (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* The last MAX bytes of an open file. */
static char *last_bytes(int fd, size_t max)
{
	char *text = kp_malloc(max + 1);
	struct stat st;
	ssize_t n = 0;

	if (!fstat(fd, &st)) {
		off_t from = st.st_size > (off_t)max ? st.st_size - (off_t)max : 0;

		n = pread(fd, text, max, from);
	}
	text[n > 0 ? n : 0] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = '?';
	return text;
}

char *kp_build_log_last(struct kp_build_log *log, size_t max)
{
	return last_bytes(log->fd, max);
}

/* Lines at the end of a step or log that tell nothing: ours, said anyway, and make's. */
static bool is_frame(const char *line)
{
	return !*line || kp_str_starts(line, "# exit code: ") ||
	       kp_str_starts(line, "# elapsed time: ") || kp_str_eq(line, RULE) ||
	       kp_str_starts(line, "failed: ") ||
	       (kp_str_starts(line, "make") && strstr(line, ": Leaving directory "));
}

/* As gcc, clang and rustc begin an error, and modpost. */
static bool is_error(const char *line)
{
	return (strstr(line, "error: ") && !kp_str_starts(line, "# command: ")) ||
	       kp_str_starts(line, "error[E") || kp_str_starts(line, "ERROR: ");
}

char *kp_build_log_excerpt(struct kp_ctx *ctx, const char *log, size_t n)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, log, O_RDONLY | O_NONBLOCK, 0);
	_cleanup_free_ char *text =
		fd < 0 ? kp_strdup("") : last_bytes(fd, EXCERPT_BYTES);
	_cleanup_strv_ char **lines = kp_strv_split(text, "\n");
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	size_t end = kp_strv_len(lines), step, from;

	while (end > 0 && is_frame(lines[end - 1]))
		end--;
	for (step = end; step > 0 && !kp_str_eq(lines[step - 1], RULE);)
		step--;
	for (from = step; from < end && !is_error(lines[from]);)
		from++;
	if (from < end) {
		from = from - step > LINES_BEFORE ? from - LINES_BEFORE : step;
		end = end - from > n ? from + n : end;
	} else {
		from = end - step > n ? end - n : step;
	}
	for (size_t i = from; i < end; i++) {
		/* A tab is harmless, and messages of compilers line up by it. */
		for (char *p = lines[i]; *p; p++)
			*p = *p == '\t' ? ' ' : *p;
		kp_str_printable(lines[i]);
		kp_buf_adds(&out, lines[i]);
		kp_buf_addc(&out, '\n');
	}
	return kp_buf_steal(&out);
}
