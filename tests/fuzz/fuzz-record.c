// SPDX-License-Identifier: GPL-2.0-or-later
/* Build records: root packages the files that they name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "lib/record.h"

static void check(const struct kp_record *rec)
{
	if (!rec->key || (rec->log && rec->log[0] != '/') ||
	    (rec->reason && strpbrk(rec->reason, "\r\n\033")) ||
	    (rec->result == KP_BUILD_OK && !rec->content))
		abort();
	kp_strv_foreach(p, rec->licenses)
		if (!**p || strpbrk(*p, "\r\n\033"))
			abort();
	for (size_t i = 0; i < rec->n_files; i++)
		if (!kp_name_ok(rec->files[i].name) ||
		    !kp_relpath_ok(rec->files[i].dest) ||
		    strlen(rec->files[i].sha256) != 64)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (kp_record_parse((const char *)data, size, "f", &rec, &err) == 0)
		check(rec);
	else if (rec || !err.text[0])
		abort();
	return 0;
}
