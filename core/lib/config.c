// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include <kmodpkg/log.h>

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

static int parse_names(const struct place *at, const char *value, char ***ret,
		       struct kp_err *err)
{
	_cleanup_strv_ char **names = kp_strv_split(value, " \t");

	kp_strv_foreach(p, names)
		if (!kp_name_ok(*p))
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
		ok = ok && kp_name_ok(*p);
	if (!ok)
		return bad_value(at, value, "yes, no or module names", err);
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

static int parse_backend(const struct place *at, const char *value, char **ret,
			 struct kp_err *err)
{
	/* It becomes part of a file name in the plugin directory. */
	if (*value && !kp_name_ok(value))
		return bad_value(at, value, "the name of a backend", err);
	free(*ret);
	*ret = *value ? kp_strdup(value) : NULL;
	return 0;
}

static int set_value(const struct place *at, const char *value, struct kp_config *config,
		     struct kp_err *err)
{
	static const char *const modes[] = { "auto", "yes", "no", NULL };
	static const char *const sandbox[] = { "available", "required", NULL };
	const char *key = at->key;
	int i = 0, r;

	if (!strcmp(key, "jobs"))
		return parse_number(at, value, 0, JOBS_MAX, &config->jobs, err);
	if (!strcmp(key, "timeout"))
		return parse_number(at, value, 1, TIMEOUT_MINUTES_MAX,
				    &config->timeout_minutes, err);
	if (!strcmp(key, "limit_processes"))
		return parse_number(at, value, PROCESSES_MIN, PROCESSES_MAX,
				    &config->limits.processes, err);
	if (!strcmp(key, "limit_memory"))
		return parse_size(at, value, all_memory(), &config->limits.memory, err);
	if (!strcmp(key, "limit_disk"))
		return parse_size(at, value, 0, &config->limits.disk, err);
	if (!strcmp(key, "keep_free"))
		return parse_size(at, value, 0, &config->limits.keep_free, err);
	if (!strcmp(key, "cache_size"))
		return parse_number(at, value, 0, CACHE_MIB_MAX, &config->cache_mib, err);
	if (!strcmp(key, "backend"))
		return parse_backend(at, value, &config->backend, err);
	if (!strcmp(key, "sign")) {
		r = parse_word(at, value, modes, "auto, yes or no", &i, err);
		if (!r)
			config->sign = (enum kp_sign_mode)i;
		return r;
	}
	if (!strcmp(key, "sandbox")) {
		r = parse_word(at, value, sandbox, "required or available", &i, err);
		if (!r)
			config->sandbox_required = i;
		return r;
	}
	if (!strcmp(key, "sign_key"))
		return parse_path(at, value, true, &config->sign_key, err);
	if (!strcmp(key, "sign_cert"))
		return parse_path(at, value, false, &config->sign_cert, err);
	if (!strcmp(key, "sign_tool"))
		return parse_path(at, value, false, &config->sign_tool, err);
	if (!strcmp(key, "sign_pin_file"))
		return parse_path(at, value, false, &config->sign_pin_file, err);
	if (!strcmp(key, "initramfs")) {
		r = parse_word(at, value, modes, "auto, yes or no", &i, err);
		if (!r)
			config->initramfs = (enum kp_refresh_mode)i;
		return r;
	}
	if (!strcmp(key, "install_scripts"))
		return parse_scripts(at, value, config, err);
	if (!strcmp(key, "probe_answers"))
		return parse_bool(at, value, &config->probe_answers, err);
	if (!strcmp(key, "debug_info"))
		return parse_bool(at, value, &config->debug_info, err);
	if (!strcmp(key, "depend_on_kernel"))
		return parse_bool(at, value, &config->depend_on_kernel, err);
	if (!strcmp(key, "optional"))
		return parse_names(at, value, &config->optional, err);
	if (!strcmp(key, "required"))
		return parse_names(at, value, &config->required, err);
	kp_warn("%s:%u: unknown key \"%.100s\", ignoring", at->file, at->line, key);
	return 0;
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

static int parse_line(struct place *at, char *line, struct kp_config *config,
		      struct kp_err *err)
{
	char *equals;

	cut_comment(line);
	line = kp_str_strip(line);
	if (!*line)
		return 0;
	equals = strchr(line, '=');
	if (!equals || equals == line)
		return kp_err_set(err, -EINVAL,
				  "%s:%u: expected \"key = value\", found \"%.100s\"",
				  at->file, at->line, line);
	*equals = '\0';
	at->key = kp_str_strip(line);
	return set_value(at, kp_str_strip(equals + 1), config, err);
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

int kp_config_parse(const char *text, const char *file, struct kp_config *config,
		    struct kp_err *err)
{
	struct place at = { .file = file };

	while (*text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = kp_strndup(text, n);
		int r;

		at.line++;
		r = parse_line(&at, line, config, err);
		if (r)
			return r;
		text += n;
		text += *text == '\n';
	}
	return 0;
}

void kp_config_clear(struct kp_config *config)
{
	free(config->backend);
	free(config->sign_key);
	free(config->sign_cert);
	free(config->sign_tool);
	free(config->sign_pin_file);
	free(config->install_tree);
	kp_strv_free(config->script_modules);
	kp_strv_free(config->optional);
	kp_strv_free(config->required);
	*config = (struct kp_config){ 0 };
}
