// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include <kmodpkg/pkg.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

static bool is_name(const char *s)
{
	return s && kp_name_ok(s);
}

/* "" is how a database has it that does not know. */
static bool is_optional_name(const char *s)
{
	return kp_str_empty(s) || kp_name_ok(s);
}

const char *kp_pkg_fault(const struct kp_pkg_id *id, char *const *files)
{
	if (!is_name(id->module) || !is_name(id->version) || !is_name(id->kernel))
		return "expected safe names in \"module\", \"version\" and \"kernel\"";
	if (!is_optional_name(id->arch) || !is_optional_name(id->key) ||
	    !is_optional_name(id->content) || !is_optional_name(id->source_package))
		return "expected words in \"arch\", \"key\", \"content\" and \"source_package\"";
	kp_strv_foreach(f, files)
		if (!kp_path_ok(*f) || !(kp_str_starts(*f, "/lib/modules/") ||
					 kp_str_starts(*f, "/usr/lib/modules/")))
			return "expected paths of modules in \"paths\"";
	return NULL;
}

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
