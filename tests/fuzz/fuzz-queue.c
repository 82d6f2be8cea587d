// SPDX-License-Identifier: GPL-2.0-or-later
/* entry.json of the queue: the paths in it are placed and removed by root. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "lib/queue.h"

static void check(const struct kp_queue_entry *e)
{
	if (!kp_name_ok(e->name) || !kp_name_ok(e->id.module) ||
	    !kp_name_ok(e->id.version) || !kp_name_ok(e->id.kernel) ||
	    !e->file != (e->kind == KP_CHANGE_ERASE) || (e->file && !kp_name_ok(e->file)))
		abort();
	kp_strv_foreach(p, e->paths)
		if ((!kp_str_starts(*p, "/lib/modules/") &&
		     !kp_str_starts(*p, "/usr/lib/modules/")) ||
		    strstr(*p, "/../") || kp_str_ends(*p, "/..") || strchr(*p, '\n'))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kp_queue_entry e = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_queue_entry_parse((const char *)data, size, "f", &e, &err) == 0)
		check(&e);
	else if (e.name || !err.text[0])
		abort();
	kp_queue_entry_clear(&e);
	return 0;
}
