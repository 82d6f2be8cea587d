// SPDX-License-Identifier: GPL-2.0-or-later
/* dpkg's status file; behind the first NUL of the input, a file of its journal. */
#include <assert.h>
#include <stdint.h>

#include "../../plugins/dpkg/deb822.c"
#include "../../plugins/dpkg/status.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct kp_dpkg_status *st, const uint8_t *data, size_t size,
		 bool journal)
{
	char *text = kp_malloc(size + 1);

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	kp_strv_take(&st->texts, text);
	return kp_dpkg_status_parse(st, text, size, journal, "status", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t first = nul ? (size_t)(nul - data) : size;
	_cleanup_status_ struct kp_dpkg_status st = { 0 };

	if (parse(&st, data, first, false) < 0 ||
	    (nul && parse(&st, nul + 1, size - first - 1, true) < 0))
		return 0;
	if (st.n)
		qsort(st.pkgs, st.n, sizeof(*st.pkgs), by_name);
	for (size_t i = 0; i < st.n; i++) {
		assert(kp_dpkg_status_find(&st, st.pkgs[i].name));
		assert(!strchr(st.pkgs[i].name, '/'));
		if (st.pkgs[i].state > KP_DPKG_HALF_INSTALLED)
			assert(st.pkgs[i].version && *st.pkgs[i].version);
		(void)kp_dpkg_pkg_is_ours(&st.pkgs[i]);
	}
	return 0;
}
