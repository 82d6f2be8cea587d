// SPDX-License-Identifier: GPL-2.0-or-later
/* kmodpkg.conf: what comes of it keeps its promises. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/ctx.h"

static void check_names(char *const *names)
{
	kp_strv_foreach(p, names)
		if (!kp_name_ok(*p))
			abort();
}

static void check(const struct kp_config *c)
{
	if (c->jobs < 0 || c->timeout_minutes < 1 || c->sign > KP_SIGN_NO ||
	    (c->backend && !kp_name_ok(c->backend)) ||
	    (c->sign_cert && c->sign_cert[0] != '/') ||
	    (c->sign_tool && c->sign_tool[0] != '/'))
		abort();
	if (c->wrong.code && (!c->wrong.text[0] || !c->problems))
		abort();
	check_names(c->optional);
	check_names(c->required);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);
	struct kp_config config;

	kp_config_init(&config);
	kp_config_parse(text, "f", &config);
	check(&config);
	kp_config_clear(&config);
	return 0;
}
