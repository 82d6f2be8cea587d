// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "lib/asker.h"
#include "lib/probe.h"
#include "lib/sandbox.h"
#include "probe-front/question.h"

/* More than any build asks, and little work where they are none. */
#define CALLS_MAX 4096

/* Our ends of what question.h describes; -1: not open. */
struct line {
	int asked, call, told;
};

/* The directory is ours: nothing inside can put another file there. Open for both, a pipe has
 * another end as long as we have it, and loses it with us. */
static int make(int dir, const char *name, mode_t type, uid_t uid)
{
	_cleanup_close_ int fd = -1;

	if (mknodat(dir, name, type | 0600, 0))
		return -errno;
	fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, uid))
		return -errno;
	return kp_steal_fd(&fd);
}

static int line_open(struct kp_ctx *ctx, const char *path, uid_t uid, struct line *line)
{
	_cleanup_close_ int dir =
		kp_open_in(ctx->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (dir < 0)
		return dir;
	line->asked = make(dir, KP_QUESTION_ASKED, S_IFREG, uid);
	line->call = make(dir, KP_QUESTION_CALL, S_IFIFO, uid);
	line->told = make(dir, KP_QUESTION_TOLD, S_IFIFO, uid);
	return line->asked < 0 || line->call < 0 || line->told < 0 ? -EIO : 0;
}

static void line_close(struct line *line)
{
	const int fds[] = { line->asked, line->call, line->told };

	for (size_t i = 0; i < KP_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* False: it is time to end. */
static bool wait_call(const struct line *line, int sigfd)
{
	struct pollfd fds[] = { { .fd = sigfd, .events = POLLIN },
				{ .fd = line->call, .events = POLLIN } };
	char calls[4096];

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return false;
	/* One is asked at a time; more are nobody's. */
	return !fds[0].revents && read(line->call, calls, sizeof(calls)) > 0;
}

static void serve(struct kp_ctx *ctx, const struct line *line, int sigfd,
		  const char *room)
{
	_cleanup_free_ char *key = kp_malloc(KP_QUESTION_KEY_MAX + 1);
	struct kp_learner *learner = kp_learner_new(ctx, room);
	bool go_on = true;

	for (int left = CALLS_MAX; go_on && left && wait_call(line, sigfd); left--) {
		ssize_t n = pread(line->asked, key, KP_QUESTION_KEY_MAX, 0);

		if (n > 0) {
			key[n] = '\0';
			go_on = kp_learner_answer(learner, key, (size_t)n);
		}
		/* Full: nobody reads them. */
		(void)!write(line->told, "", 1);
	}
	kp_learner_free(learner);
}

/* Signals stay pending, so that they end the sandbox, too. */
static void asker_main(struct kp_ctx *ctx, const struct line *line, const char *room,
		       pid_t parent)
{
	_cleanup_close_ int sigfd = -1;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigfd = signalfd(-1, &mask, SFD_CLOEXEC);
	if (sigfd < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
		return;
	/* Whom one waits for here does not concern anybody. */
	if (kp_log_get_level() < KP_LOG_DEBUG)
		kp_log_set_level(KP_LOG_WARNING);
	serve(ctx, line, sigfd, room);
}

pid_t kp_asker_start(struct kp_ctx *ctx, const char *dir, unsigned int slot,
		     const char *room)
{
	_cleanup_(line_close) struct line line = { -1, -1, -1 };
	pid_t parent = getpid(), pid;

	/* Open before the build is there, which finds it so. */
	if (line_open(ctx, dir, kp_sandbox_uid(slot), &line) < 0)
		return 0;
	pid = fork();
	if (pid == 0) {
		asker_main(ctx, &line, room, parent);
		_exit(0);
	}
	return pid > 0 ? pid : 0;
}

void kp_asker_stop(pid_t pid)
{
	if (!pid)
		return;
	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
