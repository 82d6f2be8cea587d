// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Confs that need bash get one, in the sandbox.
 *
 * The script that we give to it is one compound command, so that all of it is parsed
 * before any line of a conf runs. It sources the files and then writes all variables to
 * a descriptor of their own (not to stdout, where confs print), three NUL-terminated
 * strings each: name, index, value; the last record has an empty name and says which
 * files could be read. Without that record nothing of the result counts: that is what a
 * conf gets that calls exit or exec, closes our descriptor or is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"
#include "lib/sandbox.h"

#define TIMEOUT_S 10
#define OUTPUT_MAX (64 * 1024)
#define RESULT_MAX (8 * 1024 * 1024)
/* Lowest number of the result's descriptor: above those that scripts use. */
#define RESULT_FD 60
#define INDEX_MAX 9999
/* Elements of variables: several times as many as a kernel's .config has. Each is sorted in
 * where it belongs, which takes its time. */
#define ELEMENTS_MAX 32768

/*
 * $1: descriptor of the result; $2: number of variables to set before; then name, index
 * and value of each; then the files. ulimit: KiB of a file, and of memory.
 */
static const char script_start[] =
	"{\n"
	"ulimit -f 32768; ulimit -v 2097152\n"
	"__kp_fd=$1; __kp_k=$2; shift 2\n"
	"while ((__kp_k-- > 0)); do\n"
	"	if (($2)); then printf -v \"$1[$2]\" %s \"$3\"; else printf -v \"$1\" %s \"$3\"; fi\n"
	"	shift 3\n"
	"done\n"
	"__kp_files=(\"$@\"); __kp_st=\n"
	"set --\n";

/* Per file, not in a loop, which a stray break in a conf would end. */
static const char script_file[] = "if [[ -r ${__kp_files[%u]} ]]; then\n"
				  "	__kp_st+=0\n"
				  "	. \"${__kp_files[%u]}\"\n"
				  "else\n"
				  "	__kp_st+=1\n"
				  "fi\n";

/*
 * A conf may have defined functions that are called like builtins. In POSIX mode, which
 * an assignment turns on, a special builtin such as unset comes before a function.
 */
static const char script_clean[] = "POSIXLY_CORRECT=1\n"
				   "unset -f unset builtin\n"
				   "unset POSIXLY_CORRECT\n"
				   "builtin set +efux\n"
				   "builtin shopt -u expand_aliases\n"
				   "builtin trap - DEBUG ERR RETURN\n"
				   "IFS=$' \\t\\n'\n";

/*
 * Which variables. All of them: at once, since bash takes square time for a list of
 * names, and a conf that sources the kernel's .config has thousands; it is still most of
 * the time that such a conf takes. Few: those in __kp_names, the directives, and what
 * stands behind a '$' in their values.
 */
static const char script_all[] = "__kp_names=$(builtin compgen -v) || builtin exit 1\n";
static const char script_few[] =
	"__kp_text=\n"
	"for __kp_n in $__kp_names; do\n"
	"	builtin eval \"__kp_text+=\\\" \\${$__kp_n[*]}\\\"\"\n"
	"done\n"
	"IFS=\\$\n"
	"builtin set -f\n"
	"for __kp_n in $__kp_text; do\n"
	"	__kp_n=${__kp_n#\\{}\n"
	"	__kp_n=${__kp_n%%[!a-zA-Z0-9_]*}\n"
	"	if [[ $__kp_n == [a-zA-Z_]* ]]; then __kp_names+=\" $__kp_n\"; fi\n"
	"done\n"
	"IFS=$' \\t\\n'\n";

static const char script_end[] =
	"for __kp_n in $__kp_names; do\n"
	"	builtin eval \"for __kp_k in \\\"\\${!$__kp_n[@]}\\\"; do\n"
	"		builtin printf '%s\\\\0' \\\n"
	"			$__kp_n \\\"\\$__kp_k\\\" \\\"\\${$__kp_n[\\$__kp_k]}\\\"\n"
	"	done\"\n"
	"done >&$__kp_fd\n"
	"builtin printf '\\0end\\0%s\\0' \"$__kp_st\" >&$__kp_fd\n"
	"}\n";

static char *make_script(char *const *files, bool all)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, script_start);
	for (unsigned int i = 0; i < kp_strv_len(files); i++)
		kp_buf_addf(&b, script_file, i, i);
	kp_buf_adds(&b, script_clean);
	if (all) {
		kp_buf_adds(&b, script_all);
	} else {
		kp_buf_adds(&b, "__kp_names='");
		for (size_t i = 0; kp_conf_directives[i]; i++)
			kp_buf_addf(&b, "%s ", kp_conf_directives[i]);
		kp_buf_adds(&b, "'\n");
		kp_buf_adds(&b, script_few);
	}
	kp_buf_adds(&b, script_end);
	return kp_buf_steal(&b);
}

static char **make_argv(const char *bash, char *const *files, const struct kp_vars *vars,
			bool all, int result_fd)
{
	char **argv = NULL;
	size_t n = 0;

	for (size_t i = 0; i < vars->n_vars; i++)
		n += vars->vars[i].n_elems;
	kp_strv_add(&argv, bash);
	kp_strv_add(&argv, "--norc");
	kp_strv_add(&argv, "--noprofile");
	kp_strv_add(&argv, "-c");
	kp_strv_take(&argv, make_script(files, all));
	kp_strv_add(&argv, "kmodpkg");
	kp_strv_addf(&argv, "%d", result_fd);
	kp_strv_addf(&argv, "%zu", n);
	for (size_t i = 0; i < vars->n_vars; i++) {
		const struct kp_var *var = &vars->vars[i];

		for (size_t j = 0; j < var->n_elems; j++) {
			kp_strv_add(&argv, var->name);
			kp_strv_addf(&argv, "%u", var->elems[j].index);
			kp_strv_add(&argv, var->elems[j].value);
		}
	}
	kp_strv_foreach(p, files)
		kp_strv_add(&argv, *p);
	return argv;
}

/* What the sandbox hides by itself (/home, /tmp) and the confs need: the directory of a
 * conf, by its name and where links lead, and the kernel's headers. */
struct binds {
	char **dirs;
	struct kp_sandbox_bind *list;
	size_t n;
};

static void binds_clear(struct binds *b)
{
	kp_strv_free(b->dirs);
	free(b->list);
}

static void add_dir(struct kp_ctx *ctx, struct binds *b, const char *dir)
{
	_cleanup_free_ char *real = NULL;

	if (!kp_is_dir_in(ctx->root_fd, dir) ||
	    kp_realpath_in(ctx->root_fd, dir, &real) < 0 || !strcmp(real, "/"))
		return;
	/* First the place that a link leads to, then the link. */
	if (!kp_strv_has(b->dirs, real))
		kp_strv_take(&b->dirs, kp_steal(&real));
	if (!kp_strv_has(b->dirs, dir))
		kp_strv_add(&b->dirs, dir);
}

static void make_binds(struct kp_ctx *ctx, char *const *files, const struct kp_vars *vars,
		       struct binds *b)
{
	const char *headers = kp_vars_get(vars, "kernel_source_dir", 0);

	kp_strv_foreach(p, files) {
		const char *slash = strrchr(*p, '/');
		_cleanup_free_ char *dir =
			slash ? kp_strndup(*p, (size_t)(slash - *p)) : NULL;

		if (dir && *dir)
			add_dir(ctx, b, dir);
	}
	if (headers && *headers == '/')
		add_dir(ctx, b, headers);
	b->n = kp_strv_len(b->dirs);
	b->list = kp_calloc(b->n, sizeof(*b->list));
	for (size_t i = 0; i < b->n; i++)
		b->list[i] = (struct kp_sandbox_bind){ b->dirs[i], b->dirs[i], false };
}

static int run_bash(struct kp_ctx *ctx, char *const *files, const struct kp_vars *vars,
		    bool all, int result_fd, int output_fd, struct kp_err *err)
{
	/* Nothing of our own environment: a conf means the same whoever asks. */
	const char *release = kp_vars_get(vars, "kernelver", 0);
	_cleanup_free_ char *kernelver = kp_strf("kernelver=%s", release ?: "");
	const char *const env[] = { "PATH=" KP_LIBEXEC_DIR
				    ":/usr/local/sbin:/usr/local/bin:/usr/sbin:"
				    "/usr/bin:/sbin:/bin",
				    "LC_ALL=C", "HOME=/", release ? kernelver : NULL,
				    NULL };
	static const char *const shells[] = { "/bin/bash", "/usr/bin/bash" };
	_cleanup_(binds_clear) struct binds binds = { 0 };
	_cleanup_strv_ char **argv = NULL;
	struct kp_sandbox sandbox = { .release = release,
				      .timeout_s = TIMEOUT_S,
				      .max_output = OUTPUT_MAX };
	struct kp_proc proc = {
		.env = env,
		.out_fd = output_fd,
		.err_fd = output_fd,
		.keep_fds = &result_fd,
		.n_keep_fds = 1,
	};
	struct kp_err sandbox_err = KP_ERR_INIT;
	struct kp_proc_end end = { 0 };
	const char *bash = NULL;
	int r;

	for (size_t i = 0; !bash && i < KP_ARRAY_SIZE(shells); i++)
		if (kp_exists_in(ctx->root_fd, shells[i]))
			bash = shells[i];
	if (!bash)
		return kp_err_set(err, -ENOPKG,
				  "it needs bash, which is not there: install bash");
	argv = make_argv(bash, files, vars, all, result_fd);
	proc.argv = (const char *const *)argv;
	make_binds(ctx, files, vars, &binds);
	sandbox.binds = binds.list;
	sandbox.n_binds = binds.n;
	r = kp_sandbox_run(ctx, &sandbox, &proc, &end, &sandbox_err);
	/* Not the conf's fault, or not surely: memory ran out, somebody was impatient. */
	if (r == -ECHILD && end.signal)
		r = -ECANCELED;
	return r ? kp_err_set(err, r, "%s", kp_err_text(&sandbox_err, r)) : 0;
}

struct outcome {
	int rc;
	struct kp_err err;
};

/* For another root: in a child of ours that enters it, since nothing of a foreign system
 * is evaluated with this one's bash and files. */
static int run_in_root(struct kp_ctx *ctx, char *const *files, const struct kp_vars *vars,
		       bool all, int result_fd, int output_fd, struct kp_err *err)
{
	struct outcome *o, done;
	struct kp_proc_end end;
	pid_t pid;
	int r;

	if (!strcmp(ctx->root, "/"))
		return run_bash(ctx, files, vars, all, result_fd, output_fd, err);
	o = mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		 0);
	if (o == MAP_FAILED)
		return kp_err_sys(err, -errno, "mmap");
	o->rc = -ECHILD;
	pid = fork();
	if (pid == 0) {
		o->rc = kp_ctx_enter_root(ctx, &o->err);
		if (!o->rc)
			o->rc = run_bash(ctx, files, vars, all, result_fd, output_fd,
					 &o->err);
		_exit(0);
	}
	r = pid < 0 ? -errno : kp_proc_wait(pid, &end, err);
	done = *o;
	munmap(o, sizeof(*o));
	if (pid < 0)
		return kp_err_sys(err, r, "fork");
	if (!r && done.rc)
		return kp_err_set(err, done.rc, "%s", kp_err_text(&done.err, done.rc));
	return r;
}

/* The next string of the result; NULL at its end. */
static const char *next_string(const char **p, const char *end)
{
	const char *s = *p, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	if (!nul)
		return NULL;
	*p = nul + 1;
	return s;
}

static int add_element(struct kp_vars *vars, const char *name, const char *index,
		       const char *value, struct kp_err *err)
{
	size_t n = strlen(index);
	unsigned long number = strtoul(index, NULL, 10);

	if (kp_conf_name_special(name))
		return 0;
	if (n && strspn(index, "0123456789") == n && n < 9 && number <= INDEX_MAX) {
		kp_vars_set(vars, name, (unsigned int)number, value);
		return 0;
	}
	if (!kp_conf_is_directive(name))
		return 0;
	return kp_err_set(err, -EINVAL, "%s[%s]: expected an index from 0 to %d", name,
			  index, INDEX_MAX);
}

/* *ret_status: a digit for each file; NULL: the last record is missing. */
static int parse_result(const char *p, size_t len, struct kp_vars *vars,
			const char **ret_status, struct kp_err *err)
{
	const char *end = p + len, *name, *index, *value;
	size_t n = 0;
	int r = 0;

	*ret_status = NULL;
	while (!r) {
		name = next_string(&p, end);
		index = next_string(&p, end);
		value = next_string(&p, end);
		if (!name || !index || !value)
			break;
		if (!*name) {
			*ret_status = value;
			break;
		}
		if (++n > ELEMENTS_MAX)
			return kp_err_set(err, -EFBIG, "it sets more than %d variables",
					  ELEMENTS_MAX);
		r = add_element(vars, name, index, value, err);
	}
	return r;
}

/* "<file>: line 3: syntax error near unexpected token `fi'" among what bash said: those
 * of its messages that its parser makes. It goes on behind some of them, with a
 * statement less; what is lost may be any directive. */
static const char *find_syntax_error(char *const *lines, const char *file)
{
	static const char *const starts[] = { "syntax error", "unexpected ",
					      "conditional binary operator expected",
					      "expected `)'" };
	size_t n = strlen(file);

	kp_strv_foreach(p, lines) {
		const char *text;

		if (strncmp(*p, file, n) || !kp_str_starts(*p + n, ": line "))
			continue;
		text = *p + n + strlen(": line ");
		text += strspn(text, "0123456789");
		for (size_t i = 0; i < KP_ARRAY_SIZE(starts); i++)
			if (text[0] == ':' && text[1] == ' ' &&
			    kp_str_starts(text + 2, starts[i]))
				return *p;
	}
	return NULL;
}

static int check_syntax(char *const *files, char *const *lines, struct kp_err *err)
{
	kp_strv_foreach(p, files) {
		const char *line = find_syntax_error(lines, *p);

		if (line)
			return kp_err_set(err, -EINVAL, "%s", line);
	}
	return 0;
}

/* STATUS has "0" for each file that could be read, "1" for the others. */
static int check_status(char *const *files, const char *status, struct kp_err *err)
{
	for (size_t i = 0; files[i]; i++)
		if (!status[i] || status[i] != '0')
			return kp_err_set(
				err, -EACCES,
				"%s: not readable for the unprivileged user that "
				"evaluates it: make it readable for all",
				files[i]);
	return 0;
}

/* No last record: say how the shell ended, and what it said about it. */
static int describe_end(char *const *files, int rc, const struct kp_err *run_err,
			char *const *lines, struct kp_err *err)
{
	const char *said = lines ? lines[kp_strv_len(lines) - 1] : NULL;

	if (rc == -ETIME)
		return kp_err_set(err, rc,
				  "%s: bash did not evaluate it within %d seconds",
				  files[0], TIMEOUT_S);
	if (rc && rc != -ECHILD)
		return kp_err_set(err, rc, "%s: %s", files[0], kp_err_text(run_err, rc));
	return kp_err_set(err, -EINVAL, "%s: bash ended before the end of it%s%s%s%s",
			  files[0], rc ? ": " : " (exit or exec)",
			  rc ? kp_err_text(run_err, rc) : "", said ? ": " : "",
			  said ? said : "");
}

static int make_memory_file(const char *name, int min_fd, int *ret, struct kp_err *err)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);

	*ret = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, min_fd);
	return *ret < 0 ? kp_err_sys(err, -errno, "memfd_create") : 0;
}

static int read_back(int fd, size_t max, char **ret, size_t *ret_len)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return kp_read_fd(fd, max, ret, ret_len);
}

int kp_conf_shell(struct kp_ctx *ctx, char *const *files, struct kp_vars *vars, bool all,
		  struct kp_err *err)
{
	_cleanup_(kp_vars_freep) struct kp_vars *found = kp_vars_new();
	_cleanup_free_ char *result = NULL, *output = NULL;
	_cleanup_close_ int result_fd = -1, output_fd = -1;
	_cleanup_strv_ char **lines = NULL;
	struct kp_err run_err = KP_ERR_INIT;
	const char *status;
	struct kp_vars swap;
	size_t len;
	int r, rc;

	r = make_memory_file("conf-result", RESULT_FD, &result_fd, err);
	if (!r)
		r = make_memory_file("conf-output", 3, &output_fd, err);
	if (r < 0)
		return r;
	rc = run_in_root(ctx, files, vars, all, result_fd, output_fd, &run_err);
	r = read_back(output_fd, 2 * OUTPUT_MAX, &output, &len);
	if (r < 0)
		return kp_err_sys(err, r, "%s: what bash printed", files[0]);
	lines = kp_strv_split(output, "\n");
	kp_strv_foreach(p, lines)
		kp_debug("%s: %s", files[0], *p);
	r = read_back(result_fd, RESULT_MAX, &result, &len);
	if (r < 0)
		return kp_err_sys(err, r, "%s: its variables", files[0]);
	r = parse_result(result, len, found, &status, err);
	if (r < 0)
		return kp_err_prefix(err, "%s", files[0]);
	r = check_syntax(files, lines, err);
	if (r < 0)
		return r;
	if (!status || (rc && rc != -ECHILD))
		return describe_end(files, rc, &run_err, lines, err);
	r = check_status(files, status, err);
	if (r < 0)
		return r;
	swap = *vars;
	*vars = *found;
	*found = swap;
	return 0;
}
