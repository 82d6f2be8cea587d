// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages for people: one process-wide sink, stderr unless told otherwise.
 *
 * Errors are returned, not logged (err.h). What is logged is what goes on despite a problem
 * (a warning, which says so: "..., skipping"), progress (info) and detail (debug). One call
 * is one line; the line is written with one write(2), so that lines of two processes
 * never mix. Control characters in a message are replaced by '?'.
 */
#pragma once

#include <stdarg.h>

enum kp_log_level {
	KP_LOG_ERR = 3, /* numbers as in syslog(3) */
	KP_LOG_WARNING = 4,
	KP_LOG_INFO = 6,
	KP_LOG_DEBUG = 7,
};

/* Drop messages above LEVEL (default KP_LOG_INFO). */
void kp_log_set_level(enum kp_log_level level);
enum kp_log_level kp_log_get_level(void);

/* Send lines to SINK instead of stderr; NULL restores stderr. The progress display uses
 * it to keep its status lines below the messages. LINE has no line break. */
typedef void kp_log_sink(enum kp_log_level level, const char *line, void *data);
void kp_log_set_sink(kp_log_sink *sink, void *data);

/* The word in front of each line on stderr, "kmodpkg" unless told otherwise; not copied. */
void kp_log_set_program(const char *name);

/* Write "<N>" syslog prefixes (for a service whose stderr is the journal). */
void kp_log_set_syslog_prefix(int on);

void kp_log(enum kp_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define kp_warn(...) kp_log(KP_LOG_WARNING, __VA_ARGS__)
#define kp_info(...) kp_log(KP_LOG_INFO, __VA_ARGS__)
#define kp_debug(...) kp_log(KP_LOG_DEBUG, __VA_ARGS__)

/* About something that is come across again and again; the same text is said once, and
 * again for another sink. */
void kp_log_once(enum kp_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define kp_warn_once(...) kp_log_once(KP_LOG_WARNING, __VA_ARGS__)
