// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A classic BPF program, made from a table: seccomp(2), and Documentation/userspace-api/
 * seccomp_filter.rst of the kernel. Calls that are in no rule pass without an argument being
 * looked at, so that the kernel (5.11 and later) need not run it for them.
 *
 * What a pointer leads to cannot be looked at. Where that would be needed the whole call is
 * refused, and its older form, which libraries fall back to, is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/str.h"
#include "lib/sandbox-filter.h"

#if defined(__x86_64__) && defined(__LP64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define NATIVE AUDIT_ARCH_I386
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARMEL__) && defined(__ARM_EABI__)
#define NATIVE AUDIT_ARCH_ARM
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define NATIVE AUDIT_ARCH_PPC64LE
#elif defined(__powerpc64__)
#define NATIVE AUDIT_ARCH_PPC64
#elif defined(__s390x__)
#define NATIVE AUDIT_ARCH_S390X
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE AUDIT_ARCH_RISCV64
#elif defined(__loongarch64)
#define NATIVE 0xC0000102 /* AUDIT_ARCH_LOONGARCH64 */
#endif

#ifdef NATIVE

/* Of calls that are newer than the oldest headers this is built with; from 424 on, all of
 * these architectures count alike. */
enum {
	NR_io_uring_setup = 425,
	NR_io_uring_enter = 426,
	NR_io_uring_register = 427,
	NR_open_tree = 428,
	NR_move_mount = 429,
	NR_fsopen = 430,
	NR_fsconfig = 431,
	NR_fsmount = 432,
	NR_fspick = 433,
	NR_clone3 = 435,
	NR_openat2 = 437,
	NR_pidfd_getfd = 438,
	NR_process_madvise = 440,
	NR_mount_setattr = 442,
	NR_quotactl_fd = 443,
	NR_memfd_secret = 447,
	NR_process_mrelease = 448,
	NR_fchmodat2 = 452,
	NR_open_tree_attr = 467,
	NR_last_known = 470,
};

#define NAMESPACES                                                                       \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |   \
	 CLONE_NEWPID | CLONE_NEWNET)
#define NEWTIME 0x80 /* of unshare(2); clone(2) has the signal there */
#define SET_ID (S_ISUID | S_ISGID)
#define CREATES (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

/* The first argument of clone(2) on s390 is the stack. */
#ifdef __s390x__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* Refused with EPERM. */
static const int forbidden[] = {
	/* Mounts, roots and namespaces. */
	__NR_mount,
	__NR_umount2,
	__NR_pivot_root,
	__NR_chroot,
	__NR_setns,
	NR_open_tree,
	NR_open_tree_attr,
	NR_move_mount,
	NR_mount_setattr,
	NR_fsopen,
	NR_fsconfig,
	NR_fsmount,
	NR_fspick,

	/* Other processes. */
	__NR_ptrace,
	__NR_process_vm_readv,
	__NR_process_vm_writev,
	__NR_kcmp,
	__NR_migrate_pages,
	__NR_move_pages,
	NR_pidfd_getfd,
	NR_process_madvise,
	NR_process_mrelease,

	/* Somebody who listens; add_socket() sees to the rest. */
	__NR_connect,
#ifdef __NR_socketcall
	__NR_socketcall, /* arguments behind a pointer */
#endif

	/* What many holes of the kernel were reached through. */
	__NR_add_key,
	__NR_request_key,
	__NR_keyctl,
	__NR_bpf,
	__NR_perf_event_open,
	__NR_userfaultfd,
	__NR_fanotify_init,
	__NR_open_by_handle_at,
#ifdef __NR_modify_ldt
	__NR_modify_ldt,
#endif
#ifdef __NR_vm86
	__NR_vm86,
#endif
#ifdef __NR_vm86old
	__NR_vm86old,
#endif

	/* The machine. */
	__NR_init_module,
	__NR_finit_module,
	__NR_delete_module,
	__NR_reboot,
	__NR_swapon,
	__NR_swapoff,
	__NR_acct,
	__NR_quotactl,
	NR_quotactl_fd,
	__NR_syslog,
	__NR_sethostname,
	__NR_setdomainname,
	__NR_vhangup,
#ifdef __NR_kexec_load
	__NR_kexec_load,
#endif
#ifdef __NR_kexec_file_load
	__NR_kexec_file_load,
#endif
#ifdef __NR_iopl
	__NR_iopl,
	__NR_ioperm,
#endif
	__NR_clock_settime,
	__NR_clock_adjtime,
	__NR_adjtimex,
	__NR_settimeofday,
#ifdef __NR_stime
	__NR_stime,
#endif
#ifdef __NR_clock_settime64
	__NR_clock_settime64,
	__NR_clock_adjtime64,
#endif
};

/* Not implemented: programs do without. */
static const int absent[] = {
	NR_clone3,  /* flags behind a pointer */
	NR_openat2, /* mode behind a pointer */
	NR_io_uring_setup,
	NR_io_uring_enter,
	NR_io_uring_register,

	/* Memory that may outlive who asked for it. */
	NR_memfd_secret,
#ifdef __NR_shmget
	__NR_shmget,
	__NR_msgget,
#endif
#ifdef __NR_ipc
	__NR_ipc,
#endif
};

/* Call NR with any of BITS in argument ARG; where IF_BITS are given, only with one of those in IF_ARG.
 */
struct rule {
	int nr;
	unsigned int arg;
	uint32_t bits;
	unsigned int if_arg;
	uint32_t if_bits;
};

static const struct rule rules[] = {
	{ __NR_unshare, 0, NAMESPACES | NEWTIME, 0, 0 },
	{ __NR_clone, CLONE_FLAGS, NAMESPACES, 0, 0 },

/* Files that run as their owner. */
#ifdef __NR_chmod
	{ __NR_chmod, 1, SET_ID, 0, 0 },
	{ __NR_open, 2, SET_ID, 1, CREATES },
	{ __NR_creat, 1, SET_ID, 0, 0 },
	{ __NR_mknod, 1, SET_ID, 0, 0 },
#endif
	{ __NR_fchmod, 1, SET_ID, 0, 0 },
	{ __NR_fchmodat, 2, SET_ID, 0, 0 },
	{ NR_fchmodat2, 2, SET_ID, 0, 0 },
	{ __NR_openat, 3, SET_ID, 2, CREATES },
	{ __NR_mknodat, 2, SET_ID, 0, 0 },
};

struct program {
	struct sock_filter code[512];
	unsigned short n;
};

static void add(struct program *p, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
	if (p->n < KP_ARRAY_SIZE(p->code))
		p->code[p->n++] = (struct sock_filter){ code, yes, no, k };
}

/* Go on with the next instruction if the accumulator is K, else SKIP instructions later. */
static void add_if_equal(struct program *p, uint32_t k, uint8_t skip)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, skip, k);
}

/* Likewise, if it has one of BITS. */
static void add_if_any(struct program *p, uint32_t bits, uint8_t skip)
{
	add(p, BPF_JMP | BPF_JSET | BPF_K, 0, skip, bits);
}

static void add_refusal(struct program *p, int error)
{
	add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (uint32_t)error);
}

static void add_pass(struct program *p)
{
	add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

static void add_load(struct program *p, size_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void add_load_nr(struct program *p)
{
	add_load(p, offsetof(struct seccomp_data, nr));
}

/* The lower half of an argument: flags and modes have no other. */
static void add_load_arg(struct program *p, unsigned int i)
{
	size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

	add_load(p, offsetof(struct seccomp_data, args) + i * 8 + low);
}

static void add_list(struct program *p, const int *list, size_t n, int error)
{
	for (size_t i = 0; i < n; i++) {
		add_if_equal(p, (uint32_t)list[i], 1);
		add_refusal(p, error);
	}
}

static void add_rule(struct program *p, const struct rule *r)
{
	add_if_equal(p, (uint32_t)r->nr, r->if_bits ? 6 : 4);
	if (r->if_bits) {
		add_load_arg(p, r->if_arg);
		add_if_any(p, r->if_bits, 3);
	}
	add_load_arg(p, r->arg);
	add_if_any(p, r->bits, 1);
	add_refusal(p, EPERM);
	add_load_nr(p);
}

/* A pair of connected sockets is as good as a pipe. What is sent from a datagram socket can be given
 * an address, behind a pointer; SOCK_RAW is another name for that. */
static void add_socket(struct program *p, int nr, bool internet)
{
	add_if_equal(p, (uint32_t)nr, internet ? 12 : 8);
	add_load_arg(p, 0);
	if (internet) {
		add_if_equal(p, AF_INET, 1);
		add_pass(p);
		add_if_equal(p, AF_INET6, 1);
		add_pass(p);
	}
	add_if_equal(p, AF_UNIX, 5);
	add_load_arg(p, 1);
	add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SOCK_STREAM);
	add_if_equal(p, SOCK_SEQPACKET, 1);
	add_pass(p);
	add_refusal(p, EAFNOSUPPORT);
}

/* What would be typed at a terminal. */
static void add_ioctl(struct program *p, uint32_t request)
{
	add_if_equal(p, __NR_ioctl, 4);
	add_load_arg(p, 1);
	add_if_equal(p, request, 1);
	add_refusal(p, EPERM);
	add_load_nr(p);
}

/* Asking, and what setarch(8) and linux32 are used for; not what makes memory executable or puts it at
 * address 0. */
static void add_personality(struct program *p)
{
	const uint32_t fine = PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE;

	add_if_equal(p, __NR_personality, 5);
	add_load_arg(p, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 0xffffffff);
	add_if_any(p, ~fine, 1);
	add_refusal(p, EPERM);
	add_load_nr(p);
}

static void make_program(struct program *p, bool internet)
{
	add_load(p, offsetof(struct seccomp_data, arch));
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE);
	add_refusal(p, ENOSYS);
	add_load_nr(p);
#ifndef __arm__ /* has calls of its own, far up */
	/* Those of x32 are above this, too. */
	add(p, BPF_JMP | BPF_JGT | BPF_K, 0, 1, NR_last_known);
	add_refusal(p, ENOSYS);
#endif
	add_list(p, forbidden, KP_ARRAY_SIZE(forbidden), EPERM);
	add_list(p, absent, KP_ARRAY_SIZE(absent), ENOSYS);
	for (size_t i = 0; i < KP_ARRAY_SIZE(rules); i++)
		add_rule(p, &rules[i]);
	add_socket(p, __NR_socket, internet);
	add_socket(p, __NR_socketpair, internet);
	add_ioctl(p, TIOCSTI);
	add_ioctl(p, TIOCLINUX);
	add_personality(p);
	add_pass(p);
}

/* A 32-bit program on a 64-bit kernel may have to run 64-bit compilers. */
static bool is_compat(void)
{
	struct utsname name;

	return sizeof(void *) == 4 && (uname(&name) || strstr(name.machine, "64"));
}

int kp_filter_install(bool internet)
{
	struct program p = { .n = 0 };
	struct sock_fprog prog = { .filter = p.code };

	if (is_compat())
		return -ENOSYS;
	make_program(&p, internet);
	prog.len = p.n;
	/* Without the last flag older kernels make everything inside slower. */
	if (!syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) ||
	    !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 0;
	return errno == EINVAL ? -ENOSYS : -errno;
}

#else

int kp_filter_install(bool internet)
{
	(void)internet;
	return -ENOSYS;
}

#endif
