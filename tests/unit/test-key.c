// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys of a source for a kernel. */
#include "key-fixture.h"

struct pair {
	struct kp_source source;
	struct kp_conf_module module;
	struct kp_conf conf;
	struct kp_kernel kernel;
};

static struct pair a_pair(void)
{
	return (struct pair){
		.source = { .module = (char *)"m",
			    .version = (char *)"1",
			    .dir = (char *)"/usr/src/m-1" },
		.module = { .built_name = (char *)"m",
			    .built_location = (char *)"",
			    .dest_name = (char *)"m",
			    .dest_location = (char *)"/extra",
			    .strip = true },
		.conf = { .name = (char *)"m", .version = (char *)"1", .n_modules = 1 },
		.kernel = { .release = (char *)"6.1", .headers_key = (char *)KEY_A },
	};
}

static char *pair_key(struct fixture *f, struct pair *p)
{
	char hex[KP_HASH_HEX];
	struct kp_err err = KP_ERR_INIT;

	p->conf.modules = &p->module;
	if (kp_key_pair(f->ctx, &p->source, &p->conf, &p->kernel, hex, &err) < 0)
		fail_msg("%s", err.text);
	return kp_strdup(hex);
}

static void pair_covers_what_a_build_depends_on(void **state)
{
	static char *patches[] = { (char *)"fix.patch", NULL };
	static char *files[] = { (char *)"/usr/src/m-1/dkms.conf",
				 (char *)"/etc/dkms/m.conf", NULL };
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *again = NULL;
	struct pair p = a_pair();

	put_tree(f);
	for (int i = 0; i < 19; i++) {
		char *key;

		switch (i) {
		case 1:
			test_put(&f->root, "/usr/src/m-1/src/m.c", "int changed;\n");
			break;
		case 2:
			p.kernel.headers_key = (char *)"another";
			break;
		case 3:
			p.kernel.release = (char *)"6.2";
			break;
		case 4:
			free(f->ctx->arch);
			f->ctx->arch = kp_strdup("riscv64");
			break;
		case 5:
			p.conf.make = (char *)"make all";
			break;
		case 6:
			p.conf.patches = patches;
			break;
		case 7:
			p.conf.scripts[KP_SCRIPT_PRE_BUILD] = (char *)"configure";
			break;
		case 8:
			p.conf.scripts[KP_SCRIPT_POST_BUILD] = (char *)"configure";
			break;
		case 9:
			p.module.built_name = (char *)"n";
			break;
		case 10:
			p.module.built_location = (char *)"src/";
			break;
		case 11:
			p.module.dest_name = (char *)"n";
			break;
		case 12:
			p.module.dest_location = (char *)"/updates";
			break;
		case 13:
			p.module.strip = false;
			break;
		case 14:
			p.module.excluded = (char *)"too old";
			break;
		case 15:
			test_put(&f->root, "/etc/dkms/m.conf", "MAKE=x\n");
			p.conf.files = files;
			break;
		case 16:
			test_put(&f->root, "/etc/dkms/m.conf", "MAKE=y\n");
			break;
		case 17:
			test_put(&f->root, "/etc/dkms/m/patches/fix.patch", "--- a\n");
			break;
		case 18:
			test_put(&f->root, "/etc/dkms/m/patches/fix.patch", "--- b\n");
			break;
		}
		key = pair_key(f, &p);
		if (kp_strv_has(seen, key))
			fail_msg("step %d is not in the key", i);
		kp_strv_take(&seen, key);
	}
	again = pair_key(f, &p);
	assert_string_equal(again, seen[18]);
}

static void pair_leaves_out_what_changes_nothing(void **state)
{
	static const char *const makes[] = {
		"make -j8 all",	     "make -j all", "make -j 8 all",
		"make --jobs=2 all", "make  all",   "make --jobs all",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *other = NULL;
	struct pair p = a_pair();

	put_tree(f);
	p.conf.make = (char *)"make all";
	a = pair_key(f, &p);
	for (size_t i = 0; i < KP_ARRAY_SIZE(makes); i++) {
		_cleanup_free_ char *b = NULL;

		p.conf.make = (char *)makes[i];
		b = pair_key(f, &p);
		if (strcmp(a, b) != 0)
			fail_msg("%s", makes[i]);
	}
	p.conf.scripts[KP_SCRIPT_POST_INSTALL] = (char *)"notify";
	p.conf.autoinstall = true;
	other = pair_key(f, &p);
	assert_string_equal(a, other);
	free(kp_steal(&other));
	p.conf.make = (char *)"make -C job-joint --jobserver-style=fifo all";
	other = pair_key(f, &p);
	assert_string_not_equal(a, other);
}

static void trees_of_all_sources_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *alone = NULL, *with = NULL, *hash = NULL;
	struct pair p = a_pair();
	struct kp_source list[] = { p.source, p.source, p.source };
	struct kp_sources sources = { list, 3 };

	put_tree(f);
	list[1].missing = true;
	list[2].dir = (char *)"/usr/src/none";
	kp_key_sources(f->ctx, &sources);
	for (size_t i = 0; i < sources.n; i++)
		kp_key_source(f->ctx, &list[i]);
	hash = tree(f);
	assert_string_equal(list[0].tree_key, hash);
	assert_null(list[1].tree_key);
	assert_null(list[2].tree_key);
	alone = pair_key(f, &p);
	p.source.tree_key = list[0].tree_key;
	with = pair_key(f, &p);
	assert_string_equal(alone, with);
	free(list[0].tree_looks);
	free(list[0].tree_key);
}

static void pair_needs_headers_and_a_tree(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct pair p = a_pair();
	char hex[KP_HASH_HEX];

	assert_int_equal(kp_key_pair(f->ctx, &p.source, &p.conf, &p.kernel, hex, &err),
			 -ENOENT);
	p.kernel.headers_key = NULL;
	assert_int_equal(kp_key_pair(f->ctx, &p.source, &p.conf, &p.kernel, hex, &err),
			 -ENODATA);
}

static void keys_of_dependencies(void **state)
{
	static const char *const deps[] = { "b", "c" }, *const merged[] = { "bc", "" };
	char none[KP_HASH_HEX], one[KP_HASH_HEX], two[KP_HASH_HEX], other[KP_HASH_HEX];

	(void)state;
	kp_key_with_deps(KEY_A, NULL, 0, none);
	assert_string_equal(none, KEY_A);
	kp_key_with_deps(KEY_A, deps, 1, one);
	kp_key_with_deps(KEY_A, deps, 2, two);
	kp_key_with_deps(KEY_A, merged, 2, other);
	assert_string_not_equal(one, none);
	assert_string_not_equal(one, two);
	assert_string_not_equal(two, other);
	assert_int_equal(strlen(two), KP_HASH_HEX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pair_covers_what_a_build_depends_on),
		TEST(pair_leaves_out_what_changes_nothing),
		TEST(trees_of_all_sources_at_once),
		TEST(pair_needs_headers_and_a_tree),
		TEST(keys_of_dependencies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
