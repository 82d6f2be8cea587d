// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A whole package database for tests: small files below the root, no package manager, and
 * every situation a test wants made by writing a file.
 *
 * Below /var/lib/fakedb (which must exist for probe() to see the database):
 *	packages/NAME	an installed package of ours: "key=value" lines, then "file=PATH"
 *			lines
 *	owned		what other packages own: "PACKAGE VERSION PATH" lines
 *	lock		"free" (or absent), "can-commit", "must-defer", "busy [HOLDER]",
 *			"other-root"
 *	refuse		"NAME REASON" lines: changes of these packages fail
 *	busy-once	exists: the next commit finds the lock taken; what the file holds is
 *			from then on the lock
 *	kill-after	N: the process kills itself by SIGKILL after N changes of a commit
 *	broken		exists: list() and owner() give -EIO
 *	headers		"KERNEL COMMAND" lines for suggest_headers()
 *	kinds		"KERNEL KIND" lines: packages for these are named by KIND, so that those
 *			of another kernel of the kind take their place
 *	log		what was done, appended to: "begin", "add NAME", "erase NAME",
 *			"refused NAME", "end", "settle NAME"
 *
 * A package file is NAME.fake: the same lines with "size=N mode=OCTAL" before each
 * "file=", an empty line, then the files' bytes. Works with any root_fd, and without
 * privilege.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#define DB "/var/lib/fakedb"
#define PACKAGES DB "/packages"

struct kp_pkgdb {
	int root_fd;
};

static char *read_file(int root_fd, const char *name)
{
	_cleanup_free_ char *path = kp_path_join(DB, name);
	char *text;
	size_t len;

	return kp_read_in(root_fd, path, 0, &text, &len) < 0 ? NULL : text;
}

static char **read_lines(int root_fd, const char *name)
{
	_cleanup_free_ char *text = read_file(root_fd, name);

	return text ? kp_strv_split(text, "\n") : NULL;
}

static bool have(int root_fd, const char *name)
{
	_cleanup_free_ char *path = kp_path_join(DB, name);

	return kp_exists_in(root_fd, path);
}

static void note(int root_fd, const char *what, const char *name)
{
	_cleanup_free_ char *line =
		kp_strf("%s%s%s\n", what, name ? " " : "", name ?: "");
	_cleanup_close_ int fd =
		kp_open_in(root_fd, DB "/log", O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd >= 0)
		kp_write_all(fd, line, strlen(line));
}

/* The rest of the line in FILE that begins with "WORD "; NULL: none. To be freed. */
static char *look_up(int root_fd, const char *file, const char *word)
{
	_cleanup_strv_ char **lines = read_lines(root_fd, file);
	size_t len = strlen(word);

	kp_strv_foreach(l, lines)
		if (!strncmp(*l, word, len) && (*l)[len] == ' ')
			return kp_strdup(*l + len + 1);
	return NULL;
}

static int fake_probe(int root_fd)
{
	_cleanup_strv_ char **lines = NULL;

	if (!kp_is_dir_in(root_fd, DB))
		return 0;
	lines = read_lines(root_fd, "owned");
	kp_strv_foreach(l, lines)
		if (strstr(*l, "/lib/modules/") || strstr(*l, " /boot/vmlinuz-"))
			return 2;
	return 1;
}

static int fake_open(int root_fd, unsigned int flags, struct kp_pkgdb **ret,
		     struct kp_err *err)
{
	(void)flags;
	(void)err;
	*ret = kp_calloc(1, sizeof(**ret));
	(*ret)->root_fd = root_fd;
	return 0;
}

static void fake_close(struct kp_pkgdb *db)
{
	free(db);
}

static int fake_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		      struct kp_err *err)
{
	_cleanup_free_ char *text = read_file(db->root_fd, "lock");
	const char *word = text && *kp_str_strip(text) ? kp_str_strip(text) : "free";

	if (ret_holder)
		*ret_holder = NULL;
	if (!strcmp(word, "free"))
		*ret = KP_LOCK_FREE;
	else if (!strcmp(word, "can-commit"))
		*ret = KP_LOCK_INSIDE_CAN_COMMIT;
	else if (!strcmp(word, "must-defer"))
		*ret = KP_LOCK_INSIDE_MUST_DEFER;
	else if (kp_str_starts(word, "busy"))
		*ret = KP_LOCK_BUSY;
	else if (!strcmp(word, "other-root"))
		return kp_err_set(err, -EXDEV, "the transaction is on another root");
	else
		return kp_err_set(err, -EINVAL, "fakedb: no lock state '%s'", word);
	if (*ret == KP_LOCK_BUSY && ret_holder)
		*ret_holder = kp_strdup(word[4] ? word + 5 : "somebody");
	return 0;
}

/* ---- what is installed */

static char **id_member(struct kp_pkg_id *id, const char *key)
{
	static const struct {
		const char *key;
		size_t offset;
	} members[] = {
		{ "module", offsetof(struct kp_pkg_id, module) },
		{ "version", offsetof(struct kp_pkg_id, version) },
		{ "kernel", offsetof(struct kp_pkg_id, kernel) },
		{ "arch", offsetof(struct kp_pkg_id, arch) },
		{ "key", offsetof(struct kp_pkg_id, key) },
		{ "content", offsetof(struct kp_pkg_id, content) },
		{ "source_package", offsetof(struct kp_pkg_id, source_package) },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(members); i++)
		if (!strcmp(key, members[i].key))
			return (char **)((char *)id + members[i].offset);
	return NULL;
}

static void add_id(struct kp_buf *b, const struct kp_pkg_id *id)
{
	kp_buf_addf(b, "module=%s\nversion=%s\nkernel=%s\narch=%s\n", id->module,
		    id->version, id->kernel, id->arch ?: "");
	kp_buf_addf(b, "key=%s\ncontent=%s\n", id->key ?: "", id->content ?: "");
	if (id->source_package)
		kp_buf_addf(b, "source_package=%s\n", id->source_package);
}

/* One file of a package file; offset from the end of its header. */
struct member {
	char *path;
	size_t offset, size;
	mode_t mode;
};

struct parsed {
	struct kp_pkg_installed pkg;
	struct member *members;
	size_t n;
};

static void parsed_clear(struct parsed *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->members[i].path);
	free(p->members);
	kp_pkg_installed_clear(&p->pkg);
}

/* TEXT up to the first empty line. */
static void parse(const char *text, struct parsed *ret)
{
	const char *end = strstr(text, "\n\n");
	_cleanup_free_ char *head =
		kp_strndup(text, end ? (size_t)(end - text) : strlen(text));
	_cleanup_strv_ char **lines = kp_strv_split(head, "\n");
	unsigned int mode = 0644;
	size_t offset = 0, size = 0, alloc = 0;

	kp_strv_foreach(l, lines) {
		char *value = strchr(*l, '='), **to;

		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(*l, "name")) {
			ret->pkg.name = kp_strdup(value);
		} else if (!strcmp(*l, "size")) {
			sscanf(value, "%zu mode=%o", &size, &mode);
		} else if (!strcmp(*l, "file")) {
			KP_GROW(ret->members, ret->n, alloc);
			ret->members[ret->n++] =
				(struct member){ kp_strdup(value), offset, size, mode };
			kp_strv_add(&ret->pkg.files, value);
			offset += size;
			size = 0;
		} else if ((to = id_member(&ret->pkg.id, *l))) {
			free(*to);
			*to = kp_strdup(value);
		}
	}
	ret->pkg.pkg_version = kp_strdup(ret->pkg.id.version);
}

static int load_installed(struct kp_pkgdb *db, const char *name, struct parsed *ret)
{
	_cleanup_free_ char *rel = kp_strf("packages/%s", name);
	_cleanup_free_ char *text = read_file(db->root_fd, rel);

	if (!text)
		return -ENOENT;
	parse(text, ret);
	return 0;
}

static int fake_list(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
		     struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	struct kp_pkg_installed *list = NULL;
	size_t n = 0, alloc = 0;
	int rc;

	if (have(db->root_fd, "broken"))
		return kp_err_set(err, -EIO, "fakedb is broken");
	rc = kp_list_in(db->root_fd, PACKAGES, &names);
	if (rc < 0 && rc != -ENOENT)
		return kp_err_sys(err, rc, "read '%s'", PACKAGES);
	kp_strv_foreach(name, names) {
		_cleanup_(parsed_clear) struct parsed p = { 0 };

		if (kp_str_ends(*name, ".fake-new") || load_installed(db, *name, &p) < 0)
			continue;
		KP_GROW(list, n, alloc);
		list[n++] = p.pkg;
		p.pkg = (struct kp_pkg_installed){ 0 };
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* Is PATH this file or a directory above it? */
static bool covers(const char *path, const char *file)
{
	size_t len = strlen(path);

	return !strncmp(path, file, len) && (file[len] == '\0' || file[len] == '/');
}

static bool find_foreign_owner(struct kp_pkgdb *db, const char *path,
			       struct kp_owner *ret)
{
	_cleanup_strv_ char **lines = read_lines(db->root_fd, "owned");

	kp_strv_foreach(l, lines) {
		_cleanup_strv_ char **words = kp_strv_split(*l, " ");

		if (kp_strv_len(words) != 3 || !covers(path, words[2]))
			continue;
		*ret = (struct kp_owner){ kp_strdup(words[0]), kp_strdup(words[1]),
					  kp_strdup(path) };
		return true;
	}
	return false;
}

static int fake_owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		      struct kp_owner *ret, struct kp_err *err)
{
	struct kp_pkg_installed *list;
	size_t n_list;
	int rc = fake_list(db, &list, &n_list, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (find_foreign_owner(db, paths[i], &ret[i]))
			continue;
		for (size_t j = 0; j < n_list && !ret[i].package; j++)
			kp_strv_foreach(f, list[j].files)
				if (!ret[i].package && covers(paths[i], *f))
					ret[i] = (struct kp_owner){
						kp_strdup(list[j].name),
						kp_strdup(list[j].pkg_version),
						kp_strdup(paths[i]),
					};
	}
	kp_pkg_list_free(list, n_list);
	return 0;
}

/* ---- changing it */

static int add_bytes(struct kp_buf *b, const struct kp_pkg_file *f, struct kp_err *err)
{
	_cleanup_free_ char *data = kp_malloc(f->size + 1);
	ssize_t n = pread(f->fd, data, f->size + 1, 0);

	if (n < 0 || (uint64_t)n != f->size)
		return kp_err_set(err, -EIO, "'%s' has another size", f->path);
	kp_buf_add(b, data, (size_t)n);
	return 0;
}

static int fake_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		      char **ret_file, char **ret_name, struct kp_err *err)
{
	_cleanup_free_ char *kind = look_up(db->root_fd, "kinds", pkg->id.kernel);
	_cleanup_free_ char *name =
		kp_strf("kmod-%s-%s", pkg->id.module, kind ?: pkg->id.kernel);
	_cleanup_free_ char *file = kp_strf("%s.fake", name);
	_cleanup_free_ char *foreign = look_up(db->root_fd, "owned", name);
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_close_ int fd = -1;
	int rc;

	if (foreign)
		return kp_err_set(err, -EEXIST, "package %s is not ours", name);
	kp_buf_addf(&b, "name=%s\n", name);
	add_id(&b, &pkg->id);
	for (size_t i = 0; i < pkg->n_files; i++)
		kp_buf_addf(&b, "size=%zu mode=%o\nfile=%s\n", (size_t)pkg->files[i].size,
			    (unsigned int)pkg->files[i].mode, pkg->files[i].path);
	kp_buf_addc(&b, '\n');
	for (size_t i = 0; i < pkg->n_files; i++) {
		rc = add_bytes(&b, &pkg->files[i], err);
		if (rc < 0)
			return rc;
	}
	fd = openat(dir_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return kp_err_sys(err, -errno, "create '%s'", file);
	rc = kp_write_all(fd, b.s, b.len);
	if (rc < 0)
		return kp_err_sys(err, rc, "write '%s'", file);
	*ret_file = kp_steal(&file);
	*ret_name = kp_steal(&name);
	return 0;
}

/* By a name that is always the same, so that a run that was killed leaves nothing that the
 * next one does not replace. */
static int write_below(int root_fd, const char *path, const void *data, size_t len,
		       mode_t mode, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_dir(path), *new = kp_strf("%s.fake-new", path);
	_cleanup_close_ int fd = -1;
	int rc = kp_mkdir_in(root_fd, dir, 0755, err);

	if (rc < 0)
		return rc;
	fd = kp_open_in(root_fd, new, O_WRONLY | O_CREAT | O_TRUNC, mode);
	if (fd < 0)
		return kp_err_sys(err, fd, "create '%s'", new);
	rc = kp_write_all(fd, data, len);
	if (!rc)
		rc = fchmod(fd, mode) < 0 ? -errno : kp_rename_in(root_fd, new, path);
	return rc < 0 ? kp_err_sys(err, rc, "write '%s'", path) : 0;
}

static void remove_files(struct kp_pkgdb *db, const struct parsed *old, char *const *keep)
{
	kp_strv_foreach(f, old->pkg.files) {
		_cleanup_free_ char *dir = kp_strdup(*f);
		char *slash;

		if (kp_strv_has(keep, *f))
			continue;
		kp_unlink_in(db->root_fd, *f);
		while ((slash = strrchr(dir, '/')) > dir) {
			*slash = '\0';
			if (kp_rmdir_in(db->root_fd, dir) < 0)
				break;
		}
	}
}

static int do_add(struct kp_pkgdb *db, const struct kp_change *c, struct kp_err *err)
{
	_cleanup_(parsed_clear) struct parsed p = { 0 }, old = { 0 };
	_cleanup_free_ char *text = NULL, *to = NULL, *refusal = NULL;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	const char *data;
	size_t len;
	int rc;

	rc = kp_read_in(db->root_fd, c->file, 0, &text, &len);
	if (rc < 0)
		return kp_err_sys(err, rc, "read '%s'", c->file);
	parse(text, &p);
	data = strstr(text, "\n\n");
	if (!p.pkg.name || !data)
		return kp_err_set(err, -EINVAL, "'%s' is no package", c->file);
	data += 2;
	refusal = look_up(db->root_fd, "refuse", p.pkg.name);
	if (refusal) {
		note(db->root_fd, "refused", p.pkg.name);
		return kp_err_set(err, -EPERM, "%s", refusal);
	}
	for (size_t i = 0; i < p.n; i++) {
		struct kp_owner o = { 0 };

		if (!find_foreign_owner(db, p.members[i].path, &o))
			continue;
		rc = kp_err_set(err, -EEXIST, "'%s' is also in package %s", o.path,
				o.package);
		free(o.package);
		free(o.version);
		free(o.path);
		return rc;
	}
	load_installed(db, p.pkg.name, &old);
	kp_buf_addf(&b, "name=%s\n", p.pkg.name);
	add_id(&b, &p.pkg.id);
	for (size_t i = 0; i < p.n; i++) {
		const struct member *m = &p.members[i];

		rc = write_below(db->root_fd, m->path, data + m->offset, m->size, m->mode,
				 err);
		if (rc < 0)
			return rc;
		kp_buf_addf(&b, "file=%s\n", m->path);
	}
	remove_files(db, &old, p.pkg.files);
	to = kp_path_join(PACKAGES, p.pkg.name);
	rc = write_below(db->root_fd, to, b.s, b.len, 0644, err);
	if (!rc)
		note(db->root_fd, "add", p.pkg.name);
	return rc;
}

static int do_erase(struct kp_pkgdb *db, const struct kp_change *c, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(PACKAGES, c->name);
	_cleanup_free_ char *refusal = look_up(db->root_fd, "refuse", c->name);
	_cleanup_(parsed_clear) struct parsed old = { 0 };

	if (refusal) {
		note(db->root_fd, "refused", c->name);
		return kp_err_set(err, -EPERM, "%s", refusal);
	}
	if (load_installed(db, c->name, &old) < 0)
		return 0;
	remove_files(db, &old, NULL);
	kp_unlink_in(db->root_fd, path);
	note(db->root_fd, "erase", c->name);
	return 0;
}

static int fake_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		       struct kp_err *err)
{
	_cleanup_free_ char *kill_after = read_file(db->root_fd, "kill-after");
	_cleanup_free_ char *holder = NULL;
	long left = kill_after ? strtol(kill_after, NULL, 10) : -1;
	enum kp_lock_state state;
	int rc = fake_state(db, &state, &holder, err);

	if (rc < 0)
		return rc;
	if (state == KP_LOCK_BUSY || state == KP_LOCK_INSIDE_MUST_DEFER)
		return kp_err_set(err, -EBUSY, "fakedb is held by %s",
				  holder ?: "an ancestor");
	if (have(db->root_fd, "busy-once")) {
		kp_rename_in(db->root_fd, DB "/busy-once", DB "/lock");
		return kp_err_set(err, -EBUSY, "fakedb was taken in between");
	}
	note(db->root_fd, "begin", NULL);
	for (int kind = KP_CHANGE_ADD; kind <= KP_CHANGE_ERASE; kind++)
		for (size_t i = 0; i < n; i++) {
			struct kp_change *c = &changes[i];

			if ((int)c->kind != kind)
				continue;
			if (left-- == 0)
				raise(SIGKILL);
			rc = kind == KP_CHANGE_ADD ? do_add(db, c, &c->err)
						   : do_erase(db, c, &c->err);
			c->result = rc < 0 ? KP_CHANGE_FAILED : KP_CHANGE_DONE;
		}
	if (!left)
		raise(SIGKILL);
	note(db->root_fd, "end", NULL);
	return 0;
}

static int fake_settle(struct kp_pkgdb *db, const char *const *names, size_t n,
		       struct kp_err *err)
{
	(void)err;
	for (size_t i = 0; i < n; i++)
		note(db->root_fd, "settle", names[i]);
	return 0;
}

static int fake_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
				struct kp_err *err)
{
	(void)err;
	*ret = look_up(db->root_fd, "headers", kernel);
	return *ret ? 0 : -ENOENT;
}

static int fake_sync_at_end(struct kp_pkgdb *db, struct kp_err *err)
{
	(void)err;
	note(db->root_fd, "sync at end", NULL);
	return 0;
}

extern const struct kp_pkgdb_ops kp_pkgdb_ops;
__attribute__((visibility("default"))) const struct kp_pkgdb_ops kp_pkgdb_ops = {
	.abi = KP_PKGDB_ABI,
	.size = sizeof(struct kp_pkgdb_ops),
	.name = "fake",
	.probe = fake_probe,
	.open = fake_open,
	.close = fake_close,
	.state = fake_state,
	.list = fake_list,
	.owner = fake_owner,
	.write = fake_write,
	.commit = fake_commit,
	.settle = fake_settle,
	.suggest_headers = fake_suggest_headers,
	.sync_at_end = fake_sync_at_end,
};
