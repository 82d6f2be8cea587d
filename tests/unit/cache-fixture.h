// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fixture of builds with a cache, and a kbuild that notes what was read. To be included after
 * cmocka.h.
 */
#pragma once

#include "build-fixture.h"
#include "lib/cache.h"
#include "test.h"

/* A kbuild that says what its compiler read: a header of its own, and the module's. */
static const char makefile[] =
	"all: $(patsubst %.c,%.ko,$(wildcard $(M)/*.c))\n"
	"\techo 'symbols of' $(M) >$(M)/Module.symvers\n"
	"%.ko: %.c\n"
	"\tgcc $(KCFLAGS) -I. -c -DRELEASE='\"$(KERNELRELEASE)\"' -include k.h -o $@ $<\n"
	"\t{ echo 'savedcmd_$@ := gcc -Wp,-MMD,x -c'; echo; echo 'source_$@ := $<'; echo; \\\n"
	"\techo 'deps_$@ := \\'; echo '    $$(wildcard include/config/X) \\'; \\\n"
	"\techo '  k.h \\'; echo '  $< \\'; echo; } >$(dir $@).$(notdir $@).cmd\n";

#define BUILD "modules/6.6.1-kp/build/"

static int setup_cache(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	f->ctx.cache_dir = below(f, "cache");
	f->ctx.config.cache_mib = 1;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *make =
			kp_strf("modules/%s/build/Makefile", f->kernels[i].release);
		_cleanup_free_ char *header =
			kp_strf("modules/%s/build/k.h", f->kernels[i].release);

		write_file(f, make, makefile);
		write_file(f, header, "#define K 1\n");
	}
	return 0;
}

static int teardown_cache(void **state)
{
	struct fixture *f = *state;

	free(f->ctx.cache_dir);
	return teardown(state);
}

/* As after an erased package: nothing of the build is left. */
static void forget(struct fixture *f, const struct kp_build_job *job)
{
	assert_int_equal(kp_record_drop(&f->ctx, job->source->module, "1",
					job->kernel->release, NULL),
			 0);
}

static void build_again(struct fixture *f)
{
	/* What changed in the tick in which a build begins may have changed after it did, and is not
	 * kept. */
	test_let_tick();
	for (size_t i = 0; i < f->n; i++)
		forget(f, &f->jobs[i]);
	build(f);
	for (size_t i = 0; i < f->n; i++)
		assert_built(f, &f->jobs[i]);
}

static size_t entries(struct fixture *f)
{
	uint64_t bytes;
	size_t n = 0;

	(void)kp_cache_usage(&f->ctx, &n, &bytes);
	return n;
}

/* Builds are kept as N entries; else the log of the first one says why. */
static inline void assert_entries(struct fixture *f, size_t n)
{
	_cleanup_free_ char *log = log_of(f, &f->jobs[0]);

	if (entries(f) != n)
		fail_msg("%zu entries\n%s", entries(f), log);
}

/* The only entry's directory. */
static char *entry(struct fixture *f)
{
	_cleanup_strv_ char **names = NULL;
	char *dir = NULL;

	assert_int_equal(kp_list_in(f->ctx.root_fd, f->ctx.cache_dir, &names), 0);
	kp_strv_foreach(name, names) {
		if (kp_str_eq(*name, "hashes.json"))
			continue;
		assert_null(dir);
		dir = kp_path_join(f->ctx.cache_dir, *name);
	}
	assert_non_null(dir);
	return dir;
}

static void assert_kept(struct fixture *f, const struct kp_build_job *job, bool cached)
{
	_cleanup_free_ char *log = log_of(f, job);

	if (job->record->cached != cached)
		fail_msg("cached: %d\n%s", job->record->cached, log);
	assert_int_equal(strstr(log, "\nfrom the cache: ") != NULL, cached);
	assert_int_equal(strstr(log, "\nBuilding module(s)\n") != NULL, !cached);
}

static void assert_not_kept(struct fixture *f, const char *why)
{
	_cleanup_free_ char *log = NULL;

	build_again(f);
	log = log_of(f, &f->jobs[0]);
	if (!strstr(log, why))
		fail_msg("'%s' is not in\n%s", why, log);
	assert_int_equal(entries(f), 0);
}

/* A kbuild with other text in the place of a part of it. */
static void put_kbuild(struct fixture *f, const char *part, const char *text)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	const char *at = strstr(makefile, part);

	assert_non_null(at);
	kp_buf_add(&b, makefile, (size_t)(at - makefile));
	kp_buf_adds(&b, text);
	kp_buf_adds(&b, at + strlen(part));
	write_file(f, BUILD "Makefile", b.s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_cache, teardown_cache)
