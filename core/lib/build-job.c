// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sequence of one build, with DKMS's order: collected is what make left, before POST_BUILD
 * (which may clean up).
 *
 * SIGINT and SIGTERM are blocked here, as the parent left them: the sandbox ends when one is pending, each
 * stage looks before it begins, and the way out cleans up.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/asker.h"
#include "lib/build-job.h"
#include "lib/forget.h"
#include "lib/probe.h"

/* The longest wait for a lock. */
#define MINUTES_MAX (24 * 60)

void kp_build_send(struct kp_build_work *w, enum kp_build_msg_kind kind, int code,
		   const char *text)
{
	struct kp_build_msg msg = { .kind = kind, .code = code };

	snprintf(msg.text, sizeof(msg.text), "%s", text);
	/* A parent that is gone needs no news. */
	(void)kp_write_all(w->msg_fd, &msg, sizeof(msg));
}

static void send_log(enum kp_log_level level, const char *line, void *data)
{
	const char *mark = level == KP_LOG_WARNING ? "warning: "
			   : level == KP_LOG_ERR   ? "error: "
						   : "";

	/* The parent's kp_log() puts it there again. */
	if (kp_str_starts(line, mark))
		line += strlen(mark);
	kp_build_send(data, KP_MSG_LOG, level, line);
}

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

static bool to_end(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM);
}

int kp_build_go_on(const struct kp_build_work *w, struct kp_err *err)
{
	if (to_end())
		return kp_err_set(err, -EINTR, "interrupted");
	if (!w->deadline || kp_now_ms() / 1000 < w->deadline)
		return 0;
	return kp_err_set(err, -ETIME, "no time is left");
}

int kp_build_stage(struct kp_build_work *w, const char *name, struct kp_err *err)
{
	if (to_end())
		return kp_err_set(err, -EINTR, "interrupted");
	kp_build_send(w, KP_MSG_STAGE, 0, name);
	return 0;
}

/* ---- locks ---- */

/* Wait for a lock as long as a build may take. A signal ends the process here: there is
 * nothing yet to clean up. */
static int wait_lock(struct kp_build_work *w, const char *path, const char *what,
		     int *ret, struct kp_err *err)
{
	int minutes = w->ctx->config.timeout_minutes;
	sigset_t set;
	int rc;

	if (minutes <= 0 || minutes > MINUTES_MAX)
		minutes = MINUTES_MAX;
	end_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	rc = kp_lock_take(w->ctx->root_fd, path, what, minutes * 60000, ret, err);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return rc;
}

static int take_locks(struct kp_build_work *w, bool *ret_waited, struct kp_err *err)
{
	const struct kp_source *s = w->job->source;
	_cleanup_free_ char *pair =
		kp_strf("%s/build/%s-%s-%s.lock", w->ctx->run_dir, s->module, s->version,
			w->job->kernel->release);
	_cleanup_free_ char *source =
		kp_strf("%s/build/%s-%s.lock", w->ctx->run_dir, s->module, s->version);
	_cleanup_free_ char *what = kp_strf("building %s/%s for %s", s->module,
					    s->version, w->job->kernel->release);
	int rc;

	rc = kp_lock_take(w->ctx->root_fd, pair, what, KP_LOCK_TRY, &w->locks[0], NULL);
	if (rc == -EBUSY) {
		*ret_waited = true;
		rc = kp_build_stage(w, "wait", err);
	}
	if (rc < 0 || *ret_waited)
		rc = wait_lock(w, pair, what, &w->locks[0], err);
	if (rc < 0 || kp_sandbox_has_mounts())
		return rc;
	/* At the real path there is one build directory per source. */
	return wait_lock(w, source, what, &w->locks[1], err);
}

/* Did somebody else just do our work? Waited for means that a failure is news, too. */
static bool can_join(struct kp_build_work *w, bool waited, struct kp_record **ret)
{
	const struct kp_source *s = w->job->source;
	const char *release = w->job->kernel->release;
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;

	if (w->job->force ||
	    kp_record_load(w->ctx, s->module, s->version, release, &rec, NULL) < 0 ||
	    !kp_str_eq(rec->key, w->job->key))
		return false;
	if (rec->result == KP_BUILD_OK
		    ? !kp_record_intact(w->ctx, s->module, s->version, release, rec)
		    : !waited)
		return false;
	*ret = kp_steal(&rec);
	return true;
}

/* ---- directories ---- */

static int give_to_slot(struct kp_build_work *w, const char *dir, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(w->ctx->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	uid_t uid = kp_sandbox_uid(w->slot);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", dir);
	if (uid != geteuid() && fchown(fd, uid, uid))
		return kp_err_sys(err, -errno, "give '%s' to uid %u", dir, uid);
	return 0;
}

static int make_empty(struct kp_build_work *w, const char *dir, struct kp_err *err)
{
	int rc = kp_rm_rf_in(w->ctx->root_fd, dir, err);

	rc = rc ?: kp_mkdir_in(w->ctx->root_fd, dir, 0755, err);
	return rc ?: give_to_slot(w, dir, err);
}

/* Without private mounts the recipe writes to the real K/ARCH: what is published there waits
 * aside. */
static char *aside(const struct kp_build_work *w)
{
	_cleanup_free_ char *dir = kp_path_dir(w->seen_out);

	return kp_strf("%s/.old_%s", dir, w->ctx->arch);
}

static void put_back(struct kp_build_work *w)
{
	_cleanup_free_ char *old = aside(w);

	if (!kp_exists_in(w->ctx->root_fd, old))
		return;
	kp_rm_rf_in(w->ctx->root_fd, w->seen_out, NULL);
	kp_rename_in(w->ctx->root_fd, old, w->seen_out);
}

static int put_aside(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_free_ char *old = aside(w);
	int rc;

	put_back(w); /* of a job that was killed */
	rc = kp_rename_in(w->ctx->root_fd, w->seen_out, old);
	return rc < 0 && rc != -ENOENT ? kp_err_sys(err, rc, "rename '%s'", w->seen_out)
				       : 0;
}

static int remove_stale_stages(struct kp_build_work *w, const char *dir,
			       struct kp_err *err)
{
	_cleanup_free_ char *prefix = kp_strf(".tmp_%s_", w->ctx->arch);
	_cleanup_strv_ char **names = NULL;
	int rc = kp_list_in(w->ctx->root_fd, dir, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);

		if (!rc && kp_str_starts(*name, prefix))
			rc = kp_rm_rf_in(w->ctx->root_fd, path, err);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* What lies in it is closed where nobody has to go through. It may be so itself: made by a run that
 * had a view, or for an archive. */
static int open_work_dir(struct kp_ctx *ctx, struct kp_err *err)
{
	int rc = kp_mkdir_in(ctx->root_fd, ctx->work_dir, 0711, err);
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, ctx->work_dir,
					    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (!rc && (fd < 0 || fchmod(fd, 0711)))
		rc = kp_err_sys(err, fd < 0 ? fd : -errno, "open '%s' to builds",
				ctx->work_dir);
	return rc;
}

static int make_dirs(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_free_ char *kernel_dir = kp_path_dir(w->seen_out);
	_cleanup_free_ char *modules = NULL;
	const char *const dirs[] = { w->build, w->out, w->tmp, w->source };
	/* Nobody looks in from outside; only without a view do those inside go through. */
	const mode_t mode = kp_sandbox_has_mounts() ? 0700 : 0711;
	int root = w->ctx->root_fd, rc;

	rc = kp_mkdir_in(root, kernel_dir, 0755, err);
	if (!rc)
		rc = remove_stale_stages(w, kernel_dir, err);
	if (!rc && !kp_sandbox_has_mounts())
		rc = put_aside(w, err);
	rc = rc ?: open_work_dir(w->ctx, err);
	rc = rc ?: kp_rm_rf_in(root, w->private, err);
	rc = rc ?: kp_mkdir_in(root, w->private, mode, err);
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(dirs); i++)
		rc = dirs[i] ? make_empty(w, dirs[i], err) : 0;
	if (rc < 0)
		return rc;
	/* Nobody else is at it: the lock is ours. */
	w->fronts = kp_path_join(w->private, "fronts");
	if (!kp_probe_offer(w->ctx, w->fronts))
		free(kp_steal(&w->fronts));
	w->stage = kp_strf("%s/.tmp_%s_%d", kernel_dir, w->ctx->arch, (int)getpid());
	modules = kp_path_join(w->stage, "module");
	return kp_mkdir_in(root, modules, 0755, err);
}

/* A recipe may work on the tree that is registered and not on the copy of it in the build
 * directory. It finds a copy there, too, and can do with it what it likes. */
static bool names_source(const struct kp_build_work *w)
{
	const struct kp_conf *conf = w->job->conf;
	const char *const lines[] = { conf->make, conf->scripts[KP_SCRIPT_PRE_BUILD],
				      conf->scripts[KP_SCRIPT_POST_BUILD] };

	for (size_t i = 0; i < KP_ARRAY_SIZE(lines); i++)
		if (lines[i] && strstr(lines[i], w->job->source->dir))
			return true;
	return false;
}

static void set_paths(struct kp_build_work *w)
{
	const struct kp_source *s = w->job->source;
	const char *release = w->job->kernel->release;
	bool private = kp_sandbox_has_mounts();

	w->link = kp_strf("%s/%s/%s/source", w->ctx->dkms_tree, s->module, s->version);
	w->seen = kp_strf("%s/%s/%s/build", w->ctx->dkms_tree, s->module, s->version);
	w->seen_out = kp_record_dir(w->ctx, s->module, s->version, release);
	w->private = kp_strf("%s/%s-%s-%s-%s", w->ctx->work_dir, s->module, s->version,
			     release, w->ctx->arch);
	w->build = private ? kp_path_join(w->private, "build") : kp_strdup(w->seen);
	w->out = private ? kp_path_join(w->private, "out") : kp_strdup(w->seen_out);
	w->tmp = kp_path_join(w->private, "tmp");
	w->source =
		private && names_source(w) ? kp_path_join(w->private, "source") : NULL;
}

static void clean_up(struct kp_build_work *w, bool published)
{
	int root = w->ctx->root_fd;
	_cleanup_free_ char *kernel_dir = w->seen_out ? kp_path_dir(w->seen_out) : NULL;

	if (!w->stage)
		return;
	/* After a swap this is what was there before. */
	kp_rm_rf_in(root, w->stage, NULL);
	if (!kp_sandbox_has_mounts()) {
		_cleanup_free_ char *old = aside(w);

		if (published)
			kp_rm_rf_in(root, old, NULL);
		else
			kp_rm_rf_in(root, w->out, NULL);
		put_back(w);
		kp_sandbox_sweep(w->ctx, w->slot);
	}
	if (kp_log_get_level() < KP_LOG_DEBUG) {
		kp_rm_rf_in(root, w->build, NULL);
		kp_rm_rf_in(root, w->private, NULL);
	}
	kp_rmdir_in(root, kernel_dir);
}

/* ---- the whole ---- */

/* A kernel tree that root made with a tight umask: better said here than by make. */
static int check_headers(struct kp_build_work *w, struct kp_err *err)
{
	const char *dir = w->job->kernel->headers;
	_cleanup_free_ char *makefile = kp_path_join(dir, "Makefile");
	struct stat d = { .st_mode = 0005 }, m = { .st_mode = 0004 };

	if (kp_sandbox_uid(w->slot) == geteuid())
		return 0;
	kp_stat_in(w->ctx->root_fd, dir, &d);
	kp_stat_in(w->ctx->root_fd, makefile, &m);
	if ((d.st_mode & 0005) == 0005 && (m.st_mode & 0004))
		return 0;
	return kp_err_set(
		err, -EACCES,
		"a build (not run as root) cannot read the kernel's headers in '%s': "
		"chmod -R a+rX them",
		dir);
}

/* What is built in vain may take minutes. */
static int check_signing(struct kp_build_work *w, struct kp_err *err)
{
	int rc = kp_sign_check(w->ctx, w->job->kernel, &w->kb, err);

	return rc < 0 ? kp_err_prefix(err, "not signed") : 0;
}

static bool all_excluded(const struct kp_conf *conf)
{
	for (size_t i = 0; i < conf->n_modules; i++)
		if (!conf->modules[i].excluded)
			return false;
	return conf->n_modules > 0;
}

static pid_t start_asker(struct kp_build_work *w)
{
	_cleanup_free_ char *room = kp_path_join(w->private, "room");

	return w->fronts ? kp_asker_start(w->ctx, w->fronts, w->slot, room) : 0;
}

/* From the source to stage, what is not signed yet. */
static int build_anew(struct kp_build_work *w, struct kp_err *err)
{
	int64_t since = kp_now_ms();
	pid_t asker;
	int rc;

	rc = kp_build_stage(w, KP_BUILD_STAGE_ANEW, err);
	if (!rc)
		rc = kp_build_copy_source(w, err);
	asker = start_asker(w);
	if (!rc)
		rc = kp_recipe_patch(w, err);
	if (!rc)
		rc = kp_recipe_script(w, KP_SCRIPT_PRE_BUILD, err);
	if (!rc)
		rc = kp_recipe_make(w, err);
	if (!rc)
		rc = kp_collect_products(w, err);
	if (!rc)
		rc = kp_recipe_script(w, KP_SCRIPT_POST_BUILD, err);
	kp_asker_stop(asker);
	if (!rc)
		rc = kp_publish_check(w, err);
	if (!rc)
		rc = kp_collect_extra(w, err);
	if (!rc)
		kp_kept_put(w, kp_now_ms() - since);
	return rc;
}

static int build(struct kp_build_work *w, struct kp_record *rec, struct kp_err *err)
{
	int rc;

	rc = kp_build_stage(w, "prepare", err);
	if (!rc)
		rc = kp_sandbox_take_slot(w->ctx, &w->slot, &w->locks[2], err);
	if (!rc)
		rc = kp_kernel_build_load(w->ctx, w->job->kernel, &w->kb, err);
	if (!rc)
		rc = check_headers(w, err);
	if (!rc)
		rc = check_signing(w, err);
	if (!rc)
		rc = make_dirs(w, err);
	if (!rc)
		rc = kp_kept_take(w, err);
	rec->cached = rc > 0;
	if (!rc)
		rc = build_anew(w, err);
	if (rc >= 0)
		rc = kp_publish_finish(w, err);
	return rc ?: kp_publish_commit(w, rec, err);
}

static void note_failure(struct kp_build_work *w, struct kp_record *rec, int rc,
			 const struct kp_err *err)
{
	_cleanup_free_ char *last = kp_build_log_last(&w->log, 8192);
	struct kp_err limit = KP_ERR_INIT;
	bool stopped;

	rec->result = KP_BUILD_FAILED;
	if (rc == -ECHILD &&
	    kp_recipe_limit(&w->ctx->config.limits, w->met, last, &limit)) {
		rec->reason = kp_strf("%s: %s", kp_err_text(err, rc), limit.text);
		rc = limit.code;
	} else {
		rec->reason = kp_strdup(kp_err_text(err, rc));
	}
	stopped = rc == -ETIME || rc == -EDQUOT || rc == -ENOSPC;
	rec->exit_code = w->exit_code ?: stopped ? KP_EXIT_MAKE : KP_EXIT_OTHER;
	/* What is not the recipe's doing is ours or the machine's. */
	rec->machine = rc != -EDQUOT &&
		       (!w->recipe || (!stopped && kp_recipe_machine_fault(last)));
	kp_record_set_limits(rec, &w->ctx->config, rc);
	rec->unprotected = kp_strdup(kp_sandbox_missing());
}

/* 0: the source is registered, by the same link as before. Whoever removes a source waits for no
 * build; directories of this one may have gone with it, and what is left of it goes. Where there is
 * another link, what is there is somebody else's, unless it was built just now. */
static int check_registered(struct kp_build_work *w, bool built, struct kp_err *err)
{
	const struct kp_source *s = w->job->source;
	struct stat st;
	int rc = kp_lstat_in(w->ctx->root_fd, w->link, &st);

	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
		return kp_err_sys(err, rc, "stat '%s'", w->link);
	if (rc == 0 && st.st_ino == w->registered.st_ino &&
	    st.st_ctim.tv_sec == w->registered.st_ctim.tv_sec &&
	    st.st_ctim.tv_nsec == w->registered.st_ctim.tv_nsec)
		return 0;
	if (rc == 0 && !built)
		return kp_err_set(err, -ESTALE, "its source was added anew meanwhile");
	kp_publish_failure(w, false);
	kp_forget_build(w->ctx, s->module, s->version, w->job->kernel->release);
	return kp_err_set(err, -ESTALE, "its source was removed while it was built");
}

/* With all locks held, or the result joined. */
static int build_and_record(struct kp_build_work *w, struct kp_err *err)
{
	const struct kp_source *s = w->job->source;
	const char *release = w->job->kernel->release;
	_cleanup_(kp_record_freep) struct kp_record *rec = kp_calloc(1, sizeof(*rec));
	int64_t since = kp_now_ms();
	int rc, saved, stale;

	rc = kp_build_log_open(w->ctx, s->module, s->version, release, &w->log, err);
	if (rc < 0)
		return rc;
	if (w->job->conf->excluded || all_excluded(w->job->conf)) {
		rec->result = KP_BUILD_EXCLUDED;
		rec->exit_code = KP_EXIT_EXCLUDED;
		rc = kp_err_set(err, -EOPNOTSUPP, "excluded: %s",
				w->job->conf->excluded ?: "all of its modules are");
		rec->reason = kp_strdup(err->text);
		kp_build_log_line(&w->log, "%s", err->text);
	} else {
		rc = build(w, rec, err);
		if (rc < 0 && rc != -EINTR)
			note_failure(w, rec, rc, err);
	}
	clean_up(w, !rc);
	if (rc == -EINTR)
		return rc; /* says nothing about the pair: what was recorded stays */
	kp_publish_failure(w, rec->result == KP_BUILD_FAILED);
	rec->key = kp_strdup(w->job->key);
	rec->log = kp_strdup(w->log.path);
	rec->time = time(NULL);
	rec->elapsed_ms = kp_now_ms() - since;
	saved = kp_record_save(w->ctx, s->module, s->version, release, rec,
			       rc ? NULL : err);
	stale = check_registered(w, true, err);
	if (stale)
		return stale;
	if (rc == -EOPNOTSUPP)
		return rc;
	if (rc < 0) {
		kp_build_log_line(&w->log, "\nfailed: %s", rec->reason);
		return kp_err_set(err, rc, "%s; see %s", rec->reason, w->log.path);
	}
	return saved;
}

static int work(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_(kp_record_freep) struct kp_record *joined = NULL;
	int minutes = w->ctx->config.timeout_minutes, rc;
	bool waited = false;

	set_paths(w);
	(void)kp_lstat_in(w->ctx->root_fd, w->link, &w->registered);
	if (!w->job->kernel->headers)
		return kp_err_set(err, -ENODEV,
				  "the headers of kernel %s are not installed",
				  w->job->kernel->release);
	rc = take_locks(w, &waited, err);
	if (rc < 0)
		return rc;
	if (can_join(w, waited, &joined)) {
		if (joined->result == KP_BUILD_OK)
			return 0;
		return kp_err_set(err, -ECHILD, "%s", joined->reason ?: "failed");
	}
	rc = check_registered(w, false, err);
	if (rc < 0)
		return rc;
	w->deadline = minutes > 0 ? kp_now_ms() / 1000 + minutes * 60 : 0;
	return build_and_record(w, err);
}

int kp_build_job_main(struct kp_build_work *w)
{
	struct kp_err err = KP_ERR_INIT;
	int rc;

	kp_log_set_sink(send_log, w);
	for (size_t i = 0; i < KP_ARRAY_SIZE(w->locks); i++)
		w->locks[i] = -1;
	rc = work(w, &err);
	kp_build_send(w, KP_MSG_DONE, rc, rc < 0 ? kp_err_text(&err, rc) : "");
	return rc < 0;
}
