// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "question.h"

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static bool starts_with_one(const char *s, const char *const *with)
{
	for (; *with; with++)
		if (starts(s, *with))
			return true;
	return false;
}

/* Are all characters of S letters, digits or of ALSO, and is there one? */
static bool made_of(const char *s, const char *also)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(also, *s))
			return false;
	return true;
}

bool kp_question_is_compiler(const char *name)
{
	const char *gcc = strstr(name, "gcc");

	if (!gcc || !made_of(name, "-._"))
		return false;
	if (gcc != name && gcc[-1] != '-')
		return false;
	/* Not gcc-ar. */
	return !gcc[3] ||
	       (gcc[3] == '-' && gcc[4] && !gcc[4 + strspn(gcc + 4, "0123456789.")]);
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

/* -fNAME, -fNAME=WORD, but not those that read or write files of their own, run something, or
 * put into the output what differs from run to run; a word without '.' and '/' can hardly
 * be a file. */
static bool is_f_option(const char *w)
{
	static const char *const others[] = { "auto-profile",
					      "branch-probabilities",
					      "callgraph-info",
					      "compare",
					      "diagnostics",
					      "dump",
					      "lto",
					      "module",
					      "opt-info",
					      "plugin",
					      "profile",
					      "save",
					      "self-test",
					      "stack-usage",
					      "test",
					      "use-ld",
					      "use-linker",
					      "verbose-asm",
					      NULL };
	static const char *const maps[] = { "macro-prefix-map=", "file-prefix-map=",
					    NULL };

	if (starts_with_one(w, maps))
		return true; /* only text for what is not there: __FILE__ */
	if (starts(w, "no-"))
		return made_of(w, "-+_");
	return !starts_with_one(w, others) && !strstr(w, "list=") && made_of(w, "-+_=,");
}

/* -mNAME, -mNAME=WORD; "native" is whatever processor this is. */
static bool is_m_option(const char *w)
{
	return made_of(w, "-+_=,.") && !strstr(w, "native") && !starts(w, "dump");
}

/* What goes to the assembler. */
static bool is_a_option(const char *w)
{
	return !strcmp(w, "--fatal-warnings") || !strcmp(w, "--noexecstack") ||
	       (starts(w, "-m") && is_m_option(w + 2));
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"

/* Dx, Dx=WORD, Dx="WORD", Ux. Not more than one token, as all of kbuild's are: macros that each
 * name the next one twice would take a compiler for ever. */
static bool is_macro(const char *w)
{
	size_t n = strspn(w + 1, LETTERS);
	const char *value = w + 1 + n;

	if (!n || isdigit((unsigned char)w[1]))
		return false;
	if (!*value)
		return true;
	if (w[0] != 'D' || *value++ != '=')
		return false;
	if (*value != '"')
		return !value[strspn(value, LETTERS)];
	value++;
	return !strcmp(value + strspn(value, LETTERS "-."), "\"");
}

bool kp_question_is_option(const char *w)
{
	static const char *const others[] = { "-w",  "-pipe", "-nostdinc", "-pedantic",
					      "-pg", "-P",    NULL };

	if (is_one_of(w, others))
		return true;
	if (w[0] != '-')
		return false;
	switch (w[1]) {
	case 'W': /* but not -Wp,x and -Wl,x */
		return starts(w, "-Wa,") ? is_a_option(w + 4) : made_of(w + 2, "-+_=");
	case 'f':
		return is_f_option(w + 2);
	case 'm':
		return is_m_option(w + 2);
	case 'O':
		return !w[2] || (made_of(w + 2, "") && !w[3]);
	case 'D':
	case 'U':
		return is_macro(w + 1);
	case 's':
		return starts(w, "-std=") && made_of(w + 5, "+:");
	case '-':
		return starts(w, "--param=") && made_of(w + 8, "-_=");
	}
	return false;
}

/* The file that kbuild throws away: DIRECTORY/.tmp_PID/tmp, before 5.x DIRECTORY/.PID.tmp, or
 * /dev/null. */
static bool is_scratch(const char *path)
{
	const char *base = strrchr(path, '/'), *dir;
	size_t digits;

	if (!strcmp(path, "/dev/null"))
		return true;
	base = base ? base + 1 : path;
	if (base[0] == '.') {
		digits = strspn(base + 1, "0123456789");
		return digits && !strcmp(base + 1 + digits, ".tmp");
	}
	if (strcmp(base, "tmp") != 0 || base == path)
		return false;
	for (dir = base - 1; dir > path && dir[-1] != '/'; dir--)
		;
	if (!starts(dir, ".tmp_"))
		return false;
	digits = strspn(dir + 5, "0123456789");
	return digits && dir + 5 + digits == base - 1;
}

bool kp_question_parse(char *const *argv, struct kp_question *ret)
{
	static const char *const languages[] = { "c", "assembler-with-cpp", "assembler",
						 NULL };
	struct kp_question q = { .argv = argv };
	bool compiles = false, has_input = false, has_language = false;
	size_t i;

	for (i = 1; argv[i] && i < KP_QUESTION_ARGS_MAX; i++) {
		const char *w = argv[i], *next = argv[i + 1];
		bool ok;

		if (!strcmp(w, "-c") || !strcmp(w, "-S")) {
			ok = !compiles;
			compiles = true;
		} else if (!strcmp(w, "-x")) {
			ok = !has_language && next && is_one_of(next, languages);
			has_language = true;
			i++;
		} else if (!strcmp(w, "-o")) {
			ok = !q.out && next && is_scratch(next);
			q.out = ++i;
		} else if (!strcmp(w, "-") || !strcmp(w, "/dev/null")) {
			/* The language counts for what follows. */
			ok = !has_input && has_language;
			has_input = true;
			q.asks_input = w[0] == '-';
		} else {
			ok = kp_question_is_option(w);
		}
		if (!ok)
			return false;
	}
	if (argv[i] || !compiles || !has_input || !q.out)
		return false;
	*ret = q;
	return true;
}

static bool env_word_ok(const char *w)
{
	/* gcc's manual, "Environment Variables Affecting GCC"; ld.so(8); malloc(3). */
	static const char *const bad[] = { "GCC_",
					   "COLLECT_",
					   "COMPILER_PATH=",
					   "LIBRARY_PATH=",
					   "CPATH=",
					   "C_INCLUDE_PATH=",
					   "DEPENDENCIES_OUTPUT=",
					   "SUNPRO_",
					   "TMPDIR=",
					   "TMP=",
					   "TEMP=",
					   "LD_",
					   "GLIBC_TUNABLES=",
					   "MALLOC_",
					   "GCOV_",
					   "QA_OVERRIDE",
					   "POSIXLY_CORRECT",
					   NULL };

	return !starts_with_one(w, bad);
}

bool kp_question_env_ok(char *const *env, const char *path)
{
	bool has_path = false;

	for (; *env; env++) {
		if (!env_word_ok(*env))
			return false;
		if (starts(*env, "PATH=")) {
			if (strcmp(*env + 5, path) != 0)
				return false;
			has_path = true;
		}
	}
	return has_path;
}

/* An instruction or two, or a bit of C; nothing that could name a file ("#include", ".incbin",
 * __has_include) or the time. */
static bool input_ok(const char *input, size_t len)
{
	static const char also[] = " \t\n.,:;_%$@()[]{}*+-=<>&|!";

	if (len > KP_QUESTION_INPUT_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)input[i]) &&
		    !memchr(also, input[i], sizeof(also) - 1))
			return false;
		if (len - i >= 3 && !strncasecmp(input + i, "inc", 3))
			return false;
		if (len - i >= 2 && !memcmp(input + i, "__", 2))
			return false;
	}
	return true;
}

size_t kp_question_key(const struct kp_question *q, const char *input, size_t input_len,
		       char *key)
{
	size_t len = 0;

	if (!input_ok(input, input_len))
		return 0;
	for (size_t i = 0; q->argv[i]; i++) {
		const char *w = i == q->out ? "-" : q->argv[i];
		size_t n = strlen(w) + 1;

		if (n == 1 || len + n + 1 + input_len > KP_QUESTION_KEY_MAX)
			return 0;
		memcpy(key + len, w, n);
		len += n;
	}
	key[len++] = '\0';
	if (input_len)
		memcpy(key + len, input, input_len);
	return len + input_len;
}

size_t kp_question_identity(const char *path, char line[KP_QUESTION_LINE_MAX])
{
	struct stat st;
	int n;

	/* Not the device: its number may differ from boot to boot. */
	if (stat(path, &st))
		memset(&st, 0, sizeof(st));
	n = snprintf(line, KP_QUESTION_LINE_MAX, "%llu %lld %lld.%09ld %lld.%09ld %s\n",
		     (unsigned long long)st.st_ino, (long long)st.st_size,
		     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		     (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, path);
	return n > 0 && n < KP_QUESTION_LINE_MAX ? (size_t)n : 0;
}

size_t kp_answers_begin(const char *text, size_t len, const char *compiler)
{
	const char *p = text, *end = text + len, *line_end;
	char now[KP_QUESTION_LINE_MAX], path[KP_QUESTION_LINE_MAX];

	for (; p < end && *p != '\n'; p = line_end + 1) {
		const char *name = memchr(p, '/', (size_t)(end - p));
		size_t n;

		line_end = memchr(p, '\n', (size_t)(end - p));
		if (!line_end || !name || name > line_end ||
		    (size_t)(line_end - name) >= sizeof(path))
			return 0;
		n = (size_t)(line_end - name);
		memcpy(path, name, n);
		path[n] = '\0';
		if (p == text && strcmp(path, compiler) != 0)
			return 0;
		n = kp_question_identity(path, now);
		if (n != (size_t)(line_end + 1 - p) || memcmp(p, now, n) != 0)
			return 0;
	}
	return p < end && p > text ? (size_t)(p + 1 - text) : 0;
}

/* A number at *P, and the character AFTER it. */
static bool take_number(const char **p, const char *end, char after, size_t *ret)
{
	const char *from = *p;

	for (*ret = 0; *p < end && isdigit((unsigned char)**p); (*p)++)
		*ret = *ret * 10 + (size_t)(**p - '0');
	return *p > from && *p - from < 9 && *p < end && *(*p)++ == after;
}

/* The answer at *P, behind which *P is set. */
static bool take_answer(const char **p, const char *end, const char **ret_key,
			size_t *ret_key_len, struct kp_answer *ret)
{
	const char *at = *p;
	size_t code, key_len, output_len;

	if (!take_number(&at, end, ' ', &code) || code > 255 ||
	    !take_number(&at, end, ' ', &key_len) ||
	    !take_number(&at, end, '\n', &output_len) ||
	    key_len + output_len > (size_t)(end - at))
		return false;
	*ret_key = at;
	*ret_key_len = key_len;
	*ret = (struct kp_answer){ (unsigned int)code, at + key_len, output_len };
	*p = at + key_len + output_len;
	return true;
}

bool kp_answers_find(const char *text, size_t len, const char *key, size_t key_len,
		     struct kp_answer *ret)
{
	const char *end = text + len, *its_key;
	size_t its_len;

	while (take_answer(&text, end, &its_key, &its_len, ret))
		if (its_len == key_len && !memcmp(its_key, key, key_len))
			return true;
	return false;
}

size_t kp_answers_whole(const char *text, size_t len)
{
	const char *p = text, *key;
	struct kp_answer a;
	size_t key_len;

	while (take_answer(&p, text + len, &key, &key_len, &a))
		;
	return (size_t)(p - text);
}
