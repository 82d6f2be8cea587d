// SPDX-License-Identifier: GPL-2.0-or-later
/* What a build notes about questions to its compiler, which root's process asks then. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/probe.c"

/* That names no file but the compiler and the output. */
static void check(const struct learner *l, const struct asked *a)
{
	assert(kp_str_starts(a->argv[0], KP_COMPILERS));
	assert(!strchr(a->argv[0] + strlen(KP_COMPILERS), '/'));
	for (size_t i = 1; a->argv[i]; i++)
		assert(!strchr(a->argv[i], '/') || kp_str_eq(a->argv[i], l->out) ||
		       kp_str_eq(a->argv[i], "/dev/null"));
	assert(a->key_len <= KP_QUESTION_KEY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kp_ctx ctx;
	struct learner l = { .ctx = &ctx, .out = (char *)"/x/.tmp_1/tmp" };
	_cleanup_free_ char *notes = kp_malloc(size + 1);
	const char *p = notes, *key;
	size_t n;

	if (!ctx.root_fd)
		ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	memcpy(notes, data, size);
	notes[size] = '\0';
	while (next_note(&p, notes + size, &key, &n)) {
		struct asked a;

		if (parse(&l, key, n, &a) && is_valid(&l, &a))
			check(&l, &a);
		kp_strv_free(a.argv);
	}
	return 0;
}
