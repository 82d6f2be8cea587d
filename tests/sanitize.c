// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sanitizers' options, linked into programs that are made with them, since package managers and
 * sandboxes do not pass on an environment.
 *
 * Leaks are looked for by ptrace(2), which the sandbox refuses, and a command that ends need not free
 * what it has; unit tests, which this is not in, look for them. Reports go where an end-to-end test
 * collects them, whatever is done with standard error; in the sandbox, which does not see that
 * directory, to the build's log.
 */
#include <unistd.h>

#define REPORTS "/run/sanitizer-reports"

__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return access(REPORTS, W_OK) ? "detect_leaks=0"
				     : "detect_leaks=0:log_path=" REPORTS "/asan";
}

const char *__ubsan_default_options(void)
{
	return access(REPORTS, W_OK) ? "print_stacktrace=1"
				     : "print_stacktrace=1:log_path=" REPORTS "/ubsan";
}
