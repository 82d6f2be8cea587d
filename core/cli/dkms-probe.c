// SPDX-License-Identifier: GPL-2.0-or-later
/* dkms --modprobe-on-install: load what the machine's devices ask for. */
#include <errno.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "lib/kernel.h"
#include "lib/tool.h"

#define DEVICES "/sys/devices"
#define DEPTH_MAX 32 /* of /sys/devices; far above what bus topologies have */

/* The alias of each device (sysfs attribute "modalias"), in the order of the tree. */
static void find_aliases(int root_fd, const char *dir, int depth, char ***aliases)
{
	_cleanup_strv_ char **names = NULL;

	if (depth > DEPTH_MAX)
		return;
	(void)kp_list_in(root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name), *text = NULL;
		struct stat st;

		if (kp_lstat_in(root_fd, path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			find_aliases(root_fd, path, depth + 1, aliases);
		} else if (kp_str_eq(*name, "modalias") && S_ISREG(st.st_mode) &&
			   kp_read_in(root_fd, path, 0, &text, NULL) == 0) {
			char *alias = kp_str_strip(text);

			if (*alias && *alias != '-' && !kp_strv_has(*aliases, alias))
				kp_strv_add(aliases, alias);
		}
	}
}

void dkms_probe_devices(struct dkms *d)
{
	struct kp_ctx *ctx = d->cli->ctx;
	const char *running = kp_kernel_running();
	_cleanup_strv_ char **argv = NULL;
	_cleanup_free_ char *modprobe = NULL;
	struct kp_proc proc = { 0 };
	struct kp_err err = KP_ERR_INIT;
	bool runs = false;
	int rc;

	for (size_t i = 0; i < d->n_pairs; i++)
		runs |= kp_str_eq(d->pairs[i].kernel, running);
	if (!runs)
		return;
	rc = kp_tool_need(ctx, "modprobe", "kmod", &modprobe, &err);
	if (rc == 0) {
		kp_strv_add(&argv, modprobe);
		kp_strv_add(&argv, "-a"); /* all that follow */
		kp_strv_add(&argv, "-b"); /* but what is blacklisted */
		kp_strv_add(&argv, "-q"); /* most aliases have no module */
		find_aliases(ctx->root_fd, DEVICES, 0, &argv);
		proc.argv = (const char *const *)argv;
		rc = kp_proc_run(&proc, NULL, &err);
	}
	/* modprobe fails when any one alias is nobody's, which is usual. */
	if (rc < 0 && rc != -ECHILD)
		kp_warn("%s", kp_err_text(&err, rc));
}
