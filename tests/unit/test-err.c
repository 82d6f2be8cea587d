// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

static void set_returns_code_and_text(void **state)
{
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	assert_int_equal(kp_err_set(&err, -EINVAL, "line %d\nis \033[1mbad", 3), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, "line 3?is ?[1mbad");
}

static void sys_adds_the_reason(void **state)
{
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	assert_int_equal(kp_err_sys(&err, -ENOENT, "open '%s'", "/x"), -ENOENT);
	assert_string_equal(err.text, "open '/x': No such file or directory");
}

static void prefix_goes_in_front(void **state)
{
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	kp_err_set(&err, -EIO, "read: broken");
	assert_int_equal(kp_err_prefix(&err, "zfs/%s", "2.3.1"), -EIO);
	assert_string_equal(err.text, "zfs/2.3.1: read: broken");
}

static void null_drops_the_words(void **state)
{
	(void)state;
	assert_int_equal(kp_err_set(NULL, -EPERM, "x"), -EPERM);
	assert_int_equal(kp_err_sys(NULL, -EPERM, "x"), -EPERM);
	assert_int_equal(kp_err_prefix(NULL, "x"), 0);
	assert_string_equal(kp_err_text(NULL, -ENOSPC), "No space left on device");
	assert_string_equal(kp_err_text(NULL, ENOSPC), "No space left on device");
}

static void long_texts_are_cut(void **state)
{
	_cleanup_free_ char *longer = kp_malloc(2 * KP_ERR_MAX);
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	memset(longer, 'x', 2 * KP_ERR_MAX - 1);
	longer[2 * KP_ERR_MAX - 1] = '\0';
	kp_err_sys(&err, -EIO, "%s", longer);
	assert_int_equal(strlen(err.text), KP_ERR_MAX - 1);
	kp_err_prefix(&err, "y");
	assert_int_equal(strlen(err.text), KP_ERR_MAX - 1);
	assert_true(kp_str_starts(err.text, "y: xxx"));
	kp_err_prefix(&err, "%s", longer);
	assert_int_equal(strlen(err.text), KP_ERR_MAX - 1);
}

static void log_levels_and_marks(void **state)
{
	_cleanup_buf_ struct kp_buf lines = KP_BUF_INIT;

	(void)state;
	kp_log_set_sink(test_sink, &lines);
	kp_debug("unseen");
	kp_info("one\ntwo");
	kp_warn("odd, skipping");
	kp_log_set_level(KP_LOG_ERR);
	kp_warn("unseen");
	kp_log(KP_LOG_ERR, "bad");
	kp_log_set_level(KP_LOG_INFO);
	kp_log_set_sink(NULL, NULL);
	assert_string_equal(lines.s, "one?two\nwarning: odd, skipping\nerror: bad\n");
}

static void warned_once(void **state)
{
	_cleanup_buf_ struct kp_buf lines = KP_BUF_INIT;

	(void)state;
	for (int sink = 0; sink < 2; sink++) {
		kp_log_set_sink(test_sink, &lines);
		for (int i = 0; i < 4; i++)
			kp_warn_once("%s is odd", i % 2 ? "three" : "five");
	}
	kp_log_set_sink(NULL, NULL);
	assert_string_equal(lines.s, "warning: five is odd\nwarning: three is odd\n"
				     "warning: five is odd\nwarning: three is odd\n");
}

/* A line is one write(2): what a pipe delivers in packet mode is one packet per line. */
static void log_line_is_one_write(void **state)
{
	_cleanup_close_ int saved = dup(STDERR_FILENO);
	char got[256] = "";
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(fds, O_DIRECT | O_CLOEXEC), 0);
	dup2(fds[1], STDERR_FILENO);
	kp_info("first");
	kp_log_set_syslog_prefix(1);
	kp_warn("second");
	kp_log_set_syslog_prefix(0);
	dup2(saved, STDERR_FILENO);
	close(fds[1]);
	n = read(fds[0], got, sizeof(got) - 1);
	got[n] = '\0';
	assert_string_equal(got, "kmodpkg: first\n");
	n = read(fds[0], got, sizeof(got) - 1);
	got[n] = '\0';
	assert_string_equal(got, "<4>warning: second\n");
	assert_int_equal(read(fds[0], got, 1), 0);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_code_and_text),
		cmocka_unit_test(sys_adds_the_reason),
		cmocka_unit_test(prefix_goes_in_front),
		cmocka_unit_test(null_drops_the_words),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(log_levels_and_marks),
		cmocka_unit_test(warned_once),
		cmocka_unit_test(log_line_is_one_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
