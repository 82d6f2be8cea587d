// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/ctx.h"

#define TIMEOUT_MINUTES 120
#define TIMEOUT_MINUTES_MAX (7 * 24 * 60)
#define JOBS_MAX 4096
#define PROCESSES_MIN 64
#define PROCESSES_MAX 1000000
#define CACHE_MIB 1024
#define CACHE_MIB_MAX (16 * 1024 * 1024)

#define UNSIGNED "building nothing for kernels that verify signatures"

enum kind {
	NUMBER,
	BOOL,
	SIZE,
	SHARE, /* a size, or a part of the memory */
	NAMES,
	BACKEND,
	SANDBOX,
	SCRIPTS,
	INITRAMFS,
	SIGN,
	KEY,
	PATH,
};

static const struct setting {
	const char *key;
	enum kind kind;
	size_t at; /* of its member in struct kp_config, 0 where the kind says it */
	int min, max;
} settings[] = {
#define AT(member) offsetof(struct kp_config, member)
	{ "jobs", NUMBER, AT(jobs), 0, JOBS_MAX },
	{ "timeout", NUMBER, AT(timeout_minutes), 1, TIMEOUT_MINUTES_MAX },
	{ "limit_processes", NUMBER, AT(limits.processes), PROCESSES_MIN, PROCESSES_MAX },
	{ "limit_memory", SHARE, AT(limits.memory), 0, 0 },
	{ "limit_disk", SIZE, AT(limits.disk), 0, 0 },
	{ "keep_free", SIZE, AT(limits.keep_free), 0, 0 },
	{ "cache_size", NUMBER, AT(cache_mib), 0, CACHE_MIB_MAX },
	{ "backend", BACKEND, 0, 0, 0 },
	{ "sign", SIGN, 0, 0, 0 },
	{ "sign_key", KEY, AT(sign_key), 0, 0 },
	{ "sign_cert", PATH, AT(sign_cert), 0, 0 },
	{ "sign_tool", PATH, AT(sign_tool), 0, 0 },
	{ "sign_pin_file", PATH, AT(sign_pin_file), 0, 0 },
	{ "initramfs", INITRAMFS, 0, 0, 0 },
	{ "install_scripts", SCRIPTS, 0, 0, 0 },
	{ "probe_answers", BOOL, AT(probe_answers), 0, 0 },
	{ "debug_info", BOOL, AT(debug_info), 0, 0 },
	{ "depend_on_kernel", BOOL, AT(depend_on_kernel), 0, 0 },
	{ "sandbox", SANDBOX, 0, 0, 0 },
	{ "optional", NAMES, AT(optional), 0, 0 },
	{ "required", NAMES, AT(required), 0, 0 },
#undef AT
};

/* Where a value stands, for messages. */
struct place {
	const char *file;
	unsigned int line;
	const char *key;
};

static int bad_value(const struct place *at, const char *value, const char *expected,
		     struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "%s:%u: %s = \"%.100s\": expected %s", at->file,
			  at->line, at->key, value, expected);
}

static int parse_number(const struct place *at, const char *value, int min, int max,
			int *ret, struct kp_err *err)
{
	char expected[64];
	size_t n = strspn(value, "0123456789");
	long v;

	snprintf(expected, sizeof(expected), "a number from %d to %d", min, max);
	/* Nine digits fit a long everywhere. */
	if (!n || value[n] || n > 9)
		return bad_value(at, value, expected, err);
	v = strtol(value, NULL, 10);
	if (v < min || v > max)
		return bad_value(at, value, expected, err);
	*ret = (int)v;
	return 0;
}

/* One of the NULL-terminated WORDS; *ret is its index. */
static int parse_word(const struct place *at, const char *value, const char *const *words,
		      const char *expected, int *ret, struct kp_err *err)
{
	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], value)) {
			*ret = i;
			return 0;
		}
	}
	return bad_value(at, value, expected, err);
}

static int parse_bool(const struct place *at, const char *value, bool *ret,
		      struct kp_err *err)
{
	static const char *const words[] = { "no", "yes", NULL };
	int i = 0, r;

	r = parse_word(at, value, words, "yes or no", &i, err);
	if (!r)
		*ret = i;
	return r;
}

/* An empty value gives back the default. */
static int parse_path(const struct place *at, const char *value, bool uri, char **ret,
		      struct kp_err *err)
{
	if (*value && *value != '/' && !(uri && kp_str_starts(value, "pkcs11:")))
		return bad_value(at, value,
				 uri ? "an absolute path or a pkcs11: URI"
				     : "an absolute path",
				 err);
	free(*ret);
	*ret = *value ? kp_strdup(value) : NULL;
	return 0;
}

/* What has a comma is several, wrongly separated. */
static bool is_module_name(const char *word)
{
	return kp_name_ok(word) && !strchr(word, ',');
}

static int parse_names(const struct place *at, const char *value, char ***ret,
		       struct kp_err *err)
{
	_cleanup_strv_ char **names = kp_strv_split(value, " \t");

	kp_strv_foreach(p, names)
		if (!is_module_name(*p))
			return bad_value(at, *p, "module names, separated by spaces",
					 err);
	kp_strv_free(*ret);
	*ret = kp_steal(&names);
	return 0;
}

/* "yes", "no" or the modules that may. */
static int parse_scripts(const struct place *at, const char *value,
			 struct kp_config *config, struct kp_err *err)
{
	_cleanup_strv_ char **words = kp_strv_split(value, " \t");
	bool one = words && !words[1], yes = kp_strv_has(words, "yes"),
	     no = kp_strv_has(words, "no"), ok = words && (one || (!yes && !no));

	kp_strv_foreach(p, words)
		ok = ok && is_module_name(*p);
	if (!ok)
		return bad_value(at, value,
				 "yes, no or module names, separated by spaces", err);
	config->install_scripts = !no;
	kp_strv_free(config->script_modules);
	config->script_modules = yes || no ? NULL : kp_steal(&words);
	return 0;
}

/* Bytes, from "512M", "20G", "no" (0), or with OF a share of that, "80%". */
static int parse_size(const struct place *at, const char *value, uint64_t of,
		      uint64_t *ret, struct kp_err *err)
{
	size_t n = strspn(value, "0123456789");
	const char *unit = value + n;
	uint64_t v;

	if (!strcmp(value, "no")) {
		*ret = 0;
		return 0;
	}
	v = n && n < 10 ? strtoull(value, NULL, 10) : 0;
	if (v && !strcmp(unit, "M"))
		*ret = v << 20;
	else if (v && !strcmp(unit, "G"))
		*ret = v << 30;
	else if (v && of && v <= 100 && !strcmp(unit, "%"))
		*ret = of / 100 * v;
	else
		return bad_value(
			at, value,
			of ? "a size such as 8G or 512M, a share such as 80%, or no"
			   : "a size such as 8G or 512M, or no",
			err);
	return 0;
}

/* Swap counts: it is there to be used. */
static uint64_t all_memory(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return 0;
	return ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
}

static int parse_backend(const struct place *at, const char *value,
			 struct kp_config *config, struct kp_err *err)
{
	/* It becomes part of a file name in the plugin directory. */
	if (*value && !kp_name_ok(value))
		return bad_value(at, value, "the name of a backend", err);
	free(config->backend);
	free(config->backend_at);
	config->backend = *value ? kp_strdup(value) : NULL;
	config->backend_at = kp_strf("%s:%u", at->file, at->line);
	return 0;
}

static int set_value(const struct setting *s, const struct place *at, const char *value,
		     struct kp_config *config, struct kp_err *err)
{
	static const char *const modes[] = { "auto", "yes", "no", NULL };
	static const char *const sandbox[] = { "available", "required", NULL };
	void *member = (char *)config + s->at;
	int i = 0, r = 0;

	switch (s->kind) {
	case NUMBER:
		return parse_number(at, value, s->min, s->max, member, err);
	case BOOL:
		return parse_bool(at, value, member, err);
	case SIZE:
		return parse_size(at, value, 0, member, err);
	case SHARE:
		return parse_size(at, value, all_memory(), member, err);
	case NAMES:
		return parse_names(at, value, member, err);
	case BACKEND:
		return parse_backend(at, value, config, err);
	case SANDBOX:
		r = parse_word(at, value, sandbox, "required or available", &i, err);
		if (!r)
			config->sandbox_required = i;
		return r;
	case INITRAMFS:
		r = parse_word(at, value, modes, "auto, yes or no", &i, err);
		if (!r)
			config->initramfs = (enum kp_refresh_mode)i;
		return r;
	case SCRIPTS:
		return parse_scripts(at, value, config, err);
	case SIGN:
		r = parse_word(at, value, modes, "auto, yes or no", &i, err);
		if (!r)
			config->sign = (enum kp_sign_mode)i;
		return r;
	case KEY:
	case PATH:
		return parse_path(at, value, s->kind == KEY, member, err);
	}
	return r;
}

/* ---- what is wrong */

/* Are A and B the same but for SLIPS letters: one too many, missing, wrong, or two in the wrong
 * order? */
static bool is_near(const char *a, const char *b, int slips)
{
	while (*a && tolower((unsigned char)*a) == *b) {
		a++;
		b++;
	}
	if (!*a && !*b)
		return true;
	if (!slips--)
		return false;
	return (*a && is_near(a + 1, b, slips)) || (*b && is_near(a, b + 1, slips)) ||
	       (*a && *b && is_near(a + 1, b + 1, slips)) ||
	       (*a && *b && a[0] == b[1] && a[1] == b[0] && is_near(a + 2, b + 2, slips));
}

static const struct setting *find_setting(const char *key, bool exactly)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(settings); i++) {
		const char *k = settings[i].key;

		if (exactly ? !strcmp(k, key) : is_near(key, k, strlen(k) < 6 ? 1 : 2))
			return &settings[i];
	}
	return NULL;
}

/* What TEXT is about, as far as that can be told: a key that is misspelt, or stands among other words
 * ("export sandbox", "sandbox required"). */
static const struct setting *guess_setting(const char *text)
{
	_cleanup_strv_ char **words = kp_strv_split(text, " \t\"':.[]");
	const struct setting *s = find_setting(text, false);

	for (char **w = words; !s && w && *w; w++)
		s = find_setting(*w, false);
	return s;
}

static void add_problem(struct kp_config *config, const struct kp_err *why,
			const char *consequence)
{
	if (why->code && !config->wrong.code)
		config->wrong = *why;
	kp_strv_addf(&config->problems, "%s, %s", why->text, consequence);
}

static void distrust_signing(struct kp_config *config, const struct kp_err *why)
{
	config->sign = KP_SIGN_YES;
	if (!config->sign_wrong)
		config->sign_wrong = kp_strdup(why->text);
}

static void distrust_scripts(struct kp_config *config)
{
	config->install_scripts = false;
	kp_strv_free(kp_steal(&config->script_modules));
}

/* A line about S (NULL: nothing that is known) was not understood. A run goes on with what was
 * said before, unless it could be less safe than was asked for. */
static void take_as_wrong(const struct setting *s, struct kp_config *config,
			  const struct kp_err *why)
{
	const char *consequence = "ignoring";

	switch (s ? s->kind : NUMBER) {
	case SANDBOX:
		config->sandbox_required = true;
		consequence = "taking it for required";
		break;
	case SCRIPTS:
		distrust_scripts(config);
		consequence = "taking it for no";
		break;
	case SIGN:
	case KEY:
	case PATH:
		distrust_signing(config, why);
		consequence = UNSIGNED;
		break;
	default:
		break;
	}
	add_problem(config, why, consequence);
}

void kp_config_distrust(struct kp_config *config, const struct kp_err *why)
{
	config->sandbox_required = true;
	distrust_scripts(config);
	distrust_signing(config, why);
	add_problem(config, why,
		    "taking sandbox for required and install_scripts for no, " UNSIGNED);
}

void kp_config_no_backend(struct kp_config *config, const char *why)
{
	struct kp_err err = KP_ERR_INIT;

	kp_err_set(&err, -EINVAL, "%s: %s", config->backend_at, why);
	add_problem(config, &err, "ignoring");
	free(kp_steal(&config->backend));
}

/* Cut a comment off: a '#' that begins the line or follows white space. */
static void cut_comment(char *line)
{
	for (char *p = line; (p = strchr(p, '#')); p++) {
		if (p == line || p[-1] == ' ' || p[-1] == '\t') {
			*p = '\0';
			return;
		}
	}
}

/* Of a key that is none. What resembles one is a mistake; what does not may be of another version,
 * which is no error. */
static void parse_unknown(const struct place *at, struct kp_config *config)
{
	const struct setting *s = guess_setting(at->key);
	struct kp_err why = KP_ERR_INIT;

	kp_err_set(&why, s ? -EINVAL : 0, "%s:%u: unknown key \"%.100s\"%s%s%s", at->file,
		   at->line, at->key, s ? " (" : "", s ? s->key : "", s ? "?)" : "");
	take_as_wrong(s, config, &why);
}

static void parse_line(struct place *at, char *line, struct kp_config *config)
{
	struct kp_err err = KP_ERR_INIT;
	const struct setting *s;
	char *equals;

	cut_comment(line);
	line = kp_str_strip(line);
	if (!*line)
		return;
	equals = strchr(line, '=');
	if (!equals || equals == line) {
		kp_err_set(&err, -EINVAL,
			   "%s:%u: expected \"key = value\", found \"%.100s\"", at->file,
			   at->line, line);
		take_as_wrong(guess_setting(line), config, &err);
		return;
	}
	*equals = '\0';
	at->key = kp_str_strip(line);
	s = find_setting(at->key, true);
	if (!s)
		parse_unknown(at, config);
	else if (set_value(s, at, kp_str_strip(equals + 1), config, &err) < 0)
		take_as_wrong(s, config, &err);
}

void kp_config_init(struct kp_config *config)
{
	*config = (struct kp_config){
		.install_scripts = true,
		.probe_answers = true,
		.timeout_minutes = TIMEOUT_MINUTES,
		/* Far above what the largest known modules (ZFS, NVIDIA) take. */
		.limits = { .processes = 4096,
			    .memory = all_memory() / 100 * 80,
			    .disk = 32ULL << 30,
			    .keep_free = 256ULL << 20 },
		.cache_mib = CACHE_MIB,
	};
}

static int limit_met(int code, const char *key, struct kp_err *err, uint64_t value,
		     const char *unit)
{
	return kp_err_set(err, code,
			  "met %s (%llu%s); raise %s in " KP_SYSCONF_DIR
			  "/kmodpkg/kmodpkg.conf",
			  key, (unsigned long long)value, unit, key);
}

int kp_limit_met(const struct kp_limits *limits, enum kp_limit which, struct kp_err *err)
{
	const char *key = which == KP_LIMIT_MEMORY ? "limit_memory" : "limit_disk";
	uint64_t mib = (which == KP_LIMIT_MEMORY ? limits->memory : limits->disk) >> 20;

	if (which == KP_LIMIT_PROCESSES)
		return limit_met(-EDQUOT, "limit_processes", err,
				 (uint64_t)limits->processes, "");
	return mib % 1024 ? limit_met(-EDQUOT, key, err, mib, " MiB")
			  : limit_met(-EDQUOT, key, err, mib / 1024, " GiB");
}

int kp_timeout_met(int minutes, struct kp_err *err)
{
	return limit_met(-ETIME, "timeout", err, (uint64_t)minutes,
			 minutes == 1 ? " minute" : " minutes");
}

void kp_config_parse(const char *text, const char *file, struct kp_config *config)
{
	struct place at = { .file = file };

	while (*text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = kp_strndup(text, n);

		at.line++;
		parse_line(&at, line, config);
		text += n;
		text += *text == '\n';
	}
}

void kp_config_clear(struct kp_config *config)
{
	free(config->backend);
	free(config->backend_at);
	free(config->sign_key);
	free(config->sign_cert);
	free(config->sign_tool);
	free(config->sign_pin_file);
	free(config->sign_wrong);
	free(config->install_tree);
	kp_strv_free(config->script_modules);
	kp_strv_free(config->optional);
	kp_strv_free(config->required);
	kp_strv_free(config->problems);
	*config = (struct kp_config){ 0 };
}
