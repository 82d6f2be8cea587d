// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a backend takes to write a package and to have it in and out of the database: medians
 * of some rounds, in milliseconds. Changes the system's database, so it runs in a root made for it.
 *
 * usage: backend PLUGIN.so KERNEL ROUNDS
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"

#define N_FILES 3
#define FILE_SIZE (1 << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void check(int rc, const char *what, const struct kp_err *err)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "backend: %s: %s\n", what, err->text);
	exit(1);
}

/* Half noise, half text: about what machine code is to a compressor. */
static int make_file(unsigned int seed)
{
	char *data = kp_calloc(FILE_SIZE, 1);
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	srand(seed);
	for (size_t i = 0; i < FILE_SIZE; i += 2)
		data[i] = (char)rand();
	if (fd < 0 || write(fd, data, FILE_SIZE) != FILE_SIZE)
		exit(1);
	free(data);
	return fd;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void show(const char *what, double *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare);
	printf("%-28s wall %8.1f ms\n", what, times[n / 2]);
}

int main(int argc, char *argv[])
{
	const struct kp_pkgdb_ops *ops = NULL;
	struct kp_pkg_file files[N_FILES] = { 0 };
	struct kp_pkg pkg = {
		.id = { .module = (char *)"bench", .version = (char *)"1", .arch = (char *)"x86_64",
			.key = (char *)"00", .content = (char *)"00" },
		.summary = "kernel modules for a measurement",
		.mtime = 1,
		.files = files,
		.n_files = N_FILES,
	};
	size_t n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kp_err err = { 0 };
	struct kp_pkgdb *db;
	double *times[3];
	void *lib;

	if (!n || root < 0 || dir < 0)
		return 2;
	lib = dlopen(argv[1], RTLD_NOW);
	if (lib)
		ops = dlsym(lib, KP_PKGDB_SYMBOL);
	if (!ops || ops->abi != KP_PKGDB_ABI) {
		fprintf(stderr, "backend: %s: %s\n", argv[1], lib ? "unknown" : dlerror());
		return 1;
	}
	for (int i = 0; i < 3; i++)
		times[i] = kp_calloc(n, sizeof(double));
	pkg.id.kernel = argv[2];
	for (unsigned int i = 0; i < N_FILES; i++)
		files[i] = (struct kp_pkg_file){
			.path = kp_strf("/lib/modules/%s/extra/bench%u.ko", argv[2], i),
			.fd = make_file(i),
			.size = FILE_SIZE,
			.mode = 0644,
		};
	check(ops->open(root, 0, &db, &err), "open", &err);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *file = NULL, *name = NULL, *path = NULL;
		struct kp_change add = { .kind = KP_CHANGE_ADD },
				 erase = { .kind = KP_CHANGE_ERASE };
		double start = now();

		check(ops->write(db, &pkg, dir, &file, &name, &err), "write", &err);
		times[0][i] = now() - start;
		path = kp_strf("/tmp/%s", file);
		add.file = path;
		erase.name = name;
		start = now();
		check(ops->commit(db, &add, 1, &err), "add", &err);
		check(add.result == KP_CHANGE_DONE ? 0 : -1, "add", &add.err);
		times[1][i] = now() - start;
		start = now();
		check(ops->commit(db, &erase, 1, &err), "erase", &err);
		check(erase.result == KP_CHANGE_DONE ? 0 : -1, "erase", &erase.err);
		times[2][i] = now() - start;
	}
	show("write a package of 3 MB", times[0], n);
	show("commit: add", times[1], n);
	show("commit: erase", times[2], n);
	ops->close(db);
	return 0;
}
