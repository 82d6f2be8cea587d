// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "lib/recipe-parts.h"

#define DEPTH_MAX 8 /* of commands within commands */

void kp_scan_refuse(struct kp_scan *s, const char *what, const char *text)
{
	if (!s->why)
		s->why = kp_strf("%s '%.60s'", what, text);
}

/* What reads no file that a build would use, whatever its arguments. */
static const char *const harmless[] = {
	"echo",	 "printf",   "uname",	  "pwd",       "/bin/pwd", "true",
	"false", ":",	     "exit",	  "set",       "rm",	   "$(RM)",
	"rmdir", "mkdir",    "chmod",	  "touch",     "insmod",   "rmmod",
	"sync",	 "basename", "dirname",	  "expr",      "fi",	   "done",
	"esac",	 "}",	     "/bin/true", "/bin/echo", "/bin/rm",
};

/* What reads the files that its arguments name, and no others. */
static const char *const readers[] = {
	"cat",	"sed", "awk",  "grep", "egrep",	  "head",  "tail",
	"cut",	"tr",  "sort", "cp",   "ln",	  "mv",	   "wc",
	"test", "[",   "cd",   "for",  "install", "strip", "$(STRIP)",
};

static const char *const makes[] = { "$(MAKE)", "${MAKE}", "make" };

/* Words in front of a command. */
static const char *const prefixes[] = { "if",	 "then",  "else", "elif", "do",
					"while", "until", "!",	  "{",	  "$(Q)",
					"${Q}",	 "@",	  "-",	  "+" };

bool kp_scan_is_assignment(const char *word)
{
	size_t n = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_");

	return n && word[n] == '=';
}

/* "s/a/b/g" or "2,3p": what neither reads, nor writes, nor runs. */
static bool is_plain_sed(const char *script)
{
	const char *p = script;
	int n = 0;

	if (*script != 's')
		return !script[strspn(script, "0123456789,$pdq")];
	for (; *p && n < 3; p++)
		n += p > script && *p == script[1];
	return n == 3 && !p[strspn(p, "gpI0123456789")];
}

/* Arguments of what is told by a program of its own what to do. */
static void check_program(struct kp_scan *s, const char *command, char *const *words)
{
	static const char *const options[] = { "-n", "-i", "-r", "-E", "-s" };
	bool awk = !strcmp(command, "awk"), program = true;

	kp_strv_foreach(p, words) {
		bool good;

		if (!strcmp(*p, "-e") && !awk) {
			program = true;
			continue;
		}
		if (**p == '-')
			good = awk ? (*p)[1] == 'F' : ONE_OF(*p, options);
		else if (!program)
			continue;
		else if (awk)
			good = !strstr(*p, "getline") && !strstr(*p, "system") &&
			       !strstr(*p, "ARGV") && !strpbrk(*p, "|<@");
		else
			good = is_plain_sed(*p);
		if (**p != '-')
			program = false;
		if (!good)
			kp_scan_refuse(s, "has a program", *p);
	}
}

/* What make files of other directories may be asked for; so it is never passed over. */
const char *const kp_scan_goals[] = { "all", "default", "modules", "module", NULL };

/* The value of VARIABLE that a command gives to make. */
static bool is_plain_value(const struct kp_scan *s, const char *variable,
			   const char *value)
{
	static const char *const dirs[] = { "M", "SUBDIRS", "src", "obj", "PWD" };

	if (kp_scan_is_here(value))
		return true;
	if (ONE_OF(variable, dirs))
		return kp_scan_stays(s, value) && *value != '.';
	return !strpbrk(value, "/$`") || kp_scan_is_kernel(s, value) ||
	       kp_scan_stays(s, value);
}

static bool is_make_option(const char *word)
{
	static const char *const options[] = { "-s", "-k", "-w",
					       "-B", "-i", "--no-print-directory" };

	return ONE_OF(word, options) ||
	       (kp_str_starts(word, "-j") && !word[2 + strspn(word + 2, "0123456789")]);
}

/* The arguments of make: nothing but the kernel's make files and those of the source is read. */
static void check_make(struct kp_scan *s, char *const *words)
{
	bool kernel = false, elsewhere = false;

	for (char *const *p = words; p && *p; p++)
		if (!strcmp(*p, "-C") && p[1]) {
			elsewhere = true;
			kernel = kp_scan_is_kernel(s, *++p);
			if (!kernel && !kp_scan_is_here(*p) && !kp_scan_stays(s, *p))
				kp_scan_refuse(s, "enters", *p);
		}
	for (char *const *p = words; p && *p && !s->why; p++) {
		_cleanup_free_ char *name = kp_strndup(*p, strcspn(*p, "="));

		if (!strcmp(*p, "-C") && p[1])
			p++;
		else if (kp_scan_is_assignment(*p)
				 ? !is_plain_value(s, name, *p + strlen(name) + 1)
			 : **p == '-' ? !is_make_option(*p)
			 : kernel     ? false
			 : elsewhere  ? !kp_strv_has((char *const *)kp_scan_goals, *p)
				      : strchr(*p, '$') != NULL)
			kp_scan_refuse(s, "gives to make", *p);
	}
}

/* One simple command, in words. */
static void check_words(struct kp_scan *s, char *const *words)
{
	const char *command;
	bool reads;

	while (words && *words &&
	       (ONE_OF(*words, prefixes) || kp_scan_is_assignment(*words)))
		words++;
	if (!words || !*words)
		return;
	command = *words++;
	reads = ONE_OF(command, readers);
	if (ONE_OF(command, makes)) {
		check_make(s, words);
		return;
	}
	if (!reads && !ONE_OF(command, harmless)) {
		kp_scan_refuse(s, "runs", command);
		return;
	}
	if (!strcmp(command, "uname"))
		kp_strv_foreach(p, words) {
			s->running |= strchr(*p, 'r') != NULL;
			if (strpbrk(*p, "van"))
				kp_scan_refuse(s, "asks uname for", *p);
		}
	kp_strv_foreach(p, words) {
		/* The shell looks for what a pattern stands for. */
		if ((reads || strpbrk(*p, "*?[")) && !kp_scan_stays(s, *p))
			kp_scan_refuse(s, "reads", *p);
	}
	if (!strcmp(command, "sed") || !strcmp(command, "awk"))
		check_program(s, command, words);
}

/* Commands of the shell within a word: `...` and $$(...); what they print is not looked at. */
void kp_scan_inner(struct kp_scan *s, const char *word, size_t n)
{
	_cleanup_free_ char *copy = kp_strndup(word, n);
	char *p = copy;

	while ((p = strchr(p, '`'))) {
		char *end = strchr(p + 1, '`');

		if (!end) {
			kp_scan_refuse(s, "has an open", p);
			return;
		}
		*end = '\0';
		kp_scan_commands(s, p + 1);
		p = end + 1;
	}
	free(copy);
	copy = kp_strndup(word, n);
	for (p = copy; (p = strstr(p, "$$(")); p += 3) {
		_cleanup_free_ char *inner = NULL;
		const char *end = kp_scan_group(p + 2);

		inner = kp_strndup(p + 3, (size_t)(end - p - 3));
		if (*inner)
			inner[strlen(inner) - 1] = '\0';
		kp_scan_commands(s, inner);
	}
}

/* A line of the shell: commands between ; & | and brackets. */
void kp_scan_commands(struct kp_scan *s, const char *line)
{
	_cleanup_strv_ char **words = NULL;
	const char *p = line;

	if (++s->depth > DEPTH_MAX)
		kp_scan_refuse(s, "is nested too deeply", line);
	while (*p && !s->why) {
		const char *start = p, *end;
		_cleanup_free_ char *word = NULL;

		if (strchr(BLANK "\n", *p)) {
			p++;
			continue;
		}
		if (strchr(";&|()#", *p)) {
			/* To the end of its own line. */
			p += *p == '#' ? strcspn(p, "\n") - !strchr(p, '\n') : 0;
			check_words(s, words);
			kp_strv_free(kp_steal(&words));
			p++;
			continue;
		}
		if (*p == '<' || *p == '>') {
			bool in = *p == '<';

			p += strspn(p, "<>&");
			p += strspn(p, BLANK);
			end = kp_scan_word(p, BLANK "\n;&|()<>");
			word = kp_scan_unquote(p, (size_t)(end - p));
			if (in && !kp_scan_stays(s, word))
				kp_scan_refuse(s, "reads", word);
			p = end;
			continue;
		}
		/* make's own marks in front of a command */
		if (!words && strchr("@-+", *p)) {
			p++;
			continue;
		}
		end = kp_scan_word(p, BLANK "\n;&|()<>");
		kp_scan_inner(s, start, (size_t)(end - start));
		word = kp_scan_unquote(start, (size_t)(end - start));
		/* 2>file */
		if (!(*end == '>' && word[strspn(word, "0123456789")] == '\0'))
			kp_strv_take(&words, kp_steal(&word));
		p = end;
	}
	check_words(s, words);
	s->depth--;
}
