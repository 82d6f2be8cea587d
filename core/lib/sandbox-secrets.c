// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/backend.h"
#include "lib/sandbox-means.h"
#include "lib/sandbox-secrets.h"

/* Nothing of these is a module's business; what a build needs from below them (a kernel tree in
 * /home) is bound. /run holds the sockets of the system's services. */
static const char *const places[] = { "/home", "/root", "/run" };

/* Where there is no other user to be, root's files are not kept by their modes. */
static const char *const of_root[] = {
	"/etc/shadow", "/etc/shadow-",	   "/etc/gshadow",    "/etc/gshadow-",
	"/etc/ssh",    "/etc/ssl/private", "/var/spool/cron",
};

static void add(char ***v, const char *path)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *real = NULL;

	/* Resolved: the name may be a link, as /var/run is. */
	if (path && *path == '/' && !kp_realpath_in(root, path, &real) &&
	    !kp_strv_has(*v, real))
		kp_strv_take(v, kp_steal(&real));
}

char **kp_secrets(const struct kp_ctx *ctx, const char *release)
{
	const struct kp_backend *backend = ctx->backend;
	const char *const *locks = backend ? backend->ops->lock_files : NULL;
	char **v = NULL;

	for (size_t i = 0; i < KP_ARRAY_SIZE(places); i++)
		add(&v, places[i]);
	add(&v, ctx->state_dir);
	add(&v, ctx->run_dir);
	kp_sign_secrets(ctx, release, &v);
	for (; locks && *locks; locks++)
		add(&v, *locks);
	for (size_t i = 0; !kp_means()->uid && i < KP_ARRAY_SIZE(of_root); i++)
		add(&v, of_root[i]);
	return v;
}
