// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a command and add a line "CPU WALL PEAK" to a file: seconds of processor time of it and all
 * that it waited for, seconds until it ended, kilobytes of the largest process. time(1) has
 * hundredths of a second only.
 *
 * usage: spend N FILE COMMAND...	N: how often; the line is of one time
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[1]) : 0, status;
	double start = now();
	struct rusage ru;
	FILE *f;

	if (n < 1)
		return 2;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			execvp(argv[3], argv + 3);
			perror(argv[3]);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 1;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	start = now() - start;
	getrusage(RUSAGE_CHILDREN, &ru);
	f = fopen(argv[2], "a");
	if (!f)
		return 1;
	fprintf(f, "%.6f %.6f %ld\n", (seconds(&ru.ru_utime) + seconds(&ru.ru_stime)) / n,
		start / n, ru.ru_maxrss);
	return fclose(f) ? 1 : 0;
}
