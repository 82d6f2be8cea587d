// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "base/hash.h"

static void known_sums(void **state)
{
	/* FIPS 180-2, appendix B */
	static const struct {
		const char *text, *sum;
	} known[] = {
		{ "",
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc",
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++) {
		char hex[KP_HASH_HEX];
		struct kp_hash h;

		kp_hash_init(&h);
		for (const char *p = known[i].text; *p; p++)
			kp_hash_add(&h, p, 1);
		kp_hash_hex(&h, hex);
		assert_string_equal(hex, known[i].sum);
	}
}

static void field_sum(const char *a, const char *b, const char *c, const char *d,
		      char hex[KP_HASH_HEX])
{
	struct kp_hash h;

	kp_hash_init(&h);
	kp_hash_field(&h, a, b);
	kp_hash_field(&h, c, d);
	kp_hash_hex(&h, hex);
}

static void fields_do_not_run_together(void **state)
{
	char one[KP_HASH_HEX], two[KP_HASH_HEX];

	(void)state;
	field_sum("k", "ab", "l", "c", one);
	field_sum("k", "a", "l", "bc", two);
	assert_string_not_equal(one, two);
	field_sum("k", "a1:l", "x", "", two);
	assert_string_not_equal(one, two);
	field_sum("k", NULL, "l", "c", one);
	field_sum("k", "", "l", "c", two);
	assert_string_equal(one, two);
}

static void files_from_their_start(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *big = kp_malloc(200001);
	char by_fd[KP_HASH_HEX], by_hand[KP_HASH_HEX], c;
	_cleanup_close_ int fd = -1;
	struct kp_hash h;

	(void)state;
	memset(big, 'q', 200000);
	big[200000] = '\0';
	test_put(&root, "/big", big);
	kp_hash_init(&h);
	kp_hash_add(&h, big, 200000);
	kp_hash_hex(&h, by_hand);
	fd = kp_open_in(root.fd, "/big", O_RDONLY, 0);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(kp_hash_fd(fd, by_fd, NULL), 0);
	assert_string_equal(by_fd, by_hand);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 1);
}

static void only_regular_files(void **state)
{
	struct kp_err err = KP_ERR_INIT;
	char hex[KP_HASH_HEX];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(kp_hash_fd(fds[0], hex, &err), -EINVAL);
	assert_string_equal(err.text, "hash a file: not a regular file");
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(kp_hash_fd(-1, hex, NULL), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(fields_do_not_run_together),
		cmocka_unit_test(files_from_their_start),
		cmocka_unit_test(only_regular_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
