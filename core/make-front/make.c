// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * make, as the builds of module sources find it first in their PATH: the real one,
 * without an explicit -j, which would make it leave the jobserver and run that many jobs
 * of its own.
 *
 * Arguments are read as GNU make reads them (its manual, "Summary of Options", and its
 * main.c: -j takes the rest of its word, else the next word if that is all digits). What
 * make would refuse is left for it to refuse. Called without a jobserver in MAKEFLAGS,
 * this changes nothing. argv[0] stays as it is, so that $(MAKE) of a recipe comes here
 * again: a -j of a sub-make leaves the jobserver just as well.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

/* Short options whose argument is the rest of the word, else the next word. */
#define WITH_ARGUMENT "CEIWfo"
/* Those whose argument, if any, is the rest of the word (-l also takes a following
 * number, which no filter has to know). */
#define WITH_REST "Ol"

/* Long options that take the next word when there is no "=". A unique beginning will do.
 */
static const char *const long_with_argument[] = {
	"assume-new",  "assume-old", "directory", "eval",     "file",
	"include-dir", "makefile",   "new-file",  "old-file", "what-if",
};

static bool all_digits(const char *s)
{
	return s[strspn(s, "0123456789")] == '\0';
}

/* A count that make accepts. */
static bool is_count(const char *s)
{
	return all_digits(s) && s[strspn(s, "0")];
}

/* Would make take this word for the argument of a -j before it? */
static bool is_argument(const char *next)
{
	return next && *next && all_digits(next);
}

static bool takes_next(const char *name)
{
	for (size_t i = 0; i < sizeof(long_with_argument) / sizeof(*long_with_argument);
	     i++)
		if (!strncmp(long_with_argument[i], name, strlen(name)))
			return true;
	return false;
}

/*
 * Look at the word of short options W (without its '-'); NEXT is the following word or
 * NULL. Cuts a -j out of W. Returns how many of the following words belong to W;
 * *RET_DROP: that one goes with the -j.
 */
static int filter_short(char *w, const char *next, bool *ret_drop)
{
	for (char *p = w; *p; p++) {
		if (strchr(WITH_ARGUMENT, *p))
			return p[1] == '\0';
		if (strchr(WITH_REST, *p))
			return 0;
		if (*p != 'j')
			continue;
		if (p[1] ? !is_count(p + 1) : is_argument(next) && !is_count(next))
			return 0; /* make: "requires a positive integer argument" */
		*ret_drop = !p[1] && is_argument(next);
		*p = '\0';
		return *ret_drop;
	}
	return 0;
}

/* Drop what has to go from ARGV, in place. */
static void filter(char **argv)
{
	char **to = argv + 1;

	for (char **from = argv + 1; *from; from++) {
		char *w = *from, *next = from[1];

		if (!strcmp(w, "--")) {
			while ((*to++ = *from++))
				;
			return;
		}
		if (!strcmp(w, "--jobs") && (!is_argument(next) || is_count(next))) {
			from += is_argument(next);
			continue;
		}
		if (!strncmp(w, "--jobs=", 7) && is_count(w + 7))
			continue;
		if (!strncmp(w, "--", 2)) {
			*to++ = w;
			if (next && !strchr(w, '=') && takes_next(w + 2))
				*to++ = *++from;
			continue;
		}
		if (w[0] == '-' && w[1]) {
			bool drop = false;
			int n = filter_short(w + 1, next, &drop);

			if (w[1]) /* else it was all -j */
				*to++ = w;
			if (n && next) {
				from++;
				if (!drop)
					*to++ = next;
			}
			continue;
		}
		*to++ = w;
	}
	*to = NULL;
}

/* Is W a -j of its own, as a recipe adds it to MAKEFLAGS? */
static bool is_jobs_word(const char *w, size_t len)
{
	if (len >= 6 && !strncmp(w, "--jobs", 6) && (len == 6 || w[6] == '='))
		return true;
	if (len < 2 || strncmp(w, "-j", 2))
		return false;
	for (size_t i = 2; i < len; i++)
		if (!isdigit((unsigned char)w[i]))
			return false;
	return true;
}

/* The "-jN" before AUTH, "--jobserver-auth=...", belongs to it; one behind would override
 * it. What follows "--" are variables. */
static void filter_makeflags(char *auth)
{
	char *to = auth + strcspn(auth, " ");

	for (char *p = to; *p;) {
		size_t blank = strspn(p, " "), len = strcspn(p + blank, " ");

		if (len == 2 && !strncmp(p + blank, "--", 2)) {
			memmove(to, p, strlen(p) + 1);
			return;
		}
		if (!is_jobs_word(p + blank, len)) {
			memmove(to, p, blank + len);
			to += blank + len;
		}
		p += blank + len;
	}
	*to = '\0';
}

static bool same_file(const char *path, const struct stat *st)
{
	struct stat other;

	return !stat(path, &other) && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

/* Run the first make of PATH that is not this program. */
static void run(char **argv)
{
	const char *path = getenv("PATH");
	struct stat self = { 0 };

	(void)!stat((const char *)getauxval(AT_EXECFN), &self);
	for (const char *p = path ? path : "/usr/bin:/bin"; *p; p += *p == ':') {
		size_t len = strcspn(p, ":");
		char *file;

		if (asprintf(&file, "%.*s/make", len ? (int)len : 1, len ? p : ".") < 0)
			return;
		if (!access(file, X_OK) && !same_file(file, &self))
			execv(file, argv);
		free(file);
		p += len;
	}
	errno = ENOENT;
}

int main(int argc, char **argv)
{
	char *flags = getenv("MAKEFLAGS");
	char *auth = flags ? strstr(flags, "--jobserver-auth=") : NULL;

	if (!auth && flags)
		auth = strstr(flags, "--jobserver-fds="); /* before 4.2 */
	if (argc < 1)
		return 127;
	if (auth) {
		filter(argv);
		filter_makeflags(auth);
	}
	run(argv);
	fprintf(stderr, "make: %s\n", strerror(errno));
	return 127;
}
