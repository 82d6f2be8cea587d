// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/recipe-scan.h"

#define BLANK " \t"
#define DEPTH_MAX 8 /* of commands within commands */

struct scan {
	char *why; /* the first thing that is not closed */
	bool running;
	unsigned int levels; /* the make file's directory below the top of the build */
	int depth;
};

static void check_functions(struct scan *s, const char *line);
static void check_commands(struct scan *s, const char *line);

static void refuse(struct scan *s, const char *what, const char *text)
{
	if (!s->why)
		s->why = kp_strf("%s '%.60s'", what, text);
}

/* ---- words */

/* The end of what opens at P, "(...)" or "{...}", nested; the end of the text without one. */
static const char *skip_group(const char *p)
{
	char open = *p, close = open == '(' ? ')' : '}';
	int depth = 0;

	for (; *p; p++) {
		depth += (*p == open) - (*p == close);
		if (!depth)
			return p + 1;
	}
	return p;
}

/* The end of the word at P, as a shell and make together see it. */
static const char *skip_word(const char *p, const char *ends)
{
	char quote = '\0';

	while (*p && (quote || !strchr(ends, *p))) {
		if (*p == '$' && (p[1] == '(' || p[1] == '{')) {
			p = skip_group(p + 1);
			continue;
		}
		if (*p == '`' && quote != '\'' && strchr(p + 1, '`'))
			p = strchr(p + 1, '`');
		if (*p == '\\' && quote != '\'' && p[1])
			p++;
		else if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? '\0' : *p;
		p++;
	}
	return p;
}

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

#define ONE_OF(word, list) is_one_of(word, list, KP_ARRAY_SIZE(list))

static unsigned int count_climbs(const char *path)
{
	unsigned int n = 0;

	for (; (path = strstr(path, "..")); path += 2)
		n++;
	return n;
}

/* Is WORD, without quotes, surely no path out of the build directory? */
static bool stays_inside(const struct scan *s, const char *word)
{
	static const char *const inside[] = { "src", "obj", "M", "PWD", "CURDIR",
					      "@D",  "<D",  "*", "@F",	"<F" };
	const char *name;
	size_t n;

	if (*word == '/' || *word == '~')
		return !strcmp(word, "/dev/null");
	if (count_climbs(word))
		return kp_str_starts(word, "$(src)/") && count_climbs(word) <= s->levels;
	if (*word != '$')
		return true;
	if (word[1] && strchr("@<^*+?", word[1]))
		return true;
	if (word[1] != '(' && word[1] != '{')
		return false;
	name = word + 2;
	n = strcspn(name, ")}");
	for (size_t i = 0; i < KP_ARRAY_SIZE(inside); i++)
		if (strlen(inside[i]) == n && !strncmp(name, inside[i], n))
			return true;
	return false;
}

static char *unquote(const char *word, size_t n)
{
	char *copy = kp_strndup(word, n), *out = copy;

	for (const char *in = copy; *in; in++)
		if (*in != '"' && *in != '\'')
			*out++ = *in;
	*out = '\0';
	return copy;
}

/* ---- commands */

/* What reads no file that a build would use, whatever its arguments. */
static const char *const harmless[] = {
	"$(MAKE)",   "${MAKE}",	  "make",     "echo",	"printf", "uname", "pwd",
	"/bin/pwd",  "true",	  "false",    ":",	"exit",	  "set",   "rm",
	"$(RM)",     "rmdir",	  "mkdir",    "mv",	"chmod",  "touch", "strip",
	"$(STRIP)",  "depmod",	  "modprobe", "insmod", "rmmod",  "sync",  "help2man",
	"basename",  "dirname",	  "expr",     "fi",	"done",	  "esac",  "}",
	"/bin/true", "/bin/echo", "/bin/rm",
};

/* What reads the files that its arguments name, and no others. */
static const char *const readers[] = {
	"cat",	"sed", "awk", "grep", "egrep", "head", "tail", "cut", "tr",
	"sort", "cp",  "ln",  "wc",   "test",  "[",    "cd",   "for", "install",
};

/* Words in front of a command. */
static const char *const prefixes[] = { "if",	 "then",  "else", "elif", "do",
					"while", "until", "!",	  "{",	  "$(Q)",
					"${Q}",	 "$(V)",  "@",	  "-",	  "+" };

static bool is_assignment(const char *word)
{
	size_t n = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_");

	return n && word[n] == '=';
}

/* One simple command, in words. */
static void check_words(struct scan *s, char *const *words)
{
	const char *command;
	bool reads;

	while (words && *words && (ONE_OF(*words, prefixes) || is_assignment(*words)))
		words++;
	if (!words || !*words)
		return;
	command = *words++;
	reads = ONE_OF(command, readers);
	if (!reads && !ONE_OF(command, harmless)) {
		refuse(s, "runs", command);
		return;
	}
	if (!strcmp(command, "uname"))
		kp_strv_foreach(p, words) {
			s->running |= strchr(*p, 'r') != NULL;
			if (strpbrk(*p, "va"))
				refuse(s, "asks uname for", *p);
		}
	kp_strv_foreach(p, reads ? words : NULL)
		if (!stays_inside(s, *p))
			refuse(s, "reads", *p);
}

/* Commands of the shell within a word: `...` and $$(...); what they print is not looked at. */
static void check_inner(struct scan *s, const char *word, size_t n)
{
	_cleanup_free_ char *copy = kp_strndup(word, n);
	char *p = copy;

	while ((p = strchr(p, '`'))) {
		char *end = strchr(p + 1, '`');

		if (!end) {
			refuse(s, "has an open", p);
			return;
		}
		*end = '\0';
		check_commands(s, p + 1);
		p = end + 1;
	}
	free(copy);
	copy = kp_strndup(word, n);
	for (p = copy; (p = strstr(p, "$$(")); p += 3) {
		_cleanup_free_ char *inner = NULL;
		const char *end = skip_group(p + 2);

		inner = kp_strndup(p + 3, (size_t)(end - p - 3));
		if (*inner)
			inner[strlen(inner) - 1] = '\0';
		check_commands(s, inner);
	}
}

/* A line of the shell: commands between ; & | and brackets. */
static void check_commands(struct scan *s, const char *line)
{
	_cleanup_strv_ char **words = NULL;
	const char *p = line;

	if (++s->depth > DEPTH_MAX)
		refuse(s, "is nested too deeply", line);
	while (*p && !s->why) {
		const char *start = p, *end;
		_cleanup_free_ char *word = NULL;

		if (strchr(BLANK "\n", *p)) {
			p++;
			continue;
		}
		if (strchr(";&|()", *p)) {
			check_words(s, words);
			kp_strv_free(kp_steal(&words));
			p++;
			continue;
		}
		if (*p == '<' || *p == '>') {
			bool in = *p == '<';

			p += strspn(p, "<>&");
			p += strspn(p, BLANK);
			end = skip_word(p, BLANK "\n;&|()<>");
			word = unquote(p, (size_t)(end - p));
			if (in && !stays_inside(s, word))
				refuse(s, "reads", word);
			p = end;
			continue;
		}
		/* make's own marks in front of a command */
		if (!words && strchr("@-+", *p)) {
			p++;
			continue;
		}
		end = skip_word(p, BLANK "\n;&|()<>");
		check_inner(s, start, (size_t)(end - start));
		word = unquote(start, (size_t)(end - start));
		/* 2>file */
		if (!(*end == '>' && word[strspn(word, "0123456789")] == '\0'))
			kp_strv_take(&words, kp_steal(&word));
		p = end;
	}
	check_words(s, words);
	s->depth--;
}

/* ---- make */

static void check_wildcard(struct scan *s, const char *patterns)
{
	_cleanup_strv_ char **words = kp_strv_split(patterns, BLANK);

	kp_strv_foreach(p, words)
		if (!stays_inside(s, *p))
			refuse(s, "looks for", *p);
}

static void check_function(struct scan *s, const char *name, const char *args)
{
	if (!strcmp(name, "shell"))
		check_commands(s, args);
	else if (!strcmp(name, "wildcard"))
		check_wildcard(s, args);
	else if (!strcmp(name, "file") || !strcmp(name, "guile"))
		refuse(s, "uses the function", name);
}

/* Calls of make's functions, at any depth: each "$(" is looked at. */
static void check_functions(struct scan *s, const char *line)
{
	for (const char *p = line; !s->why && (p = strchr(p, '$')); p++) {
		_cleanup_free_ char *name = NULL, *args = NULL;
		const char *end;
		size_t n;

		if (p[1] != '(' && p[1] != '{')
			continue;
		n = strspn(p + 2, "abcdefghijklmnopqrstuvwxyz");
		if (!n || !strchr(BLANK, p[2 + n]))
			continue;
		name = kp_strndup(p + 2, n);
		end = skip_group(p + 1);
		args = kp_strndup(p + 2 + n, (size_t)(end - p - 2) - n);
		if (*args)
			args[strlen(args) - 1] = '\0';
		check_function(s, name, args + strspn(args, BLANK));
	}
}

/* Is there such a word in the target's name? Its commands would fail in the sandbox, or make no
 * module: they are no part of a build. */
static bool is_aside(const char *target)
{
	static const char *const parts[] = {
		"install", "uninstall", "load",	  "unload", "reload", "insmod",
		"rmmod",   "modprobe",	"depmod", "dkms",   "dist",
	};
	_cleanup_strv_ char **words = kp_strv_split(target, "-_");

	if (kp_str_eq(target, ".PHONY"))
		return true;
	kp_strv_foreach(p, strpbrk(target, "./%$") ? NULL : words)
		if (ONE_OF(*p, parts))
			return true;
	return false;
}

static bool all_aside(char *const *targets)
{
	kp_strv_foreach(p, targets)
		if (!is_aside(*p))
			return false;
	return targets != NULL;
}

/* The ':' that ends the targets of a rule, or NULL: an assignment, or nothing of the kind. */
static const char *find_colon(const char *line)
{
	const char *p = skip_word(line, ":=");

	if (*p != ':')
		return NULL;
	while (p[1] == ':')
		p++;
	return p[1] == '=' ? NULL : p;
}

static void check_include(struct scan *s, const char *args)
{
	_cleanup_strv_ char **files = kp_strv_split(args, BLANK);

	kp_strv_foreach(p, files) {
		const char *slash = strrchr(*p, '/');

		if (!stays_inside(s, *p) || !kp_scan_is_makefile(slash ? slash + 1 : *p))
			refuse(s, "includes", *p);
	}
}

/* What changes what commands mean, or names a file that a program of the kernel's reads. */
static void check_assignment(struct scan *s, const char *line)
{
	static const char *const names[] = { "SHELL", ".SHELLFLAGS", "PATH",
					     "KBUILD_EXTRA_SYMBOLS", "MAKEFILES" };
	size_t n = strcspn(line, BLANK ":=+?!");
	_cleanup_free_ char *name = kp_strndup(line, n);
	const char *p = line + n + strspn(line + n, BLANK);

	if (*p == '!') {
		check_commands(s, p + 1 + (p[1] == '='));
		return;
	}
	p += strspn(p, ":+?");
	if (*p != '=' || !ONE_OF(name, names))
		return;
	p += 1 + strspn(p + 1, BLANK);
	if (!kp_str_eq(name, "KBUILD_EXTRA_SYMBOLS") || !stays_inside(s, p))
		refuse(s, "sets", line);
}

/* A line that is no command. Returns the targets of a rule. */
static char **check_line(struct scan *s, char *line, bool *ret_rule)
{
	static const char *const conditions[] = { "ifeq",   "ifneq", "ifdef",
						  "ifndef", "else",  "endif" };
	_cleanup_free_ char *first = NULL, *names = NULL;
	const char *colon, *semicolon;
	char **targets;

	line = kp_str_strip(line);
	if (!*line)
		return NULL;
	check_functions(s, line);
	if (strchr(line, '`'))
		check_inner(s, line, strlen(line));
	first = kp_strndup(line, strcspn(line, BLANK "("));
	if (ONE_OF(first, conditions))
		return NULL;
	*ret_rule = false;
	while (kp_str_eq(first, "export") || kp_str_eq(first, "override") ||
	       kp_str_eq(first, "unexport")) {
		line += strlen(first);
		line += strspn(line, BLANK);
		free(first);
		first = kp_strndup(line, strcspn(line, BLANK "("));
	}
	if (kp_str_eq(first, "define") || kp_str_eq(first, "load") ||
	    kp_str_eq(first, "-load"))
		refuse(s, "has", line);
	if (kp_str_eq(first, "include") || kp_str_eq(first, "-include") ||
	    kp_str_eq(first, "sinclude"))
		check_include(s, line + strlen(first));
	check_assignment(s, line);
	colon = find_colon(line);
	if (!colon)
		return NULL;
	*ret_rule = true;
	names = kp_strndup(line, (size_t)(colon - line));
	targets = kp_strv_split(names, BLANK ":");
	semicolon = skip_word(colon, ";");
	if (*semicolon && !all_aside(targets))
		check_commands(s, semicolon + 1);
	return targets;
}

/* Up to the end of a line that is not continued; the text moves on. Line breaks within become
 * blanks; to be freed. */
static char *next_line(const char **text)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	const char *p = *text;

	kp_buf_adds(&b, "");
	for (;;) {
		size_t n = strcspn(p, "\n");
		bool more = n && p[n - 1] == '\\' && p[n];

		kp_buf_add(&b, p, more ? n - 1 : n);
		p += n + (p[n] == '\n');
		if (!more)
			break;
		kp_buf_addc(&b, ' ');
	}
	*text = p;
	return kp_buf_steal(&b);
}

static void cut_comment(char *line)
{
	for (char *p = line; (p = strchr(p, '#')); p++)
		if (p == line || strchr(BLANK, p[-1])) {
			*p = '\0';
			return;
		}
}

bool kp_scan_is_makefile(const char *file)
{
	static const char *const names[] = { "Makefile", "makefile", "GNUmakefile",
					     "Kbuild" };

	return ONE_OF(file, names) || kp_str_ends(file, ".mk") ||
	       kp_str_ends(file, ".mak");
}

char *kp_scan_makefile(const char *text, unsigned int levels, bool *ret_running)
{
	struct scan s = { .levels = levels };
	bool rule = false, aside = false;

	while (*text && !s.why) {
		bool command = *text == '\t' && rule;
		_cleanup_strv_ char **targets = NULL;
		_cleanup_free_ char *line = next_line(&text);

		cut_comment(line);
		if (!command) {
			targets = check_line(&s, line, &rule);
			if (targets)
				aside = all_aside(targets);
		} else if (!aside) {
			check_functions(&s, line);
			check_commands(&s, line + 1);
		}
	}
	*ret_running |= s.running;
	return s.why;
}

/* Where make may be sent with -C. */
static bool is_known_dir(const char *dir, const char *seen, const char *const *headers)
{
	if (count_climbs(dir))
		return false;
	if (*dir != '/')
		return *dir != '$' || kp_str_eq(dir, "$kernel_source_dir") ||
		       kp_str_eq(dir, "${kernel_source_dir}");
	if (kp_str_starts(dir, seen))
		return true;
	for (; *headers; headers++)
		if (kp_str_starts(dir, *headers))
			return true;
	return false;
}

char *kp_scan_make_line(const char *line, const char *seen, const char *const *headers)
{
	static const char *const options[] = { "-s", "-k", "-w", "-B", "-i", "-C", "--" };
	_cleanup_strv_ char **words = kp_strv_split(line, BLANK);

	if (strpbrk(line, ";&|<>()`*?[]#\\\n~") || !words)
		return kp_strdup("its MAKE is more than a call of make");
	for (char **p = words; *p; p++) {
		_cleanup_free_ char *word = unquote(*p, strlen(*p));

		if (p == words ? !kp_str_eq(word, "make")
			       : *word == '-' && !ONE_OF(word, options) &&
					 !kp_str_starts(word, "-j"))
			return kp_strf("its MAKE has '%.60s'", word);
		if (kp_str_starts(word, "KBUILD_EXTRA_SYMBOLS=") ||
		    kp_str_starts(word, "SHELL="))
			return kp_strf("its MAKE sets '%.60s'", word);
		if (kp_str_eq(word, "-C") &&
		    (!p[1] || !is_known_dir(*++p, seen, headers)))
			return kp_strf("its MAKE enters '%.60s'", *p ? *p : "");
	}
	return NULL;
}
