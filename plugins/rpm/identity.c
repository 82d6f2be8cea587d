// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who a generated package is, kept where rpm's database has an index and `rpm -q --provides`
 * shows it: one capability "kmodpkg-FIELD(VALUE)" for each field. The value is everything up
 * to the last byte, so it may hold whatever a name may hold.
 */
#include <stdlib.h>

#include <rpm/rpmtd.h>

#include "base/alloc.h"

#include "rpm.h"

static const struct {
	const char *prefix;
	size_t offset; /* of the member */
} fields[] = {
	{ "kmodpkg-module(", offsetof(struct kp_pkg_id, module) },
	{ "kmodpkg-version(", offsetof(struct kp_pkg_id, version) },
	{ "kmodpkg-kernel(", offsetof(struct kp_pkg_id, kernel) },
	{ "kmodpkg-arch(", offsetof(struct kp_pkg_id, arch) },
	{ "kmodpkg-key(", offsetof(struct kp_pkg_id, key) },
	{ "kmodpkg-content(", offsetof(struct kp_pkg_id, content) },
	{ "kmodpkg-source-package(", offsetof(struct kp_pkg_id, source_package) },
};

static char **member(struct kp_pkg_id *id, size_t i)
{
	return (char **)((char *)id + fields[i].offset);
}

char **kp_rpm_identity_provides(const struct kp_pkg_id *id)
{
	char **v = NULL;

	kp_strv_add(&v, KP_RPM_MARKER);
	for (size_t i = 0; i < KP_ARRAY_SIZE(fields); i++) {
		const char *value = *member((struct kp_pkg_id *)id, i);

		if (value)
			kp_strv_addf(&v, "%s%s)", fields[i].prefix, value);
	}
	return v;
}

bool kp_rpm_is_ours(Header h)
{
	_cleanup_strv_ char **provides = kp_rpm_header_strv(h, RPMTAG_PROVIDENAME);

	return kp_strv_has(provides, KP_RPM_MARKER);
}

static void take(struct kp_pkg_id *id, const char *capability)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(fields); i++) {
		char **to = member(id, i);

		if (*to || !kp_str_starts(capability, fields[i].prefix) ||
		    !kp_str_ends(capability, ")"))
			continue;
		capability += strlen(fields[i].prefix);
		*to = kp_strndup(capability, strlen(capability) - 1);
		return;
	}
}

bool kp_rpm_identity_load(Header h, struct kp_pkg_id *ret)
{
	_cleanup_strv_ char **provides = kp_rpm_header_strv(h, RPMTAG_PROVIDENAME);
	struct kp_pkg_id id = { 0 };

	if (!kp_strv_has(provides, KP_RPM_MARKER))
		return false;
	kp_strv_foreach(p, provides)
		take(&id, *p);
	if (!id.module || !id.version || !id.kernel) {
		kp_pkg_id_clear(&id);
		return false;
	}
	if (!id.arch)
		id.arch = kp_strdup("");
	if (!id.key)
		id.key = kp_strdup("");
	if (!id.content)
		id.content = kp_strdup("");
	*ret = id;
	return true;
}
