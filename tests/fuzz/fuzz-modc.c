// SPDX-License-Identifier: GPL-2.0-or-later
/* What a build may hand to the front as a file of kbuild's, and to root's process as the key of
 * one; and what is remembered. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/modc-learn.h"
#include "probe-front/modc.h"

static void check_file(const char *text, size_t size)
{
	char head[KP_MODC_HEAD_MAX];
	size_t open;

	if (!kp_modc_head(text, size, head))
		return;
	assert(strlen(head) < sizeof(head));
	if (kp_modc_head_ok(head, &open))
		assert(open <= strlen(head));
	kp_modc_fits(text, size, text, size);
}

/* A call of the compiler names no file but headers of a kernel, of which there are none. */
static void check_key(const struct kp_ctx *ctx, const char *key, size_t size)
{
	char *input, **argv;

	if (!kp_modc_key_ok(ctx, key, size))
		return;
	argv = kp_modc_call(key, size, "/out", "/dep", &input);
	kp_strv_foreach(a, argv + 1)
		assert((*a)[0] == '-' &&
		       (!strchr(*a, '/') || kp_str_eq(*a, "-o/out") ||
			kp_str_eq(*a, "-MF/dep") || strstr(*a, "map=")));
	assert(!strstr(input, "..") && !strchr(input, '"' + 0x80));
	kp_strv_free(argv);
	free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kp_ctx ctx;
	char *text = kp_memdup(data, size), *key = kp_malloc(size + 1);
	struct kp_modc_known known;

	if (!ctx.root_fd)
		ctx.root_fd =
			open("/var/empty-kmodpkg", O_PATH | O_DIRECTORY | O_CLOEXEC);
	memcpy(key, data, size);
	key[size] = '\0';
	check_file(text, size);
	check_key(&ctx, key, size);
	if (kp_modc_is_true(text, size, "/usr/bin/gcc", "", 0, &known))
		assert(known.headers >= text &&
		       known.headers + known.headers_len <= text + size &&
		       known.macros + known.macros_len <= text + size);
	free(text);
	free(key);
	return 0;
}
