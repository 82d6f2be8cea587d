// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What builds of module sources find first in their PATH under the names of compilers, and of
 * the two programs that kbuild runs around each question to one.
 *
 * A compiler's question (question.h) that is remembered is answered as the compiler would:
 * the same exit code, the same output. One that is not is handed to those who may have it
 * answered. Everything else, and all of which there is a doubt, goes to the real program by exec with arguments, environment
 * and descriptors as they are, but for two things: argv[0] of a compiler is its full path,
 * which gcc would look up otherwise, and find this file; and where a question comes on
 * standard input that is a file with the same bytes, since a pipe is read once.
 *
 * Started hundreds of times in a build: linked statically where that can be had, no allocation.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "question.h"

extern char **environ;

/* ---- the compiler ---- */

/* What is thrown away need not be said. */
static bool is_thrown_away(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static bool write_output(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	bool ok = fd >= 0;

	while (ok && len) {
		ssize_t n = write(fd, bytes, len);

		ok = n > 0;
		bytes += ok ? n : 0;
		len -= ok ? (size_t)n : 0;
	}
	return fd >= 0 && !close(fd) && ok;
}

/* Answer, and end, if the answer is known in the directory DIR. */
static void answer(const struct kp_question *q, int dir, const char *key, size_t key_len)
{
	char path[PATH_MAX];
	int fd;
	struct kp_answer a;
	struct stat st;
	const char *text;
	size_t len, from;

	snprintf(path, sizeof(path), KP_QUESTION_ANSWERS "/%s",
		 q->argv[0] + strlen(KP_COMPILERS));
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) || st.st_size <= 0) {
		close(fd);
		return;
	}
	len = (size_t)st.st_size;
	/* Another one takes its name when there is more to know; this one stays as it is. */
	text = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (text == MAP_FAILED)
		return;
	from = kp_answers_begin(text, len, q->argv[0]);
	if (from && kp_answers_find(text + from, len - from, key, key_len, &a) &&
	    (a.exit_code || write_output(q->argv[q->out], a.output, a.output_len)))
		_exit((int)a.exit_code);
}

/* Wait for a byte. False: whoever writes is gone, or takes too long. */
static bool wait_told(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&p, 1, KP_QUESTION_WAIT_MS) > 0 && read(fd, &c, 1) == 1;
}

/* Have it answered by those who may. Is it worth to look again? What is opened is closed by exec; no
 * pipe is opened or written in a way that could block or end us. */
static bool ask(int dir, const char *key, size_t key_len)
{
	int told = openat(dir, KP_QUESTION_TOLD, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int call = openat(dir, KP_QUESTION_CALL, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int fd = openat(dir, KP_QUESTION_ASKED, O_WRONLY | O_CLOEXEC);
	char old[4096];
	ssize_t n;

	if (told < 0 || call < 0 || fd < 0 || flock(fd, LOCK_EX))
		return false;
	/* For one who was killed before it could read it. */
	while ((n = read(told, old, sizeof(old))) > 0)
		;
	/* 0: there is nobody. */
	return n < 0 && !ftruncate(fd, 0) &&
	       write(fd, key, key_len) == (ssize_t)key_len && write(call, "", 1) == 1 &&
	       wait_told(told);
}

/* All of standard input, which stays to be read: it is replaced by a file that holds it. -1: it
 * is more than a question has, or no pipe. */
static ssize_t peek_input(char *buf, size_t size)
{
	char rest[4096];
	struct stat st;
	size_t len = 0;
	ssize_t n;
	int fd;

	if (fstat(STDIN_FILENO, &st) || !S_ISFIFO(st.st_mode))
		return -1;
	fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	while ((n = read(STDIN_FILENO, rest, sizeof(rest))) > 0) {
		if (write(fd, rest, (size_t)n) != n)
			_exit(1); /* out of memory: what was read is lost */
		if (len + (size_t)n <= size)
			memcpy(buf + len, rest, (size_t)n);
		len += (size_t)n;
	}
	lseek(fd, 0, SEEK_SET);
	dup2(fd, STDIN_FILENO);
	close(fd);
	return len <= size ? (ssize_t)len : -1;
}

/* The compiler is called as ARGV[0], from a directory DIR of such names. */
static void try_answer(const char *dir, char **argv)
{
	static char key[KP_QUESTION_KEY_MAX], input[KP_QUESTION_INPUT_MAX];
	char path[PATH_MAX + sizeof(KP_LIBEXEC_DIR KP_STANDARD_PATH) + 2];
	struct kp_question q;
	ssize_t input_len = 0;
	size_t len;
	int dir_fd;

	if (strncmp(argv[0], KP_COMPILERS, strlen(KP_COMPILERS)) != 0 ||
	    !kp_question_parse(argv, &q) || !is_thrown_away(STDOUT_FILENO) ||
	    !is_thrown_away(STDERR_FILENO))
		return;
	snprintf(path, sizeof(path), "%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, dir);
	if (!kp_question_env_ok(environ, path))
		return;
	if (q.asks_input && (input_len = peek_input(input, sizeof(input))) < 0)
		return;
	len = kp_question_key(&q, input, (size_t)input_len, key);
	if (!len)
		return;
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	answer(&q, dir_fd, key, len);
	if (ask(dir_fd, key, len))
		answer(&q, dir_fd, key, len);
}

/* ---- mkdir -p DIR, rm -rf DIR for the directory of one question ---- */

/* Is it a name that kbuild makes for that, .tmp_PID? */
static bool is_scratch_dir(const char *path)
{
	const char *base = strrchr(path, '/');
	size_t digits;

	base = base ? base + 1 : path;
	if (strncmp(base, ".tmp_", 5) != 0)
		return false;
	digits = strspn(base + 5, "0123456789");
	return digits && !base[5 + digits];
}

static void make_dir(char **argv)
{
	if (argv[1] && !strcmp(argv[1], "-p") && argv[2] && is_scratch_dir(argv[2]) &&
	    !argv[3] && !mkdir(argv[2], 0777))
		_exit(0);
}

static void remove_dir(char **argv)
{
	struct dirent *e;
	DIR *dir;
	int fd;

	if (!argv[1] || strcmp(argv[1], "-rf") != 0 || !argv[2] ||
	    !is_scratch_dir(argv[2]) || argv[3])
		return;
	fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	/* What is a directory, or cannot be removed, is left for the real one. */
	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir && !rmdir(argv[2]))
		_exit(0);
}

/* ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The first program NAME in PATH that is not this one. */
static bool find_real(const char *name, const char *self, char *ret, size_t size)
{
	const char *path = getenv("PATH");
	struct stat self_st = { 0 }, st;

	(void)!stat(self, &self_st);
	for (const char *p = path ? path : KP_STANDARD_PATH; *p; p += *p == ':') {
		int len = (int)strcspn(p, ":"), n;

		n = snprintf(ret, size, "%.*s/%s", len ? len : 1, len ? p : ".", name);
		p += len;
		if (n > 0 && (size_t)n < size && !access(ret, X_OK) && !stat(ret, &st) &&
		    S_ISREG(st.st_mode) && !same_file(&st, &self_st))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *self = (const char *)getauxval(AT_EXECFN);
	const char *slash = self ? strrchr(self, '/') : NULL;
	const char *name = slash ? slash + 1 : self;
	static char real[PATH_MAX], dir[PATH_MAX];

	if (argc < 1 || !name)
		return 127;
	if (!find_real(name, self, real, sizeof(real))) {
		dprintf(STDERR_FILENO, "%s: %s\n", name, strerror(ENOENT));
		return 127;
	}
	if (!strcmp(name, "mkdir")) {
		make_dir(argv);
	} else if (!strcmp(name, "rm")) {
		remove_dir(argv);
	} else {
		argv[0] = real;
		snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - self) : 0, self);
		try_answer(dir, argv);
	}
	execv(real, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", name, strerror(errno));
	return 126;
}
