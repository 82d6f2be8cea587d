// SPDX-License-Identifier: GPL-2.0-or-later
/* What a build, a signature and a transaction need of the machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/backend.h"
#include "lib/doctor.h"
#include "lib/sandbox.h"
#include "lib/tool.h"

#define VERSION_MAX 4096
/* Less than a build needs. */
#define ROOM_MIN (16ULL << 20)

static bool is_here(const struct kp_ctx *ctx)
{
	return !strcmp(ctx->root, "/");
}

/* Is there a module that is to be built for this kernel? */
static bool is_built_for(const struct kp_world *w, const struct kp_kernel *k)
{
	for (size_t i = 0; i < w->plan.n_rows; i++)
		if (w->plan.rows[i].wanted &&
		    kp_str_eq(w->plan.rows[i].kernel, k->release))
			return true;
	return false;
}

/* ---- compilers */

/* The package that a person installs, as a command; NULL where the manager's is not known. */
static char *install_command(const struct kp_ctx *ctx, const char *package)
{
	const struct kp_backend *b = ctx->backend;
	const char *verb = b->ops->install ? b->ops->install(b->db) : NULL;

	return verb ? kp_strf("%s %s", verb, package) : NULL;
}

/* Major version of a compiler, 0: unknown. */
static int major_of(const struct kp_ctx *ctx, const char *cc)
{
	_cleanup_free_ char *path = kp_tool_find(ctx, cc), *out = NULL;
	const char *argv[] = { path, "-dumpversion", NULL };
	struct kp_proc proc = { .argv = argv };

	if (!path || kp_proc_capture(&proc, VERSION_MAX, &out, NULL, NULL) < 0)
		return 0;
	return atoi(out);
}

/* Of a number as the kernel has it: 120200 is 12. */
static int major_of_config(const char *config, bool clang)
{
	_cleanup_free_ char *value = kp_kconfig_get(config, clang ? "CONFIG_CLANG_VERSION"
								  : "CONFIG_GCC_VERSION");

	return value ? atoi(value) / 10000 : 0;
}

static void look_at_compiler(struct kp_ctx *ctx, const struct kp_kernel *k,
			     struct kp_doctor *d)
{
	_cleanup_(kp_kernel_build_clear) struct kp_kernel_build kb = { 0 };
	_cleanup_free_ char *config = NULL, *path = NULL;
	struct kp_err err = KP_ERR_INIT;
	const char *cc;
	int wants, is, r;

	r = kp_kernel_build_load(ctx, k, &kb, &err);
	if (r < 0) {
		kp_doctor_add(d, "compiler",
			      kp_strf("kernel %s: %s", k->release, kp_err_text(&err, r)),
			      NULL);
		return;
	}
	if (!kb.config_path || kp_read_in(ctx->root_fd, kb.config_path, 0, &config, NULL))
		return;
	cc = kb.cc ? kb.cc : kb.clang ? "clang" : "gcc";
	path = kp_tool_find(ctx, cc);
	wants = major_of_config(config, kb.clang);
	if (!path) {
		kp_doctor_add(d, "compiler",
			      kp_strf("kernel %s: its compiler %s is not installed",
				      k->release, cc),
			      install_command(ctx, cc));
		return;
	}
	is = is_here(ctx) ? major_of(ctx, cc) : 0;
	if (is && wants && is != wants) {
		_cleanup_free_ char *package =
			kp_strf("%s-%d", kb.clang ? "clang" : "gcc", wants);

		kp_doctor_add(
			d, "compiler",
			kp_strf("kernel %s was built by version %d of its compiler, "
				"%s is version %d",
				k->release, wants, cc, is),
			kp_ctx_distro_is(ctx, "debian ubuntu")
				? install_command(ctx, package)
				: NULL);
	}
}

static void look_at_compilers(struct kp_ctx *ctx, const struct kp_world *w,
			      struct kp_doctor *d)
{
	static const char *const tools[] = { "make", "patch", "strip" };
	static const char *const packages[] = { "make", "patch", "binutils" };
	bool any = false;

	for (size_t i = 0; i < w->kernels.n; i++) {
		const struct kp_kernel *k = &w->kernels.list[i];

		if (!k->present || !k->headers || !is_built_for(w, k))
			continue;
		any = true;
		look_at_compiler(ctx, k, d);
	}
	for (size_t i = 0; any && i < KP_ARRAY_SIZE(tools); i++) {
		_cleanup_free_ char *path = kp_tool_find(ctx, tools[i]);

		if (!path)
			kp_doctor_add(d, "compiler",
				      kp_strf("%s is not installed", tools[i]),
				      install_command(ctx, packages[i]));
	}
}

/* ---- signing */

static void look_at_enrolment(struct kp_ctx *ctx, struct kp_doctor *d)
{
	const struct kp_doctor_signing *s = &d->signing;
	char *command;

	if (!s->enforced || !s->certificate)
		return;
	if (s->enrolled == KP_ENROLLED_NO) {
		command = kp_secure_boot_command(ctx, s->certificate);
		kp_doctor_add(
			d, "signing",
			kp_strf("Secure Boot is on and does not know the key %s that "
				"modules are signed with%s%s",
				s->key,
				command ? "" : "; put into the firmware's list (db): ",
				command ? "" : s->certificate),
			command);
	}
	if (s->enrolled == KP_ENROLLED_PENDING)
		kp_doctor_add(d, "signing",
			      kp_strf("the key %s is to be confirmed at the next boot",
				      s->key),
			      kp_strdup("reboot"));
}

/* Modules that this kernel will not load. */
static void look_at_unsigned(const struct kp_world *w, struct kp_doctor *d)
{
	for (size_t i = 0; d->signing.enforced && i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		const struct kp_record *rec =
			row->pair == SIZE_MAX ? NULL : w->pairs[row->pair].record;

		if (row->state != KP_STATE_INSTALLED || !rec ||
		    rec->result != KP_BUILD_OK || rec->is_signed)
			continue;
		kp_doctor_add(d, "signing",
			      kp_strf("%s/%s for %s is not signed, and Secure Boot is on",
				      row->module, row->version, row->kernel),
			      kp_strf("kmodpkg sync --force %s/%s -k %s", row->module,
				      row->version, row->kernel));
	}
}

/* The configuration may have a key for each kernel: the running one's, or the newest's. */
static const char *kernel_of(const struct kp_world *w)
{
	const char *running = kp_kernel_running();

	if (running)
		return running;
	return w->kernels.n ? w->kernels.list[w->kernels.n - 1].release : "";
}

/* Builds do not see it; other users of the machine may. */
static void look_at_key(struct kp_ctx *ctx, struct kp_doctor *d)
{
	const char *key = d->signing.key;
	struct stat st;

	if (!key || kp_stat_in(ctx->root_fd, key, &st) < 0 || !(st.st_mode & 077))
		return;
	kp_doctor_add(d, "signing",
		      kp_strf("the key '%s' is not for its owner alone (mode %04o)", key,
			      st.st_mode & 07777),
		      kp_strf("chmod 600 %s", key));
}

/* Once, whatever the number of kernels. */
static void add_unsignable(struct kp_doctor *d, const char *why)
{
	for (size_t i = 0; i < d->n; i++)
		if (kp_str_eq(d->list[i].what, why))
			return;
	kp_doctor_add(d, "signing", kp_strdup(why), NULL);
}

/* For what a build would end before it begins. Only root can tell what it would sign with. */
static void look_at_signers(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_doctor *d)
{
	for (size_t i = 0; geteuid() == 0 && i < w->kernels.n; i++) {
		const struct kp_kernel *k = &w->kernels.list[i];
		_cleanup_(kp_kernel_build_clear) struct kp_kernel_build kb = { 0 };
		struct kp_err err = KP_ERR_INIT;

		if (k->present && k->headers && is_built_for(w, k) &&
		    kp_kernel_build_load(ctx, k, &kb, NULL) == 0 &&
		    kp_sign_check(ctx, k, &kb, &err) < 0)
			add_unsignable(d, err.text);
	}
}

static void look_at_signing(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_doctor *d)
{
	struct kp_doctor_signing *s = &d->signing;
	struct kp_err err = KP_ERR_INIT;
	int r;

	s->booted = is_here(ctx) && kp_kernel_booted_us();
	s->secure_boot = s->booted && kp_secure_boot_is_on(ctx);
	s->enforced = s->secure_boot && kp_secure_boot_enforces(ctx);
	s->wanted = ctx->config.sign != KP_SIGN_NO;
	if (s->wanted) {
		r = kp_sign_key(ctx, kernel_of(w), &s->key, &s->certificate, &err);
		/* One that is not there is made when it is needed. */
		if (r < 0 && r != -ENOKEY)
			add_unsignable(d, kp_err_text(&err, r));
		look_at_signers(ctx, w, d);
	} else if (s->enforced) {
		kp_doctor_add(d, "signing",
			      kp_strdup("Secure Boot is on, and the configuration says "
					"\"sign = no\""),
			      NULL);
	}
	look_at_key(ctx, d);
	if (s->booted && s->certificate)
		s->enrolled = kp_secure_boot_knows(ctx, s->certificate);
	look_at_enrolment(ctx, d);
	look_at_unsigned(w, d);
}

/* ---- the rest */

static void add_hook(void *data, const char *what, const char *mend)
{
	kp_doctor_add(data, "hooks", kp_strdup(what), kp_strdup(mend));
}

static void look_at_hooks(struct kp_ctx *ctx, struct kp_doctor *d)
{
	const struct kp_backend *b = ctx->backend;
	struct kp_err err = KP_ERR_INIT;
	int r = b->ops->check_hooks ? b->ops->check_hooks(b->db, add_hook, d, &err) : 0;

	if (r < 0)
		kp_doctor_add(d, "hooks", kp_strdup(kp_err_text(&err, r)), NULL);
}

static void look_at_sandbox(struct kp_ctx *ctx, struct kp_doctor *d)
{
	/* Who is not root has none, and builds nothing. */
	const char *missing =
		is_here(ctx) && geteuid() == 0 ? kp_sandbox_missing() : NULL;

	if (missing)
		kp_doctor_add(d, "sandbox",
			      kp_strf("%s: %s",
				      ctx->config.sandbox_required
					      ? "nothing can be built, with sandbox = "
						"required and a protection missing"
					      : "builds run without some of their "
						"protections",
				      missing),
			      NULL);
}

static void look_at_disks(struct kp_ctx *ctx, struct kp_doctor *d)
{
	const char *const dirs[] = { ctx->state_dir, ctx->dkms_tree, ctx->log_dir,
				     ctx->install_tree };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_close_ int fd =
			kp_open_in(ctx->root_fd, dirs[i], O_PATH | O_DIRECTORY, 0);
		struct statvfs st;

		if (fd == -ENOENT)
			continue;
		if (fd < 0 || fstatvfs(fd, &st) < 0)
			kp_doctor_add(d, "disk",
				      kp_strf("%s: %s", dirs[i],
					      strerror(fd < 0 ? -fd : errno)),
				      NULL);
		else if (st.f_flag & ST_RDONLY)
			kp_doctor_add(
				d, "disk",
				kp_strf("%s cannot be written to, its file system is "
					"read-only",
					dirs[i]),
				NULL);
		else if (st.f_blocks && (uint64_t)st.f_bavail * st.f_frsize < ROOM_MIN)
			kp_doctor_add(d, "disk",
				      kp_strf("there is no room left in %s", dirs[i]),
				      NULL);
	}
}

void kp_doctor_machine(struct kp_ctx *ctx, const struct kp_world *w, struct kp_doctor *d)
{
	look_at_compilers(ctx, w, d);
	look_at_signing(ctx, w, d);
	look_at_hooks(ctx, d);
	look_at_sandbox(ctx, d);
	look_at_disks(ctx, d);
}
