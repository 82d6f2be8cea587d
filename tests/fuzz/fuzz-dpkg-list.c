// SPDX-License-Identifier: GPL-2.0-or-later
/* A package's file list, of which the files are taken and some paths are searched. */
#include <assert.h>
#include <stdint.h>

#include "../../plugins/dpkg/deb822.c"
#include "../../plugins/dpkg/lists.c"
#include "../../plugins/dpkg/owner.c"
#include "../../plugins/dpkg/status.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = { "/lib/modules/6.1", "/a", "/b", "" };
	static const struct kp_dpkg_pkg pkg = { .name = "p", .version = "1" };
	_cleanup_(search_clear) struct search s = { 0 };
	_cleanup_strv_ char **files = NULL;
	char *text;

	/* what read_list() lets through */
	if (size && (data[size - 1] != '\n' || memchr(data, '\0', size)))
		return 0;
	text = kp_malloc(size);
	if (size)
		memcpy(text, data, size);
	files = regular_files(text, size);
	kp_strv_foreach(f, files)
		assert(!strchr(*f, '\n'));
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++)
		add_want(&s, paths[i], i, NULL, false);
	s.found = kp_calloc(KP_ARRAY_SIZE(paths), sizeof(*s.found));
	s.found_path = kp_calloc(KP_ARRAY_SIZE(paths), sizeof(*s.found_path));
	kp_pathset_seal(&s.paths);
	search_list(&pkg, text, size, &s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++)
		if (kp_strv_has(files, paths[i]) && *paths[i])
			assert(s.found[i]);
	free(text);
	return 0;
}
