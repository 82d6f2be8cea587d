// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"

static struct {
	enum kp_log_level level;
	int syslog_prefix;
	kp_log_sink *sink;
	void *data;
	char **said; /* texts of kp_log_once() */
	const char *program;
} state = { .level = KP_LOG_INFO, .program = "kmodpkg" };

void kp_log_set_level(enum kp_log_level level)
{
	state.level = level;
}

enum kp_log_level kp_log_get_level(void)
{
	return state.level;
}

void kp_log_set_sink(kp_log_sink *sink, void *data)
{
	state.sink = sink;
	state.data = data;
	kp_strv_free(state.said);
	state.said = NULL;
}

void kp_log_set_program(const char *name)
{
	state.program = name;
}

void kp_log_set_syslog_prefix(int on)
{
	state.syslog_prefix = on;
}

void kp_log(enum kp_log_level level, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	const char *mark = "";
	va_list ap;

	if (level > state.level)
		return;
	va_start(ap, fmt);
	text = kp_vstrf(fmt, ap);
	va_end(ap);
	kp_str_printable(text);
	if (level == KP_LOG_WARNING)
		mark = "warning: ";
	else if (level == KP_LOG_ERR)
		mark = "error: ";
	if (state.sink) {
		line = kp_strf("%s%s", mark, text);
		state.sink(level, line, state.data);
		return;
	}
	if (state.syslog_prefix)
		line = kp_strf("<%d>%s%s\n", (int)level, mark, text);
	else
		line = kp_strf("%s: %s%s\n", state.program, mark, text);
	/* A lost message must not fail the work it tells of. */
	(void)!write(STDERR_FILENO, line, strlen(line));
}

void kp_log_once(enum kp_log_level level, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (level > state.level)
		return;
	va_start(ap, fmt);
	text = kp_vstrf(fmt, ap);
	va_end(ap);
	if (kp_strv_has(state.said, text))
		return;
	kp_log(level, "%s", text);
	kp_strv_take(&state.said, kp_steal(&text));
}
