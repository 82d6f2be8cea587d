// SPDX-License-Identifier: GPL-2.0-or-later
/* The checks that everything goes through before it becomes a path or a line of output. */
#include <assert.h>
#include <limits.h>
#include <stdint.h>

#include <kmodpkg/pkg.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *s = kp_strndup((const char *)data, size), *joined = NULL;
	_cleanup_strv_ char **parts = kp_strv_split(s, "/");
	char *files[] = { s, NULL };
	struct kp_pkg_id id = { .module = s, .version = s, .kernel = s };

	if (kp_name_ok(s)) {
		assert(!strpbrk(s, "/ \t\r\n\033\177") && strlen(s) <= NAME_MAX);
		assert(strcmp(s, ".") && strcmp(s, ".."));
		assert(kp_relpath_ok(s) && kp_str_is_printable(s));
		assert(!kp_pkg_fault(&id, NULL));
	}
	if (kp_relpath_ok(s)) {
		joined = kp_strv_join(parts, "/");
		assert(!strcmp(joined, s) && *s);
		assert(!kp_strv_has(parts, "..") && !kp_strv_has(parts, "."));
	}
	assert(kp_path_ok(s) == (*s == '/' && kp_relpath_ok(s + 1)));
	id = (struct kp_pkg_id){ .module = "m", .version = "1", .kernel = "k" };
	if (!kp_pkg_fault(&id, files))
		assert(strstr(s, "lib/modules/") && !strstr(s, "/../"));
	assert(kp_version_cmp(s, s) == 0);
	kp_str_printable(s);
	assert(kp_str_is_printable(s));
	return 0;
}
