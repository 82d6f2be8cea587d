// SPDX-License-Identifier: GPL-2.0-or-later
/* The MAKE line of a conf. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "lib/recipe-parts.h"
#include "lib/recipe-scan.h"

bool kp_scan_is_at(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/* A directory or a value that a MAKE line may have: of the build, of the kernel, or no path. */
static bool is_known(const char *value, const char *seen, const char *const *headers)
{
	static const char *const plain[] = { "$kernel_source_dir",
					     "${kernel_source_dir}",
					     "$kernelver",
					     "${kernelver}",
					     "$PWD",
					     "${PWD}",
					     "$arch",
					     "${arch}" };
	_cleanup_free_ char *dir = kp_strf("/%s/build", value);

	if (kp_scan_climbs(value))
		return false;
	if (*value == '/') {
		if (kp_scan_is_at(value, seen))
			return true;
		for (; *headers; headers++)
			if (kp_scan_is_at(value, *headers))
				return true;
		return false;
	}
	if (strchr(value, '$'))
		return ONE_OF(value, plain);
	/* A release is that of the kernel. */
	if (value[0] < '0' || value[0] > '9' || !strchr(value, '.'))
		return true;
	for (; *headers; headers++)
		if (kp_str_ends(*headers, dir))
			return true;
	return false;
}

/* "find BUILD -name '*.ko' -exec mv {} BUILD \\;", which looks for what was built and puts it elsewhere in
 * the build directory. */
static bool is_move(const char *command, const char *seen)
{
	static const char *const tests[] = { "-name", "-type", "-maxdepth", "-mindepth" };
	static const char *const options[] = { "-v", "-f", "-n" };
	_cleanup_strv_ char **words = NULL;
	bool modules = false;
	char **p;

	for (const char *end; *(command += strspn(command, BLANK)); command = end) {
		end = kp_scan_word(command, BLANK);
		kp_strv_take(&words, kp_scan_unquote(command, (size_t)(end - command)));
	}
	p = words;
	if (kp_strv_len(words) < 2 || !kp_str_eq(*p++, "find") ||
	    !kp_scan_is_at(*p, seen) || kp_scan_climbs(*p++))
		return false;
	for (; *p && p[1] && ONE_OF(*p, tests); p += 2)
		modules |= kp_str_eq(*p, "-name") && kp_str_ends(p[1], ".ko");
	if (!modules || !*p || !kp_str_eq(*p++, "-exec") || !*p || !kp_str_eq(*p++, "mv"))
		return false;
	while (*p && ONE_OF(*p, options))
		p++;
	return kp_strv_len(p) == 3 && kp_str_eq(p[0], "{}") &&
	       kp_scan_is_at(p[1], seen) && !kp_scan_climbs(p[1]) && kp_str_eq(p[2], ";");
}

/* The call of make alone, where nothing but such a command comes behind it; to be freed. */
static char *cut_move(const char *line, const char *seen)
{
	size_t n = strcspn(line, ";&");
	const char *next = line + n + strspn(line + n, ";&");

	if (!line[n] || strpbrk(next, "$`&|<>()#~\n") || !is_move(next, seen))
		n = strlen(line);
	return kp_strndup(line, n);
}

char *kp_scan_make_line(const char *text, const char *seen, const char *const *headers)
{
	static const char *const options[] = { "-s", "-k", "-w", "-B", "-i", "-C", "--" };
	static const char *const dirs[] = { "M", "SUBDIRS", "src", "obj", "PWD" };
	_cleanup_free_ char *line = cut_move(text, seen);
	_cleanup_strv_ char **words = kp_strv_split(line, BLANK);
	_cleanup_(kp_scan_clear) struct kp_scan s = { .levels = 0 };

	if (strpbrk(line, ";&|<>()`*?[]#\\\n~") || !words)
		return kp_strdup("its MAKE is more than a call of make");
	kp_scan_flags(&s, line, true);
	if (s.why)
		return kp_strf("its MAKE %s", s.why);
	for (char **p = words; *p; p++) {
		_cleanup_free_ char *word = kp_scan_unquote(*p, strlen(*p));
		_cleanup_free_ char *name = kp_strndup(word, strcspn(word, "="));
		const char *value = word + strlen(name) + 1;
		bool assigns = kp_scan_is_assignment(word);

		if (p == words ? !kp_str_eq(word, "make")
			       : *word == '-' && !ONE_OF(word, options) &&
					 !kp_str_starts(word, "-j"))
			return kp_strf("its MAKE has '%.60s'", word);
		if (assigns && !ONE_OF(name, dirs))
			kp_scan_names(&s, word, true);
		if (s.why ||
		    (assigns &&
		     (!is_known(value, seen, headers) ||
		      (ONE_OF(name, dirs) && !kp_scan_is_at(value, seen) &&
		       !kp_str_eq(value, "$PWD") && !kp_str_eq(value, "${PWD}")))))
			return kp_strf("its MAKE sets '%.60s'", word);
		if (kp_str_eq(word, "-C") && (!p[1] || !is_known(*++p, seen, headers)))
			return kp_strf("its MAKE enters '%.60s'", *p ? *p : "");
	}
	return NULL;
}
