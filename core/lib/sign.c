// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/framework.h"
#include "lib/sign-parts.h"
#include "lib/tool.h"

/* What a signed module ends in: MODULE_SIG_STRING of Linux'
 * include/linux/module_signature.h. */
#define SIGNATURE_MARKER "~Module signature appended~\n"

static void clear_signer(struct kp_signer *s)
{
	free(s->tool);
	free(s->key);
	free(s->cert);
}

/* A tool of the headers, or NULL. */
static char *find_sign_file(struct kp_ctx *ctx, const struct kp_kernel *kernel)
{
	char *path = kp_path_join(kernel->headers, "scripts/sign-file");

	if (kp_tool_is(ctx, path))
		return path;
	free(path);
	return NULL;
}

/* -ENOPKG: no tool. */
static int find_tool(struct kp_ctx *ctx, const struct kp_kernel *kernel, char **ret,
		     struct kp_err *err)
{
	_cleanup_free_ char *tool =
		kp_framework_path(ctx->config.sign_tool, kernel->release);

	if (tool) {
		if (!kp_tool_is(ctx, tool))
			return kp_err_set(
				err, -ENOENT,
				"the configured sign_tool '%s' is not there, or "
				"not executable",
				tool);
		*ret = kp_steal(&tool);
		return 0;
	}
	*ret = kp_ctx_distro_is(ctx, "ubuntu") ? kp_tool_find(ctx, "kmodsign") : NULL;
	if (!*ret)
		*ret = find_sign_file(ctx, kernel);
	if (!*ret)
		return kp_err_set(err, -ENOPKG,
				  "the headers of kernel %s bring no scripts/sign-file",
				  kernel->release);
	return 0;
}

static bool is_file(const struct kp_ctx *ctx, const char *path)
{
	struct stat st;

	return !kp_stat_in(ctx->root_fd, path, &st) && S_ISREG(st.st_mode);
}

static int configured_key(const struct kp_ctx *ctx, const char *release,
			  struct kp_signer *s, struct kp_err *err)
{
	_cleanup_free_ char *key = kp_framework_path(ctx->config.sign_key, release);
	_cleanup_free_ char *cert = kp_framework_path(ctx->config.sign_cert, release);

	if (!key || !cert)
		return kp_err_set(
			err, -EINVAL,
			"the configuration sets only one of sign_key and sign_cert");
	if (!kp_str_starts(key, "pkcs11:") && !is_file(ctx, key))
		return kp_err_set(err, -ENOENT,
				  "the configured sign_key '%s' is not there", key);
	if (!is_file(ctx, cert))
		return kp_err_set(err, -ENOENT,
				  "the configured sign_cert '%s' is not there", cert);
	s->key = kp_steal(&key);
	s->cert = kp_steal(&cert);
	return 0;
}

/* -ENOKEY: there is none yet. */
static int own_key(struct kp_ctx *ctx, struct kp_signer *s, struct kp_err *err)
{
	s->key = kp_path_join(ctx->dkms_tree, "mok.key");
	s->cert = kp_path_join(ctx->dkms_tree, "mok.pub");
	if (!is_file(ctx, s->key))
		return kp_err_set(err, -ENOKEY, "there is no key '%s'", s->key);
	if (is_file(ctx, s->cert))
		return 0;
	return kp_err_set(err, -ENOENT,
			  "'%s' is there without its certificate '%s': restore it, or "
			  "remove the key to have both made anew",
			  s->key, s->cert);
}

/* Of Ubuntu's shim-signed. */
static const char shim_key[] = "/var/lib/shim-signed/mok/MOK.priv";
static const char shim_cert[] = "/var/lib/shim-signed/mok/MOK.der";

static int find_key(struct kp_ctx *ctx, const char *release, struct kp_signer *s,
		    struct kp_err *err)
{
	if (ctx->config.sign_key || ctx->config.sign_cert)
		return configured_key(ctx, release, s, err);
	if (kp_ctx_distro_is(ctx, "ubuntu") && is_file(ctx, shim_key) &&
	    is_file(ctx, shim_cert)) {
		s->key = kp_strdup(shim_key);
		s->cert = kp_strdup(shim_cert);
		return 0;
	}
	return own_key(ctx, s, err);
}

int kp_sign_key(struct kp_ctx *ctx, const char *release, char **ret_key, char **ret_cert,
		struct kp_err *err)
{
	_cleanup_(clear_signer) struct kp_signer s = { 0 };
	int r = find_key(ctx, release, &s, err);

	if (r < 0)
		return r;
	*ret_key = kp_steal(&s.key);
	*ret_cert = kp_steal(&s.cert);
	return 0;
}

void kp_sign_secrets(const struct kp_ctx *ctx, const char *release, char ***paths)
{
	char *key = kp_framework_path(ctx->config.sign_key, release ?: "");
	char *pin = key ? kp_sign_pin_source(key) : NULL;

	if (ctx->dkms_tree)
		kp_strv_take(paths, kp_path_join(ctx->dkms_tree, "mok.key"));
	kp_strv_add(paths, shim_key);
	if (key)
		kp_strv_take(paths, key);
	if (pin)
		kp_strv_take(paths, pin);
	if (ctx->config.sign_pin_file)
		kp_strv_add(paths, ctx->config.sign_pin_file);
}

/* -ENOKEY: none is made here. */
static int make_key(struct kp_ctx *ctx, int log_fd, struct kp_err *err)
{
	if (ctx->config.sign == KP_SIGN_AUTO && !kp_kernel_booted_us())
		return kp_err_set(err, -ENOKEY,
				  "there is no key '%s/mok.key', and none is made in a "
				  "chroot or container",
				  ctx->dkms_tree);
	return kp_mok_generate(ctx, log_fd, err);
}

/* -EOPNOTSUPP, -ENOPKG, -ENOKEY: this system has no way to sign, the last: not yet. */
static int find_signer(struct kp_ctx *ctx, const struct kp_kernel *kernel,
		       const struct kp_kernel_build *kb, struct kp_signer *s,
		       struct kp_err *err)
{
	int r;

	if (!kb->module_sig || kp_str_empty(kb->sig_hash))
		return kp_err_set(
			err, -EOPNOTSUPP,
			"kernel %s does not verify signatures (CONFIG_MODULE_SIG)",
			kernel->release);
	if (ctx->config.sign_wrong)
		return kp_err_set(err, -EINVAL, "%s", ctx->config.sign_wrong);
	r = find_tool(ctx, kernel, &s->tool, err);
	return r ?: find_key(ctx, kernel->release, s, err);
}

/* Are modules left unsigned for the error R of find_signer()? */
static bool is_tolerated(const struct kp_ctx *ctx, int r)
{
	return ctx->config.sign == KP_SIGN_AUTO &&
	       (r == -EOPNOTSUPP || r == -ENOPKG || r == -ENOKEY);
}

int kp_sign_check(struct kp_ctx *ctx, const struct kp_kernel *kernel,
		  const struct kp_kernel_build *kb, struct kp_err *err)
{
	_cleanup_(clear_signer) struct kp_signer s = { 0 };
	int r;

	if (ctx->config.sign == KP_SIGN_NO)
		return 0;
	r = find_signer(ctx, kernel, kb, &s, err);
	if (is_tolerated(ctx, r))
		return 0;
	/* A key that is not there is made when it is needed. */
	return r < 0 && r != -ENOKEY ? r : kp_signer_check(ctx, &s, err);
}

int kp_artifact_sign(struct kp_ctx *ctx, const char *ko, const struct kp_kernel *kernel,
		     const struct kp_kernel_build *kb, int log_fd, bool *ret_signed,
		     char **ret_why, struct kp_err *err)
{
	_cleanup_(clear_signer) struct kp_signer s = { 0 };
	struct kp_err why = KP_ERR_INIT;
	int r;

	if (ctx->config.sign == KP_SIGN_NO) {
		*ret_signed = false;
		*ret_why = kp_strdup("signing is switched off in the configuration");
		return 0;
	}
	r = find_signer(ctx, kernel, kb, &s, &why);
	if (r == -ENOKEY)
		r = make_key(ctx, log_fd, &why);
	if (is_tolerated(ctx, r)) {
		*ret_signed = false;
		*ret_why = kp_strdup(why.text);
		return 0;
	}
	if (r < 0)
		return kp_err_set(err, r, "not signed: %s", kp_err_text(&why, r));
	r = kp_signer_run(ctx, &s, kb->sig_hash, ko, log_fd, err);
	if (r < 0) {
		kp_err_prefix(err, "not signed");
		return r;
	}
	if (!kp_artifact_is_signed(ctx, ko))
		return kp_err_set(err, -EIO, "'%s' reported success and signed nothing",
				  s.tool);
	*ret_signed = true;
	*ret_why = NULL;
	return 0;
}

bool kp_artifact_is_signed(struct kp_ctx *ctx, const char *ko)
{
	static const char marker[] = SIGNATURE_MARKER;
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, ko, O_RDONLY | O_NONBLOCK, 0);
	char tail[sizeof(marker) - 1];
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       st.st_size >= (off_t)sizeof(tail) &&
	       pread(fd, tail, sizeof(tail), st.st_size - (off_t)sizeof(tail)) ==
		       sizeof(tail) &&
	       !memcmp(tail, marker, sizeof(tail));
}
