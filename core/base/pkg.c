// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include <kmodpkg/pkg.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/str.h"

void kp_pkg_id_clear(struct kp_pkg_id *id)
{
	free(id->module);
	free(id->version);
	free(id->kernel);
	free(id->arch);
	free(id->key);
	free(id->content);
	free(id->source_package);
	*id = (struct kp_pkg_id){ 0 };
}

void kp_pkg_id_copy(struct kp_pkg_id *to, const struct kp_pkg_id *from)
{
	*to = (struct kp_pkg_id){
		.module = kp_strdup(from->module),
		.version = kp_strdup(from->version),
		.kernel = kp_strdup(from->kernel),
		.arch = kp_strdup(from->arch),
		.key = kp_strdup(from->key),
		.content = kp_strdup(from->content),
		.source_package = kp_strdup(from->source_package),
	};
}

void kp_pkg_installed_clear(struct kp_pkg_installed *pkg)
{
	kp_pkg_id_clear(&pkg->id);
	free(pkg->name);
	free(pkg->pkg_version);
	kp_strv_free(pkg->files);
	*pkg = (struct kp_pkg_installed){ 0 };
}

void kp_pkg_list_free(struct kp_pkg_installed *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kp_pkg_installed_clear(&list[i]);
	free(list);
}

void kp_owner_clear(struct kp_owner *owner)
{
	free(owner->package);
	free(owner->version);
	free(owner->path);
	*owner = (struct kp_owner){ 0 };
}

void kp_owners_free(struct kp_owner *owners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kp_owner_clear(&owners[i]);
	free(owners);
}
