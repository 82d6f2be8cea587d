// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf-diff FILE...
 * conf-diff --random COUNT SEED
 *
 * Evaluates each conf both ways, for two kernels and for none, and compares all
 * variables. A file that the plain evaluator refuses has to be evaluated by bash, which has to
 * give the same directives when it is asked for no more.
 * --random makes confs of pieces of shell grammar; most of them are refused, COUNT
 * others compared. Prints "ok FILE: plain", "ok FILE: shell, WHY" or "not ok ..." for
 * each, and a count; "shell each time" where what bash made of it cannot be remembered. Exit
 * status 1: some difference, or a file that bash does not take.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"

struct tally {
	unsigned int plain, shell, failed;
};

static struct kp_vars *make_vars(const char *kernel)
{
	struct kp_vars *vars = kp_vars_new();

	kp_vars_set(vars, "module", 0, "test");
	kp_vars_set(vars, "module_version", 0, "1.0");
	kp_vars_set(vars, "arch", 0, "x86_64");
	kp_vars_set(vars, "dkms_tree", 0, "/var/lib/dkms");
	kp_vars_set(vars, "source_tree", 0, "/usr/src");
	kp_vars_set(vars, "install_tree", 0, "/lib/modules");
	kp_vars_set(vars, "parallel_jobs", 0, "2");
	kp_vars_set(vars, "tmp_location", 0, "/tmp");
	if (kernel) {
		_cleanup_free_ char *dir = kp_strf("/lib/modules/%s/build", kernel);
		_cleanup_free_ char *config = kp_path_join(dir, ".config");

		kp_vars_set(vars, "kernelver", 0, kernel);
		kp_vars_set(vars, "kernel_source_dir", 0, dir);
		kp_vars_set(vars, "kernel_config", 0, config);
	}
	return vars;
}

static void print_quoted(const char *value)
{
	putchar('\'');
	for (; *value; value++) {
		if (*value >= ' ' && *value < 0x7f)
			putchar(*value);
		else
			printf("\\x%02x", (unsigned char)*value);
	}
	putchar('\'');
}

/* Print what A has and B has not. */
static unsigned int compare(const char *what, const struct kp_vars *a,
			    const struct kp_vars *b)
{
	unsigned int n = 0;

	for (size_t i = 0; i < a->n_vars; i++) {
		const struct kp_var *var = &a->vars[i];

		for (size_t j = 0; j < var->n_elems; j++) {
			const struct kp_var_elem *e = &var->elems[j];
			const char *other = kp_vars_get(b, var->name, e->index);

			if (other && !strcmp(other, e->value))
				continue;
			printf("  %s: %s[%u]=", what, var->name, e->index);
			print_quoted(e->value);
			putchar('\n');
			n++;
		}
	}
	return n;
}

/* What bash gives that is asked for directives only: the same, once expanded. */
static unsigned int compare_few(struct kp_ctx *ctx, char *const *files,
				const char *kernel, const struct kp_vars *all)
{
	_cleanup_(kp_vars_freep) struct kp_vars *few = make_vars(kernel);
	_cleanup_(kp_vars_freep) struct kp_vars *whole = kp_vars_dup(all);
	_cleanup_(kp_vars_freep) struct kp_vars *directives = kp_vars_new();
	struct kp_err err = KP_ERR_INIT;
	bool cr, few_cr;
	unsigned int n;
	int r = kp_conf_shell(ctx, files, few, false, &err);

	if (r < 0) {
		printf("  few: %s\n", kp_err_text(&err, r));
		return 1;
	}
	n = compare("only few", few, whole);
	r = kp_conf_expand(whole, &cr, &err);
	if (kp_conf_expand(few, &few_cr, &err) != r || cr != few_cr) {
		printf("  few: expanded otherwise\n");
		n++;
	}
	for (size_t i = 0; kp_conf_directives[i]; i++) {
		const struct kp_var *var = kp_vars_find(whole, kp_conf_directives[i]);

		for (size_t j = 0; var && j < var->n_elems; j++)
			kp_vars_set(directives, var->name, var->elems[j].index,
				    var->elems[j].value);
	}
	return n + compare("only all", directives, few);
}

/* 1: compared and equal; 0: refused and evaluated by bash; -1: failed, said so. */
static int check(struct kp_ctx *ctx, const char *file, const char *kernel,
		 bool need_shell, char **ret_why)
{
	_cleanup_(kp_vars_freep) struct kp_vars *plain = make_vars(kernel);
	_cleanup_(kp_vars_freep) struct kp_vars *shell = make_vars(kernel);
	char *const files[] = { (char *)file, NULL };
	struct kp_err err = KP_ERR_INIT, shell_err = KP_ERR_INIT;
	_cleanup_free_ char *text = NULL;
	unsigned int n;
	size_t len;
	int r, rs;

	r = kp_read_in(ctx->root_fd, file, 0, &text, &len);
	if (r < 0) {
		printf("not ok %s: %s\n", file, strerror(-r));
		return -1;
	}
	r = kp_conf_plain(text, len, plain, &err);
	if (r < 0) {
		free(*ret_why);
		*ret_why = kp_strdup(err.text);
		if (!need_shell)
			return 0;
	}
	rs = kp_conf_shell(ctx, files, shell, true, &shell_err);
	if (rs < 0) {
		printf("not ok %s: bash: %s\n", file, kp_err_text(&shell_err, rs));
		return -1;
	}
	n = compare_few(ctx, files, kernel, shell);
	if (r == 0) {
		n += compare("only plain", plain, shell);
		n += compare("only bash ", shell, plain);
	}
	if (n)
		printf("not ok %s: %u differences for kernel %s\n", file, n,
		       kernel ? kernel : "none");
	return n ? -1 : r == 0;
}

/* Is bash asked once only for this kernel, as long as nothing changes? */
static bool is_remembered(struct kp_ctx *ctx, const char *file, const char *kernel)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars(kernel);
	char *const files[] = { (char *)file, NULL };
	_cleanup_strv_ char **reads = NULL;

	return kp_conf_reads(ctx, files, vars, &reads) == 0;
}

static void check_file(struct kp_ctx *ctx, const char *name, struct tally *t)
{
	static const char *const kernels[] = { "6.1.0-56-amd64",
					       "6.12.117+deb12-cloud-arm64", NULL };
	_cleanup_free_ char *why = NULL, *file = realpath(name, NULL);
	int r = 0;

	if (!file) {
		printf("not ok %s: %s\n", name, strerror(errno));
		t->failed++;
		return;
	}
	for (size_t i = 0; r >= 0 && i < KP_ARRAY_SIZE(kernels); i++)
		r = check(ctx, file, kernels[i], true, &why);
	if (r < 0) {
		t->failed++;
		return;
	}
	if (why)
		t->shell++;
	else
		t->plain++;
	if (!why)
		printf("ok %s: plain\n", name);
	else
		printf("ok %s: shell%s, %s\n", name,
		       is_remembered(ctx, file, kernels[0]) ? "" : " each time", why);
}

/* ---- random confs */

static uint64_t rng;

static unsigned int roll(unsigned int n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned int)((rng >> 11) % n);
}

static void add_piece(struct kp_buf *b)
{
	static const char *const pieces[] = {
		"a",	       "b1",	   "_x",	 "0",	    "3.4",     "~",
		"$",	       "$a",	   "${a}",	 "${a[1]}", "${b:-d}", "${b-d}",
		"${b+s}",      "${b:+s}",  "${a[0]-q}",	 "$b",	    "${a:-d}", "${a-d}",
		"${a+s}",      "${a:+s}",  "${b[1]:+s}", "\"",	    "\"",      "'",
		"'",	       "\\",	   "\\\n",	 " ",	    "\t",      "\n",
		"#",	       "=",	   "+",		 "[",	    "]",       "*",
		"?",	       "!",	   ":",		 ".",	    "/",       "-",
		"{",	       "}",	   "(",		 ")",	    ",",       "%",
		"^",	       "@",	   "\r",	 "\r\n",    ";",       "\\$",
		"\\\"",	       "\\\\",	   "\\'",	 "\\a",	    "\"$a\"",  "'$a'",
		"\"${a[2]}\"", "\xc3\xa9", "$kernelver", "\"a b\"", "'c  d'",  "$\"",
		"$'",	       "~/x",	   ":~",	 "`",	    "&",       "|",
		"<",	       "[1]=",	   "[0]+=",
	};

	kp_buf_adds(b, pieces[roll(KP_ARRAY_SIZE(pieces))]);
}

/* Something for the expansions to find: empty, set, an array, with blanks. */
static void add_preamble(struct kp_buf *b)
{
	static const char *const lines[] = { "a=\n",	 "a=v\n",      "a=(x y z)\n",
					     "a[1]=w\n", "a='x  y'\n", "b=$a\n",
					     "b=\n",	 "b=(q)\n" };

	for (unsigned int n = roll(3); n; n--)
		kp_buf_adds(b, lines[roll(KP_ARRAY_SIZE(lines))]);
}

static void add_statement(struct kp_buf *b)
{
	static const char *const names[] = { "a",    "b",	"MAKE", "a[1]",
					     "b[3]", "MAKE[0]", "c_1" };
	static const char *const ends[] = { "\n",  "\n",     "\n",    " ",    ";",
					    " ; ", " # x\n", " \\\n", "\r\n", "\n\r\n" };
	bool array = !roll(4);

	kp_buf_adds(b, names[roll(KP_ARRAY_SIZE(names))]);
	kp_buf_adds(b, roll(4) ? "=" : "+=");
	kp_buf_adds(b, array ? "(" : "");
	for (unsigned int n = roll(5); n; n--) {
		const char *quote = roll(2) ? "" : roll(3) ? "\"" : "'";

		kp_buf_adds(b, quote);
		add_piece(b);
		if (roll(2))
			add_piece(b);
		kp_buf_adds(b, quote);
		if (array && roll(2))
			kp_buf_adds(b, roll(4) ? " " : "\n");
	}
	kp_buf_adds(b, array ? ")" : "");
	kp_buf_adds(b, ends[roll(KP_ARRAY_SIZE(ends))]);
}

static int check_random(struct kp_ctx *ctx, unsigned int count, struct tally *t)
{
	char dir[] = "/tmp/conf-diff.XXXXXX";
	_cleanup_free_ char *file = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (!mkdtemp(dir) || chmod(dir, 0755))
		return -errno;
	file = kp_path_join(dir, "dkms.conf");
	while (t->plain + t->failed < count) {
		_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
		_cleanup_free_ char *why = NULL;
		int r;

		add_preamble(&b);
		for (unsigned int n = 1 + roll(5); n; n--)
			add_statement(&b);
		r = kp_write_in(ctx->root_fd, file, b.s, b.len, 0644, &err);
		if (r < 0)
			return r;
		r = check(ctx, file, "6.1.0-56-amd64", false, &why);
		t->plain += r > 0;
		t->shell += r == 0;
		t->failed += r < 0;
		if (r < 0) {
			printf("  conf: ");
			print_quoted(b.s);
			putchar('\n');
		}
	}
	kp_unlink_in(ctx->root_fd, file);
	rmdir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;
	struct kp_err err = KP_ERR_INIT;
	struct tally t = { 0 };
	int r;

	r = kp_ctx_open(NULL, &ctx, &err);
	if (r < 0) {
		fprintf(stderr, "conf-diff: %s\n", kp_err_text(&err, r));
		return 2;
	}
	if (argc == 4 && !strcmp(argv[1], "--random")) {
		rng = strtoull(argv[3], NULL, 10) * 2654435761u + 88172645463325252u;
		r = check_random(ctx, (unsigned int)atoi(argv[2]), &t);
		if (r < 0) {
			fprintf(stderr, "conf-diff: %s\n", strerror(-r));
			return 2;
		}
	} else {
		for (int i = 1; i < argc; i++)
			check_file(ctx, argv[i], &t);
	}
	printf("%u plain, %u shell, %u failed\n", t.plain, t.shell, t.failed);
	return t.failed != 0;
}
