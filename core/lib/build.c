// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The scheduler: starts a job's process when what it depends on is built and a token of the
 * jobserver could be had, and listens.
 *
 * A job that ends leaves its token to the next one that is ready, before any make can take it:
 * side by side modules use a machine better than the few files of one do. What takes longest comes
 * first, since the last one that runs may have no use for more than one processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"

#define TICK_MS 100
#define END_WAIT_MS 20000 /* for a job that was told to end */

enum state { WAITING, RUNNING, DONE };

struct node {
	struct kp_build_job *job;
	uint64_t weight;
	enum state state;
	pid_t pid;
	int fd;	   /* read end of its pipe, -1 */
	bool told; /* DONE came: rc and err are set */
};

struct graph {
	struct kp_ctx *ctx;
	const struct kp_build_opts *opts;
	struct node *nodes;
	size_t n, running, left;
	struct kp_jobserver js;
	int spare; /* tokens that we hold for jobs to start */
	int sigfd;
	int64_t kill_at; /* interrupted: when patience ends; 0: not */
};

static void tell(struct graph *g, enum kp_build_event event,
		 const struct kp_build_job *job, const char *stage)
{
	if (g->opts->progress)
		g->opts->progress(event, job, stage, g->opts->data);
}

static void finish(struct graph *g, struct node *node, int rc)
{
	node->state = DONE;
	node->job->rc = rc;
	g->left--;
	tell(g, KP_BUILD_DONE, node->job, NULL);
}

/* ---- one job ---- */

static const struct kp_build_job *dep(const struct graph *g, const struct node *node,
				      size_t i)
{
	return g->nodes[node->job->deps[i]].job;
}

/* Module.symvers of those built before and of those built here. */
static char **collect_symvers(const struct graph *g, const struct node *node)
{
	char **v = kp_strv_dup(node->job->symvers);

	for (size_t i = 0; i < node->job->n_deps; i++) {
		const struct kp_build_job *d = dep(g, node, i);
		char *file = kp_record_symvers(g->ctx, d->source->module,
					       d->source->version, d->kernel->release);

		if (file)
			kp_strv_take(&v, file);
	}
	return v;
}

static void job_process(struct graph *g, struct node *node, int fd, pid_t parent)
{
	struct kp_build_work work = {
		.ctx = g->ctx,
		.job = node->job,
		.symvers = collect_symvers(g, node),
		.js = &g->js,
		.msg_fd = fd,
	};

	sigset_t set;

	/* SIGTERM has to reach a job even where it is ignored by whoever started us. */
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	_exit(kp_build_job_main(&work));
}

static void start(struct graph *g, struct node *node)
{
	pid_t parent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) {
		finish(g, node, kp_err_sys(&node->job->err, -errno, "pipe"));
		return;
	}
	node->pid = fork();
	if (node->pid == 0)
		job_process(g, node, fds[1], parent);
	close(fds[1]);
	if (node->pid < 0) {
		close(fds[0]);
		finish(g, node, kp_err_sys(&node->job->err, -errno, "start a process"));
		return;
	}
	node->fd = fds[0];
	node->state = RUNNING;
	g->running++;
	g->spare--;
	tell(g, KP_BUILD_STARTED, node->job, NULL);
}

static void load_record(struct graph *g, struct kp_build_job *job)
{
	if (kp_record_load(g->ctx, job->source->module, job->source->version,
			   job->kernel->release, &job->record, NULL) < 0)
		return;
	if (kp_str_eq(job->record->key, job->key))
		return;
	kp_record_free(job->record);
	job->record = NULL;
}

/* Its pipe is closed: it has ended, or is about to. */
static void reap(struct graph *g, struct node *node)
{
	struct kp_build_job *job = node->job;
	struct kp_proc_end end = { -1, 0 };
	char words[128];
	int rc = job->rc;

	close(kp_steal_fd(&node->fd));
	kp_proc_wait(node->pid, &end, NULL);
	g->running--;
	g->spare++;
	if (!node->told) {
		kp_proc_describe(&end, words, sizeof(words));
		rc = kp_err_set(&job->err, -EIO, "the build's process %s", words);
	}
	if (g->kill_at && rc < 0)
		rc = kp_err_set(&job->err, -EINTR, "interrupted");
	else
		load_record(g, job);
	finish(g, node, rc);
}

static void receive(struct graph *g, struct node *node)
{
	struct kp_build_msg msg;
	ssize_t n = read(node->fd, &msg, sizeof(msg));

	if (n < 0 && errno == EINTR)
		return;
	if (n != sizeof(msg)) {
		reap(g, node);
		return;
	}
	msg.text[sizeof(msg.text) - 1] = '\0';
	switch (msg.kind) {
	case KP_MSG_STAGE:
		tell(g, KP_BUILD_STAGE, node->job, msg.text);
		break;
	case KP_MSG_LOG:
		kp_log((enum kp_log_level)msg.code, "%s", msg.text);
		break;
	case KP_MSG_DONE:
		node->told = true;
		node->job->rc = msg.code;
		if (msg.code < 0)
			kp_err_set(&node->job->err, msg.code, "%s", msg.text);
		break;
	}
}

/* ---- the graph ---- */

/* -1: cannot be built any more, 0: not yet, 1: ready. */
static int readiness(struct graph *g, struct node *node)
{
	int ready = 1;

	for (size_t i = 0; i < node->job->n_deps; i++) {
		const struct node *d = &g->nodes[node->job->deps[i]];

		if (d->state != DONE)
			ready = 0;
		else if (d->job->rc < 0) {
			kp_err_set(&node->job->err, -ENOLINK,
				   "it needs %s, which is not built",
				   d->job->source->module);
			return -1;
		}
	}
	return ready;
}

/* Settle those that can never start; the heaviest that can, or NULL. */
static struct node *next_ready(struct graph *g)
{
	struct node *best = NULL;
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < g->n; i++) {
			struct node *node = &g->nodes[i];
			int ready = node->state == WAITING ? readiness(g, node) : 0;

			if (ready > 0 && (!best || node->weight > best->weight))
				best = node;
			if (ready < 0) {
				finish(g, node, -ENOLINK);
				again = true; /* others may hang on it */
			}
		}
	}
	return best;
}

/* Each that runs has a token: what is in the pipe then, a recipe has put there. */
static bool all_taken(const struct graph *g)
{
	return g->running >= (size_t)g->js.n;
}

static bool get_token(struct graph *g)
{
	if (g->spare > 0)
		return true;
	/* Nobody can hold one: a make that was killed has kept some. */
	if (!g->running)
		kp_jobserver_restore(&g->js, 0);
	if (all_taken(g))
		return false;
	g->spare += kp_jobserver_take(&g->js) == 1;
	return g->spare > 0;
}

/* Start what can be; does something wait for a token only? */
static bool start_ready(struct graph *g)
{
	struct node *node;

	while ((node = next_ready(g))) {
		if (!get_token(g))
			return true;
		start(g, node);
	}
	for (; g->spare > 0; g->spare--)
		kp_jobserver_give(&g->js);
	/* Neither ready nor blocked, with nothing under way: a circle. */
	for (size_t i = 0; !g->running && i < g->n; i++)
		if (g->nodes[i].state == WAITING) {
			kp_err_set(&g->nodes[i].job->err, -ENOLINK,
				   "its BUILD_DEPENDS go in a circle");
			finish(g, &g->nodes[i], -ENOLINK);
		}
	return false;
}

static void signal_all(struct graph *g, int sig)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->nodes[i].state == RUNNING)
			kill(g->nodes[i].pid, sig);
}

/* First they clean up after themselves; who asks twice means it. */
static void interrupt(struct graph *g)
{
	struct signalfd_siginfo info;

	if (read(g->sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	signal_all(g, g->kill_at ? SIGKILL : SIGTERM);
	g->kill_at = kp_now_ms() + END_WAIT_MS;
	for (size_t i = 0; i < g->n; i++)
		if (g->nodes[i].state == WAITING) {
			kp_err_set(&g->nodes[i].job->err, -EINTR, "interrupted");
			finish(g, &g->nodes[i], -EINTR);
		}
}

static void wait_events(struct graph *g, bool want_token)
{
	_cleanup_free_ struct pollfd *fds = kp_calloc(g->n + 2, sizeof(*fds));

	fds[0] = (struct pollfd){ .fd = g->sigfd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = want_token && !all_taken(g) ? g->js.poll_fd : -1,
				  .events = POLLIN };
	for (size_t i = 0; i < g->n; i++) {
		bool on = g->nodes[i].state == RUNNING;

		fds[i + 2] = (struct pollfd){ .fd = on ? g->nodes[i].fd : -1,
					      .events = POLLIN };
	}
	if (poll(fds, g->n + 2, TICK_MS) < 0)
		return;
	if (fds[0].revents)
		interrupt(g);
	for (size_t i = 0; i < g->n; i++)
		if (fds[i + 2].revents)
			receive(g, &g->nodes[i]);
	if (g->kill_at && kp_now_ms() > g->kill_at)
		signal_all(g, SIGKILL);
	kp_jobserver_trim(&g->js, (int)g->running + g->spare);
	tell(g, KP_BUILD_TICK, NULL, NULL);
}

static void run(struct graph *g)
{
	for (size_t i = 0; i < g->n; i++)
		tell(g, KP_BUILD_QUEUED, g->nodes[i].job, NULL);
	while (g->left) {
		bool want_token = !g->kill_at && start_ready(g);

		if (g->running || want_token)
			wait_events(g, want_token);
	}
}

static int count_jobs(const struct kp_ctx *ctx, const struct kp_build_opts *opts)
{
	cpu_set_t set;
	int n = opts->jobs > 0 ? opts->jobs : ctx->config.jobs;

	if (n > 0)
		return n;
	if (!sched_getaffinity(0, sizeof(set), &set))
		return CPU_COUNT(&set);
	n = (int)sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t holds */
	return n > 0 ? n : 1;
}

/* Block what ends us, but not what whoever started us wants to be ignored. */
static void block_signals(sigset_t *set, sigset_t *old)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };

	sigemptyset(set);
	for (size_t i = 0; i < KP_ARRAY_SIZE(ends); i++) {
		struct sigaction sa;

		if (!sigaction(ends[i], NULL, &sa) && sa.sa_handler != SIG_IGN)
			sigaddset(set, ends[i]);
	}
	sigprocmask(SIG_BLOCK, set, old);
}

int kp_build_run(struct kp_ctx *ctx, struct kp_build_job *jobs, size_t n,
		 const struct kp_build_opts *opts, struct kp_err *err)
{
	static const struct kp_build_opts none = { 0 };
	struct graph g = { .ctx = ctx, .opts = opts ? opts : &none, .n = n, .left = n };
	static bool told;
	_cleanup_free_ uint64_t *weights = NULL;
	sigset_t set, old;
	int rc;

	if (!n)
		return 0;
	/* Asked here, it is found out once for all jobs. */
	if (kp_sandbox_missing() && !told) {
		kp_info("builds are less protected here: %s", kp_sandbox_missing());
		told = true;
	}
	rc = kp_mkdir_in(ctx->root_fd, ctx->run_dir, 0755, err);
	if (rc < 0)
		return rc;
	rc = kp_jobserver_open(&g.js, ctx->run_dir, count_jobs(ctx, g.opts), err);
	if (rc < 0)
		return rc;
	block_signals(&set, &old);
	g.sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	g.nodes = kp_calloc(n, sizeof(*g.nodes));
	weights = kp_build_weigh(ctx, jobs, n);
	for (size_t i = 0; i < n; i++)
		g.nodes[i] =
			(struct node){ .job = &jobs[i], .weight = weights[i], .fd = -1 };
	run(&g);
	free(g.nodes);
	close(g.sigfd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	kp_jobserver_close(&g.js);
	return g.kill_at ? kp_err_set(err, -EINTR, "interrupted") : 0;
}

void kp_build_job_clear(struct kp_build_job *job)
{
	kp_record_free(job->record);
	job->record = NULL;
	job->rc = 0;
	job->err = (struct kp_err)KP_ERR_INIT;
}
