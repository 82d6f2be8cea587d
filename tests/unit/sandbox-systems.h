// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Systems that lack something of what a sandbox is made of. Each is made out of this one for the
 * process that asks, before it has asked what there is, and needs root.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

/* Make system call NR fail with ERROR, for whatever runs from now on; only with this FIRST argument,
 * unless it is 0. */
static bool without_call(int nr, unsigned int first, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 4),
		BPF_JUMP(BPF_JMP | BPF_JA, first ? 0 : 2, 0, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { KP_ARRAY_SIZE(code), code };

	return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static bool as_it_is(void)
{
	return true;
}

/* An older kernel. */
static bool no_landlock(void)
{
	return without_call(444, 0, ENOSYS);
}

/* Whoever started us may have taken it away. */
static bool no_filter(void)
{
	return without_call(SYS_seccomp, 0, EINVAL) &&
	       without_call(SYS_prctl, PR_SET_SECCOMP, EINVAL);
}

static bool no_namespaces(void)
{
	return without_call(SYS_unshare, 0, EPERM);
}

/* A container of the usual kind. */
static bool no_mounts(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) ||
	    syscall(SYS_capget, &head, caps))
		return false;
	caps[0].effective &= ~(1U << CAP_SYS_ADMIN);
	caps[0].permitted &= ~(1U << CAP_SYS_ADMIN);
	return !syscall(SYS_capset, &head, caps);
}

/* Such a one on an older kernel. */
static bool no_mounts_no_landlock(void)
{
	return no_landlock() && no_mounts();
}

static bool write_proc(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && !kp_write_all(fd, text, strlen(text));
}

/* One that has no other user to offer. */
static bool one_user(void)
{
	return !unshare(CLONE_NEWUSER) && write_proc("/proc/self/setgroups", "deny") &&
	       write_proc("/proc/self/uid_map", "0 0 1") &&
	       write_proc("/proc/self/gid_map", "0 0 1");
}

/* A container that hides a part of /proc, so that no other one can be mounted. */
static bool no_proc(void)
{
	return !mount("tmpfs", "/proc/sys", "tmpfs", 0, NULL) && one_user();
}

/* As mock and debootstrap have it: a plain directory, with the system's mounts below. */
static bool in_chroot(void)
{
	static const char *const dirs[] = { "/usr",  "/etc", "/var",
					    "/proc", "/dev", "/tmp" };
	static const char *const links[] = { "/bin", "/lib", "/lib64", "/sbin" };
	char target[256];

	/* On a file system of its own, so that nothing of it is left. */
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755") || chdir("/mnt") ||
	    mkdir("root", 0755))
		return false;
	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *to = kp_strf("root%s", dirs[i]);

		if (mkdir(to, 0755) || mount(dirs[i], to, NULL, MS_BIND | MS_REC, NULL))
			return false;
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(links); i++) {
		_cleanup_free_ char *to = kp_strf("root%s", links[i]);
		ssize_t n = readlink(links[i], target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (symlink(target, to))
			return false;
	}
	return !chroot("root") && !chdir("/");
}

static const struct system {
	const char *name;
	bool (*make)(void);
	const char *missing; /* words that it has to be told with, NULL */
} systems[] = {
	{ "as it is", as_it_is, NULL },
	{ "without Landlock", no_landlock, NULL },
	{ "without a filter", no_filter, "system calls not filtered" },
	{ "without namespaces", no_namespaces, "no private mounts" },
	{ "without CAP_SYS_ADMIN", no_mounts, "no private mounts (builds in" },
	{ "without CAP_SYS_ADMIN and Landlock", no_mounts_no_landlock, "(sees and" },
	{ "with one user", one_user, "no user of its own" },
	{ "with one user and no /proc", no_proc, "no private /proc" },
	{ "in a chroot", in_chroot, NULL },
};

#define N_SYSTEMS (geteuid() ? 1 : KP_ARRAY_SIZE(systems))

/* Among processes of one's own: without a pid namespace the sandbox kills all of a slot's uid, which
 * somebody else's may have. */
static bool among_ourselves(void)
{
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("proc", "/proc", "proc", 0, NULL);
}

/* Run TESTS there: in a process of its own, since what a system can do is found out once. */
static bool passes_on(const struct system *system, int (*tests)(const struct system *))
{
	bool root = !geteuid();
	int status;
	pid_t pid = fork();

	if (pid == 0 && root) {
		if (unshare(CLONE_NEWNS | CLONE_NEWPID))
			_exit(3);
		pid = fork();
		if (pid)
			_exit(waitpid(pid, &status, 0) != pid || status);
	}
	if (pid == 0) {
		if ((root && !among_ourselves()) || !system->make()) {
			print_message("# %s: cannot be made\n", system->name);
			_exit(3);
		}
		exit(tests(system) != 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}
