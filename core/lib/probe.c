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

/* Of one compiler. A file that has grown to that is begun anew: much in it is of kernels that are
 * gone, or nothing that kbuild asked. */
#define ANSWERS_MAX (2 << 20)

/* Of one build. A kernel has some forty questions, and a compiler answers in a moment; what is beyond was
 * made up by the build. Others that ask meanwhile are waited for. */
#define LEARN_MAX 128
#define LEARN_MS 20000
#define ASK_SECONDS 10
#define LOCK_MS 5000
#define MESSAGES_MAX 65536
/* The text of a kernel's headers is some two megabytes. */
#define HEADERS_MAX (8 << 20)

/* Of both, because an answer counts for what the build would have had. */
static const char *const ask_env[] = { "PATH=" KP_STANDARD_PATH, "HOME=/tmp",
				       "LANG=C.UTF-8", "LC_ALL=C.UTF-8", NULL };

char *kp_probe_answers(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "probes");
}

/* ---- before a build ---- */

static int offer(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_free_ char *answers = kp_probe_answers(ctx);
	_cleanup_strv_ char **names = NULL;
	_cleanup_close_ int dir_fd = -1;
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
	return symlinkat(answers, dir_fd, KP_QUESTION_ANSWERS) ? -errno : 0;
}

bool kp_probe_offer(struct kp_ctx *ctx, const char *dir)
{
	/* Where builds run as we do, they could write what we believe. */
	if (!ctx->config.probe_answers || !kp_sandbox_has_own_user() ||
	    !kp_tool_is(ctx, FRONT) || offer(ctx, dir) < 0) {
		kp_rm_rf_in(ctx->root_fd, dir, NULL);
		return false;
	}
	return true;
}

/* ---- asking ---- */

struct kp_learner {
	struct kp_ctx *ctx;
	unsigned int slot;
	int slot_lock; /* -1: there is none yet, or it is the caller's */
	char *room;    /* directory in which compilers may write */
	char *scratch; /* directory in it, named as kbuild names it */
	char *out;     /* the output that a question names */
	char *lock_path;
	size_t asked;	 /* how many were */
	int64_t left_ms; /* for all that come */
	int64_t until;	 /* monotonic ms: when the present one has to be answered */
	bool no_modc;	 /* reduced headers are not to be had */
	bool over;	 /* no more are asked */
};

struct asked {
	char **argv;
	const char *input;
	size_t input_len;
	const char *key;
	size_t key_len;
};

/* An empty scratch directory that the compiler may write to. */
static int make_room(struct kp_learner *l)
{
	const char *const dirs[] = { l->room, l->scratch };
	int root = l->ctx->root_fd, rc = 0;

	if (!l->slot)
		rc = kp_sandbox_take_slot(l->ctx, &l->slot, &l->slot_lock, NULL);
	if (!rc)
		rc = kp_rm_rf_in(root, l->room, NULL);
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(dirs); i++) {
		const uid_t uid = kp_sandbox_uid(l->slot);
		_cleanup_close_ int fd = -1;

		rc = kp_mkdir_in(root, dirs[i], 0755, NULL);
		if (rc)
			break;
		fd = kp_open_in(root, dirs[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		rc = fd < 0 ? fd : fchown(fd, uid, uid) ? -errno : 0;
	}
	l->over = l->over || rc < 0;
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
static int run(struct kp_learner *l, char *const *argv, const struct asked *a,
	       struct kp_proc_end *end, char **ret_said)
{
	const int64_t left = l->until - kp_now_ms(), seconds = (left + 999) / 1000;
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
static char *part_of(struct kp_learner *l, const char *compiler, const char *what)
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
static char *identify(struct kp_learner *l, const char *compiler)
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

/* The answers of COMPILER, and from where on in them they are (0: none that count). To be freed. */
static char *load_answers(struct kp_ctx *ctx, const char *compiler, size_t *ret_len,
			  size_t *ret_begin)
{
	_cleanup_free_ char *all = kp_probe_answers(ctx);
	_cleanup_free_ char *path = kp_path_join(all, strrchr(compiler, '/') + 1);
	char *text = NULL;

	*ret_begin = 0;
	if (kp_read_in(ctx->root_fd, path, ANSWERS_MAX, &text, ret_len) == 0)
		*ret_begin = kp_answers_begin(text, *ret_len, compiler);
	/* The machine may have stopped before all of it was on the disk. */
	if (*ret_begin)
		*ret_len = *ret_begin +
			   kp_answers_whole(text + *ret_begin, *ret_len - *ret_begin);
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

static void learner_init(struct kp_learner *l, struct kp_ctx *ctx, const char *room)
{
	*l = (struct kp_learner){ .ctx = ctx, .slot_lock = -1, .left_ms = LEARN_MS };
	l->room = kp_strdup(room);
	l->scratch = kp_path_join(room, ".tmp_1");
	l->out = kp_path_join(l->scratch, "tmp");
	l->lock_path = kp_path_join(ctx->run_dir, "probes.lock");
}

static void learner_clear(struct kp_learner *l)
{
	if (l->slot)
		kp_rm_rf_in(l->ctx->root_fd, l->room, NULL);
	if (l->slot_lock >= 0) {
		kp_sandbox_sweep(l->ctx, l->slot);
		close(l->slot_lock);
	}
	free(l->room);
	free(l->scratch);
	free(l->out);
	free(l->lock_path);
}

char *kp_probe_cc1(struct kp_ctx *ctx, unsigned int slot, const char *room,
		   const char *compiler)
{
	char *cc1 = known_cc1(ctx, compiler);
	struct kp_learner l;

	if (cc1)
		return cc1;
	learner_init(&l, ctx, room);
	l.slot = slot;
	l.until = kp_now_ms() + l.left_ms;
	cc1 = part_of(&l, compiler, PRINT_CC1);
	learner_clear(&l);
	return cc1;
}

/* A compiler and its answers. */
struct tool {
	char *compiler, *path; /* the path of the file of answers */
	struct kp_buf text;
	size_t begin; /* of the answers in text; 0: nothing can be learnt of it */
	bool is_new;  /* there is something to be written */
};

static void tool_load(struct kp_learner *l, const char *compiler, struct tool *t)
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
	t->is_new = true;
}

/* The compiler that was asked may have been replaced meanwhile: then nothing counts. */
static void tool_save(struct kp_learner *l, struct tool *t)
{
	if (t->is_new && kp_answers_begin(t->text.s, t->text.len, t->compiler))
		kp_write_cache_in(l->ctx->root_fd, t->path, t->text.s, t->text.len, 0644,
				  NULL);
	free(t->compiler);
	free(t->path);
	kp_buf_free(&t->text);
}

/* ---- one question ---- */

/* What was handed over, as it would be asked from our own directory; a->argv to be freed. */
static bool parse(struct kp_learner *l, const char *key, size_t len, struct asked *a)
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
static bool is_compiler(struct kp_learner *l, const char *path)
{
	return kp_str_starts(path, KP_COMPILERS) &&
	       kp_question_is_compiler(path + strlen(KP_COMPILERS)) &&
	       kp_tool_is(l->ctx, path);
}

/* Is it a question of the front's kind to one of the system's compilers? */
static bool is_valid(struct kp_learner *l, const struct asked *a)
{
	_cleanup_free_ char *key = kp_malloc(KP_QUESTION_KEY_MAX);
	struct kp_question q;

	return is_compiler(l, a->argv[0]) && kp_question_parse(a->argv, &q) &&
	       (q.asks_input || !a->input_len) &&
	       kp_question_key(&q, a->input, a->input_len, key) == a->key_len &&
	       !memcmp(key, a->key, a->key_len);
}

/* A file that the compiler wrote into the scratch directory. */
static int read_scratch(struct kp_learner *l, const char *name, size_t max, char **ret,
			size_t *ret_len)
{
	_cleanup_close_ int dir =
		kp_open_in(l->ctx->root_fd, l->scratch, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_close_ int fd = dir < 0 ? -1 : kp_collect_open(dir, name, NULL);

	return fd < 0 ? -ENOENT : kp_read_fd(fd, max, ret, ret_len);
}

/* Ask it. The answer is added to TEXT. False: it is none to rely on. */
static bool ask(struct kp_learner *l, const struct asked *a, struct kp_buf *text)
{
	_cleanup_free_ char *said = NULL, *output = NULL;
	struct kp_proc_end end;
	size_t len = 0;

	if (make_room(l) < 0 || run(l, a->argv, a, &end, &said) < 0)
		return false;
	if (end.exit_code == 0) {
		if (read_scratch(l, "tmp", KP_QUESTION_OUTPUT_MAX, &output, &len) < 0)
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

/* Not a question but a file of kbuild's: its headers, reduced, are kept for the front. */
static void learn_modc(struct kp_learner *l, const char *key, size_t len, struct tool *t)
{
	_cleanup_free_ char *deps_path = kp_path_join(l->scratch, "deps");
	_cleanup_free_ char *identity = NULL, *input = NULL, *said = NULL, *text = NULL,
			    *deps = NULL, *answers = kp_probe_answers(l->ctx);
	_cleanup_strv_ char **argv = kp_modc_call(key, len, l->out, deps_path, &input);
	_cleanup_buf_ struct kp_buf file = KP_BUF_INIT;
	const struct asked a = { .input = input, .input_len = strlen(input) };
	struct kp_modc_read read = { .key = key, .key_len = len, .since = time(NULL) };
	struct kp_proc_end end;

	if (!t->begin || l->no_modc || kp_modc_is_known(l->ctx, answers, key, len))
		return;
	l->asked++;
	/* Each module of a source would ask again. */
	l->no_modc = true;
	if (make_room(l) < 0 || run(l, argv, &a, &end, &said) < 0 || end.exit_code ||
	    read_scratch(l, "tmp", HEADERS_MAX, &text, &read.len) < 0 ||
	    read_scratch(l, "deps", MESSAGES_MAX * 4, &deps, NULL) < 0)
		return;
	identity = kp_strndup(t->text.s, t->begin - 1);
	read.identity = identity;
	read.text = text;
	read.deps = deps;
	if (kp_modc_make(l->ctx, &read, &file))
		l->no_modc = kp_modc_save(l->ctx, answers, key, len, &file) < 0;
}

static void learn_one(struct kp_learner *l, const struct asked *a, struct tool *t)
{
	_cleanup_buf_ struct kp_buf first = KP_BUF_INIT, second = KP_BUF_INIT;
	struct kp_answer known;

	if (!t->begin || kp_answers_find(t->text.s + t->begin, t->text.len - t->begin,
					 a->key, a->key_len, &known))
		return;
	l->asked++;
	if (!ask(l, a, &first))
		return;
	/* A machine in trouble says no as well; hardly twice. */
	if (first.s[0] != '0' && (!ask(l, a, &second) || second.len != first.len ||
				  memcmp(second.s, first.s, first.len) != 0))
		return;
	kp_buf_add(&t->text, first.s, first.len);
	t->is_new = true;
}

static void answer(struct kp_learner *l, const struct asked *a, bool is_modc)
{
	struct tool tool = { .text = KP_BUF_INIT };
	_cleanup_close_ int lock = -1;

	/* Who else asks now may ask the same. */
	if (kp_lock_take(l->ctx->root_fd, l->lock_path, "asking compilers", LOCK_MS,
			 &lock, NULL) < 0) {
		l->over = true;
		return;
	}
	tool_load(l, a->argv[0], &tool);
	if (is_modc)
		learn_modc(l, a->key, a->key_len, &tool);
	else
		learn_one(l, a, &tool);
	tool_save(l, &tool);
}

struct kp_learner *kp_learner_new(struct kp_ctx *ctx, const char *room)
{
	struct kp_learner *l = kp_calloc(1, sizeof(*l));

	learner_init(l, ctx, room);
	return l;
}

bool kp_learner_answer(struct kp_learner *l, const char *key, size_t len)
{
	const int64_t since = kp_now_ms();
	_cleanup_strv_ char **argv = NULL;
	struct asked a;
	bool ok = parse(l, key, len, &a);
	bool is_modc =
		ok && is_compiler(l, a.argv[0]) && kp_modc_key_ok(l->ctx, key, len);

	argv = a.argv;
	l->until = since + l->left_ms;
	if (is_modc || (ok && is_valid(l, &a)))
		answer(l, &a, is_modc);
	l->left_ms -= kp_now_ms() - since;
	return !l->over && l->left_ms > 0 && l->asked < LEARN_MAX;
}

void kp_learner_free(struct kp_learner *l)
{
	kp_debug("asked compilers %zu questions", l->asked);
	learner_clear(l);
	free(l);
}
