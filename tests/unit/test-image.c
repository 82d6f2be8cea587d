// SPDX-License-Identifier: GPL-2.0-or-later
/* What the program that reads images in the sandbox makes of them, whole ones and such as are not. */
#include "image-fixture.h"

static void assert_reads(const struct kp_buf *b, const char *expect)
{
	struct kp_err err = KP_ERR_INIT;
	_cleanup_free_ char *names = read_bytes(b->s, b->len, &err);

	if (!names)
		fail_msg("%s", err.text);
	assert_string_equal(names, expect);
}

static void assert_refused(const struct kp_buf *b, const char *why)
{
	struct kp_err err = KP_ERR_INIT;
	_cleanup_free_ char *names = read_bytes(b->s, b->len, &err);

	if (names)
		fail_msg("'%s', where '%s' was to be said", names, why);
	if (!strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
}

static void what_is_a_module(void **state KP_UNUSED)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "lib/modules/6.1/kernel/fs/ext4.ko", "ext4" },
		{ "usr/lib/modules/6.1/updates/dkms/snd-x.ko.xz", "snd_x" },
		{ "usr/lib/modules/x.ko.zst.bak", "x" },
		{ "modules/a.kox.ko", "a.kox" },
		{ "lib/modules/6.1/modules.dep", NULL },
		{ "lib/modules/6.1/x.kot", NULL },
		{ "lib/modules/6.1/.ko", NULL },
		{ "lib/modules-load.d/x.ko", NULL },
		{ "lib/x.ko/modules", NULL },
		{ "modules.ko", NULL },
		{ "x.ko", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = kp_cpio_module(cases[i].path);

		if (!kp_str_eq(name, cases[i].name))
			fail_msg("'%s': '%s'", cases[i].path, name ? name : "none");
	}
}

static void members(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	add(&b, 0100755, "./init", "#!");
	add(&b, 040755, MODULES "dir.ko", "");
	add(&b, 0100644, MODULES "a.ko", "");
	add(&b, 0120777, MODULES "link.ko.gz", "a.ko");
	/* The content is aligned by more than one NUL. */
	add_raw(&b, "070702", 0100644, MODULES "aligned.ko", sizeof(MODULES "aligned.ko"),
		"content", 7);
	add_end(&b);
	for (int i = 0; i < 512; i++)
		kp_buf_addc(&b, 0);
	add(&b, 0100644, "/" MODULES "b-c.ko", "12345");
	add_end(&b);
	assert_reads(&b, "a link aligned b_c");
}

/* A name with NULs behind it, as tools write it that align contents for the file system. */
static void padded_names(void **state KP_UNUSED)
{
	static const char name[] = MODULES "padded.ko";
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_addf(&b, "070701%08x%08x%032x%08x%032x%08x%08x", 1, 0100755, 1, 3, 0, 402,
		    0);
	kp_buf_add(&b, name, sizeof(name));
	while (b.len < 110 + 402)
		kp_buf_addc(&b, 0);
	kp_buf_adds(&b, "abc");
	kp_buf_addc(&b, 0);
	add(&b, 0120777, "init", "bin/init");
	add_end(&b);
	assert_reads(&b, "padded");
}

static void bad_headers(void **state KP_UNUSED)
{
	static const struct {
		const char *magic, *name;
		unsigned int name_size, size;
		const char *why;
	} bad[] = {
		{ "070707", "a", 2, 0, "damaged" },
		{ "07070x", "a", 2, 0, "damaged" },
		{ "070701", "a", 0, 0, "damaged" },
		{ "070701", "a", 1, 0, "damaged" },
		{ "070701", "a", 5000, 0, "damaged" },
		{ "070701", "a", 0xffffffff, 0, "damaged" },
		{ "070701", "a", 4000, 0, "cut off" },
		{ "070701", "a", 2, 1000, "cut off" },
		{ "070701", "a", 2, 0xffffffff, "cut off" },
		{ "070701", MODULES "a\nb.ko", sizeof(MODULES "a\nb.ko"), 0, "odd name" },
		{ "070701", MODULES "a b.ko", sizeof(MODULES "a b.ko"), 0, "odd name" },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

		add(&b, 0100755, "init", "");
		add_raw(&b, bad[i].magic, 0100644, bad[i].name, bad[i].name_size, "",
			bad[i].size);
		assert_refused(&b, bad[i].why);
	}
}

static void digits(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	add(&b, 0100755, "init", "");
	add_end(&b);
	assert_reads(&b, "");
	memcpy(b.s + 6 + 8, " 81ED", 5);
	assert_refused(&b, "damaged");
	memcpy(b.s + 6 + 8, "-00081ED", 8);
	assert_refused(&b, "damaged");
	memcpy(b.s + 6 + 8, "0x0081ED", 8);
	assert_refused(&b, "damaged");
	memcpy(b.s + 6 + 8, "000081eD", 8);
	assert_reads(&b, "");
}

static void no_image(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, "");
	assert_refused(&b, "no /init");
	kp_buf_add(&b, "\0\0\0\0\0\0\0", 7);
	assert_refused(&b, "no /init");
	/* Microcode, and what was behind it is cut off. */
	kp_buf_reset(&b);
	add(&b, 0100644, "kernel/x86/microcode/GenuineIntel.bin", "code");
	add_end(&b);
	assert_refused(&b, "no /init");
	kp_buf_adds(&b, "no archive");
	assert_refused(&b, "no known format");
	kp_buf_reset(&b);
	kp_buf_add(&b, "\x89LZO\0\r\n\x1a\n", 9);
	assert_refused(&b, "no known format");
	/* Not where the kernel looks for it. */
	kp_buf_reset(&b);
	kp_buf_addc(&b, 0);
	add(&b, 0100755, "init", "");
	add_end(&b);
	assert_refused(&b, "no known format");
}

static void another_file_system(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf content = KP_BUF_INIT, b = KP_BUF_INIT;

	kp_buf_adds(&content, "hsqs");
	while (content.len < 4096)
		kp_buf_addc(&content, 'x');
	add(&b, 0100755, "init", "");
	add(&b, 0100644, "squash-root.img", content.s);
	add_end(&b);
	assert_refused(&b, "another file system, squash-root.img");
	kp_buf_reset(&b);
	content.s[0] = 'x';
	add(&b, 0100755, "init", "");
	add(&b, 0100644, "root.img", content.s);
	add_end(&b);
	assert_reads(&b, "");
	kp_buf_reset(&b);
	memcpy(content.s + 1024, "\xe2\xe1\xf5\xe0", 4);
	add(&b, 0100755, "init", "");
	add(&b, 0100644, "root.img", content.s);
	add_end(&b);
	assert_refused(&b, "another file system, root.img");
}

static void too_many(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	add(&b, 0100755, "init", "");
	for (int i = 0; i < 20001; i++) {
		_cleanup_free_ char *name = kp_strf(MODULES "m%d.ko", i);

		add(&b, 0100644, name, "");
	}
	add_end(&b);
	assert_refused(&b, "more than 20000 modules");
}

/* ---- PE files */

static void put32(struct kp_buf *b, size_t at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		b->s[at + (size_t)i] = (char)(v >> 8 * i);
}

#define PE_AT 128
#define SECTIONS_AT (PE_AT + 24 + 240)
#define ALIGN 512

struct section {
	const char *name;
	const struct kp_buf *content;
};

static void make_pe(const struct section *sections, size_t n, struct kp_buf *b)
{
	kp_buf_adds(b, "MZ");
	while (b->len < 2048)
		kp_buf_addc(b, 0);
	put32(b, 0x3c, PE_AT);
	memcpy(b->s + PE_AT, "PE\0", 4);
	put32(b, PE_AT + 4 + 2, (uint32_t)n);
	put32(b, PE_AT + 4 + 16, 240);
	for (size_t i = 0; i < n; i++) {
		size_t at = SECTIONS_AT + i * 40, start = b->len;

		kp_buf_add(b, sections[i].content->s, sections[i].content->len);
		while (b->len % ALIGN)
			kp_buf_addc(b, '0'); /* looks like an archive */
		memcpy(b->s + at, sections[i].name, strlen(sections[i].name));
		put32(b, at + 8, (uint32_t)sections[i].content->len);
		put32(b, at + 16, (uint32_t)(b->len - start));
		put32(b, at + 20, (uint32_t)start);
	}
}

static void unified_images(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf one = KP_BUF_INIT, two = KP_BUF_INIT;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	const struct section sections[] = {
		{ ".linux", &two },
		{ ".initrd", &one },
		{ ".initrd2", &two },
		{ ".initrd", &two },
	};

	add(&one, 0100755, "init", "");
	add(&one, 0100644, MODULES "one.ko", "x");
	add_end(&one);
	add(&two, 0100644, MODULES "two.ko", "x");
	add_end(&two);
	make_pe(sections, 3, &b);
	assert_reads(&b, "one");
	kp_buf_reset(&b);
	make_pe(sections, 4, &b);
	assert_reads(&b, "one two");
	/* Cut off. */
	for (size_t len = 0; len < b.len - ALIGN; len++) {
		_cleanup_free_ char *names = read_bytes(b.s, len, NULL);

		assert_null(names);
	}
	/* Nothing of ours in it. */
	kp_buf_reset(&b);
	make_pe(sections, 1, &b);
	assert_refused(&b, "no /init");
	/* Lengths and places that lead elsewhere. */
	kp_buf_reset(&b);
	make_pe(sections, 2, &b);
	put32(&b, SECTIONS_AT + 40 + 20, 0xfffffff0);
	assert_refused(&b, "PE file that is cut off or damaged");
	put32(&b, SECTIONS_AT + 40 + 20, 0);
	put32(&b, SECTIONS_AT + 40 + 16, 0xffffffff);
	assert_refused(&b, "PE file that is cut off or damaged");
	put32(&b, PE_AT + 4 + 16, 0xffff);
	assert_refused(&b, "PE file that is cut off or damaged");
	put32(&b, 0x3c, 0xfffffffc);
	assert_refused(&b, "PE file that is cut off or damaged");
	put32(&b, 0x3c, 4);
	assert_refused(&b, "no known format");
}

/* ---- by the real tools */

/* The same bytes each time: sums of some end in a zero byte, which looks like padding. */
#define CPIO                                                                             \
	"find . -exec touch -h -d @1000000000 {} + && find . | LC_ALL=C sort | "         \
	"cpio -o --quiet --reproducible -R 0:0 -H "
#define TREE                                                                             \
	"umask 022 && mkdir -p tree/" MODULES " early/kernel && cd tree && "             \
	"ln -s bin/sh init && seq 900 >" MODULES "one.ko && echo two >" MODULES          \
	"t-w-o.ko.xz && ln " MODULES "one.ko " MODULES "hard.ko && " CPIO                \
	"newc >../main.cpio && cd ../early && echo code >kernel/code && " CPIO           \
	"crc >../early.cpio"
#define NAMES "hard one t_w_o"

static const char *const packers[] = {
	"cat",	       "gzip -9n",  "bzip2",  "xz --check=crc32", "xz --format=lzma",
	"zstd -q -19", "lz4 -q -l", "lz4 -q",
};

static void read_file(struct test_root *root, const char *path, struct kp_buf *ret)
{
	char *text;
	size_t len;

	assert_int_equal(kp_read_in(root->fd, path, 0, &text, &len), 0);
	kp_buf_reset(ret);
	kp_buf_add(ret, text, len);
	free(text);
}

static void make_image(struct test_root *root, const char *script, struct kp_buf *ret)
{
	sh(root, script);
	read_file(root, "/image", ret);
}

static char *replace(const char *text, const char *what, const char *by)
{
	struct kp_buf b = KP_BUF_INIT;

	for (const char *p; (p = strstr(text, what)); text = p + strlen(what)) {
		kp_buf_add(&b, text, (size_t)(p - text));
		kp_buf_adds(&b, by);
	}
	kp_buf_adds(&b, text);
	return kp_buf_steal(&b);
}

static void compressed(void **state KP_UNUSED)
{
	static const char *const parts[] = {
		"PACK <main.cpio >image",
		"{ cat early.cpio; PACK <main.cpio; } >image",
		"{ cat early.cpio main.cpio; head -c 516 /dev/zero; PACK <early.cpio; } >image",
		"cat early.cpio main.cpio early.cpio | PACK >image",
		"{ PACK <early.cpio; PACK <main.cpio; } >image",
	};
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	sh(&root, TREE);
	for (size_t i = 0; i < KP_ARRAY_SIZE(packers); i++)
		for (size_t j = 0; j < KP_ARRAY_SIZE(parts); j++) {
			_cleanup_free_ char *script =
				replace(parts[j], "PACK", packers[i]);

			make_image(&root, script, &b);
			assert_reads(&b, NAMES);
		}
}

static bool is_padded(struct test_root *root, const char *packer, int zeros)
{
	_cleanup_free_ char *script =
		kp_strf("{ cat early.cpio; %s <main.cpio; head -c %d /dev/zero; } >image",
			packer, zeros);
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_free_ char *names = NULL;

	make_image(root, script, &b);
	names = read_bytes(b.s, b.len, NULL);
	if (names)
		assert_string_equal(names, NAMES);
	return names != NULL;
}

/* Images that were joined for a unified kernel image end so. */
static void padded(void **state KP_UNUSED)
{
	static const int zeros[] = { 1, 2, 3, 4, 300 };
	_cleanup_root_ struct test_root root = test_root_new();

	sh(&root, TREE);
	for (size_t i = 0; i < KP_ARRAY_SIZE(packers); i++)
		for (size_t j = 0; j < KP_ARRAY_SIZE(zeros); j++)
			/* Its streams have no end of their own, and end in zero bytes themselves. */
			if (!is_padded(&root, packers[i], zeros[j]) &&
			    strcmp(packers[i], "lz4 -q -l") != 0)
				fail_msg("%s, %d", packers[i], zeros[j]);
}

/* One behind the other, whoever packed them: either all is read, or it is said that it cannot be. */
static void mixed(void **state KP_UNUSED)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	size_t read = 0;

	sh(&root, TREE "; cd .. && mkdir -p last/" MODULES " && cd last && echo >" MODULES
		       "z.ko && find . | cpio -o -H newc --quiet >../last.cpio");
	for (size_t i = 0; i < KP_ARRAY_SIZE(packers); i++)
		for (size_t j = 0; j < KP_ARRAY_SIZE(packers); j++) {
			_cleanup_free_ char *script =
				kp_strf("{ %s <main.cpio; %s <last.cpio; } >image",
					packers[i], packers[j]);
			_cleanup_free_ char *names = NULL;
			struct kp_err err = KP_ERR_INIT;

			make_image(&root, script, &b);
			names = read_bytes(b.s, b.len, &err);
			if (names && strcmp(names, NAMES " z") != 0)
				fail_msg("%s: '%s'", script, names);
			assert_true(names || err.text[0]);
			read += !!names;
		}
	/* Each behind what is not compressed, and behind itself. */
	assert_true(read >= 2 * KP_ARRAY_SIZE(packers) - 1);
}

/* Never a part of the list, wherever it ends. */
static void cut_off(void **state KP_UNUSED)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	sh(&root, TREE);
	for (size_t i = 0; i < KP_ARRAY_SIZE(packers); i++) {
		_cleanup_free_ char *script =
			kp_strf("{ cat early.cpio; %s <main.cpio; } >image", packers[i]);
		size_t good = 0;

		make_image(&root, script, &b);
		for (size_t len = 0; len < b.len; len++) {
			_cleanup_free_ char *names = read_bytes(b.s, len, NULL);

			if (names && strcmp(names, NAMES) != 0)
				fail_msg("%s: '%s' of %zu bytes", script, names, len);
			good += !!names;
		}
		/* What is behind the last archive: zero bytes, sums of the packers. */
		assert_true(good <= 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_module),
		cmocka_unit_test(members),
		cmocka_unit_test(padded_names),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(digits),
		cmocka_unit_test(no_image),
		cmocka_unit_test(another_file_system),
		cmocka_unit_test(too_many),
		cmocka_unit_test(unified_images),
		cmocka_unit_test(compressed),
		cmocka_unit_test(padded),
		cmocka_unit_test(mixed),
		cmocka_unit_test(cut_off),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
