// SPDX-License-Identifier: GPL-2.0-or-later
/* Says which modules an initramfs holds, in the sandbox: its standard input (lib/image-parts.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"
#include "inside/image.h"
#include "lib/image-parts.h"

static int fail(int code, const char *why)
{
	fprintf(stderr, "%s\n", why);
	return code;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each once. */
static int answer(struct kp_members *m)
{
	const char *last = "";

	if (m->n)
		qsort(m->modules, m->n, sizeof(*m->modules), compare);
	for (size_t i = 0; i < m->n; last = m->modules[i++])
		if (strcmp(m->modules[i], last) != 0)
			puts(m->modules[i]);
	puts(KP_IMAGE_END);
	return fflush(stdout) ? fail(KP_IMAGE_NONE, "cannot write") : KP_IMAGE_GOOD;
}

/* A stream can ask for a dictionary of 4 GiB; that of xz -9 has 64 MiB. */
static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__ /* reserves more than any limit, of which it uses little */
	(void)setrlimit(RLIMIT_DATA,
			&(struct rlimit){ KP_IMAGE_MEMORY, KP_IMAGE_MEMORY });
#endif
}

/* PROTOCOL */
int main(int argc, char **argv)
{
	struct kp_members m = { 0 };
	struct kp_err err = KP_ERR_INIT;
	int rc;

	/* Nowhere but in the sandbox. */
	if (argc != 2 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return KP_IMAGE_NONE;
	if (strcmp(argv[1], KP_IMAGE_PROTOCOL) != 0)
		return fail(KP_IMAGE_NONE,
			    "kmodpkg was upgraded meanwhile: run it again");
	limit_memory();
	rc = kp_image_read(STDIN_FILENO, &m, &err) < 0 ? fail(KP_IMAGE_BAD, err.text)
						       : answer(&m);
	kp_members_clear(&m);
	return rc;
}
