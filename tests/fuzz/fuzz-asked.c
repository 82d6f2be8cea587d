// SPDX-License-Identifier: GPL-2.0-or-later
/* What a build hands over as a question to its compiler, which root's process has answered. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/probe.c"

/* It names no file but the compiler and the output. */
static void check(const struct kp_learner *l, const struct asked *a)
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
	struct kp_learner l = { .ctx = &ctx, .out = (char *)"/x/.tmp_1/tmp" };
	/* Without a NUL behind it. */
	_cleanup_free_ char *key = kp_memdup(data, size);
	_cleanup_strv_ char **argv = NULL;
	struct asked a;
	bool ok;

	if (!ctx.root_fd)
		ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ok = parse(&l, key, size, &a);
	argv = a.argv;
	if (ok && is_valid(&l, &a))
		check(&l, &a);
	return 0;
}
