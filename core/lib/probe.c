// SPDX-License-Identifier: GPL-2.0-or-later
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/build-job.h"
#include "lib/modc-learn.h"
#include "lib/probe.h"
#include "lib/tool.h"
#include "probe-front/question.h"

#define FRONT KP_LIBEXEC_DIR "/probe-front"

/* Of one build's notes, the rest is for the next one. A kernel has some forty questions. */
#define NOTES_MAX (1 << 20)
#define LEARN_MAX 128
/* Of one compiler. A file that has grown to that is begun anew: much in it is of kernels that are
 * gone, or nothing that kbuild asked. */
#define ANSWERS_MAX (2 << 20)

/* A compiler answers in a moment; what it does not was made up by the build. All of it together is
 * to hold up nobody: what is not learnt now is next time. */
#define ASK_SECONDS 10
#define LEARN_SECONDS 20
#define MESSAGES_MAX 65536
/* The text of a kernel's headers is some megabytes. */
#define HEADERS_MAX (32 << 20)

/* Of both, because an answer counts for what the build would have had. */
static const char *const ask_env[] = { "PATH=" KP_STANDARD_PATH, "HOME=/tmp",
				       "LANG=C.UTF-8", "LC_ALL=C.UTF-8", NULL };

char *kp_probe_answers(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "probes");
}

/* ---- before a build ---- */

static int offer(struct kp_ctx *ctx, const char *dir, unsigned int slot)
{
	_cleanup_free_ char *answers = kp_probe_answers(ctx);
	_cleanup_strv_ char **names = NULL;
	_cleanup_close_ int dir_fd = -1, notes = -1;
	uid_t uid = kp_sandbox_uid(slot);
	int rc;

	rc = kp_mkdir_in(ctx->root_fd, dir, 0755, NULL);
	if (!rc)
		rc = kp_mkdir_in(ctx->root_fd, answers, 0755, NULL);
	if (!rc)
		rc = kp_list_in(ctx->root_fd, KP_COMPILERS, &names);
	if (rc < 0)
		return rc;
	dir_fd = kp_open_in(ctx->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir_fd < 0)
		return dir_fd;
	kp_strv_foreach(name, names)
		if ((kp_question_is_compiler(*name) || kp_str_eq(*name, "mkdir") ||
		     kp_str_eq(*name, "rm")) &&
		    symlinkat(FRONT, dir_fd, *name))
			return -errno;
	/* The directory is ours: nothing inside can put another file here. */
	notes = openat(dir_fd, KP_QUESTION_NOTES, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		       0600);
	if (notes < 0 || fchown(notes, uid, uid) ||
	    symlinkat(answers, dir_fd, KP_QUESTION_ANSWERS))
		return -errno;
	return 0;
}

bool kp_probe_offer(struct kp_ctx *ctx, const char *dir, unsigned int slot)
{
	/* Where builds run as we do, they could write what we believe. */
	if (!ctx->config.probe_answers || !kp_sandbox_has_own_user() ||
	    !kp_tool_is(ctx, FRONT) || offer(ctx, dir, slot) < 0) {
		kp_rm_rf_in(ctx->root_fd, dir, NULL);
		return false;
	}
	return true;
}

/* ---- after it ---- */

struct learner {
	struct kp_ctx *ctx;
	unsigned int slot;
	char *room;    /* directory in which compilers may write */
	char *scratch; /* directory in it, named as kbuild names it */
	char *out;     /* the output that a question names */
	size_t left;   /* how many may still be asked */
	int64_t until; /* monotonic seconds: when the last one has to be answered */
	bool over;     /* no more are asked */
};

struct asked {
	char **argv;
	const char *input;
	size_t input_len;
	const char *key;
	size_t key_len;
};

/* An empty scratch directory that the compiler may write to. */
static int make_room(struct learner *l)
{
	int root = l->ctx->root_fd, rc;
	uid_t uid = kp_sandbox_uid(l->slot);
	const char *const dirs[] = { l->room, l->scratch };

	rc = kp_rm_rf_in(root, l->room, NULL);
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_close_ int fd = -1;

		rc = kp_mkdir_in(root, dirs[i], 0755, NULL);
		if (rc)
			break;
		fd = kp_open_in(root, dirs[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		rc = fd < 0 ? fd : fchown(fd, uid, uid) ? -errno : 0;
	}
	return rc;
}

/* A file in memory with these bytes, to read from the start. */
static int memory_file(const char *bytes, size_t len)
{
	_cleanup_close_ int fd = memfd_create("kmodpkg", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (len && kp_write_all(fd, bytes, len) < 0)
		return -EIO;
	return lseek(fd, 0, SEEK_SET) ? -errno : kp_steal_fd(&fd);
}

/* Run a compiler where nothing but the system is to be seen. *ret_said (to be freed): what it
 * printed. Where it could not be asked, or had not answered in time, no more are. */
static int run(struct learner *l, char *const *argv, const struct asked *a,
	       struct kp_proc_end *end, char **ret_said)
{
	const int64_t seconds = l->until - kp_now_ms() / 1000;
	const struct kp_sandbox_bind bind = { l->room, l->room, true };
	const struct kp_sandbox sb = { .slot = l->slot,
				       .binds = &bind,
				       .n_binds = 1,
				       .timeout_s = seconds < ASK_SECONDS ? (int)seconds
									  : ASK_SECONDS,
				       .max_output = MESSAGES_MAX };
	_cleanup_close_ int in = memory_file(a ? a->input : NULL, a ? a->input_len : 0);
	_cleanup_close_ int said = memory_file(NULL, 0);
	const struct kp_proc proc = {
		.argv = (const char *const *)argv,
		.env = ask_env,
		.cwd = l->room,
		.in_fd = in,
		.out_fd = said,
		.err_fd = said,
	};
	struct kp_err err;
	int rc;

	*end = (struct kp_proc_end){ -1, 0 };
	rc = in < 0 || said < 0 ? -ENOMEM
	     : seconds <= 0	? -ETIME
				: kp_sandbox_run(l->ctx, &sb, &proc, end, &err);
	if (rc && rc != -ECHILD) {
		l->over = true;
		return rc;
	}
	if (lseek(said, 0, SEEK_SET))
		return -errno;
	return kp_read_fd(said, MESSAGES_MAX + 4096, ret_said, NULL);
}

/* ---- what the compiler is ---- */

#define PRINT_CC1 "-print-prog-name=cc1"

/* Where COMPILER has what it calls WHAT ("-print-prog-name=as"). To be freed; NULL: unknown. */
static char *part_of(struct learner *l, const char *compiler, const char *what)
{
	char *const argv[] = { (char *)compiler, (char *)what, NULL };
	_cleanup_free_ char *said = NULL;
	struct kp_proc_end end;
	char *line;

	if (make_room(l) < 0 || run(l, argv, NULL, &end, &said) < 0 || end.exit_code)
		return NULL;
	line = kp_str_strip(said);
	if (*line == '/')
		return kp_str_is_printable(line) ? kp_strdup(line) : NULL;
	/* It would look in its PATH. */
	return kp_name_ok(line) ? kp_tool_find(l->ctx, line) : NULL;
}

static bool is_elf(const struct kp_ctx *ctx, const char *path)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY, 0);
	char magic[SELFMAG];

	return fd >= 0 && read(fd, magic, SELFMAG) == SELFMAG &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

/* All that decides what COMPILER answers, as lines: itself, the programs that it starts, a file
 * "specs" that an administrator may put beside its library. To be freed; NULL: unknown. */
static char *identify(struct learner *l, const char *compiler)
{
	static const char *const parts[] = { PRINT_CC1, "-print-prog-name=as",
					     "-print-libgcc-file-name" };
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	char line[KP_QUESTION_LINE_MAX];

	/* A script that starts another compiler can be anything. */
	if (!is_elf(l->ctx, compiler) || !kp_question_identity(compiler, line))
		return NULL;
	kp_buf_adds(&text, line);
	for (size_t i = 0; i < KP_ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *part = part_of(l, compiler, parts[i]);
		_cleanup_free_ char *dir = part && i == 2 ? kp_path_dir(part) : NULL;
		_cleanup_free_ char *path =
			dir ? kp_path_join(dir, "specs") : kp_steal(&part);

		if (!path || !kp_question_identity(path, line))
			return NULL;
		kp_buf_adds(&text, line);
	}
	return kp_buf_steal(&text);
}

/* The answers of COMPILER, and from where on in *ret they are (0: none that count). To be freed. */
static char *load_answers(struct kp_ctx *ctx, const char *compiler, size_t *ret_len,
			  size_t *ret_begin)
{
	_cleanup_free_ char *all = kp_probe_answers(ctx);
	_cleanup_free_ char *path = kp_path_join(all, strrchr(compiler, '/') + 1);
	char *text = NULL;

	*ret_begin = 0;
	if (kp_read_in(ctx->root_fd, path, ANSWERS_MAX, &text, ret_len) == 0)
		*ret_begin = kp_answers_begin(text, *ret_len, compiler);
	return text;
}

/* The second line of an identity. */
static char *known_cc1(struct kp_ctx *ctx, const char *compiler)
{
	size_t len, begin;
	_cleanup_free_ char *text = load_answers(ctx, compiler, &len, &begin);
	const char *line = begin ? strchr(text, '\n') + 1 : "";
	size_t n = strcspn(line, "\n"), head = strcspn(line, "/");

	return head < n ? kp_strndup(line + head, n - head) : NULL;
}

char *kp_probe_cc1(struct kp_ctx *ctx, unsigned int slot, const char *room,
		   const char *compiler)
{
	struct learner l = { .ctx = ctx,
			     .slot = slot,
			     .room = kp_strdup(room),
			     .scratch = kp_path_join(room, ".tmp_1"),
			     .until = kp_now_ms() / 1000 + ASK_SECONDS };
	char *cc1 = known_cc1(ctx, compiler);

	if (!cc1) {
		cc1 = part_of(&l, compiler, PRINT_CC1);
		kp_rm_rf_in(ctx->root_fd, room, NULL);
	}
	free(l.room);
	free(l.scratch);
	return cc1;
}

/* A compiler and its answers. */
struct tool {
	char *compiler, *path; /* the path of the file of answers */
	struct kp_buf text;
	size_t begin; /* of the answers in text; 0: nothing can be learnt of it */
	bool is_new;  /* something was added */
};

static void tool_load(struct learner *l, const char *compiler, struct tool *t)
{
	_cleanup_free_ char *all = kp_probe_answers(l->ctx), *identity = NULL;
	size_t len = 0;
	_cleanup_free_ char *text = load_answers(l->ctx, compiler, &len, &t->begin);

	t->compiler = kp_strdup(compiler);
	t->path = kp_path_join(all, compiler + strlen(KP_COMPILERS));
	if (t->begin) {
		kp_buf_add(&t->text, text, len);
		return;
	}
	identity = identify(l, compiler);
	if (!identity)
		return;
	kp_buf_addf(&t->text, "%s\n", identity);
	t->begin = t->text.len;
}

/* The compiler that was asked may have been replaced meanwhile: then nothing counts. */
static void tool_save(struct learner *l, struct tool *t)
{
	if (t->is_new && kp_answers_begin(t->text.s, t->text.len, t->compiler))
		kp_write_in(l->ctx->root_fd, t->path, t->text.s, t->text.len, 0644, NULL);
	free(t->compiler);
	free(t->path);
	kp_buf_free(&t->text);
	*t = (struct tool){ .text = KP_BUF_INIT };
}

/* ---- one question ---- */

/* Notes are a line with a length and so many bytes, each. False: there are no more, or what
 * follows is none. NOTES ends with a NUL. */
static bool next_note(const char **notes, const char *end, const char **ret,
		      size_t *ret_len)
{
	char *key;
	size_t n = strtoul(*notes, &key, 10);

	if (*notes >= end || *key != '\n' || !n || n > KP_QUESTION_KEY_MAX ||
	    n > (size_t)(end - ++key))
		return false;
	*ret = key;
	*ret_len = n;
	*notes = key + n;
	return true;
}

/* What a note says, as it would be asked from our own directory; a->argv to be freed. */
static bool parse(struct learner *l, const char *key, size_t len, struct asked *a)
{
	const char *p = key, *end = key + len;
	size_t n = 0;

	*a = (struct asked){ .key = key, .key_len = len };
	for (; p < end && *p && n++ < KP_QUESTION_ARGS_MAX; p += strlen(p) + 1) {
		size_t last = kp_strv_len(a->argv);

		if (!memchr(p, '\0', (size_t)(end - p)))
			return false;
		kp_strv_add(&a->argv,
			    last && kp_str_eq(a->argv[last - 1], "-o") ? l->out : p);
	}
	if (p >= end || *p || !a->argv)
		return false;
	a->input = p + 1;
	a->input_len = (size_t)(end - a->input);
	return true;
}

/* Is it one of the system's compilers? */
static bool is_compiler(struct learner *l, const char *path)
{
	return kp_str_starts(path, KP_COMPILERS) &&
	       kp_question_is_compiler(path + strlen(KP_COMPILERS)) &&
	       kp_tool_is(l->ctx, path);
}

/* Is it a question of the front's kind to one of the system's compilers? */
static bool is_valid(struct learner *l, const struct asked *a)
{
	_cleanup_free_ char *key = kp_malloc(KP_QUESTION_KEY_MAX);
	struct kp_question q;

	return is_compiler(l, a->argv[0]) && kp_question_parse(a->argv, &q) &&
	       (q.asks_input || !a->input_len) &&
	       kp_question_key(&q, a->input, a->input_len, key) == a->key_len &&
	       !memcmp(key, a->key, a->key_len);
}

/* Ask it. The answer is added to TEXT. False: it is none to rely on. */
static bool ask(struct learner *l, const struct asked *a, struct kp_buf *text)
{
	_cleanup_free_ char *said = NULL, *output = NULL;
	struct kp_proc_end end;
	size_t len = 0;

	if (make_room(l) < 0 || run(l, a->argv, a, &end, &said) < 0)
		return false;
	if (end.exit_code == 0) {
		_cleanup_close_ int dir = kp_open_in(l->ctx->root_fd, l->scratch,
						     O_RDONLY | O_DIRECTORY, 0);
		_cleanup_close_ int fd = dir < 0 ? -1 : kp_collect_open(dir, "tmp", NULL);

		if (fd < 0 || kp_read_fd(fd, KP_QUESTION_OUTPUT_MAX, &output, &len) < 0)
			return false;
	} else if (end.exit_code != 1 || !strstr(said, "rror: ") ||
		   kp_recipe_machine_fault(said)) {
		return false;
	}
	kp_buf_addf(text, "%d %zu %zu\n", end.exit_code, a->key_len, len);
	kp_buf_add(text, a->key, a->key_len);
	if (len)
		kp_buf_add(text, output, len);
	return true;
}

/* A file that the compiler wrote into the scratch directory. */
static int read_scratch(struct learner *l, const char *name, size_t max, char **ret,
			size_t *ret_len)
{
	_cleanup_close_ int dir =
		kp_open_in(l->ctx->root_fd, l->scratch, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_close_ int fd = dir < 0 ? -1 : kp_collect_open(dir, name, NULL);

	return fd < 0 ? -ENOENT : kp_read_fd(fd, max, ret, ret_len);
}

/* Not a question but a file of kbuild's: its headers, reduced, are kept for the front. */
static void learn_modc(struct learner *l, const char *key, size_t len, struct tool *t)
{
	_cleanup_free_ char *deps_path = kp_path_join(l->scratch, "deps");
	_cleanup_free_ char *identity = NULL, *input = NULL, *said = NULL, *text = NULL,
			    *deps = NULL, *answers = kp_probe_answers(l->ctx);
	_cleanup_strv_ char **argv = kp_modc_call(key, len, l->out, deps_path, &input);
	_cleanup_buf_ struct kp_buf file = KP_BUF_INIT;
	const struct asked a = { .input = input, .input_len = strlen(input) };
	struct kp_modc_read read = { .key = key, .key_len = len, .since = time(NULL) };
	struct kp_proc_end end;

	if (!t->begin || kp_modc_is_known(l->ctx, answers, key, len))
		return;
	l->left--;
	if (make_room(l) < 0 || run(l, argv, &a, &end, &said) < 0 || end.exit_code ||
	    read_scratch(l, "tmp", HEADERS_MAX, &text, &read.len) < 0 ||
	    read_scratch(l, "deps", MESSAGES_MAX * 4, &deps, NULL) < 0)
		return;
	identity = kp_strndup(t->text.s, t->begin - 1);
	read.identity = identity;
	read.text = text;
	read.deps = deps;
	if (kp_modc_make(l->ctx, &read, &file))
		kp_modc_save(l->ctx, answers, key, len, &file);
}

static void learn_one(struct learner *l, const struct asked *a, struct tool *t)
{
	_cleanup_buf_ struct kp_buf first = KP_BUF_INIT, second = KP_BUF_INIT;
	struct kp_answer known;

	if (!t->begin || kp_answers_find(t->text.s + t->begin, t->text.len - t->begin,
					 a->key, a->key_len, &known))
		return;
	l->left--;
	if (!ask(l, a, &first))
		return;
	/* A machine in trouble says no as well; hardly twice. */
	if (first.s[0] != '0' && (!ask(l, a, &second) || second.len != first.len ||
				  memcmp(second.s, first.s, first.len) != 0))
		return;
	kp_buf_add(&t->text, first.s, first.len);
	t->is_new = true;
}

/* A build asks one compiler, so one after the other will do. */
static void learn(struct learner *l, const char *notes, size_t len)
{
	const char *end = notes + len, *key;
	struct tool tool = { .text = KP_BUF_INIT };
	size_t n;

	while (l->left && !l->over && next_note(&notes, end, &key, &n)) {
		_cleanup_strv_ char **argv = NULL;
		/* With a NUL at its end. */
		_cleanup_free_ char *copy = kp_malloc(n + 1);
		struct asked a;
		bool ok = parse(l, key, n, &a), is_modc;

		memcpy(copy, key, n);
		copy[n] = '\0';
		argv = a.argv;
		is_modc =
			ok && is_compiler(l, argv[0]) && kp_modc_key_ok(l->ctx, copy, n);
		if (!is_modc && (!ok || !is_valid(l, &a)))
			continue;
		if (!kp_str_eq(tool.compiler, argv[0])) {
			tool_save(l, &tool);
			tool_load(l, argv[0], &tool);
		}
		if (is_modc)
			learn_modc(l, copy, n, &tool);
		else
			learn_one(l, &a, &tool);
	}
	tool_save(l, &tool);
}

void kp_probe_learn(struct kp_ctx *ctx, const char *dir, unsigned int slot,
		    int64_t deadline)
{
	struct learner l = { .ctx = ctx,
			     .slot = slot,
			     .left = LEARN_MAX,
			     .until = kp_now_ms() / 1000 + LEARN_SECONDS };
	_cleanup_free_ char *path = kp_path_join(dir, KP_QUESTION_NOTES);
	_cleanup_free_ char *lock_path = kp_path_join(ctx->run_dir, "probes.lock");
	_cleanup_free_ char *notes = kp_malloc(NOTES_MAX + 1);
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);
	_cleanup_close_ int lock = -1;
	ssize_t len = fd < 0 ? -1 : pread(fd, notes, NOTES_MAX, 0);

	/* Whoever has the lock learns the same. */
	if (len <= 0 || kp_lock_take(ctx->root_fd, lock_path, "asking compilers",
				     KP_LOCK_TRY, &lock, NULL) < 0)
		return;
	notes[len] = '\0';
	if (deadline && deadline < l.until)
		l.until = deadline;
	l.room = kp_path_join(dir, "room");
	l.scratch = kp_path_join(l.room, ".tmp_1");
	l.out = kp_path_join(l.scratch, "tmp");
	learn(&l, notes, (size_t)len);
	kp_debug("asked compilers %zu questions", LEARN_MAX - l.left);
	kp_rm_rf_in(ctx->root_fd, l.room, NULL);
	free(l.room);
	free(l.scratch);
	free(l.out);
}
