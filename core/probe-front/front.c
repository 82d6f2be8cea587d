// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What builds of module sources find first in their PATH under the names of compilers, and of
 * the two programs that kbuild runs around each question to one.
 *
 * A compiler's question (question.h) that is remembered is answered as the compiler would:
 * the same exit code, the same output. A file of kbuild's around a module (modc.h) is translated
 * with headers reduced to what it needs. What is not known for these is asked of those who may
 * find out. Everything else, and all of which there is a doubt, goes to the real program by exec with
 * arguments, environment
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modc.h"
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

/* As long as *ret says. NULL: not there, or empty. */
static const char *map_file(int dir, const char *path, struct stat *ret)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	void *text = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, ret) && S_ISREG(ret->st_mode) && ret->st_size > 0)
		text = mmap(NULL, (size_t)ret->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return text == MAP_FAILED ? NULL : text;
}

/* Answer, and end, if the answer is known in the directory DIR. */
static void answer(const struct kp_question *q, int dir, const char *key, size_t key_len)
{
	char path[PATH_MAX];
	struct kp_answer a;
	const char *text;
	struct stat st;
	size_t len, from;

	snprintf(path, sizeof(path), KP_QUESTION_ANSWERS "/%s",
		 q->argv[0] + strlen(KP_COMPILERS));
	/* Another one takes its name when there is more to know; this one stays as it is. */
	text = map_file(dir, path, &st);
	if (!text)
		return;
	len = (size_t)st.st_size;
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

/* Have it answered by those who may. Is it worth to look again? No pipe is opened or written in a way that
 * could block or end us; what stays open is closed by exec. */
static bool ask(int dir, const char *key, size_t key_len)
{
	int told = openat(dir, KP_QUESTION_TOLD, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int call = openat(dir, KP_QUESTION_CALL, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int fd = openat(dir, KP_QUESTION_ASKED, O_WRONLY | O_CLOEXEC);
	char old[4096];
	ssize_t n;
	bool ok;

	if (told < 0 || call < 0 || fd < 0 || flock(fd, LOCK_EX))
		return false;
	/* For one who was killed before it could read it. */
	while ((n = read(told, old, sizeof(old))) > 0)
		;
	/* 0: there is nobody. */
	ok = n < 0 && !ftruncate(fd, 0) && write(fd, key, key_len) == (ssize_t)key_len &&
	     write(call, "", 1) == 1 && wait_told(told);
	close(fd);
	return ok;
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

/* Is the environment one that questions count in? */
static bool env_ok(const char *dir)
{
	char path[PATH_MAX + sizeof(KP_LIBEXEC_DIR KP_STANDARD_PATH) + 2];

	snprintf(path, sizeof(path), "%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, dir);
	return kp_question_env_ok(environ, path);
}

/* The compiler is called as ARGV[0], from a directory DIR of such names. */
static void try_answer(const char *dir, char **argv)
{
	static char key[KP_QUESTION_KEY_MAX], input[KP_QUESTION_INPUT_MAX];
	struct kp_question q;
	ssize_t input_len = 0;
	size_t len;
	int dir_fd;

	if (!kp_question_parse(argv, &q) || !is_thrown_away(STDOUT_FILENO) ||
	    !is_thrown_away(STDERR_FILENO) || !env_ok(dir))
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

/* ---- a file of kbuild's around a module ---- */

/* A list of what the compiler would have read, as it would have written it; what it names by a relative path is
 * below CWD. */
static bool write_dep(const struct kp_modc *m, const char *cwd, const char *headers,
		      size_t len)
{
	const size_t cwd_len = strlen(cwd);
	const char *base = strrchr(m->output, '/'), *end = headers + len, *eol;
	FILE *f = fopen(m->dep, "we");

	if (!f)
		return false;
	fprintf(f, "%s: %s", base ? base + 1 : m->output, m->source);
	for (; headers < end; headers = eol + 1) {
		const char *path = memchr(headers, '/', (size_t)(end - headers));

		eol = memchr(headers, '\n', (size_t)(end - headers));
		if (!path || !eol || path > eol)
			break;
		if (m->relative && !strncmp(path, cwd, cwd_len) && path[cwd_len] == '/')
			path += cwd_len + 1;
		fprintf(f, " \\\n %.*s", (int)(eol - path), path);
	}
	fputc('\n', f);
	return !ferror(f) & !fclose(f) && headers >= end;
}

/* Run the compiler ARGV, what it says goes to MESSAGES. Does it succeed? */
static bool run(char **argv, int messages)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		/* It is not to write what nobody waits for any more. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (dup2(messages, STDOUT_FILENO) >= 0 &&
		    dup2(messages, STDERR_FILENO) >= 0)
			execv(argv[0], argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && !status;
}

/* Translate it with the reduced headers FILE, a path. False: something is not as it should be; then
 * nothing was said. */
static bool translate(const struct kp_modc *m, const char *answers, const char *file)
{
	/* The last of them may be two. */
	static char *argv[KP_QUESTION_ARGS_MAX + 5], empty[PATH_MAX + 32];
	const char *path;
	size_t n = 0, skip;
	int messages = memfd_create("messages", MFD_CLOEXEC);
	struct stat st;

	snprintf(empty, sizeof(empty), "-I%s/" KP_MODC_EMPTY, answers);
	argv[n++] = m->argv[0];
	argv[n++] = empty;
	argv[n++] = (char *)"-include";
	argv[n++] = (char *)file;
	for (size_t i = 1; i < m->n_args; i += skip) {
		if (kp_modc_arg(m->argv + i, &skip, &path) == KP_MODC_PATH ||
		    !strncmp(m->argv[i], "-Wp,", 4))
			continue;
		for (size_t j = 0; j < skip; j++)
			argv[n++] = m->argv[i + j];
	}
	argv[n] = NULL;
	return messages >= 0 && run(argv, messages) && !fstat(messages, &st) &&
	       !st.st_size;
}

/* A file of kbuild's that is to be translated, and what is known for it. */
struct modc {
	struct kp_modc m;
	const char *text;
	size_t len;
	char cwd[PATH_MAX], key[KP_QUESTION_KEY_MAX];
	size_t key_len;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Try it with what is known in the directory DIR of names. True: it need not be asked for. */
static bool translate_known(const struct modc *c, const char *dir)
{
	static char answers[PATH_MAX + 16], path[PATH_MAX + 48];
	struct kp_modc_known known;
	struct stat st, now;
	const char *file;
	size_t len;

	snprintf(answers, sizeof(answers), "%s/" KP_QUESTION_ANSWERS, dir);
	snprintf(path, sizeof(path), "%s/" KP_MODC_NAME, answers,
		 kp_modc_hash(c->key, c->key_len));
	file = map_file(AT_FDCWD, path, &st);
	len = file ? (size_t)st.st_size : 0;
	if (!file ||
	    !kp_modc_is_true(file, len, c->m.argv[0], c->key, c->key_len, &known))
		return false;
	if (kp_modc_fits(c->text, c->len, known.macros, known.macros_len) &&
	    translate(&c->m, answers, path) &&
	    /* Another one's headers may have the same hash, and its name since: those that the compiler
	     * read are these if they still have it. */
	    !stat(path, &now) && same_file(&st, &now) &&
	    (!c->m.dep || write_dep(&c->m, c->cwd, known.headers, known.headers_len)))
		_exit(0);
	return true;
}

static void try_modc(const char *dir, char **argv)
{
	static char head[KP_MODC_HEAD_MAX];
	static struct modc c;
	struct stat st;

	if (!kp_modc_parse(argv, &c.m) || !getcwd(c.cwd, sizeof(c.cwd)) || !env_ok(dir))
		return;
	c.text = map_file(AT_FDCWD, c.m.source, &st);
	c.len = c.text ? (size_t)st.st_size : 0;
	if (!c.text || c.len > KP_MODC_INPUT_MAX || !kp_modc_head(c.text, c.len, head))
		return;
	c.key_len = kp_modc_key(&c.m, c.cwd, head, c.key);
	if (!c.key_len || translate_known(&c, dir))
		return;
	if (ask(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), c.key, c.key_len))
		translate_known(&c, dir);
}

/* ---- a file of the source ---- */

#define UNTRACKED "-ftrack-macro-expansion=0"

/* To standard error, from *AT on. */
static bool copy_some(int fd, off_t *at)
{
	char text[4096];
	ssize_t n = pread(fd, text, sizeof(text), *at);

	if (n > 0)
		n = write(STDERR_FILENO, text, (size_t)n);
	*at += n > 0 ? n : 0;
	return n > 0;
}

/* Does ARGV translate a C file, and is nothing made of where in a macro something stands but messages? Debug
 * information is, and what sanitizers report. */
static bool translates(char **argv, size_t *ret_len)
{
	bool compiles = false, source = false, debug = true;
	const char *path;
	size_t n, skip;

	for (n = 1; argv[n] && n < KP_QUESTION_ARGS_MAX; n += skip) {
		const char *w = argv[n];
		size_t len = strlen(w);

		if ((kp_modc_arg(argv + n, &skip, &path) == KP_MODC_NO &&
		     strncmp(w, "-D", 2) != 0 && strncmp(w, "-U", 2) != 0) ||
		    !strncmp(w, "-fsanitize", 10) || !strncmp(w, UNTRACKED, 23))
			return false;
		compiles |= !strcmp(w, "-c");
		source |= *w != '-' && len > 2 && !strcmp(w + len - 2, ".c");
		if (!strncmp(w, "-g", 2))
			debug = strcmp(w, "-g0") != 0;
	}
	*ret_len = n;
	return !argv[n] && compiles && source && !debug;
}

/* Some six percent of what the compiler does for a file of a kernel's headers, and a fifth of its memory,
 * is to remember for each token which macros it came by, for messages. So it is first told not to; where there is an error, it is
 * called once more, and says what it would have said. A warning lacks the note of the macro it is in. */
static void try_untracked(char **argv)
{
	static char *all[KP_QUESTION_ARGS_MAX + 2];
	int messages;
	struct stat st;
	off_t at = 0;
	size_t n;

	if (!translates(argv, &n))
		return;
	memcpy(all, argv, n * sizeof(*argv));
	all[n] = (char *)UNTRACKED;
	messages = memfd_create("messages", MFD_CLOEXEC);
	if (messages < 0 || !run(all, messages) || fstat(messages, &st))
		return;
	while (at < st.st_size && copy_some(messages, &at))
		;
	_exit(0);
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
		if (!strncmp(real, KP_COMPILERS, strlen(KP_COMPILERS))) {
			try_answer(dir, argv);
			try_modc(dir, argv);
			try_untracked(argv);
		}
	}
	execv(real, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", name, strerror(errno));
	return 126;
}
