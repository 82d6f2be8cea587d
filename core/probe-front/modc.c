// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "modc.h"

const char *const kp_modc_names[] = {
	/* preprocessor, C */
	"include", "define", "ifdef", "ifndef", "else", "endif", "static", "const",
	"struct", "char", "unsigned", "int", "long", "u8", "u32", "u64",
	/* scripts/mod/modpost.c, scripts/module-common.c of Linux 5.4 to 7.2 */
	"BUILD_LTO_INFO", "BUILD_SALT", "CONFIG_MITIGATION_RETPOLINE",
	"CONFIG_MODULE_UNLOAD", "CONFIG_RETPOLINE", "CONFIG_UNWINDER_ORC",
	"INCLUDE_VERMAGIC", "KSYMTAB_DATA", "KSYMTAB_FUNC", "MODULE_ALIAS", "SYMBOL_CRC",
	"SYMBOL_FLAGS", "KBUILD_MODNAME", "MODULE_ARCH_INIT", "MODULE_INFO", "ORC_HEADER",
	"VERMAGIC_STRING", "__section", "__section__", "__this_module", "__used",
	"__attribute__", "__version_ext_crcs", "__version_ext_names",
	"____version_ext_crcs", "____version_ext_names", "____versions", "__visible",
	"alias", "arch", "cleanup_module", "depends", "exit", "import_ns", "init",
	"init_module", "intree", "livepatch", "modversion_info", "module", "name",
	"retpoline", "scmversion", "srcversion", "staging", "test", "vermagic", NULL
};

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/* WORDS end with NULL. */
static bool starts_with_one(const char *s, const char *const *words)
{
	while (*words && !starts(s, *words))
		words++;
	return *words;
}

static bool ends(const char *s, const char *with)
{
	size_t n = strlen(s), m = strlen(with);

	return n >= m && !strcmp(s + n - m, with);
}

/* ---- arguments ---- */

/* A path that reads the same in a list of dependencies, in a comment and in a line. */
static bool is_path(const char *s)
{
	return s && *s && *s != '-' &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789/._+~-")];
}

static bool is_name_macro(const char *w)
{
	static const char *const names[] = { "-DKBUILD_BASENAME=", "-DKBUILD_MODNAME=",
					     "-D__KBUILD_MODNAME=", "-DKBUILD_MODFILE=",
					     NULL };

	return starts_with_one(w, names);
}

static bool is_debug(const char *w)
{
	return starts(w, "-g") &&
	       !w[2 + strspn(w + 2, "abcdefghijklmnopqrstuvwxyz0123456789-=")];
}

/* Lines of source in messages, of which there are none. */
static bool is_context(const char *w)
{
	static const char option[] = "-fdiagnostics-show-context";

	if (!starts(w, option))
		return false;
	w += strlen(option);
	return !*w || (*w == '=' && w[1] && !w[1 + strspn(w + 1, "0123456789")]);
}

/* What has the compiler put out functions and variables that nothing uses, of which there are more in all
 * headers, or its own arguments. */
static bool is_telling(const char *w)
{
	static const char *const options[] = { "-fkeep-", "-fno-toplevel-reorder",
					       "-fno-unit-at-a-time",
					       "-frecord-gcc-switches", NULL };

	return starts_with_one(w, options);
}

enum kp_modc_arg kp_modc_arg(char *const *argv, size_t *ret_n, const char **ret_path)
{
	const char *w = argv[0], *next = argv[1];

	*ret_n = 1;
	*ret_path = NULL;
	if (!strcmp(w, "-include")) {
		*ret_n = 2;
		*ret_path = next;
		return is_path(next) ? KP_MODC_PATH : KP_MODC_NO;
	}
	if (starts(w, "-I")) {
		*ret_path = w + 2;
		return is_path(w + 2) ? KP_MODC_PATH : KP_MODC_NO;
	}
	if (!strcmp(w, "-o")) {
		*ret_n = 2;
		return is_path(next) ? KP_MODC_NAMES : KP_MODC_NO;
	}
	if (starts(w, "-Wp,-MMD,"))
		return is_path(w + strlen("-Wp,-MMD,")) ? KP_MODC_NAMES : KP_MODC_NO;
	if (is_name_macro(w) || is_path(w))
		return KP_MODC_NAMES;
	if (is_telling(w))
		return KP_MODC_NO;
	if (!strcmp(w, "-c") || is_debug(w) || is_context(w) || kp_question_is_option(w))
		return KP_MODC_KEEP;
	return KP_MODC_NO;
}

bool kp_modc_parse(char *const *argv, struct kp_modc *ret)
{
	struct kp_modc m = { .argv = argv };
	const char *debug = "-g0", *level = "-O0", *path;
	bool compiles = false;
	size_t i, n;

	for (i = 1; argv[i] && i < KP_QUESTION_ARGS_MAX; i += n) {
		const char *w = argv[i];
		enum kp_modc_arg kind = kp_modc_arg(argv + i, &n, &path);

		if (kind == KP_MODC_NO)
			return false;
		if (kind == KP_MODC_PATH)
			m.relative |= *path != '/';
		compiles |= !strcmp(w, "-c");
		if (is_debug(w))
			debug = w;
		if (starts(w, "-O"))
			level = w;
		if (kind != KP_MODC_NAMES || is_name_macro(w))
			continue;
		if (n == 2)
			m.output = argv[i + 1];
		else if (*w == '-')
			m.dep = w + strlen("-Wp,-MMD,");
		else if (m.source)
			return false;
		else
			m.source = w;
	}
	if (argv[i] || !compiles || !m.source || !m.output || strcmp(debug, "-g0") != 0 ||
	    !strcmp(level, "-O0") ||
	    !(ends(m.source, ".mod.c") || ends(m.source, "/module-common.c")))
		return false;
	m.n_args = i;
	*ret = m;
	return true;
}

/* ---- the file ---- */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"

static bool is_one_of(const char *const *words, const char *s, size_t n)
{
	for (; *words; words++)
		if (strlen(*words) == n && !memcmp(*words, s, n))
			return true;
	return false;
}

/* "#include <linux/x.h>", "#define INCLUDE_VERMAGIC", conditions by a known name: 'i', 'd', '+', 'e'(lse), '-';
 * 0: something else. */
static int directive(const char *line, size_t n)
{
	static const char *const dirs[] = { "#include <linux/", "#include <asm/" };
	static const char *const ifs[] = { "#ifdef ", "#ifndef " };

	for (size_t i = 0; i < 2; i++) {
		size_t m = strlen(dirs[i]), k = strlen(ifs[i]);

		if (n > m + 3 && !memcmp(line, dirs[i], m)) {
			size_t name = strspn(line + m, LETTERS "-");

			return name && m + name + 3 == n &&
					       !memcmp(line + m + name, ".h>", 3)
				       ? 'i'
				       : 0;
		}
		if (n > k && !memcmp(line, ifs[i], k))
			return is_one_of(kp_modc_names, line + k, n - k) ? '+' : 0;
	}
	if (n == 24 && !memcmp(line, "#define INCLUDE_VERMAGIC", n))
		return 'd';
	if (n == 5 && !memcmp(line, "#else", n))
		return 'e';
	return n == 6 && !memcmp(line, "#endif", n) ? '-' : 0;
}

/* Where the comment, string or number at *P ends. False: it is none of these, is not closed, or goes on
 * in another line. */
static bool skip_opaque(const char **p, const char *end)
{
	const char *s = *p;

	if (end - s >= 2 && s[0] == '/' && s[1] == '*') {
		const char *close = memmem(s + 2, (size_t)(end - s) - 2, "*/", 2);

		*p = close ? close + 2 : end;
		return close != NULL;
	}
	if (end - s >= 2 && s[0] == '/' && s[1] == '/') {
		const char *eol = memchr(s, '\n', (size_t)(end - s));

		/* A backslash at its end would take the next line along. */
		*p = eol ?: end;
		return eol && !memchr(s, '\\', (size_t)(eol - s)) &&
		       !memmem(s, (size_t)(eol - s), "?\?/", 3);
	}
	if (*s == '"') {
		for (s++; s < end && *s != '"' && *s != '\n'; s++)
			if (*s == '\\' && (++s >= end || *s == '\n'))
				return false;
		*p = s + 1;
		return s < end && *s == '"';
	}
	if (isdigit((unsigned char)*s)) {
		while (s < end && (isalnum((unsigned char)*s) || *s == '_'))
			s++;
		*p = s;
		return true;
	}
	return false;
}

/* What an exported symbol is an argument of, behind "(". Such macros make a string of it. */
static const char *const takes_symbol[] = { "KSYMTAB_DATA", "KSYMTAB_FUNC", "SYMBOL_CRC",
					    "SYMBOL_FLAGS", NULL };

/* Is the name S among MACROS, LEN bytes of hashes? */
static bool is_macro(const char *s, size_t n, const char *macros, size_t len)
{
	char hash[KP_MODC_HASH + 1];
	size_t low = 0, high = len / KP_MODC_HASH;

	kp_modc_name_hash(s, n, hash);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int rc = memcmp(macros + middle * KP_MODC_HASH, hash, KP_MODC_HASH);

		if (!rc)
			return true;
		if (rc < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* A file that is being read. */
struct reading {
	const char *p, *end;
	char *head; /* NULL: not asked for */
	size_t used, fixed;
	bool at_start;	    /* of a line */
	bool has_code;	    /* something but directives */
	bool wants_symbol;  /* a name of the source's own may follow */
	const char *macros; /* that it must not be; NULL: not known yet */
	size_t macros_len;
};

static bool read_directive(struct reading *r)
{
	const char *eol = memchr(r->p, '\n', (size_t)(r->end - r->p));
	size_t n = eol ? (size_t)(eol - r->p) + 1 : 0;
	int kind = n ? directive(r->p, n - 1) : 0;

	if (!kind || (r->has_code && (kind == 'i' || kind == 'd')))
		return false;
	if (r->head && !r->has_code) {
		if (r->used + n >= KP_MODC_HEAD_MAX)
			return false;
		memcpy(r->head + r->used, r->p, n);
		r->used += n;
	}
	if (kind == 'i' || kind == 'd')
		r->fixed = r->used;
	r->p = eol;
	return true;
}

static bool read_name(struct reading *r)
{
	size_t n = 1;

	while (r->p + n < r->end && strchr(LETTERS, r->p[n]))
		n++;
	if (!is_one_of(kp_modc_names, r->p, n) &&
	    (!r->wants_symbol ||
	     (r->macros && is_macro(r->p, n, r->macros, r->macros_len))))
		return false;
	/* "NAME(": no white space in between, as modpost writes it. */
	r->wants_symbol =
		is_one_of(takes_symbol, r->p, n) && r->p + n < r->end && r->p[n] == '(';
	r->p += n + r->wants_symbol;
	r->at_start = false;
	r->has_code = true;
	return true;
}

static bool read_file(struct reading *r)
{
	static const char punctuation[] = ",;.=(){}[] \t\n";

	/* It is looked at as a string here and there. */
	if (memchr(r->p, '\0', (size_t)(r->end - r->p)))
		return false;
	while (r->p < r->end) {
		char c = *r->p;

		if (isalpha((unsigned char)c) || c == '_') {
			if (!read_name(r))
				return false;
			continue;
		}
		r->wants_symbol = false;
		if (c == '#' && r->at_start) {
			if (!read_directive(r))
				return false;
		} else if (strchr(punctuation, c)) {
			r->at_start = c == '\n' || (r->at_start && c == ' ');
			r->has_code = r->has_code || !isspace((unsigned char)c);
			r->p++;
		} else if (!skip_opaque(&r->p, r->end)) {
			return false;
		} else {
			r->at_start = false;
		}
	}
	return true;
}

bool kp_modc_head(const char *text, size_t len, char *head)
{
	struct reading r = {
		.p = text, .end = text + len, .head = head, .at_start = true
	};

	if (!read_file(&r) || !r.fixed)
		return false;
	/* What comes behind the last header is no part of it. */
	head[r.fixed] = '\0';
	return true;
}

bool kp_modc_fits(const char *text, size_t len, const char *macros, size_t macros_len)
{
	struct reading r = { .p = text,
			     .end = text + len,
			     .at_start = true,
			     .macros = macros,
			     .macros_len = macros_len };

	return read_file(&r);
}

bool kp_modc_head_ok(const char *head, size_t *ret_open)
{
	size_t open = 0;
	int kind = 0;

	while (*head) {
		size_t n = strcspn(head, "\n");

		kind = head[n] ? directive(head, n) : 0;
		if (!kind || ((kind == '-' || kind == 'e') && !open))
			return false;
		open += kind == '+';
		open -= kind == '-';
		head += n + 1;
	}
	*ret_open = open;
	return kind == 'i' || kind == 'd';
}

/* ---- what is known of it ---- */

static bool add(char *key, size_t *len, const char *s, char end)
{
	size_t n = strlen(s);

	/* It is to lie in a comment, and each argument in a line of it. */
	if (*len + n + 1 > KP_QUESTION_KEY_MAX || strchr(s, '*') ||
	    (!end && strchr(s, '\n')))
		return false;
	memcpy(key + *len, s, n);
	key[*len + n] = end;
	*len += n + 1;
	return true;
}

size_t kp_modc_key(const struct kp_modc *m, const char *cwd, const char *head, char *key)
{
	size_t len = 0, n;
	const char *path;
	bool ok = add(key, &len, m->argv[0], '\0');

	for (size_t i = 1; ok && i < m->n_args; i += n)
		if (kp_modc_arg(m->argv + i, &n, &path) != KP_MODC_NAMES)
			for (size_t j = 0; ok && j < n; j++)
				ok = add(key, &len, m->argv[i + j], '\0');
	if (m->relative && !is_path(cwd))
		return 0;
	ok = ok && add(key, &len, "", '\0') &&
	     add(key, &len, m->relative ? cwd : "", '\n') && add(key, &len, head, '\n');
	/* HEAD has a newline at its end. */
	return ok ? len - 1 : 0;
}

unsigned long long kp_modc_hash(const char *key, size_t len)
{
	/* FNV-1a: a name, no more. */
	unsigned long long hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3;
	return hash;
}

void kp_modc_name_hash(const char *s, size_t n, char *hash)
{
	snprintf(hash, KP_MODC_HASH + 1, "%08x",
		 (unsigned int)(kp_modc_hash(s, n) >> 32));
}

bool kp_modc_is_true(const char *text, size_t len, const char *compiler, const char *key,
		     size_t key_len, struct kp_modc_known *ret)
{
	const size_t begin = strlen(KP_MODC_BEGIN);
	const char *p = text + begin, *end = text + len, *eol;
	size_t from;

	if (len < begin || memcmp(text, KP_MODC_BEGIN, begin) != 0)
		return false;
	from = kp_answers_begin(p, len - begin, compiler);
	if (!from || len - begin - from < key_len)
		return false;
	for (size_t i = 0; i < key_len; i++)
		if (p[from + i] != (key[i] ? key[i] : '\n'))
			return false;
	/* Between P and the empty line are whole lines. */
	ret->headers = p;
	for (int i = 0; i < KP_MODC_OWN && ret->headers < p + from - 1; i++)
		ret->headers = strchr(ret->headers, '\n') + 1;
	ret->headers_len = (size_t)(p + from - 1 - ret->headers);
	ret->macros = p + from + key_len;
	eol = memchr(ret->macros, '\n', (size_t)(end - ret->macros));
	if (!eol || (size_t)(end - eol - 1) < strlen(KP_MODC_END) ||
	    memcmp(eol + 1, KP_MODC_END, strlen(KP_MODC_END)) != 0)
		return false;
	ret->macros_len = (size_t)(eol - ret->macros);
	return true;
}
