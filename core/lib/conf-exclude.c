// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BUILD_EXCLUSIVE_*: for which kernels a source says it is not meant.
 *
 * Element n speaks about module n; element 0, the same thing as the bare name, about all.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"

/* A kernel's .config has 300 kB. */
#define KCONFIG_MAX (16 * 1024 * 1024)

struct exclude {
	struct kp_ctx *ctx;
	struct kp_conf *conf;
	const struct kp_conf_env *env;
	const char *arch;
	char *kconfig; /* NULL: not read yet, or not there */
	bool kconfig_read;
};

/* Numbers of one or two digits padded to three, so that byte order is the order of
 * versions; as DKMS has it, longer ones stay as they are. */
static char *pad_version(const char *s)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;

	while (*s) {
		size_t n = strspn(s, "0123456789");

		if (!n) {
			if (*s != ' ') /* DKMS separates by blanks and drops them */
				kp_buf_addc(&out, *s);
			s++;
			continue;
		}
		for (size_t i = n; i < 3; i++)
			kp_buf_addc(&out, '0');
		kp_buf_add(&out, s, n);
		s += n;
	}
	return kp_buf_steal(&out);
}

static int compare_versions(const char *a, const char *b)
{
	_cleanup_free_ char *pa = pad_version(a), *pb = pad_version(b);

	return strcmp(pa, pb);
}

/* Does the configuration have a line NAME=y or NAME=m? */
static bool is_enabled(const char *kconfig, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = kconfig; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, n) && line[n] == '=' &&
		    (line[n + 1] == 'y' || line[n + 1] == 'm'))
			return true;
	}
	return false;
}

static int read_kconfig(struct exclude *x, struct kp_err *err)
{
	const char *path = x->env->kernel_config;
	size_t len;
	int r;

	if (x->kconfig_read || !path)
		return 0;
	x->kconfig_read = true;
	r = kp_read_in(x->ctx->root_fd, path, KCONFIG_MAX, &x->kconfig, &len);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0; /* no configuration: nothing is known, nothing is excluded */
	return r < 0 ? kp_err_sys(err, r, "reading %s", path) : 0;
}

/* Words of BUILD_EXCLUSIVE_CONFIG[index]; *ret: the reason, NULL: not excluded. */
static int check_config(struct exclude *x, unsigned int index, char **ret,
			struct kp_err *err)
{
	const char *value = kp_conf_value(x->conf, "BUILD_EXCLUSIVE_CONFIG", index);
	_cleanup_strv_ char **words = kp_strv_split(value, " \t\n");
	int r;

	if (!words)
		return 0;
	r = read_kconfig(x, err);
	if (r < 0 || !x->kconfig)
		return r;
	kp_strv_foreach(p, words) {
		bool negated = **p == '!';
		const char *name = *p + negated;

		if (is_enabled(x->kconfig, name) == negated) {
			*ret = kp_strf("%s is %s in this kernel", name,
				       negated ? "set" : "not set");
			return 0;
		}
	}
	return 0;
}

static char *check_versions(struct exclude *x, unsigned int index)
{
	const char *kernel = x->env->kernelver;
	const char *regex = kp_conf_value(x->conf, "BUILD_EXCLUSIVE_KERNEL", index);
	const char *min = kp_conf_value(x->conf, "BUILD_EXCLUSIVE_KERNEL_MIN", index);
	const char *max = kp_conf_value(x->conf, "BUILD_EXCLUSIVE_KERNEL_MAX", index);
	const char *arch = kp_conf_value(x->conf, "BUILD_EXCLUSIVE_ARCH", index);

	if (*regex && !kp_conf_match(x->conf, "BUILD_EXCLUSIVE_KERNEL", regex, kernel))
		return kp_strf("kernel %s does not match BUILD_EXCLUSIVE_KERNEL '%s'",
			       kernel, regex);
	if (*min && compare_versions(kernel, min) < 0)
		return kp_strf("kernel %s is older than BUILD_EXCLUSIVE_KERNEL_MIN %s",
			       kernel, min);
	if (*max && compare_versions(kernel, max) > 0)
		return kp_strf("kernel %s is newer than BUILD_EXCLUSIVE_KERNEL_MAX %s",
			       kernel, max);
	if (*arch && !kp_conf_match(x->conf, "BUILD_EXCLUSIVE_ARCH", arch, x->arch))
		return kp_strf("architecture %s does not match BUILD_EXCLUSIVE_ARCH '%s'",
			       x->arch, arch);
	return NULL;
}

static int check(struct exclude *x, unsigned int index, char **ret, struct kp_err *err)
{
	*ret = check_versions(x, index);
	return *ret ? 0 : check_config(x, index, ret, err);
}

/* The kernel has the module itself: DKMS takes OBSOLETE_BY as a maximum when it builds,
 * and does not install for that very version either. */
static char *check_obsolete(struct exclude *x)
{
	const char *by = kp_conf_value(x->conf, "OBSOLETE_BY", 0);

	if (!*by || compare_versions(x->env->kernelver, by) < 0)
		return NULL;
	return kp_strf("kernel %s is not older than OBSOLETE_BY %s", x->env->kernelver,
		       by);
}

static int exclude_modules(struct exclude *x, struct kp_err *err)
{
	struct kp_conf *conf = x->conf;
	_cleanup_free_ char *all = check_obsolete(x);
	size_t n_excluded = 0;
	int r = 0;

	if (!all)
		r = check(x, 0, &all, err);
	for (unsigned int i = 0; !r && i < conf->n_modules; i++) {
		char **reason = &conf->modules[i].excluded;

		if (all)
			*reason = kp_strdup(all);
		else if (i)
			r = check(x, i, reason, err);
		n_excluded += *reason != NULL;
	}
	if (r < 0)
		return r;
	if (conf->n_modules && n_excluded == conf->n_modules)
		conf->excluded = kp_strdup(conf->modules[0].excluded);
	return 0;
}

int kp_conf_exclude(struct kp_ctx *ctx, struct kp_conf *conf,
		    const struct kp_conf_env *env, struct kp_err *err)
{
	struct exclude x = {
		.ctx = ctx,
		.conf = conf,
		.env = env,
		.arch = env->arch ? env->arch : ctx->arch,
	};
	int r;

	if (!env->kernelver)
		return 0;
	r = exclude_modules(&x, err);
	free(x.kconfig);
	return r;
}
