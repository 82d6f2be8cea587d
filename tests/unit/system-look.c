// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/hash.h"
#include "lib/record.h"
#include "system.h"

bool test_exists(struct test_system *s, const char *path)
{
	struct stat st;

	return kp_lstat_in(s->root.fd, path, &st) == 0;
}

static char *fake_member(struct test_system *s, const char *module, const char *kernel,
			 const char *member)
{
	_cleanup_free_ char *path =
		kp_strf(TEST_FAKEDB "/packages/kmod-%s-%s", module, kernel);
	_cleanup_free_ char *text = NULL, *prefix = kp_strf("%s=", member);
	_cleanup_strv_ char **lines = NULL;

	if (!test_exists(s, path))
		return NULL;
	text = test_get(&s->root, path);
	lines = kp_strv_split(text, "\n");
	kp_strv_foreach(l, lines)
		if (kp_str_starts(*l, prefix))
			return kp_strdup(*l + strlen(prefix));
	return NULL;
}

void test_assert_placed(struct test_system *s, const char *module, const char *version,
			const char *kernel)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	_cleanup_free_ char *dep_path = kp_strf("/lib/modules/%s/modules.dep", kernel);
	_cleanup_free_ char *dep = NULL;

	TEST_TRY(kp_record_load(s->ctx, module, version, kernel, &rec, err));
	dep = test_get(&s->root, dep_path);
	for (size_t i = 0; i < rec->n_files; i++) {
		const struct kp_record_file *f = &rec->files[i];
		_cleanup_free_ char *path =
			kp_strf("/lib/modules/%s/%s", kernel, f->dest);
		_cleanup_free_ char *line = kp_strf("%s:", f->dest);
		_cleanup_close_ int fd = kp_open_in(s->root.fd, path, O_RDONLY, 0);
		char hex[KP_HASH_HEX];
		struct stat st;

		if (fd < 0)
			fail_msg("%s: %s", path, strerror(-fd));
		TEST_TRY(kp_hash_fd(fd, hex, err));
		assert_string_equal(hex, f->sha256);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0644);
		if (!strstr(dep, line))
			fail_msg("depmod has not seen %s: %s", path, dep);
	}
}

void test_assert_installed(struct test_system *s, const char *module, const char *version,
			   const char *kernel)
{
	_cleanup_free_ char *there = fake_member(s, module, kernel, "version");

	if (!kp_str_eq(there, version))
		fail_msg("%s for %s: version %s is in the database, not %s; said:\n%s",
			 module, kernel, there ? there : "none", version, s->log.s);
	test_assert_placed(s, module, version, kernel);
}

void test_assert_absent(struct test_system *s, const char *module, const char *kernel)
{
	_cleanup_free_ char *there = fake_member(s, module, kernel, "version");
	_cleanup_free_ char *file =
		kp_strf("/lib/modules/%s/updates/dkms/%s.ko", kernel, module);
	_cleanup_free_ char *view = kp_strf("%s/%s/kernel-%s-%s", s->ctx->dkms_tree,
					    module, kernel, s->ctx->arch);

	if (there)
		fail_msg("%s for %s is in the database: %s", module, kernel, there);
	assert_false(test_exists(s, file));
	assert_false(test_exists(s, view));
}

/* Every file below DIR is in a package. */
static void assert_owned_below(struct test_system *s, const char *dir)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(s->root.fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		const char *paths[] = { path };
		struct kp_owner owner = { 0 };

		if (kp_is_dir_in(s->root.fd, path)) {
			assert_owned_below(s, path);
			continue;
		}
		TEST_TRY(s->ctx->backend->ops->owner(s->ctx->backend->db, paths, 1,
						     &owner, err));
		if (!owner.package)
			fail_msg("nobody owns %s", path);
		free(owner.package);
		free(owner.version);
		free(owner.path);
	}
}

void test_assert_settled(struct test_system *s)
{
	_cleanup_strv_ char **kernels = NULL;

	assert_false(test_exists(s, "/var/lib/kmodpkg/queue"));
	assert_false(test_exists(s, "/var/lib/kmodpkg/unsettled"));
	TEST_TRY(kp_list_in(s->root.fd, "/lib/modules", &kernels));
	kp_strv_foreach(k, kernels) {
		_cleanup_free_ char *updates = kp_strf("/lib/modules/%s/updates", *k);

		assert_owned_below(s, updates);
	}
}

void test_assert_fake_log(struct test_system *s, const char *text)
{
	_cleanup_free_ char *log = test_exists(s, TEST_FAKEDB "/log")
					   ? test_get(&s->root, TEST_FAKEDB "/log")
					   : kp_strdup("");

	assert_string_equal(log, text);
}

void test_assert_said(struct test_system *s, const char *words)
{
	if (!s->log.s || !strstr(s->log.s, words))
		fail_msg("\"%s\" was not said, but:\n%s", words,
			 s->log.s ? s->log.s : "");
}

void test_assert_not_said(struct test_system *s, const char *words)
{
	if (s->log.s && strstr(s->log.s, words))
		fail_msg("\"%s\" was said:\n%s", words, s->log.s);
}

const struct kp_plan_row *test_row(struct test_system *s, const char *module,
				   const char *version, const char *kernel)
{
	struct kp_sync_opts opts = { 0 };

	kp_world_clear(&s->world);
	TEST_TRY(kp_world_load(s->ctx, &opts, &s->world, err));
	for (size_t i = 0; i < s->world.plan.n_rows; i++) {
		const struct kp_plan_row *row = &s->world.plan.rows[i];

		if (kp_str_eq(row->module, module) && kp_str_eq(row->version, version) &&
		    kp_str_eq(row->kernel, kernel))
			return row;
	}
	fail_msg("status has no row for %s/%s, %s", module, version, kernel);
	return NULL;
}

void test_assert_state(struct test_system *s, const char *module, const char *version,
		       const char *kernel, enum kp_state state, const char *note)
{
	const struct kp_plan_row *row = test_row(s, module, version, kernel);

	if (row->state != state || !kp_str_eq(row->note, note))
		fail_msg("%s/%s for %s is %s (%s), not %s (%s)", module, version, kernel,
			 kp_state_name(row->state), row->note ? row->note : "",
			 kp_state_name(state), note ? note : "");
}

size_t test_queue_length(struct test_system *s)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };

	TEST_TRY(kp_queue_load(s->ctx, &q, err));
	return q.n;
}
