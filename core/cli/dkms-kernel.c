// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dkms autoinstall, match and kernel_*: all modules of a kernel at once.
 *
 * Below a package manager the hooks of this kernel's package only see to it that a sync
 * comes; it decides by what is on disk and in the database at the end.
 */
#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/backend.h"
#include "lib/sync.h"

/* A kernel of which nothing is here is none that a sync looks at. */
static bool lacks_headers(struct cli *cli, const char *kernel)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	_cleanup_free_ char *headers =
		kp_strf("%s/%s/build/include", cli->ctx->install_tree, kernel);

	return !kp_kernel_is_present(cli->ctx, kernel) &&
	       !kp_is_dir_in(cli->ctx->root_fd, headers) &&
	       kp_sources_load(cli->ctx, &sources, NULL) == 0 && sources.n;
}

/* The kernel's modules as a sync makes them. */
static int sync_kernel(struct dkms *d, char **kernels, void *data)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	struct kp_sync_opts opts = { .kernels = kernels, .jobs = d->jobs };
	struct cli *cli = d->cli;
	int rc;

	(void)data;
	rc = cli_sync(cli, &opts, &result);
	if (rc < 0)
		return rc;
	if (cli_in_transaction(cli))
		return DKMS_OK;
	if (result.no_headers || lacks_headers(cli, kernels[0]))
		return cli_no_headers(cli, kernels[0]);
	if (result.failed || result.remembered)
		return cli_fail(cli, DKMS_AUTOINSTALL,
				"some modules of kernel %s could not be made; kmodpkg "
				"status says which",
				kernels[0]);
	return DKMS_OK;
}

int dkms_autoinstall(struct dkms *d)
{
	if (kp_exists_in(d->cli->ctx->root_fd, "/etc/dkms/no-autoinstall"))
		kp_info("/etc/dkms/no-autoinstall is there: nothing is built by itself");
	return dkms_each_arch(d, sync_kernel, NULL);
}

int dkms_kernel_postinst(struct dkms *d)
{
	return dkms_autoinstall(d);
}

/* ---- the kernel goes ---- */

/* The modules that a sync builds by itself for one of KERNELS; a string vector. */
static int find_automatic(struct dkms *d, char **kernels, char ***ret)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts look = { .kernels = kernels };
	int rc = kp_world_load(d->cli->ctx, &look, &w, &d->cli->err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < w.input.n_pairs; i++) {
		const struct kp_plan_pair *x = &w.input.pairs[i];
		const char *module = w.input.sources[x->source].module;

		if (x->autoinstall && !kp_strv_has(*ret, module) &&
		    kp_strv_has(kernels, w.input.kernels[x->kernel].release))
			kp_strv_add(ret, module);
	}
	return 0;
}

/* What is built for KERNELS, of MODULES or (NULL) of all. */
static int drop_builds(struct dkms *d, char **kernels, char **modules)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	struct cli *cli = d->cli;
	int rc = kp_sources_load(cli->ctx, &sources, &cli->err);

	for (size_t i = 0; i < sources.n; i++) {
		const struct kp_source *s = &sources.list[i];

		if (modules && !kp_strv_has(modules, s->module))
			continue;
		for (char **k = kernels; rc == 0 && *k; k++)
			rc = kp_record_drop(cli->ctx, s->module, s->version, *k,
					    &cli->err);
	}
	return rc;
}

static int leave_kernel(struct dkms *d, char **kernels, void *data)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	struct kp_sync_opts opts = { .kernels = kernels, .leave = true };
	_cleanup_strv_ char **modules = NULL;
	const bool *only_automatic = data;
	int rc = 0;

	if (*only_automatic)
		rc = find_automatic(d, kernels, &modules);
	if (rc < 0 || (*only_automatic && !modules))
		return rc;
	opts.modules = modules;
	rc = cli_sync(d->cli, &opts, &result);
	if (rc == 0 && result.failed)
		return cli_fail(d->cli, DKMS_KERNEL_HOOK,
				"some modules of kernel %s could not be removed",
				kernels[0]);
	return rc ? rc : drop_builds(d, kernels, modules);
}

/* Below a package manager its files are still there when this runs; a sync at the end of the
 * transaction looks what became of them. */
static int leave(struct dkms *d, bool only_automatic)
{
	if (cli_in_transaction(d->cli))
		return DKMS_OK;
	return dkms_each_arch(d, leave_kernel, &only_automatic);
}

int dkms_kernel_prerm(struct dkms *d)
{
	return leave(d, false);
}

int dkms_kernel_preinst(struct dkms *d)
{
	return leave(d, true);
}

/* ---- match ---- */

/* M/V of what is installed for the template kernel; of d->module only if it was named. */
static int find_installed(struct dkms *d, char ***ret)
{
	struct cli *cli = d->cli;
	struct kp_pkg_installed *list;
	size_t n;
	int rc;

	*ret = NULL;
	rc = kp_backend_list(cli->ctx, &list, &n, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (kp_str_eq(list[i].id.kernel, d->template_kernel) &&
		    (!d->module || kp_str_eq(d->module, list[i].id.module)))
			kp_strv_addf(ret, "%s/%s", list[i].id.module, list[i].id.version);
	kp_pkg_list_free(list, n);
	kp_strv_sort(*ret);
	return 0;
}

static bool in_tree(struct dkms *d)
{
	_cleanup_free_ char *dir = kp_path_join(d->cli->ctx->dkms_tree, d->module);

	return kp_is_dir_in(d->cli->ctx->root_fd, dir);
}

int dkms_match(struct dkms *d)
{
	_cleanup_strv_ char **found = NULL;
	int rc, status = DKMS_OK;

	if (!d->template_kernel)
		return cli_fail(d->cli, DKMS_USAGE,
				"match needs --templatekernel KERNEL");
	for (size_t i = 0; i < d->n_pairs; i++)
		if (kp_str_eq(d->pairs[i].kernel, d->template_kernel))
			return cli_fail(d->cli, DKMS_OPTION,
					"the template and the kernel are both %s",
					d->template_kernel);
	if (d->module && !in_tree(d))
		return cli_fail(d->cli, DKMS_UNKNOWN, "%s is not in the tree", d->module);
	rc = find_installed(d, &found);
	if (rc < 0)
		return rc;
	if (!found)
		kp_info("nothing is installed for kernel %s", d->template_kernel);
	kp_strv_foreach(p, found) {
		_cleanup_strv_ char **words = kp_strv_split(*p, "/");

		free(d->module);
		free(d->version);
		d->module = kp_strdup(words[0]);
		d->version = kp_strdup(words[1]);
		rc = dkms_install(d);
		if (status == DKMS_OK)
			status = rc;
	}
	return status;
}
