// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From directives to what is to be built. The rules are those of DKMS 3.4.3, dkms(8).
 */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"

/* Far more than any conf has. */
#define REGEX_MAX 2048
#define REPEAT_MAX 1000

const char *kp_conf_value(const struct kp_conf *conf, const char *name,
			  unsigned int index)
{
	const char *value = kp_vars_get(conf->vars, name, index);

	return value ? value : "";
}

static size_t count(const struct kp_conf *conf, const char *name)
{
	const struct kp_var *var = kp_vars_find(conf->vars, name);

	return var ? var->n_elems : 0;
}

/*
 * Can it be given to regcomp() in this process? That of glibc recurses for each parenthesis,
 * up to the end of the stack, and writes repetitions out, up to the end of memory; matching
 * a back reference takes exponential time.
 */
static bool is_harmless(const char *regex)
{
	unsigned long repeat = 1;

	if (strlen(regex) > REGEX_MAX)
		return false;
	for (const char *p = regex; *p; p++) {
		unsigned long least, most;
		char *end;

		if (*p == '\\' && isdigit((unsigned char)p[1]))
			return false;
		if (*p != '{')
			continue;
		least = strtoul(p + 1, &end, 10);
		most = *end == ',' ? strtoul(end + 1, NULL, 10) : 0;
		most = most > least ? most : least;
		if (most > REPEAT_MAX)
			return false;
		repeat *= most ? most : 1;
		if (repeat > REPEAT_MAX)
			return false;
	}
	return true;
}

bool kp_conf_match(struct kp_conf *conf, const char *directive, const char *regex,
		   const char *text)
{
	regex_t re;
	bool match;

	if (!is_harmless(regex) || regcomp(&re, regex, REG_EXTENDED | REG_NOSUB)) {
		_cleanup_free_ char *line = kp_strf(
			"%s: '%.100s' is not a regular expression, or too much of "
			"one, and matches nothing",
			directive, regex);

		if (!kp_strv_has(conf->warnings, line))
			kp_strv_take(&conf->warnings, kp_steal(&line));
		return false;
	}
	match = !regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return match;
}

const char *kp_conf_script_name(enum kp_conf_script s)
{
	static const char *const names[KP_SCRIPT_COUNT] = {
		[KP_SCRIPT_PRE_BUILD] = "PRE_BUILD",
		[KP_SCRIPT_POST_BUILD] = "POST_BUILD",
		[KP_SCRIPT_PRE_INSTALL] = "PRE_INSTALL",
		[KP_SCRIPT_POST_INSTALL] = "POST_INSTALL",
		[KP_SCRIPT_POST_ADD] = "POST_ADD",
		[KP_SCRIPT_POST_REMOVE] = "POST_REMOVE",
	};

	return names[s];
}

/* Names become parts of paths and of package names. */
static int check_name(const char *file, const char *directive, const char *name,
		      struct kp_err *err)
{
	if (!*name)
		return kp_err_set(err, -EINVAL, "%s: %s is not set", file, directive);
	if (!kp_name_ok(name))
		return kp_err_set(
			err, -EINVAL,
			"%s: %s is '%s': white space, slashes, '..' and control "
			"characters are not allowed",
			file, directive, name);
	return 0;
}

static int load_switch(const struct kp_conf *conf, const char *directive,
		       const char *file, bool *ret, struct kp_err *err)
{
	const char *value = kp_conf_value(conf, directive, 0);

	*ret = !strcasecmp(value, "yes");
	if (!*ret && *value && strcasecmp(value, "no"))
		return kp_err_set(err, -EINVAL, "%s: %s is '%s': expected yes or no",
				  file, directive, value);
	return 0;
}

/* A location without what changes nothing in it: "./src//x/" -> "src/x", "." -> "". */
static int load_location(const char *file, const char *directive, unsigned int i,
			 const char *value, char **ret, struct kp_err *err)
{
	_cleanup_strv_ char **parts = kp_strv_split(value, "/");
	_cleanup_buf_ struct kp_buf path = KP_BUF_INIT;

	kp_strv_foreach(p, parts)
		if (strcmp(*p, "."))
			kp_buf_addf(&path, "%s%s", path.len ? "/" : "", *p);
	if (path.len && (!kp_relpath_ok(path.s) || strchr(path.s, ' ')))
		return kp_err_set(err, -EINVAL,
				  "%s: %s[%u] is '%s': white space, '..' and control "
				  "characters are not allowed",
				  file, directive, i, value);
	*ret = kp_buf_steal(&path);
	return 0;
}

static bool load_strip(struct kp_conf *conf, unsigned int index)
{
	const char *value = kp_conf_value(conf, "STRIP", index);

	if (!*value && index)
		return conf->modules[0].strip;
	if (*value && !strchr("yYnN", *value)) {
		kp_strv_addf(&conf->warnings,
			     "STRIP[%u] is '%s': neither yes nor no, taken as yes", index,
			     value);
		return true;
	}
	return *value != 'n' && *value != 'N';
}

static int check_suffix(const char *file, const char *directive, unsigned int record,
			const char *name, struct kp_err *err)
{
	if (kp_str_ends(name, ".o") || kp_str_ends(name, ".ko"))
		return kp_err_set(err, -EINVAL,
				  "%s: %s[%u] is '%s': it must not end in .o or .ko",
				  file, directive, record, name);
	return 0;
}

static int load_names(struct kp_conf *conf, struct kp_conf_module *m, unsigned int i,
		      bool only, const char *file, struct kp_err *err)
{
	const char *built = kp_conf_value(conf, "BUILT_MODULE_NAME", i);
	const char *dest = kp_conf_value(conf, "DEST_MODULE_NAME", i);
	_cleanup_free_ char *at_built = kp_strf("BUILT_MODULE_NAME[%u]", i);
	_cleanup_free_ char *at_dest = kp_strf("DEST_MODULE_NAME[%u]", i);
	int r;

	if (!*built && only)
		built = conf->name;
	if (!*dest)
		dest = built;
	r = check_name(file, at_built, built, err);
	if (!r)
		r = check_name(file, at_dest, dest, err);
	if (!r)
		r = check_suffix(file, "BUILT_MODULE_NAME", i, built, err);
	if (!r)
		r = check_suffix(file, "DEST_MODULE_NAME", i, dest, err);
	if (r < 0)
		return r;
	m->built_name = kp_strdup(built);
	m->dest_name = kp_strdup(dest);
	return 0;
}

static int load_locations(struct kp_conf *conf, struct kp_conf_module *m, unsigned int i,
			  const char *file, struct kp_err *err)
{
	const char *built = kp_conf_value(conf, "BUILT_MODULE_LOCATION", i);
	const char *dest = kp_conf_value(conf, "DEST_MODULE_LOCATION", i);
	_cleanup_free_ char *at = NULL, *from = NULL;
	int r;

	if (!*dest)
		return kp_err_set(err, -EINVAL, "%s: DEST_MODULE_LOCATION[%u] is not set",
				  file, i);
	if (!kp_str_starts(dest, "/kernel") && !kp_str_starts(dest, "/updates") &&
	    !kp_str_starts(dest, "/extra"))
		return kp_err_set(
			err, -EINVAL,
			"%s: DEST_MODULE_LOCATION[%u] is '%s': it must begin with "
			"/kernel, /updates or /extra",
			file, i, dest);
	r = load_location(file, "DEST_MODULE_LOCATION", i, dest, &at, err);
	if (!r)
		r = load_location(file, "BUILT_MODULE_LOCATION", i, built, &from, err);
	if (r < 0)
		return r;
	m->dest_location = kp_strf("/%s", at);
	m->built_location = kp_strf("%s%s", from, *from ? "/" : "");
	return 0;
}

/* A record that repeats the file or the installed name of an earlier one. */
static int check_duplicate(const struct kp_conf *conf, unsigned int i, const char *file,
			   struct kp_err *err)
{
	const struct kp_conf_module *m = &conf->modules[i];

	for (unsigned int j = 0; j < i; j++) {
		const struct kp_conf_module *o = &conf->modules[j];

		if (kp_str_eq(m->built_name, o->built_name) &&
		    kp_str_eq(m->built_location, o->built_location))
			return kp_err_set(err, -EINVAL,
					  "%s: BUILT_MODULE_NAME[%u] and [%u] are both "
					  "'%s%s'",
					  file, j, i, m->built_location, m->built_name);
		if (kp_str_eq(m->dest_name, o->dest_name))
			return kp_err_set(
				err, -EINVAL,
				"%s: DEST_MODULE_NAME[%u] and [%u] are both '%s'", file,
				j, i, m->dest_name);
	}
	return 0;
}

static int load_modules(struct kp_conf *conf, const char *file, struct kp_err *err)
{
	static const char *const arrays[] = { "BUILT_MODULE_NAME",
					      "BUILT_MODULE_LOCATION", "DEST_MODULE_NAME",
					      "DEST_MODULE_LOCATION" };
	size_t n = 0, alloc = 0;
	int r;

	/* The arrays may have holes: the highest index counts. */
	for (size_t i = 0; i < KP_ARRAY_SIZE(arrays); i++) {
		const struct kp_var *var = kp_vars_find(conf->vars, arrays[i]);

		if (var && (size_t)var->elems[var->n_elems - 1].index + 1 > n)
			n = (size_t)var->elems[var->n_elems - 1].index + 1;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct kp_conf_module *m;

		KP_GROW(conf->modules, conf->n_modules, alloc);
		m = &conf->modules[conf->n_modules++];
		*m = (struct kp_conf_module){ 0 };
		m->strip = load_strip(conf, i);
		r = load_names(conf, m, i, n == 1, file, err);
		if (!r)
			r = load_locations(conf, m, i, file, err);
		if (!r)
			r = check_duplicate(conf, i, file, err);
		if (r < 0)
			return r;
	}
	if (!n)
		kp_strv_add(&conf->warnings, "no module is named: nothing will be built");
	return 0;
}

/* MAKE[0] unless it has a MAKE_MATCH; then the last one whose MAKE_MATCH fits. DKMS
 * counts the elements and stops there, so those behind a hole are not seen. */
static void load_make(struct kp_conf *conf, const char *kernelver)
{
	const char *line = "";

	if (!*kp_conf_value(conf, "MAKE_MATCH", 0))
		line = kp_conf_value(conf, "MAKE", 0);
	for (unsigned int i = 0; i < count(conf, "MAKE"); i++) {
		const char *match = kp_conf_value(conf, "MAKE_MATCH", i);
		const char *value = kp_conf_value(conf, "MAKE", i);

		if (*value && *match && kernelver &&
		    kp_conf_match(conf, "MAKE_MATCH", match, kernelver))
			line = value;
	}
	conf->make = *line ? kp_strdup(line) : NULL;
}

static void load_patches(struct kp_conf *conf, const char *kernelver)
{
	for (unsigned int i = 0; i < count(conf, "PATCH"); i++) {
		const char *match = kp_conf_value(conf, "PATCH_MATCH", i);
		const char *value = kp_conf_value(conf, "PATCH", i);

		if (*value && (!*match || (kernelver && kp_conf_match(conf, "PATCH_MATCH",
								      match, kernelver))))
			kp_strv_add(&conf->patches, value);
	}
}

static int load_depends(struct kp_conf *conf, const char *file, struct kp_err *err)
{
	const struct kp_var *var = kp_vars_find(conf->vars, "BUILD_DEPENDS");
	int r;

	for (size_t i = 0; var && i < var->n_elems; i++) {
		_cleanup_strv_ char **words = kp_strv_split(var->elems[i].value, " \t\n");

		kp_strv_foreach(p, words) {
			r = check_name(file, "BUILD_DEPENDS", *p, err);
			if (r < 0)
				return r;
			if (!kp_strv_has(conf->build_depends, *p))
				kp_strv_add(&conf->build_depends, *p);
		}
	}
	return 0;
}

int kp_conf_rules(struct kp_conf *conf, const struct kp_conf_env *env, const char *file,
		  struct kp_err *err)
{
	int r;

	conf->name = kp_strdup(kp_conf_value(conf, "PACKAGE_NAME", 0));
	conf->version = kp_strdup(kp_conf_value(conf, "PACKAGE_VERSION", 0));
	r = check_name(file, "PACKAGE_NAME", conf->name, err);
	if (!r)
		r = check_name(file, "PACKAGE_VERSION", conf->version, err);
	if (!r)
		r = load_modules(conf, file, err);
	if (!r)
		r = load_switch(conf, "AUTOINSTALL", file, &conf->autoinstall, err);
	if (!r)
		r = load_switch(conf, "NO_WEAK_MODULES", file, &conf->no_weak_modules,
				err);
	if (!r)
		r = load_switch(conf, "BUILD_DEPENDS_REBUILD", file,
				&conf->build_depends_rebuild, err);
	if (!r)
		r = load_depends(conf, file, err);
	if (r < 0)
		return r;
	for (enum kp_conf_script s = 0; s < KP_SCRIPT_COUNT; s++) {
		const char *value = kp_conf_value(conf, kp_conf_script_name(s), 0);

		conf->scripts[s] = *value ? kp_strdup(value) : NULL;
	}
	/* As DKMS had it while it heeded it. */
	conf->remake_initrd =
		tolower((unsigned char)*kp_conf_value(conf, "REMAKE_INITRD", 0)) == 'y';
	load_make(conf, env->kernelver);
	load_patches(conf, env->kernelver);
	return 0;
}
