// SPDX-License-Identifier: GPL-2.0-or-later
/* What the check of a module answers, which read an untrusted file before. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/check-parts.h"

static bool is_line(const char *s, size_t max)
{
	return !s || (*s && strlen(s) <= max && kp_str_is_printable(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kp_artifact_facts facts = { 0 };
	/* Without a NUL behind it, as the prototype has it. */
	char *text = kp_memdup(data, size);

	if (kp_check_parse(text, size, &facts) < 0 &&
	    (facts.license || facts.note || facts.is_signed))
		abort();
	if (!is_line(facts.license, KP_LICENSE_MAX) || !is_line(facts.note, size))
		abort();
	kp_artifact_facts_clear(&facts);
	free(text);
	return 0;
}
