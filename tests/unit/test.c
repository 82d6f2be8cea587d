// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/looks.h"
#include "test.h"

struct test_root test_root_new(void)
{
	struct test_root r = { .path = kp_strdup("/tmp/kmodpkg-test-XXXXXX"), .fd = -1 };

	assert_non_null(mkdtemp(r.path));
	r.fd = open(r.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r.fd >= 0);
	return r;
}

void test_root_free(struct test_root *r)
{
	_cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct kp_err err = KP_ERR_INIT;

	close(r->fd);
	if (kp_rm_rf_in(slash, r->path, &err) < 0)
		fail_msg("%s", err.text);
	free(r->path);
}

void test_put(struct test_root *root, const char *path, const char *text)
{
	_cleanup_free_ char *dir = kp_path_dir(path);
	struct kp_err err = KP_ERR_INIT;

	if (kp_mkdir_in(root->fd, dir, 0755, &err) < 0 ||
	    kp_write_in(root->fd, path, text, strlen(text), 0644, &err) < 0)
		fail_msg("%s", err.text);
}

char *test_get(struct test_root *root, const char *path)
{
	char *text = NULL;
	int rc = kp_read_in(root->fd, path, 0, &text, NULL);

	if (rc < 0)
		fail_msg("read '%s': %s", path, strerror(-rc));
	return text;
}

void test_let_age(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += KP_RACY_S + 2;
	until.tv_nsec = 0;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

void test_let_tick(void)
{
	const struct timespec step = { 0, 1000000 };
	struct timespec since, now;

	clock_gettime(CLOCK_REALTIME, &since);
	do {
		nanosleep(&step, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec != since.tv_sec ? now.tv_sec < since.tv_sec
					    : now.tv_nsec <= since.tv_nsec);
}

void test_sink(enum kp_log_level level, const char *line, void *data)
{
	(void)level;
	kp_buf_addf(data, "%s\n", line);
}

int test_forbid_syscall(long nr, int code)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { KP_ARRAY_SIZE(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
