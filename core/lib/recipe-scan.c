// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/recipe-parts.h"
#include "lib/recipe-scan.h"

#define MENTIONED_MAX 1000
#define ROUNDS_MAX 5
#define INCLUDES_MAX 100

/* ---- make */

static void check_wildcard(struct kp_scan *s, const char *patterns)
{
	_cleanup_strv_ char **words = kp_strv_split(patterns, BLANK);

	kp_strv_foreach(p, words)
		if (!kp_scan_stays(s, *p))
			kp_scan_refuse(s, "looks for", *p);
}

static void check_function(struct kp_scan *s, const char *name, const char *args)
{
	if (!strcmp(name, "shell"))
		kp_scan_commands(s, args);
	else if (!strcmp(name, "wildcard") || !strcmp(name, "realpath"))
		check_wildcard(s, args);
	else if (!strcmp(name, "file") || !strcmp(name, "guile") || !strcmp(name, "eval"))
		kp_scan_refuse(s, "uses the function", name);
}

/* Calls of make's functions, at any depth: each "$(" is looked at. */
static void check_functions(struct kp_scan *s, const char *line)
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
		end = kp_scan_group(p + 1);
		args = kp_strndup(p + 2 + n, (size_t)(end - p - 2) - n);
		if (*args)
			args[strlen(args) - 1] = '\0';
		check_function(s, name, args + strspn(args, BLANK));
	}
}

/* Is there such a word in the target's name, or that of the variable which has them? Its commands would
 * fail in the sandbox, or make no module: they are no part of a build, unless something says so. */
static bool is_aside(const char *target)
{
	static const char *const parts[] = {
		"install", "uninstall", "load",	     "unload",	 "reload",
		"insmod",  "rmmod",	"modprobe",  "depmod",	 "dkms",
		"dist",	   "clean",	"distclean", "mrproper",
	};
	_cleanup_strv_ char **words = kp_strv_split(target, "-_");
	size_t n = strlen(target);

	if (kp_str_eq(target, ".PHONY"))
		return true;
	/* A page of a manual. */
	if (n > 2 && target[n - 2] == '.' && target[n - 1] >= '1' && target[n - 1] <= '8')
		return !strpbrk(target, "$%");
	if (kp_str_starts(target, "$("))
		return target[2 + strspn(target + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] ==
			       ')' &&
		       (strstr(target, "CLEAN") || strstr(target, "INSTALL") ||
			strstr(target, "LOAD"));
	kp_strv_foreach(p, strpbrk(target, "./%$") ? NULL : words)
		if (ONE_OF(*p, parts))
			return true;
	return false;
}

/* Is this the name of no file, but of something to do? */
static bool is_task(const char *target)
{
	return !strpbrk(target, "./%$");
}

/* A variable by its name. */
static bool is_mentioned(const struct kp_scan *s, const char *target)
{
	_cleanup_free_ char *name = kp_strdup(target + (*target == '$' ? 2 : 0));

	name[strcspn(name, ")")] = '\0';
	return kp_strv_has(s->mentioned, name);
}

static bool all_aside(const struct kp_scan *s, char *const *targets)
{
	kp_strv_foreach(p, targets)
		if (!is_aside(*p) || is_mentioned(s, *p))
			return false;
	return targets != NULL;
}

/* Is nothing said of these targets, as far as is known, that makes them part of a build? */
static bool is_left(const struct kp_scan *s, char *const *targets)
{
	kp_strv_foreach(p, targets)
		if (!(is_task(*p) || is_aside(*p)) || is_mentioned(s, *p))
			return false;
	return targets != NULL;
}

/* Whatever in TEXT may be a target that is not to be passed over. */
static void add_mentioned(struct kp_scan *s, const char *text)
{
	_cleanup_strv_ char **words = kp_strv_split(text, BLANK ":;,=\"'()\n");

	kp_strv_foreach(p, words) {
		if (!(is_task(*p) || is_aside(*p)) || kp_strv_has(s->mentioned, *p))
			continue;
		if (kp_strv_len(s->mentioned) >= MENTIONED_MAX)
			kp_scan_refuse(s, "has too many targets like", *p);
		else
			kp_strv_add(&s->mentioned, *p);
	}
}

/* The ':' that ends the targets of a rule, or NULL: an assignment, or nothing of the kind. */
static const char *find_colon(const char *line)
{
	const char *p = kp_scan_word(line, ":=");

	if (*p != ':')
		return NULL;
	while (p[1] == ':')
		p++;
	return p[1] == '=' ? NULL : p;
}

/* A name, or all with one beginning and one end. */
static bool is_plain_pattern(const char *name)
{
	const char *star = strchr(name, '*');

	return *name && !strpbrk(name, "$%?[\\") && (!star || !strchr(star + 1, '*'));
}

static void check_include(struct kp_scan *s, const char *args)
{
	_cleanup_strv_ char **files = kp_strv_split(args, BLANK);

	kp_strv_foreach(p, files) {
		const char *slash = strrchr(*p, '/');
		const char *file = slash ? slash + 1 : *p;
		bool part = kp_str_ends(*p, ".mk") || kp_str_ends(*p, ".mak");
		/* Another directory's make file would count from this one. */
		bool near = part || !slash ||
			    (strchr(*p, '/') == slash &&
			     (kp_str_starts(*p, "./") || kp_str_starts(*p, "$(src)/")));

		if (near && kp_scan_stays(s, *p) && kp_scan_is_makefile(file))
			continue;
		if (kp_scan_is_inside(s, *p) && is_plain_pattern(file) &&
		    kp_strv_len(s->includes) < INCLUDES_MAX)
			kp_strv_add(&s->includes, file);
		else
			kp_scan_refuse(s, "includes", *p);
	}
}

/* The operator of an assignment at P, behind blanks: *ret_value is behind it. */
static bool is_operator(const char *p, const char **ret_value)
{
	p += strspn(p, BLANK);
	p += *p == ':' ? strspn(p, ":") : strspn(p, "+?!");
	*ret_value = p + 1 + strspn(p + (*p != '\0'), BLANK);
	return *p == '=';
}

/* What changes what commands mean, or names files that programs read: anywhere in a line, since there
 * are variables of targets, of a command, and arguments of make. */
void kp_scan_names(struct kp_scan *s, const char *line, bool command)
{
	static const char *const names[] = {
		"SHELL",
		".SHELLFLAGS",
		"PATH",
		"MAKEFILES",
		"MAKEFLAGS",
		"GNUMAKEFLAGS",
		"MFLAGS",
		"MAKE",
		"MAKEOVERRIDES",
		"VPATH",
		"KBUILD_OUTPUT",
		"O",
		"srctree",
		"objtree",
		"LD",
		"AS",
		"AR",
		"NM",
		"OBJCOPY",
		"STRIP",
		"RM",
		"HOSTCC",
		"PAHOLE",
		"CONFIG_SHELL",
		"PERL",
		"PYTHON3",
		"AWK",
		"COMPILER_PATH",
		"GCC_EXEC_PREFIX",
		"LIBRARY_PATH",
		"LD_LIBRARY_PATH",
		"LD_PRELOAD",
		"BASH_ENV",
		"ENV",
		"CDPATH",
		"KBUILD_EXTRA_SYMBOLS",
	};
	static const char *const dirs[] = { "M", "src", "obj", "PWD", "CURDIR" };
	static const char *const flags[] = { "-fplugin",   "-specs",	     "-wrapper",
					     "-fprofile-", "-fauto-profile", "-B/",
					     "-B$" };
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789_.";
	size_t n;

	for (size_t i = 0; i < KP_ARRAY_SIZE(flags); i++)
		if (strstr(line, flags[i]))
			kp_scan_refuse(s, "has", flags[i]);
	for (const char *p = line; *p && !s->why; p += n + !n) {
		_cleanup_free_ char *name = NULL, *word = NULL;
		const char *value;

		n = strspn(p, letters);
		if (!n || !is_operator(p + n, &value))
			continue;
		name = kp_strndup(p, n);
		word = kp_scan_unquote(
			value, (size_t)(kp_scan_word(value, BLANK ";&|") - value));
		if (ONE_OF(name, names))
			kp_scan_refuse(s, "sets", p);
		else if (kp_str_eq(name, "Q") && value[strspn(value, "@ \t")])
			kp_scan_refuse(s, "sets", p);
		else if (ONE_OF(name, dirs) && !kp_scan_is_here(word) &&
			 (!command || !kp_scan_stays(s, word) || *word == '.'))
			kp_scan_refuse(s, "sets", p);
	}
}

/* Are all words of VALUE files of the source? */
static bool all_stay(const struct kp_scan *s, const char *value)
{
	_cleanup_strv_ char **words = kp_strv_split(value, BLANK);

	kp_strv_foreach(p, words)
		if (!kp_scan_stays(s, *p))
			return false;
	return true;
}

/* An assignment as a line of its own. False: the line has to be looked at as any other. */
static bool check_assignment(struct kp_scan *s, const char *line, bool exported)
{
	const char *symbols = "KBUILD_EXTRA_SYMBOLS";
	size_t n = (size_t)(kp_scan_word(line, BLANK ":=+?!") - line);
	_cleanup_free_ char *name = kp_strndup(line, n);
	_cleanup_strv_ char **words = NULL;
	const char *value, *op = line + n + strspn(line + n, BLANK);

	if (!n || !is_operator(line + n, &value)) {
		if (exported)
			kp_scan_refuse(s, "exports", line);
		return false;
	}
	if (*op == '!')
		kp_scan_commands(s, value);
	/* A name that is put together is none of those that matter when a '-' is in it. */
	if (strchr(name, '$') && !strchr(name, '-') && !kp_str_starts(name, "CFLAGS_"))
		kp_scan_refuse(s, "sets", line);
	words = kp_strv_split(value, BLANK);
	kp_strv_foreach(p, words)
		if (strchr("/~", **p) && strpbrk(*p, "*?["))
			kp_scan_refuse(s, "looks for", *p);
	if (exported && strpbrk(value, "/$`") && !kp_scan_is_kernel(s, value) &&
	    !kp_scan_is_here(value) && !all_stay(s, value) && !kp_str_eq(name, symbols))
		kp_scan_refuse(s, "exports", line);
	return kp_str_eq(name, symbols) && all_stay(s, value);
}

static bool names_stay(const struct kp_scan *s, const char *rule)
{
	_cleanup_free_ char *text = kp_scan_expand(s, rule), *end = strchr(text, ';');
	_cleanup_strv_ char **words = NULL;

	end = end ? kp_strndup(text, (size_t)(end - text)) : kp_strdup(text);
	words = kp_strv_split(end, BLANK ":|");
	kp_strv_foreach(p, words)
		if (!kp_scan_stays(s, *p))
			return false;
	return true;
}

/* Steps up, in whatever a line is for; nobody knows how often one that is all of a value is taken. */
static void check_climbs(struct kp_scan *s, const char *line)
{
	_cleanup_strv_ char **words = kp_strv_split(line, BLANK "=");

	kp_strv_foreach(p, words)
		if (((strstr(*p, "../") || strstr(*p, "/..")) &&
		     kp_scan_climbs(*p) > s->levels) ||
		    (strstr(*p, "..") && !(*p)[strspn(*p, "./")]))
			kp_scan_refuse(s, "climbs out with", *p);
}

/* A line that is no command. Returns the targets of a rule. */
static char **check_line(struct kp_scan *s, char *line, bool *ret_rule)
{
	static const char *const conditions[] = { "ifeq",   "ifneq", "ifdef",
						  "ifndef", "else",  "endif" };
	_cleanup_free_ char *first = NULL, *names = NULL;
	const char *colon, *semicolon, *op;
	bool exported = false;
	char **targets;

	line = kp_str_strip(line);
	if (!*line)
		return NULL;
	check_functions(s, line);
	if (strchr(line, '`'))
		kp_scan_inner(s, line, strlen(line));
	first = kp_strndup(line, strcspn(line, BLANK "("));
	if (ONE_OF(first, conditions))
		return NULL;
	*ret_rule = false;
	while (kp_str_eq(first, "export") || kp_str_eq(first, "override") ||
	       kp_str_eq(first, "unexport")) {
		exported |= kp_str_eq(first, "export");
		line += strlen(first);
		line += strspn(line, BLANK);
		free(first);
		first = kp_strndup(line, strcspn(line, BLANK "("));
	}
	if (kp_str_eq(first, "define") || kp_str_eq(first, "load") ||
	    kp_str_eq(first, "-load") || kp_str_eq(first, "vpath") ||
	    kp_str_eq(first, ".EXPORT_ALL_VARIABLES"))
		kp_scan_refuse(s, "has", line);
	if (kp_str_eq(first, "include") || kp_str_eq(first, "-include") ||
	    kp_str_eq(first, "sinclude"))
		check_include(s, line + strlen(first));
	check_climbs(s, line);
	if (!check_assignment(s, line, exported))
		kp_scan_names(s, line, false);
	kp_scan_flags(s, line, false);
	colon = find_colon(line);
	if (!colon)
		return NULL;
	*ret_rule = true;
	s->names_inside = names_stay(s, line);
	names = kp_strndup(line, (size_t)(colon - line));
	targets = kp_strv_split(names, BLANK ":");
	/* A variable of the targets. */
	op = kp_scan_word(colon, "=;");
	if (*op == '=' && op[-1] == '!')
		kp_scan_commands(s, op + 1);
	semicolon = kp_scan_word(colon, ";");
	if (*semicolon && !all_aside(s, targets))
		kp_scan_commands(s, semicolon + 1);
	return targets;
}

/* Up to the end of a line that is not continued; the text moves on. Line breaks within become
 * JOIN; to be freed. */
static char *next_line(const char **text, char join)
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
		kp_buf_addc(&b, join);
	}
	*text = p;
	return kp_buf_steal(&b);
}

/* As make does, which knows no quotes. */
static void cut_comment(char *line)
{
	char *p = line;

	while (*p && *p != '#')
		if (*p == '$' && (p[1] == '(' || p[1] == '{'))
			p = line + (kp_scan_group(p + 1) - line);
		else
			p += 1 + (*p == '\\' && p[1]);
	*p = '\0';
}

bool kp_scan_is_makefile(const char *file)
{
	static const char *const names[] = { "Makefile", "makefile", "GNUmakefile",
					     "Kbuild" };

	return ONE_OF(file, names) || kp_str_ends(file, ".mk") ||
	       kp_str_ends(file, ".mak");
}

/* The variables of a make file, and which targets are mentioned by what may be part of a build. */
static void look_ahead(struct kp_scan *s, const char *text, bool variables)
{
	bool rule = false, first = true, left = false;

	while (*text && !s->why) {
		bool command = *text == '\t' && rule;
		_cleanup_free_ char *raw = next_line(&text, ' '), *names = NULL;
		_cleanup_strv_ char **targets = NULL;
		const char *line, *colon, *value;
		size_t n;

		if (command) {
			/* Goals of a further make. */
			if (!left && (strstr(raw, "make") || strstr(raw, "MAKE")))
				add_mentioned(s, raw);
			continue;
		}
		cut_comment(raw);
		line = kp_str_strip(raw);
		/* Either branch may have the first rule. */
		first |= kp_str_starts(line, "if") || kp_str_starts(line, "else");
		if (kp_str_starts(line, "if") || kp_str_starts(line, "else"))
			continue;
		while (kp_str_starts(line, "export ") || kp_str_starts(line, "override "))
			line += strcspn(line, " ") + 1;
		n = strcspn(line, BLANK ":=+?!");
		if (n && is_operator(line + n, &value)) {
			if (variables && !memchr(line, '-', n))
				kp_scan_add_var(s, line, n, value);
			if (kp_str_starts(line, ".DEFAULT_GOAL"))
				add_mentioned(s, value);
			continue;
		}
		colon = find_colon(line);
		if (!colon)
			continue;
		rule = true;
		names = kp_strndup(line, (size_t)(colon - line));
		targets = kp_strv_split(names, BLANK ":");
		if (first && *line != '.')
			add_mentioned(s, names);
		first &= *line == '.';
		left = kp_str_starts(line, ".PHONY") || is_left(s, targets);
		if (!left) {
			_cleanup_free_ char *needs = kp_scan_expand(s, colon);

			add_mentioned(s, colon);
			add_mentioned(s, needs);
		}
	}
}

void kp_scan_clear(struct kp_scan *s)
{
	for (size_t i = 0; i < s->n_vars; i++) {
		free(s->vars[i].name);
		free(s->vars[i].value);
	}
	free(s->vars);
	free(s->why);
	kp_strv_free(s->set);
	kp_strv_free(s->mentioned);
	kp_strv_free(s->inside);
	kp_strv_free(s->includes);
}

/* What a MAKE line asks for, and what it sets. */
static void scan_begin(struct kp_scan *s, const char *make, const char *seen)
{
	_cleanup_strv_ char **words = kp_strv_split(make ?: "", BLANK "'\";&");

	kp_strv_add(&s->set, "KERNELRELEASE");
	for (size_t i = 0; kp_scan_goals[i]; i++)
		kp_strv_add(&s->mentioned, kp_scan_goals[i]);
	kp_strv_foreach(p, words) {
		size_t n = strcspn(*p, "=");
		const char *value = *p + n + 1;

		if (!kp_scan_is_assignment(*p)) {
			add_mentioned(s, *p);
			continue;
		}
		kp_strv_take(&s->set, kp_strndup(*p, n));
		if (kp_scan_is_at(value, seen) && !kp_scan_climbs(value))
			kp_strv_take(&s->inside, kp_strndup(*p, n));
	}
}

char *kp_scan_makefile(const char *text, const char *make, const char *seen,
		       struct kp_scan_file *file)
{
	_cleanup_(kp_scan_clear) struct kp_scan s = { .levels = file->levels };
	bool rule = false, aside = false;
	size_t n = 0;

	scan_begin(&s, make, seen);
	look_ahead(&s, text, true);
	for (int i = 0; i < ROUNDS_MAX && n != kp_strv_len(s.mentioned); i++) {
		n = kp_strv_len(s.mentioned);
		look_ahead(&s, text, false);
	}
	if (n != kp_strv_len(s.mentioned))
		kp_scan_refuse(&s, "has a long chain of targets that begins with",
			       s.mentioned[0]);
	while (*text && !s.why) {
		bool command = *text == '\t' && rule;
		_cleanup_strv_ char **targets = NULL;
		_cleanup_free_ char *line = next_line(&text, command ? '\n' : ' ');

		if (!command) {
			cut_comment(line);
			targets = check_line(&s, line, &rule);
			if (targets)
				aside = all_aside(&s, targets);
		} else if (!aside) {
			check_functions(&s, line);
			kp_scan_names(&s, line, true);
			kp_scan_flags(&s, line, true);
			kp_scan_commands(&s, line + 1);
		}
	}
	file->running = s.running;
	file->includes = kp_steal(&s.includes);
	return kp_steal(&s.why);
}
