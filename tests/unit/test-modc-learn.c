// SPDX-License-Identifier: GPL-2.0-or-later
/* Headers that are reduced for files of kbuild's: what comes of them is the same, and who may ask. */
#include "test.h"

#include <signal.h>
#include <time.h>

#include <kmodpkg/proc.h>

#include "lib/modc-learn.h"
#include "modc-fixture.h"

/* ---- with a compiler, and a kernel's headers in small ---- */

static const struct {
	const char *path, *text;
} headers[] = {
	{ "include/linux/kconfig.h", "#define CONFIG_MODULE_UNLOAD 1\n" },
	{ "include/linux/types.h",
	  "typedef unsigned int u32;\nstruct task { u32 x[99]; };\n"
	  "#define __UNIQUE(x) __PASTE(x, __COUNTER__)\n"
	  "#define __PASTE(a, b) ___PASTE(a, b)\n"
	  "#define ___PASTE(a, b) a##b\n"
	  "static inline int __UNIQUE(unused)(void) { return 0; }\n"
	  "#define current nothing\n" },
	{ "include/linux/module.h",
	  "#include <linux/types.h>\n"
	  "struct list { struct list *next; };\n"
	  "#define ALIGNED __attribute__((aligned(64)))\n"
	  "struct module { u32 state; struct task *t; struct list l; char name[56];\n"
	  "int (*init)(void); int (*exit)(void); struct { int x; } arch; } ALIGNED;\n"
	  "#define __visible __attribute__((__externally_visible__))\n"
	  "#define __section(x) __attribute__((__section__(x)))\n"
	  "#define __used __attribute__((__used__))\n"
	  "#define MODULE_ARCH_INIT { .x = sizeof(struct task) }\n"
	  "#define MODULE_INFO(tag, info) static const char __UNIQUE(tag)[] __used \\\n"
	  "\t__section(\".modinfo\") = #tag \"=\" info\n"
	  "#define MODULE_ALIAS(x) MODULE_INFO(alias, x)\n"
	  "struct modversion_info { unsigned long crc; char name[56]; };\n"
	  "extern int init_module(void);\nextern int cleanup_module(void);\n"
	  "asm(\".globl from_header\\n.set from_header, 7\");\n" },
	{ "include/linux/build-salt.h",
	  "#define BUILD_SALT NOTE(32)\n"
	  "#define NOTE(n) const struct salt##n salt = { 1 }\n"
	  "struct salt32 { char c; long l; };\nstruct salt64 { u32 x; };\n" },
	{ "include/linux/vermagic.h", "#ifndef INCLUDE_VERMAGIC\n#error\n#endif\n"
				      "#define VERMAGIC_STRING \"6.1 \" KIND\n"
				      "#define KIND \"SMP\"\n" },
};

struct fixture {
	struct kp_ctx ctx;
	char dir[32];
	char *answers, *line, *key, *out, *deps;
	size_t key_len;
};

static void put(struct fixture *f, const char *path, const char *text)
{
	_cleanup_free_ char *whole = kp_path_join(f->dir, path);
	_cleanup_free_ char *dir = kp_path_dir(whole);

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, dir, 0755, NULL), 0);
	assert_int_equal(
		kp_write_in(f->ctx.root_fd, whole, text, strlen(text), 0644, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/kp-modc-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < KP_ARRAY_SIZE(headers); i++)
		put(f, headers[i].path, headers[i].text);
	put(f, "build/x.mod.c", file_6_1);
	f->answers = kp_path_join(f->dir, "answers");
	f->out = kp_path_join(f->dir, "out");
	f->deps = kp_path_join(f->dir, "deps");
	f->line = kp_strf(
		"-nostdinc -I%s/include -include %s/include/linux/kconfig.h -O2 -g0 "
		"-DKBUILD_MODNAME=\"x\" -c -o %s/build/x.mod.o %s/build/x.mod.c",
		f->dir, f->dir, f->dir, f->dir);
	f->key = key_of(f->line, file_6_1, &f->key_len);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	close(f->ctx.root_fd);
	free(f->answers);
	free(f->line);
	free(f->key);
	free(f->out);
	free(f->deps);
	free(f);
	return 0;
}

static void run(char **argv, const char *input)
{
	int fds[2];
	struct kp_proc proc = { .argv = (const char *const *)argv };

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], input, strlen(input)), strlen(input));
	close(fds[1]);
	proc.in_fd = fds[0];
	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
	close(fds[0]);
}

/* Read the headers, and make the file of it. */
static bool make(struct fixture *f, time_t since, struct kp_buf *file)
{
	_cleanup_free_ char *input = NULL, *text = NULL, *deps = NULL;
	_cleanup_strv_ char **argv =
		kp_modc_call(f->key, f->key_len, f->out, f->deps, &input);
	char lines[4 * KP_QUESTION_LINE_MAX];
	struct kp_modc_read read = {
		.key = f->key, .key_len = f->key_len, .identity = lines, .since = since
	};
	size_t len = 0;

	for (int i = 0; i < KP_MODC_OWN; i++)
		len += kp_question_identity(GCC, lines + len);
	run(argv, input);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->out, 0, &text, &read.len), 0);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->deps, 0, &deps, NULL), 0);
	read.text = text;
	read.deps = deps;
	return kp_modc_make(&f->ctx, &read, file);
}

static char *object(struct fixture *f, const char *line, size_t *ret_len)
{
	_cleanup_strv_ char **argv = words(line);
	_cleanup_free_ char *path = kp_path_join(f->dir, "build/x.mod.o");
	char *bytes = NULL;

	run(argv, "");
	assert_int_equal(kp_read_in(f->ctx.root_fd, path, 0, &bytes, ret_len), 0);
	return bytes;
}

/* What comes of the reduced headers is what comes of all. */
static void test_same(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf file = KP_BUF_INIT;
	_cleanup_free_ char *line = NULL, *want = NULL, *got = NULL;
	size_t want_len, got_len;

	want = object(f, f->line, &want_len);
	assert_true(make(f, time(NULL) + 9, &file));
	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, f->answers, 0755, NULL), 0);
	assert_false(kp_modc_is_known(&f->ctx, f->answers, f->key, f->key_len));
	assert_int_equal(kp_modc_save(&f->ctx, f->answers, f->key, f->key_len, &file), 0);
	assert_true(kp_modc_is_known(&f->ctx, f->answers, f->key, f->key_len));
	line = kp_strf("-nostdinc -I%s/" KP_MODC_EMPTY " -include %s/" KP_MODC_NAME
		       " -O2 -g0 -DKBUILD_MODNAME=\"x\" -c -o %s/build/x.mod.o "
		       "%s/build/x.mod.c",
		       f->answers, f->answers, kp_modc_hash(f->key, f->key_len), f->dir,
		       f->dir);
	got = object(f, line, &got_len);
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
	kp_buf_addc(&file, '\0');
	assert_null(strstr(file.s, "unused"));
	assert_null(strstr(file.s, "salt64"));
}

/* ---- with the front that was built beside this program ---- */

static pid_t start_front(struct fixture *f)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
	_cleanup_free_ char *dir = kp_path_dir(self), *up = kp_path_dir(dir),
			    *top = kp_path_dir(up);
	_cleanup_free_ char *program = kp_path_join(top, "probe-front");
	_cleanup_free_ char *gcc = kp_strf("%s/fronts/gcc", f->dir);
	_cleanup_free_ char *link = kp_strf("%s/fronts/" KP_QUESTION_ANSWERS, f->dir);
	_cleanup_free_ char *path =
		kp_strf("PATH=%s/fronts:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, f->dir);
	_cleanup_strv_ char **argv = words(f->line);
	const char *const env[] = { path, "LANG=C", NULL };
	const struct kp_proc proc = { .argv = (const char *const *)argv, .env = env };
	pid_t pid;

	free(argv[0]);
	argv[0] = kp_strdup(gcc);
	*strrchr(gcc, '/') = '\0';
	if (!mkdir(gcc, 0755)) {
		assert_int_equal(symlink(program, argv[0]), 0);
		assert_int_equal(symlink(f->answers, link), 0);
	}
	assert_int_equal(kp_proc_spawn(&proc, &pid, NULL), 0);
	return pid;
}

/* Does what came of the front have SYMBOL? */
static bool front_made(struct fixture *f, pid_t pid, const char *symbol)
{
	_cleanup_free_ char *path = kp_path_join(f->dir, "build/x.mod.o"), *bytes = NULL;
	struct kp_proc_end end;
	size_t len;

	assert_int_equal(kp_proc_wait(pid, &end, NULL), 0);
	assert_int_equal(end.exit_code, 0);
	assert_int_equal(kp_read_in(f->ctx.root_fd, path, 0, &bytes, &len), 0);
	return memmem(bytes, len, symbol, strlen(symbol));
}

static void add_symbol(struct kp_buf *file, const char *name)
{
	kp_buf_addf(file, "asm(\".globl %s\\n.set %s, 7\");\n", name, name);
}

/* Headers of another key with the same hash may take the name between the front's look and the
 * compiler's. Whoever has a lease on a file is asked before another may open it. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf known = KP_BUF_INIT, other = KP_BUF_INIT;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	const struct timespec limit = { .tv_sec = 60 };
	sigset_t set;
	pid_t pid;

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, f->answers, 0755, NULL), 0);
	assert_true(make(f, time(NULL) + 9, &known));
	kp_buf_add(&other, known.s, known.len);
	add_symbol(&known, "of_known");
	add_symbol(&other, "of_other");
	assert_int_equal(kp_modc_save(&f->ctx, f->answers, f->key, f->key_len, &known),
			 0);
	assert_true(front_made(f, start_front(f), "of_known"));

	path = kp_strf("%s/" KP_MODC_NAME, f->answers, kp_modc_hash(f->key, f->key_len));
	fd = open(path, O_RDWR | O_CLOEXEC);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	pid = start_front(f);
	assert_int_equal(sigtimedwait(&set, NULL, &limit), SIGIO);
	assert_int_equal(
		kp_write_in(f->ctx.root_fd, path, other.s, other.len, 0644, NULL), 0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	assert_false(front_made(f, pid, "of_other"));
	assert_true(front_made(f, start_front(f), "of_other"));
}

/* It counts as long as compiler and headers are what they were. */
static void test_headers_change(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf file = KP_BUF_INIT, early = KP_BUF_INIT;
	_cleanup_free_ char *other = kp_strndup(f->key, f->key_len);
	struct kp_modc_known known;

	/* Changed while it was read, perhaps. */
	assert_false(make(f, time(NULL) - 9, &early));
	assert_true(make(f, time(NULL) + 9, &file));
	assert_true(kp_modc_is_true(file.s, file.len, GCC, f->key, f->key_len, &known));
	assert_int_equal(known.macros_len % KP_MODC_HASH, 0);
	assert_true(kp_modc_fits(file_6_12, strlen(file_6_12), known.macros,
				 known.macros_len));
	assert_false(kp_modc_fits("SYMBOL_CRC(current, 1)", 22, known.macros,
				  known.macros_len));
	assert_false(kp_modc_is_true(file.s, file.len, "/usr/bin/cc", f->key, f->key_len,
				     &known));
	assert_false(
		kp_modc_is_true(file.s, file.len, GCC, f->key, f->key_len - 1, &known));
	for (size_t n = 0; n < file.len && n < known.headers_len + f->key_len; n += 97)
		assert_false(kp_modc_is_true(file.s, n, GCC, f->key, f->key_len, &known));
	put(f, "include/linux/types.h", "typedef int u32;\n");
	assert_false(kp_modc_is_true(file.s, file.len, GCC, f->key, f->key_len, &known));
}

/* What a build may ask for. */
static void test_forged(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *from, *to;
	} forged[] = {
		{ "-O2", "@/x" },
		{ "-O2", "-E" },
		{ "-nostdinc", "-specs=/x" },
		{ "-nostdinc", "x.mod.c" },
		{ "<linux/module.h>", "</etc/shadow>" },
		{ "#define INCLUDE_VERMAGIC", "#define INCLUDE_VERMAGI\"" },
		{ "#include <linux/build", "#endif\n#include <linux/b" },
	};

	assert_true(kp_modc_key_ok(&f->ctx, f->key, f->key_len));
	assert_false(kp_modc_key_ok(&f->ctx, f->key, f->key_len - 1));
	assert_false(kp_modc_key_ok(&f->ctx, "", 0));
	for (size_t i = 0; i < KP_ARRAY_SIZE(forged); i++) {
		_cleanup_buf_ struct kp_buf key = KP_BUF_INIT;
		const char *at = memmem(f->key, f->key_len, forged[i].from,
					strlen(forged[i].from));

		assert_non_null(at);
		kp_buf_add(&key, f->key, (size_t)(at - f->key));
		kp_buf_adds(&key, forged[i].to);
		at += strlen(forged[i].from);
		kp_buf_add(&key, at, (size_t)(f->key + f->key_len - at));
		kp_buf_addc(&key, '\0');
		if (kp_modc_key_ok(&f->ctx, key.s, key.len - 1))
			fail_msg("'%s' may be asked for", forged[i].to);
	}
	/* Headers that are no kernel's. */
	{
		_cleanup_free_ char *mark =
			kp_path_join(f->dir, "include/linux/kconfig.h");

		assert_int_equal(kp_unlink_in(f->ctx.root_fd, mark), 0);
		assert_false(kp_modc_key_ok(&f->ctx, f->key, f->key_len));
	}
}

/* Of many kernels the oldest are forgotten. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	_cleanup_strv_ char **names = NULL;
	struct kp_buf file = { (char *)"x", 1, 0 };
	size_t n = 0;

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, f->answers, 0755, NULL), 0);
	for (int i = 0; i < 99; i++) {
		_cleanup_free_ char *line = kp_strf("-DX=%d %s", i, f->line);
		size_t len;
		_cleanup_free_ char *key = key_of(line, file_6_1, &len);

		assert_int_equal(kp_modc_save(&f->ctx, f->answers, key, len, &file), 0);
	}
	assert_int_equal(kp_list_in(f->ctx.root_fd, f->answers, &names), 0);
	kp_strv_foreach(name, names)
		n += kp_str_ends(*name, ".h");
	assert_in_range(n, 2, 40);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_same),   TEST(test_replaced), TEST(test_headers_change),
		TEST(test_forged), TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
