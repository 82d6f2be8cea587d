// SPDX-License-Identifier: GPL-2.0-or-later
/* What rpm's database says of a package of ours: its capabilities, one per line. */
#include <assert.h>
#include <stdint.h>

#include "../../plugins/rpm/identity.c"

static char **provides;

/* librpm's part. */
char **kp_rpm_header_strv(Header h, rpmTagVal tag)
{
	(void)h;
	(void)tag;
	return kp_strv_dup(provides);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);
	struct kp_pkg_id a = { 0 }, b = { 0 };

	provides = kp_strv_split(text, "\n");
	if (kp_rpm_identity_load(NULL, &a)) {
		assert(a.module && a.version && a.kernel && a.arch && a.key && a.content);
		kp_strv_free(provides);
		provides = kp_rpm_identity_provides(&a);
		assert(kp_rpm_identity_load(NULL, &b));
		assert(kp_str_eq(a.module, b.module) && kp_str_eq(a.version, b.version) &&
		       kp_str_eq(a.kernel, b.kernel) && kp_str_eq(a.key, b.key) &&
		       kp_str_eq(a.source_package, b.source_package));
		(void)kp_pkg_fault(&a, NULL);
	}
	kp_pkg_id_clear(&a);
	kp_pkg_id_clear(&b);
	kp_strv_free(provides);
	return 0;
}
