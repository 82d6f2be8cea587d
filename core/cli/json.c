// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/json.h"
#include "lib/jsonfile.h"

json_t *cli_json_text(const char *s)
{
	json_t *value = s ? json_string(s) : json_null();

	return value ? value : kp_json_text(s);
}

json_t *cli_json_texts(char *const *v)
{
	json_t *array = json_array();

	kp_strv_foreach(p, v)
		json_array_append_new(array, cli_json_text(*p));
	return array;
}

void cli_json_set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		abort();
}

void cli_json_print(json_t *root)
{
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}
