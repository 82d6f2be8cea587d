// SPDX-License-Identifier: GPL-2.0-or-later
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pkgdb.h"

const struct kp_pkgdb_ops *ops;

/* Where the plugin lies; this program is <build>/tests/unit/test-X. To be freed. */
static char *backend_path(const char *name)
{
	_cleanup_free_ char *exe = realpath("/proc/self/exe", NULL);

	for (int i = 0; i < 3; i++)
		*strrchr(exe, '/') = '\0';
	return kp_strf("%s/plugins/%s.so", exe, name);
}

bool backend_load(const char *name)
{
	_cleanup_free_ char *path = backend_path(name);
	void *handle;

	if (access(path, F_OK) < 0)
		return false;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ops = handle ? dlsym(handle, KP_PKGDB_SYMBOL) : NULL;
	if (!ops) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	if (ops->abi != KP_PKGDB_ABI) {
		fprintf(stderr, "%s: ABI %u\n", path, ops->abi);
		exit(1);
	}
	return true;
}

struct root *root_new(void)
{
	struct root *r = kp_calloc(1, sizeof(*r));

	r->dir = test_root_new();
	r->fd = r->dir.fd;
	return r;
}

int root_teardown(void **state)
{
	struct root *r = *state;

	ops->close(r->db);
	test_root_free(&r->dir);
	free(r);
	return 0;
}

void put(struct root *r, const char *path, const char *text)
{
	test_put(&r->dir, path, text);
}

void package_init(struct package *p, const char *module, const char *version,
		  const char *kernel)
{
	*p = (struct package){ 0 };
	p->pkg.id = (struct kp_pkg_id){
		.module = kp_strdup(module),
		.version = kp_strdup(version),
		.kernel = kp_strdup(kernel),
		.arch = kp_strdup("x86_64"),
		.key = kp_strdup("aaaa"),
		.content = kp_strdup("bbbb"),
	};
	p->pkg.summary = "hello kernel modules";
	p->pkg.license = "Dual MIT/GPL";
	p->pkg.mtime = 1699963200;
	p->pkg.files = p->files;
}

void package_add(struct package *p, const char *path, const char *data)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(kp_write_all(fd, data, strlen(data)), 0);
	p->files[p->pkg.n_files++] = (struct kp_pkg_file){
		.path = kp_strdup(path),
		.fd = fd,
		.size = strlen(data),
		.mode = 0644,
	};
}

void package_clear(struct package *p)
{
	kp_pkg_id_clear(&p->pkg.id);
	for (size_t i = 0; i < p->pkg.n_files; i++) {
		free(p->files[i].path);
		close(p->files[i].fd);
	}
}

int package_write(struct kp_pkgdb *db, int root_fd, const struct package *p,
		  const char *dir, char **ret_path, char **ret_name, struct kp_err *err)
{
	_cleanup_free_ char *file = NULL, *name = NULL;
	_cleanup_close_ int fd = -1;
	int rc;

	assert_int_equal(kp_mkdir_in(root_fd, dir, 0755, NULL), 0);
	fd = kp_open_in(root_fd, dir, O_RDONLY | O_DIRECTORY, 0);
	rc = ops->write(db, &p->pkg, fd, &file, &name, err);
	if (rc < 0)
		return rc;
	*ret_path = kp_path_join(dir, file);
	if (ret_name)
		*ret_name = kp_steal(&name);
	return rc;
}

void lock(const char *path)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || fcntl(fd, F_SETLK, &l) < 0)
		_exit(99);
	/* kept open: closing any descriptor of the file drops the lock */
}

struct stranger stranger_hold(const char *path)
{
	int ready[2], end[2];
	struct stranger s;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		close(ready[0]);
		close(end[1]);
		lock(path);
		(void)!write(ready[1], "x", 1);
		(void)!read(end[0], &c, 1);
		_exit(0);
	}
	close(ready[1]);
	close(end[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	s.fd = end[1];
	return s;
}

void stranger_end(struct stranger *s)
{
	close(s->fd);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
}
