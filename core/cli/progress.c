// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/progress.h"

#define REDRAW_MS 100
#define EXCERPT_LINES 10

struct running {
	const struct kp_build_job *job;
	char *stage;
	int64_t since;
};

struct cli_progress {
	struct kp_ctx *ctx;
	bool live;
	struct running *jobs;
	size_t n_jobs, alloc;
	size_t total, done;
	size_t drawn; /* lines of the block on the screen */
	int64_t last;
};

static void format_elapsed(int64_t ms, char *buf, size_t size)
{
	if (ms < 60000)
		snprintf(buf, size, "%d.%d s", (int)(ms / 1000), (int)(ms % 1000 / 100));
	else
		snprintf(buf, size, "%d:%02d min", (int)(ms / 60000),
			 (int)(ms / 1000 % 60));
}

static void add_erase(const struct cli_progress *p, struct kp_buf *b)
{
	if (p->drawn)
		kp_buf_addf(b, "\033[%zuA\r\033[J", p->drawn);
}

/* Cut LINE to COLUMNS, not in the middle of a UTF-8 character. */
static void add_line(struct kp_buf *b, const char *line, size_t columns)
{
	size_t len = strlen(line);

	if (len > columns) {
		len = columns;
		while (len && ((unsigned char)line[len] & 0xc0) == 0x80)
			len--;
	}
	kp_buf_add(b, line, len);
	kp_buf_addc(b, '\n');
}

static void draw(struct cli_progress *p)
{
	struct winsize ws = { 0 };
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	size_t columns = 79, rows = 24, shown = p->n_jobs;
	int width = 0;

	p->last = kp_now_ms();
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0) {
		/* The last column stays free: some terminals wrap there. */
		columns = ws.ws_col > 1 ? (size_t)ws.ws_col - 1 : columns;
		rows = ws.ws_row > 3 ? ws.ws_row : rows;
	}
	if (shown > rows - 2)
		shown = rows - 2;
	add_erase(p, &b);
	p->drawn = 0;
	for (size_t i = 0; i < shown; i++) {
		const struct kp_build_job *job = p->jobs[i].job;
		int w = (int)(strlen(job->source->module) + strlen(job->source->version) +
			      strlen(job->kernel->release) + 3);

		width = w > width ? w : width;
	}
	for (size_t i = 0; i < shown; i++) {
		const struct running *r = &p->jobs[i];
		_cleanup_free_ char *what = NULL, *line = NULL;
		char elapsed[32];

		format_elapsed(p->last - r->since, elapsed, sizeof(elapsed));
		what = kp_strf("%s/%s  %s", r->job->source->module,
			       r->job->source->version, r->job->kernel->release);
		line = kp_strf("  %-*s  %-8s  %s", width, what, r->stage ? r->stage : "",
			       elapsed);
		add_line(&b, line, columns);
		p->drawn++;
	}
	if (p->n_jobs) {
		_cleanup_free_ char *line =
			kp_strf("building: %zu of %zu done", p->done, p->total);

		add_line(&b, line, columns);
		p->drawn++;
	}
	(void)kp_write_all(STDERR_FILENO, b.s, b.len);
}

static void draw_if_due(struct cli_progress *p)
{
	if (p->live && kp_now_ms() - p->last >= REDRAW_MS && (p->n_jobs || p->drawn))
		draw(p);
}

/* A line above the block; the block comes back when a redraw is due. */
static void print_line(struct cli_progress *p, const char *line)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	add_erase(p, &b);
	p->drawn = 0;
	kp_buf_addf(&b, "%s\n", line);
	(void)kp_write_all(STDERR_FILENO, b.s, b.len);
	draw_if_due(p);
}

static void sink(enum kp_log_level level, const char *line, void *data)
{
	(void)level;
	print_line(data, line);
}

struct cli_progress *cli_progress_new(struct kp_ctx *ctx, bool live)
{
	struct cli_progress *p = kp_calloc(1, sizeof(*p));
	const char *term = getenv("TERM");

	p->ctx = ctx;
	p->live = live && isatty(STDERR_FILENO) && !kp_str_empty(term) &&
		  strcmp(term, "dumb") && kp_log_get_level() >= KP_LOG_INFO;
	if (p->live)
		kp_log_set_sink(sink, p);
	return p;
}

void cli_progress_free(struct cli_progress *p)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	if (!p)
		return;
	if (p->live) {
		add_erase(p, &b);
		(void)kp_write_all(STDERR_FILENO, b.s, b.len);
		kp_log_set_sink(NULL, NULL);
	}
	for (size_t i = 0; i < p->n_jobs; i++)
		free(p->jobs[i].stage);
	free(p->jobs);
	free(p);
}

static struct running *find_running(struct cli_progress *p,
				    const struct kp_build_job *job)
{
	for (size_t i = 0; i < p->n_jobs; i++) {
		if (p->jobs[i].job == job)
			return &p->jobs[i];
	}
	return NULL;
}

static void started(struct cli_progress *p, const struct kp_build_job *job)
{
	KP_GROW(p->jobs, p->n_jobs, p->alloc);
	p->jobs[p->n_jobs++] = (struct running){ .job = job, .since = kp_now_ms() };
}

static void enter_stage(struct cli_progress *p, const struct kp_build_job *job,
			const char *stage)
{
	struct running *r = find_running(p, job);

	if (r) {
		free(r->stage);
		r->stage = kp_strdup(stage);
	}
	if (!p->live && kp_str_eq(stage, KP_BUILD_STAGE_ANEW))
		kp_info("building %s/%s for %s", job->source->module,
			job->source->version, job->kernel->release);
}

static void print_excerpt(struct cli_progress *p, const struct kp_build_job *job)
{
	_cleanup_free_ char *log = NULL, *excerpt = NULL, *hint = NULL;
	_cleanup_strv_ char **lines = NULL;

	log = kp_build_log_path(p->ctx, job->source->module, job->source->version,
				job->kernel->release);
	excerpt = kp_build_log_excerpt(p->ctx, log, EXCERPT_LINES);
	lines = kp_strv_split(excerpt, "\n");
	kp_strv_foreach(l, lines) {
		_cleanup_free_ char *line = kp_strf("    %s", *l);

		print_line(p, line);
	}
	if (!*excerpt)
		return;
	hint = kp_strf("    the whole log: kmodpkg log %s/%s -k %s", job->source->module,
		       job->source->version, job->kernel->release);
	print_line(p, hint);
}

static void report_failure(struct cli_progress *p, const struct kp_build_job *job)
{
	const char *module = job->source->module;
	const char *words = kp_err_text(&job->err, job->rc);

	if (job->rc == -EINTR)
		return; /* the person who interrupted knows */
	if (job->rc == -ESTALE) {
		kp_info("%s/%s was not built for %s: %s", module, job->source->version,
			job->kernel->release, words);
		return;
	}
	if (kp_strv_has(p->ctx->config.optional, module)) {
		kp_info("%s/%s (optional) was not built for %s: %s", module,
			job->source->version, job->kernel->release, words);
		return;
	}
	if (job->rc == -ENOLINK) {
		kp_warn("%s/%s is blocked for %s: %s", module, job->source->version,
			job->kernel->release, words);
		return;
	}
	kp_log(KP_LOG_ERR, "building %s/%s for %s failed: %s", module,
	       job->source->version, job->kernel->release, words);
	print_excerpt(p, job);
}

static void done(struct cli_progress *p, const struct kp_build_job *job)
{
	struct running *r = find_running(p, job);
	char elapsed[32];

	p->done++;
	if (r) {
		format_elapsed(kp_now_ms() - r->since, elapsed, sizeof(elapsed));
		free(r->stage);
		memmove(r, r + 1, (size_t)(p->jobs + --p->n_jobs - r) * sizeof(*r));
	}
	if (job->rc < 0)
		report_failure(p, job);
	else if (r && job->record && job->record->cached)
		kp_info("took %s/%s for %s from the cache", job->source->module,
			job->source->version, job->kernel->release);
	else if (r)
		kp_info("built %s/%s for %s in %s", job->source->module,
			job->source->version, job->kernel->release, elapsed);
	/* Whatever comes after the last job may write to the terminal itself. */
	if (p->live && !p->n_jobs && p->drawn)
		draw(p);
}

void cli_progress_event(enum kp_build_event event, const struct kp_build_job *job,
			const char *stage, void *data)
{
	struct cli_progress *p = data;

	switch (event) {
	case KP_BUILD_QUEUED:
		p->total++;
		break;
	case KP_BUILD_STARTED:
		started(p, job);
		break;
	case KP_BUILD_STAGE:
		enter_stage(p, job, stage);
		break;
	case KP_BUILD_DONE:
		done(p, job);
		break;
	case KP_BUILD_TICK:
		break;
	}
	draw_if_due(p);
}
