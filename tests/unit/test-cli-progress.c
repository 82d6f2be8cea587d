// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The progress display on a real pseudo-terminal, read by a small terminal of our own
 * that knows what the display uses: text with wrapping, \r, \n, cursor up, erase below.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmodpkg/log.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/progress.h"

#define COLUMNS 50
#define ROWS 12

struct fixture {
	char cells[ROWS][COLUMNS + 1];
	int row, column;
	int master, saved_stderr;
	struct kp_ctx ctx;
	struct kp_source sources[20];
	struct kp_kernel kernel;
	struct kp_build_job jobs[20];
	char names[20][8];
};

static void scroll(struct fixture *f)
{
	memmove(f->cells[0], f->cells[1], sizeof(f->cells) - sizeof(f->cells[0]));
	memset(f->cells[ROWS - 1], 0, sizeof(f->cells[0]));
}

static void next_row(struct fixture *f)
{
	if (f->row == ROWS - 1)
		scroll(f);
	else
		f->row++;
}

static const char *control(struct fixture *f, const char *p)
{
	int n = 0;

	assert_int_equal(p[1], '[');
	for (p += 2; *p >= '0' && *p <= '9'; p++)
		n = n * 10 + *p - '0';
	if (*p == 'A') {
		f->row = f->row > n ? f->row - n : 0;
	} else {
		assert_int_equal(*p, 'J');
		memset(f->cells[f->row] + f->column, 0, (size_t)(COLUMNS - f->column));
		for (int i = f->row + 1; i < ROWS; i++)
			memset(f->cells[i], 0, sizeof(f->cells[i]));
	}
	return p;
}

static void show(struct fixture *f, const char *p)
{
	for (; *p; p++) {
		if (*p == '\033') {
			p = control(f, p);
		} else if (*p == '\r') {
			f->column = 0;
		} else if (*p == '\n') {
			next_row(f);
		} else {
			if (f->column == COLUMNS) {
				f->column = 0;
				next_row(f);
			}
			f->cells[f->row][f->column++] = *p;
		}
	}
}

/* The screen as one string, lines that are empty at its end left out. */
static char *screen(struct fixture *f)
{
	struct kp_buf b = KP_BUF_INIT;
	char bytes[4096];
	ssize_t n;
	int last = ROWS - 1;

	while ((n = read(f->master, bytes, sizeof(bytes) - 1)) > 0) {
		bytes[n] = '\0';
		show(f, bytes);
	}
	while (last >= 0 && !f->cells[last][0])
		last--;
	for (int i = 0; i <= last; i++)
		kp_buf_addf(&b, "%s\n", f->cells[i]);
	return kp_buf_steal(&b);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct winsize size = { .ws_row = ROWS, .ws_col = COLUMNS };
	int slave;

	assert_int_equal(openpty(&f->master, &slave, NULL, NULL, &size), 0);
	fcntl(f->master, F_SETFL, O_NONBLOCK);
	fflush(stderr);
	f->saved_stderr = dup(STDERR_FILENO);
	dup2(slave, STDERR_FILENO);
	close(slave);
	setenv("TERM", "xterm", 1);
	f->ctx.root_fd = open("/", O_PATH | O_DIRECTORY);
	f->ctx.log_dir = strdup("/nonexistent");
	f->ctx.arch = strdup("x86_64");
	f->kernel.release = strdup("6.1.0-56-amd64");
	for (size_t i = 0; i < KP_ARRAY_SIZE(f->jobs); i++) {
		snprintf(f->names[i], sizeof(f->names[i]), "mod%02zu", i);
		f->sources[i].module = f->names[i];
		f->sources[i].version = (char *)"1.0";
		f->jobs[i].source = &f->sources[i];
		f->jobs[i].kernel = &f->kernel;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dup2(f->saved_stderr, STDERR_FILENO);
	close(f->saved_stderr);
	close(f->master);
	close(f->ctx.root_fd);
	free(f->ctx.log_dir);
	free(f->ctx.arch);
	free(f->kernel.release);
	free(f);
	return 0;
}

/* Let time pass until TEXT is on the screen (or is not), as the build loop's ticks do. */
static void tick_until(struct fixture *f, struct cli_progress *p, const char *text,
		       bool there)
{
	for (int i = 0; i < 500; i++) {
		char *s = screen(f);
		bool found = strstr(s, text) != NULL;

		free(s);
		if (found == there)
			return;
		poll(NULL, 0, 10);
		cli_progress_event(KP_BUILD_TICK, NULL, NULL, p);
	}
	fail_msg("\"%s\" %s", text, there ? "does not appear" : "does not go away");
}

static void expect_screen(struct fixture *f, const char *expected)
{
	char *s = screen(f);

	assert_string_equal(s, expected);
	free(s);
}

static void running_jobs_are_a_block_that_goes_away(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, true);

	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[1], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[1], NULL, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[1], "make", p);
	tick_until(f, p, "  mod01/1.0  6.1.0-56-amd64  make      0.", true);
	tick_until(f, p, "building: 0 of 2 done", true);
	kp_info("a message");
	tick_until(f, p, "a message\n  mod00/1.0", true);
	cli_progress_event(KP_BUILD_DONE, &f->jobs[0], NULL, p);
	tick_until(f, p, "building: 1 of 2 done", true);
	tick_until(f, p, "  mod00/1.0", false);
	cli_progress_event(KP_BUILD_DONE, &f->jobs[1], NULL, p);
	tick_until(f, p, "building:", false);
	cli_progress_free(p);
	kp_log(KP_LOG_INFO, "after");
	{
		char *s = screen(f);

		assert_non_null(
			strstr(s, "a message\nbuilt mod00/1.0 for 6.1.0-56-amd64 in "));
		assert_non_null(strstr(s, " s\nkmodpkg: after\n"));
		free(s);
	}
}

static void lines_are_cut_to_the_terminal(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, true);

	free(f->kernel.release);
	f->kernel.release = strdup("6.1.0-a-release-that-is-longer-than-the-terminal-is");
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	expect_screen(f, "  mod00/1.0  6.1.0-a-release-that-is-longer-than-\n"
			 "building: 0 of 1 done\n");
	cli_progress_free(p);
	expect_screen(f, "");
}

static void more_jobs_than_rows_do_not_scroll(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, true);

	kp_info("first line");
	for (size_t i = 0; i < KP_ARRAY_SIZE(f->jobs); i++) {
		cli_progress_event(KP_BUILD_QUEUED, &f->jobs[i], NULL, p);
		cli_progress_event(KP_BUILD_STARTED, &f->jobs[i], NULL, p);
	}
	tick_until(f, p, "building: 0 of 20 done", true);
	tick_until(f, p, "mod09", true);
	tick_until(f, p, "mod10", false);
	cli_progress_free(p);
	expect_screen(f, "");
}

static void no_terminal_gets_plain_lines(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p;

	setenv("TERM", "dumb", 1);
	p = cli_progress_new(&f->ctx, true);
	free(f->kernel.release);
	f->kernel.release = strdup("6.1");
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], KP_BUILD_STAGE_ANEW, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], "make", p);
	cli_progress_event(KP_BUILD_TICK, NULL, NULL, p);
	expect_screen(f, "kmodpkg: building mod00/1.0 for 6.1\n");
	f->jobs[0].rc = -EIO;
	kp_err_set(&f->jobs[0].err, -EIO, "make failed");
	cli_progress_event(KP_BUILD_DONE, &f->jobs[0], NULL, p);
	expect_screen(f, "kmodpkg: building mod00/1.0 for 6.1\n"
			 "kmodpkg: error: building mod00/1.0 for 6.1 failed:\n"
			 " make failed\n");
	cli_progress_free(p);
}

static void a_transactions_terminal_gets_plain_lines(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, false);

	free(f->kernel.release);
	f->kernel.release = strdup("6.1");
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], KP_BUILD_STAGE_ANEW, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], "make", p);
	for (int i = 0; i < 3; i++) {
		usleep(110000); /* a redraw would be due */
		cli_progress_event(KP_BUILD_TICK, NULL, NULL, p);
	}
	expect_screen(f, "kmodpkg: building mod00/1.0 for 6.1\n");
	cli_progress_free(p);
}

/* Then it is not built. */
static void what_the_cache_has_is_only_taken(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, false);
	struct kp_record record = { .cached = true };

	free(f->kernel.release);
	f->kernel.release = strdup("6.1");
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], "prepare", p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], "cache", p);
	cli_progress_event(KP_BUILD_STAGE, &f->jobs[0], "sign", p);
	f->jobs[0].record = &record;
	cli_progress_event(KP_BUILD_DONE, &f->jobs[0], NULL, p);
	cli_progress_free(p);
	expect_screen(f, "kmodpkg: took mod00/1.0 for 6.1 from the cache\n");
}

static void an_optional_module_is_only_noted(void **state)
{
	struct fixture *f = *state;
	struct cli_progress *p = cli_progress_new(&f->ctx, true);
	char *optional[] = { f->names[0], NULL };

	f->ctx.config.optional = optional;
	f->jobs[0].rc = -EIO;
	kp_err_set(&f->jobs[0].err, -EIO, "x");
	cli_progress_event(KP_BUILD_QUEUED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_STARTED, &f->jobs[0], NULL, p);
	cli_progress_event(KP_BUILD_DONE, &f->jobs[0], NULL, p);
	cli_progress_free(p);
	expect_screen(f, "mod00/1.0 (optional) was not built for 6.1.0-56-am\nd64: x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(running_jobs_are_a_block_that_goes_away,
						setup, teardown),
		cmocka_unit_test_setup_teardown(lines_are_cut_to_the_terminal, setup,
						teardown),
		cmocka_unit_test_setup_teardown(more_jobs_than_rows_do_not_scroll, setup,
						teardown),
		cmocka_unit_test_setup_teardown(no_terminal_gets_plain_lines, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_transactions_terminal_gets_plain_lines,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_cache_has_is_only_taken, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_optional_module_is_only_noted, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
