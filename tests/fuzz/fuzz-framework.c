// SPDX-License-Identifier: GPL-2.0-or-later
/* DKMS's framework.conf: whatever it says, what comes of it can be used. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/framework.c"

static void check_path(const char *path)
{
	_cleanup_free_ char *of_kernel = kp_framework_path(path, "6.1.0");

	assert(!path || *path == '/' || kp_str_starts(path, "pkcs11:"));
	assert(!path || !strstr(of_kernel, KERNEL_MARK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = kp_calloc(1, sizeof(*ctx));
	_cleanup_(kp_vars_freep) struct kp_vars *vars = NULL;

	ctx->root_fd = -1;
	kp_config_init(&ctx->config);
	ctx->arch = kp_strdup("x86_64");
	ctx->dkms_tree = kp_strdup("/var/lib/dkms");
	ctx->source_tree = kp_strdup("/usr/src");
	ctx->install_tree = kp_strdup("/lib/modules");
	vars = make_vars(ctx);
	kp_log_set_level(KP_LOG_ERR);
	if (kp_conf_plain((const char *)data, size, vars, NULL) < 0)
		return 0;
	take(vars, ctx);
	assert(*ctx->dkms_tree == '/' && *ctx->source_tree == '/');
	assert(kp_str_eq(ctx->install_tree, "/lib/modules") ||
	       kp_str_eq(ctx->install_tree, "/usr/lib/modules"));
	assert(!ctx->config.install_tree || *ctx->config.install_tree == '/');
	assert(ctx->config.jobs >= 0 && ctx->config.jobs <= JOBS_MAX);
	assert(!ctx->config.sign_key == !ctx->config.sign_cert);
	check_path(ctx->config.sign_key);
	check_path(ctx->config.sign_cert);
	check_path(ctx->config.sign_tool);
	return 0;
}
