// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * uname, as the builds of module sources find it: the system's own, with the release of the kernel
 * that the build is for ($kernelver, as DKMS calls it) in the place of the running one's. All else
 * is as the system says it, options and their faults too.
 *
 * The sandbox puts this over the system's uname, and that one at KP_REAL_UNAME; without private
 * mounts it is found by PATH.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first that is there and not this program. Returns if there is none. */
static void run_real(char **argv)
{
	static const char *const places[] = { KP_REAL_UNAME, "/usr/bin/uname",
					      "/bin/uname" };
	struct stat self, other;
	bool known = !stat("/proc/self/exe", &self);

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (!stat(places[i], &other) && known &&
		    (other.st_dev != self.st_dev || other.st_ino != self.st_ino))
			execv(places[i], argv);
	fprintf(stderr, "uname: the system's own is not there\n");
	exit(127);
}

/* TEXT with TO for each word that is FROM. */
static void print_with(const char *text, const char *from, const char *to)
{
	while (*text) {
		size_t blank = strspn(text, " \n"), len = strcspn(text + blank, " \n");

		printf("%.*s", (int)blank, text);
		text += blank;
		if (len && len == strlen(from) && !strncmp(text, from, len))
			printf("%s", to);
		else
			printf("%.*s", (int)len, text);
		text += len;
	}
}

int main(int argc, char **argv)
{
	const char *release = getenv("kernelver");
	struct utsname running;
	char text[4096];
	size_t len = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	(void)argc;
	if (!release || !*release || uname(&running) || pipe(fds))
		run_real(argv);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		run_real(argv);
	}
	close(fds[1]);
	while (len < sizeof(text) - 1 &&
	       (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	print_with(text, running.release, release);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return fflush(stdout) ? 1 : WEXITSTATUS(status);
}
