// SPDX-License-Identifier: GPL-2.0-or-later
/* Says which modules an initramfs holds, in the sandbox: its standard input (lib/image-parts.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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
	rc = kp_image_read(STDIN_FILENO, &m, &err) < 0 ? fail(KP_IMAGE_BAD, err.text)
						       : answer(&m);
	kp_members_clear(&m);
	return rc;
}
