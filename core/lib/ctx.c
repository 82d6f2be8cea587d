// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/ctx.h"
#include "lib/framework.h"
#include "lib/tool.h"

#define CONFIG_FILE "/etc/kmodpkg/kmodpkg.conf"
#define CONFIG_DIR CONFIG_FILE ".d"
#define CONFIG_MAX (256 * 1024)
#define OS_RELEASE_MAX (64 * 1024)

static int read_config_file(struct kp_ctx *ctx, const char *file, char **ret,
			    struct kp_err *err)
{
	size_t len;
	int r = kp_read_in(ctx->root_fd, file, CONFIG_MAX, ret, &len);

	if (r < 0)
		return kp_err_sys(err, r, "reading %s", file);
	if (strlen(*ret) != len)
		return kp_err_set(err, -EINVAL, "%s: expected text, found a NUL byte",
				  file);
	return 0;
}

static void load_config_file(struct kp_ctx *ctx, const char *file)
{
	_cleanup_free_ char *text = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r = read_config_file(ctx, file, &text, &err);

	if (r == 0)
		kp_config_parse(text, file, &ctx->config);
	else if (r != -ENOENT)
		kp_config_distrust(&ctx->config, &err);
}

static void load_config(struct kp_ctx *ctx)
{
	_cleanup_strv_ char **names = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	kp_config_init(&ctx->config);
	kp_framework_load(ctx);
	load_config_file(ctx, CONFIG_FILE);
	r = kp_list_in(ctx->root_fd, CONFIG_DIR, &names);
	if (r < 0 && r != -ENOENT) {
		kp_err_sys(&err, r, "reading %s", CONFIG_DIR);
		kp_config_distrust(&ctx->config, &err);
	}
	kp_strv_foreach(p, names) {
		_cleanup_free_ char *file = kp_path_join(CONFIG_DIR, *p);

		/* Not what editors and package managers leave beside them. */
		if (**p != '.' && kp_str_ends(*p, ".conf"))
			load_config_file(ctx, file);
	}
}

/* The value as a shell would have it, of the forms that os-release(5) allows: bare,
 * "double" with backslash escapes, 'single'. In place. */
static char *unquote(char *s)
{
	char quote = *s == '"' || *s == '\'' ? *s : '\0';
	char *in = quote ? s + 1 : s, *out = s;

	while (*in && *in != quote) {
		if (*in == '\\' && quote != '\'' && in[1])
			in++;
		*out++ = *in++;
	}
	*out = '\0';
	return s;
}

/* The value of KEY in an os-release text, the last one if several; to be freed. */
static char *os_release_get(const char *text, const char *key)
{
	_cleanup_strv_ char **lines = kp_strv_split(text, "\n");
	size_t n = strlen(key);
	char *value = NULL;

	kp_strv_foreach(p, lines) {
		char *line = kp_str_strip(*p);

		if (strncmp(line, key, n) || line[n] != '=')
			continue;
		free(value);
		value = kp_strdup(unquote(line + n + 1));
		kp_str_printable(value);
	}
	return value ? value : kp_strdup("");
}

static void load_os_release(struct kp_ctx *ctx)
{
	static const char *const files[] = { "/etc/os-release", "/usr/lib/os-release" };
	_cleanup_free_ char *text = NULL, *like = NULL;
	size_t len;

	/* Nothing fails for the lack of it: it only chooses between defaults. */
	for (size_t i = 0; !text && i < KP_ARRAY_SIZE(files); i++)
		if (kp_read_in(ctx->root_fd, files[i], OS_RELEASE_MAX, &text, &len) < 0)
			text = NULL;
	ctx->distro = os_release_get(text ? text : "", "ID");
	like = os_release_get(text ? text : "", "ID_LIKE");
	ctx->distro_like =
		kp_strf("%s%s%s", ctx->distro, *ctx->distro && *like ? " " : "", like);
}

static int open_root(struct kp_ctx *ctx, const char *root, struct kp_err *err)
{
	_cleanup_free_ char *real = realpath(root, NULL);

	if (!real)
		return kp_err_sys(err, -errno, "root directory %s", root);
	ctx->root_fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ctx->root_fd < 0)
		return kp_err_sys(err, -errno, "root directory %s", real);
	ctx->root = kp_steal(&real);
	return 0;
}

int kp_ctx_open(const char *root, struct kp_ctx **ret, struct kp_err *err)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = kp_calloc(1, sizeof(*ctx));
	struct utsname uts;
	int r;

	ctx->root_fd = -1;
	r = open_root(ctx, root ? root : "/", err);
	if (r < 0)
		return r;
	ctx->dkms_tree = kp_strdup("/var/lib/dkms");
	ctx->source_tree = kp_strdup("/usr/src");
	ctx->install_tree = kp_strdup("/lib/modules");
	ctx->state_dir = kp_strdup("/var/lib/kmodpkg");
	ctx->log_dir = kp_strdup("/var/log/kmodpkg");
	ctx->run_dir = kp_strdup(KP_RUN_DIR);
	ctx->work_dir = kp_strdup("/var/lib/kmodpkg/work");
	ctx->cache_dir = kp_strdup("/var/cache/kmodpkg");
	if (uname(&uts) < 0)
		return kp_err_sys(err, -errno, "uname");
	ctx->arch = kp_strdup(uts.machine);
	load_os_release(ctx);
	load_config(ctx);
	*ret = kp_steal(&ctx);
	return 0;
}

void kp_ctx_close(struct kp_ctx *ctx)
{
	if (!ctx)
		return;
	if (ctx->root_fd >= 0)
		close(ctx->root_fd);
	if (ctx->programs_fd > 0)
		close(ctx->programs_fd);
	free(ctx->root);
	free(ctx->dkms_tree);
	free(ctx->source_tree);
	free(ctx->install_tree);
	free(ctx->state_dir);
	free(ctx->log_dir);
	free(ctx->run_dir);
	free(ctx->work_dir);
	free(ctx->cache_dir);
	free(ctx->arch);
	free(ctx->distro);
	free(ctx->distro_like);
	kp_strv_free(ctx->ignored);
	kp_config_clear(&ctx->config);
	free(ctx);
}

int kp_ctx_enter_root(struct kp_ctx *ctx, struct kp_err *err)
{
	int fd, r;

	if (!strcmp(ctx->root, "/"))
		return 0;
	/* Of the kmodpkg that runs, not of the one that is there. */
	kp_tool_open_own(ctx);
	r = fchdir(ctx->root_fd) < 0 || chroot(".") < 0 ? -errno : 0;
	if (r == -EPERM || r == -EACCES)
		return kp_err_set(err, -EPERM, "entering %s needs root: run this as root",
				  ctx->root);
	if (r < 0)
		return kp_err_sys(err, r, "entering %s", ctx->root);
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return kp_err_sys(err, -errno, "opening %s after entering it", ctx->root);
	close(ctx->root_fd);
	ctx->root_fd = fd;
	free(ctx->root);
	ctx->root = kp_strdup("/");
	return 0;
}

bool kp_ctx_distro_is(const struct kp_ctx *ctx, const char *words)
{
	_cleanup_strv_ char **have = kp_strv_split(ctx->distro_like, " \t");
	_cleanup_strv_ char **want = kp_strv_split(words, " ");

	kp_strv_foreach(p, want)
		if (kp_strv_has(have, *p))
			return true;
	return false;
}
