// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/lock.h"
#include "lib/artifact.h"
#include "lib/tool.h"

#define LOCK_WAIT_MS (60 * 1000)

/* Key and certificate under temporary names, with what DKMS puts into them. */
static int run_openssl(struct kp_ctx *ctx, const char *key, const char *cert, int log_fd,
		       struct kp_err *err)
{
	_cleanup_free_ char *openssl = NULL;
	const char *argv[] = {
		NULL,	    "req",
		"-new",	    "-x509",
		"-newkey",  "rsa:2048",
		"-nodes",   "-days",
		"36500",    "-sha256",
		"-subj",    "/CN=DKMS module signing key",
		"-addext",  "extendedKeyUsage=codeSigning",
		"-outform", "DER",
		"-keyout",  key,
		"-out",	    cert,
		NULL,
	};
	struct kp_proc proc = { .argv = argv, .out_fd = log_fd, .err_fd = log_fd };
	int r;

	r = kp_tool_need(ctx, "openssl", "openssl", &openssl, err);
	if (r < 0)
		return r;
	argv[0] = openssl;
	return kp_proc_run(&proc, NULL, err);
}

/* Give FROM its mode and its bytes to the disk, then its name. */
static int publish(struct kp_ctx *ctx, const char *from, const char *to, mode_t mode,
		   struct kp_err *err)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	int r = fd;

	if (fd >= 0)
		r = fchmod(fd, mode) < 0 || fsync(fd) < 0
			    ? -errno
			    : kp_rename_in(ctx->root_fd, from, to);
	return r < 0 ? kp_err_sys(err, r, "write '%s'", to) : 0;
}

static int generate(struct kp_ctx *ctx, const char *key, const char *cert, int log_fd,
		    struct kp_err *err)
{
	_cleanup_free_ char *new_key = kp_strf("%s.new", key);
	_cleanup_free_ char *new_cert = kp_strf("%s.new", cert);
	_cleanup_close_ int key_fd = -1;
	int r;

	(void)kp_unlink_in(ctx->root_fd, new_key);
	/* Ours and private before openssl writes into it. */
	key_fd = kp_open_in(ctx->root_fd, new_key, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (key_fd < 0)
		return kp_err_sys(err, key_fd, "create '%s'", new_key);
	r = run_openssl(ctx, new_key, new_cert, log_fd, err);
	/* The key last: it is what says that the pair is whole. */
	if (!r)
		r = publish(ctx, new_cert, cert, 0644, err);
	if (!r)
		r = publish(ctx, new_key, key, 0600, err);
	if (!r)
		r = kp_sync_dir_in(ctx->root_fd, ctx->dkms_tree);
	(void)kp_unlink_in(ctx->root_fd, new_key);
	(void)kp_unlink_in(ctx->root_fd, new_cert);
	return r < 0 ? r : 0;
}

int kp_mok_generate(struct kp_ctx *ctx, int log_fd, struct kp_err *err)
{
	_cleanup_free_ char *key = kp_path_join(ctx->dkms_tree, "mok.key");
	_cleanup_free_ char *cert = kp_path_join(ctx->dkms_tree, "mok.pub");
	_cleanup_free_ char *lock = kp_path_join(ctx->run_dir, "mok.lock");
	_cleanup_close_ int lock_fd = -1;
	int r;

	r = kp_mkdir_in(ctx->root_fd, ctx->dkms_tree, 0755, err);
	if (r < 0)
		return r;
	/* Jobs that sign at the same time must not make a key each. */
	r = kp_lock_take(ctx->root_fd, lock, "makes a signing key", LOCK_WAIT_MS,
			 &lock_fd, err);
	if (r < 0)
		return r;
	if (kp_exists_in(ctx->root_fd, key))
		return 0;
	r = generate(ctx, key, cert, log_fd, err);
	if (r < 0) {
		kp_err_prefix(err, "make a key to sign modules with");
		return r;
	}
	kp_info("made the key '%s' to sign modules with; where Secure Boot is on, enrol its "
		"certificate once: mokutil --import %s",
		key, cert);
	return 0;
}
