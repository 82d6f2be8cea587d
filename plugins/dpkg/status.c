// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "deb822.h"
#include "dpkg.h"

#define STATUS KP_DPKG_DIR "/status"
#define UPDATES KP_DPKG_DIR "/updates"
/* How often dpkg may write its status anew while we read it before we give up. */
#define MAX_TRIES 20

const char *const kp_dpkg_field_names[KP_DPKG_N_FIELDS] = {
	[KP_DPKG_MODULE] = "Kmodpkg-Module",
	[KP_DPKG_VERSION] = "Kmodpkg-Version",
	[KP_DPKG_KERNEL] = "Kmodpkg-Kernel",
	[KP_DPKG_ARCH] = "Kmodpkg-Architecture",
	[KP_DPKG_KEY] = "Kmodpkg-Key",
	[KP_DPKG_CONTENT] = "Kmodpkg-Content",
	[KP_DPKG_SOURCE_PACKAGE] = "Kmodpkg-Source-Package",
};

static const char *const state_names[] = {
	[KP_DPKG_NOT_INSTALLED] = "not-installed",
	[KP_DPKG_CONFIG_FILES] = "config-files",
	[KP_DPKG_HALF_INSTALLED] = "half-installed",
	[KP_DPKG_UNPACKED] = "unpacked",
	[KP_DPKG_HALF_CONFIGURED] = "half-configured",
	[KP_DPKG_TRIGGERS_AWAITED] = "triggers-awaited",
	[KP_DPKG_TRIGGERS_PENDING] = "triggers-pending",
	[KP_DPKG_INSTALLED] = "installed",
};

void kp_dpkg_id_fields(const struct kp_pkg_id *id, const char *ret[KP_DPKG_N_FIELDS])
{
	ret[KP_DPKG_MODULE] = id->module;
	ret[KP_DPKG_VERSION] = id->version;
	ret[KP_DPKG_KERNEL] = id->kernel;
	ret[KP_DPKG_ARCH] = id->arch;
	ret[KP_DPKG_KEY] = id->key;
	ret[KP_DPKG_CONTENT] = id->content;
	ret[KP_DPKG_SOURCE_PACKAGE] = id->source_package;
}

bool kp_dpkg_pkg_has_files(const struct kp_dpkg_pkg *pkg)
{
	return pkg->state >= KP_DPKG_HALF_INSTALLED;
}

bool kp_dpkg_pkg_is_ours(const struct kp_dpkg_pkg *pkg)
{
	return !kp_str_empty(pkg->fields[KP_DPKG_MODULE]) &&
	       !kp_str_empty(pkg->fields[KP_DPKG_VERSION]) &&
	       !kp_str_empty(pkg->fields[KP_DPKG_KERNEL]);
}

/* "want flag state"; the first word is what the administrator selected and does not
 * matter: a package on hold, or selected for removal, is as much installed. */
static int parse_state(struct kp_dpkg_pkg *pkg, const char *value)
{
	const char *flag = strchr(value, ' '),
		   *state = flag ? strchr(flag + 1, ' ') : NULL;

	if (!state)
		return -EINVAL;
	pkg->reinst_required = kp_str_starts(flag + 1, "reinstreq ");
	for (size_t i = 0; i < KP_ARRAY_SIZE(state_names); i++) {
		if (strcmp(state + 1, state_names[i]))
			continue;
		pkg->state = (enum kp_dpkg_state)i;
		return 0;
	}
	return -EINVAL;
}

static int take_field(struct kp_dpkg_pkg *pkg, const char *name, const char *value)
{
	/* Most fields are none of ours: let the first letter tell. */
	switch (*name | 0x20) {
	case 'a':
		if (!strcasecmp(name, "Architecture"))
			pkg->arch = value;
		break;
	case 'k':
		for (int i = 0; i < KP_DPKG_N_FIELDS; i++)
			if (!strcasecmp(name, kp_dpkg_field_names[i]))
				pkg->fields[i] = value;
		break;
	case 'm':
		if (!strcasecmp(name, "Multi-Arch"))
			pkg->multi_arch_same = !strcmp(value, "same");
		break;
	case 'p':
		if (!strcasecmp(name, "Package"))
			pkg->name = value;
		break;
	case 's':
		if (!strcasecmp(name, "Status"))
			return parse_state(pkg, value);
		break;
	case 'v':
		if (!strcasecmp(name, "Version"))
			pkg->version = value;
		break;
	}
	return 0;
}

/* The slot that a stanza of the journal replaces, by dpkg's own rule: the one installed
 * instance of the name, unless both are of the kind that can be installed for several
 * architectures; then the one of its architecture. A purged package has none. */
static struct kp_dpkg_pkg *find_slot(struct kp_dpkg_status *st,
				     const struct kp_dpkg_pkg *pkg)
{
	struct kp_dpkg_pkg *installed = NULL, *same_arch = NULL;
	size_t n_installed = 0;

	for (size_t i = 0; i < st->n; i++) {
		struct kp_dpkg_pkg *p = &st->pkgs[i];

		if (strcmp(p->name, pkg->name))
			continue;
		if (p->state != KP_DPKG_NOT_INSTALLED) {
			installed = p;
			n_installed++;
		}
		if (kp_str_eq(p->arch, pkg->arch))
			same_arch = p;
	}
	if (n_installed == 1 && !(installed->multi_arch_same && pkg->multi_arch_same))
		return installed;
	return same_arch;
}

static bool name_ok(const char *name)
{
	return isalnum((unsigned char)*name) && !strchr(name, '/');
}

int kp_dpkg_status_parse(struct kp_dpkg_status *st, char *text, size_t len, bool journal,
			 const char *file, struct kp_err *err)
{
	struct kp_deb822 d;
	int rc;

	kp_deb822_init(&d, text, len, file);
	while (kp_deb822_stanza(&d)) {
		struct kp_dpkg_pkg pkg = { 0 }, *slot;
		char *name, *value;

		while ((rc = kp_deb822_field(&d, &name, &value, err)) > 0)
			if (take_field(&pkg, name, value) < 0)
				return kp_err_set(err, -EIO,
						  "%s: line %lu: bad status \"%s\"", file,
						  d.line, value);
		if (rc < 0)
			return rc;
		if (!pkg.name || !name_ok(pkg.name) ||
		    (pkg.arch && strchr(pkg.arch, '/')))
			return kp_err_set(err, -EIO,
					  "%s: the stanza before line %lu has no %s",
					  file, d.line + 1, "usable package name");
		if (pkg.state > KP_DPKG_HALF_INSTALLED && kp_str_empty(pkg.version))
			return kp_err_set(err, -EIO, "%s: package %s has no version",
					  file, pkg.name);
		slot = journal ? find_slot(st, &pkg) : NULL;
		if (!slot) {
			KP_GROW(st->pkgs, st->n, st->alloc);
			slot = &st->pkgs[st->n++];
		}
		*slot = pkg;
	}
	return 0;
}

static int by_name(const void *pa, const void *pb)
{
	const struct kp_dpkg_pkg *a = pa, *b = pb;
	int rc = strcmp(a->name, b->name);

	return rc ? rc : strcmp(a->arch ?: "", b->arch ?: "");
}

static bool is_number(const char *s)
{
	return *s && !s[strspn(s, "0123456789")];
}

/* Read and parse one file. -ENOENT: it is not there. */
static int load_file(int root_fd, struct kp_dpkg_status *st, const char *path,
		     bool journal, struct kp_err *err)
{
	char *text;
	size_t len;
	int rc;

	rc = kp_read_in(root_fd, path, 0, &text, &len);
	if (rc == -ENOENT)
		return rc;
	if (rc < 0) {
		kp_err_sys(err, rc, "read '%s'", path);
		return -EIO;
	}
	kp_strv_take(&st->texts, text);
	return kp_dpkg_status_parse(st, text, len, journal, path, err);
}

static int load_once(int root_fd, struct kp_dpkg_status *st, struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	int rc;

	rc = load_file(root_fd, st, STATUS, false, err);
	if (rc < 0)
		return rc;
	/* Sorted by bytes is by number: dpkg gives all names the same length. */
	rc = kp_list_in(root_fd, UPDATES, &names);
	if (rc < 0 && rc != -ENOENT) {
		kp_err_sys(err, rc, "read '%s'", UPDATES);
		return -EIO;
	}
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = NULL;

		if (!is_number(*name))
			continue;
		path = kp_path_join(UPDATES, *name);
		rc = load_file(root_fd, st, path, true, err);
		if (rc == -ENOENT)
			return -EAGAIN;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/*
 * We read without dpkg's lock. It replaces the status file as a whole and then drops the
 * journal, so what was read belongs together if the status file is the same before and
 * after.
 */
int kp_dpkg_status_load(int root_fd, struct kp_dpkg_status *ret, struct kp_err *err)
{
	for (int i = 0; i < MAX_TRIES; i++) {
		_cleanup_status_ struct kp_dpkg_status st = { 0 };
		struct stat before, after;
		int rc;

		rc = kp_stat_in(root_fd, STATUS, &before);
		if (rc < 0) {
			kp_err_sys(err, rc, "read '%s'", STATUS);
			return -EIO;
		}
		rc = load_once(root_fd, &st, err);
		if (rc == -EAGAIN || kp_stat_in(root_fd, STATUS, &after) < 0 ||
		    !same_file(&before, &after))
			continue;
		if (rc < 0)
			return rc == -ENOENT ? -EIO : rc;
		if (st.n)
			qsort(st.pkgs, st.n, sizeof(*st.pkgs), by_name);
		*ret = st;
		st = (struct kp_dpkg_status){ 0 };
		return 0;
	}
	return kp_err_set(err, -EIO, "%s changes all the time", STATUS);
}

void kp_dpkg_status_clear(struct kp_dpkg_status *st)
{
	free(st->pkgs);
	kp_strv_free(st->texts);
	*st = (struct kp_dpkg_status){ 0 };
}

const struct kp_dpkg_pkg *kp_dpkg_status_find(const struct kp_dpkg_status *st,
					      const char *name)
{
	const struct kp_dpkg_pkg *found = NULL;
	size_t low = 0, high = st->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(st->pkgs[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < st->n && !strcmp(st->pkgs[low].name, name); low++)
		if (!found || found->state < st->pkgs[low].state)
			found = &st->pkgs[low];
	return found;
}
