// SPDX-License-Identifier: GPL-2.0-or-later
/* Which tool makes the initramfs of a kernel, and where the image is. The real tools run in the
 * end-to-end tests. */
#include "settle-fixture.h"

static void dracut(void **state)
{
	static const char *const images[] = { INITRD, "/boot/initramfs-" K ".img",
					      "/boot/initrd-" K };
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put(f, "/usr/sbin/dracut", NOTE("dracut"));
	assert_int_equal(chmod("/usr/sbin/dracut", 0755), 0);
	/* Where the distribution has an update-initramfs, that is what is used. */
	put_image(f, INITRD, true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
	assert_int_equal(unlink("/usr/sbin/update-initramfs"), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(images); i++) {
		_cleanup_free_ char *expect =
			kp_strf("dracut -q --force %s " K "\n", images[i]);

		unlink("/noted");
		put_image(f, images[i], true);
		mark(f, K);
		settle(f, K);
		assert_noted(f, expect);
		assert_int_equal(unlink(images[i]), 0);
	}
}

#define PRESET "/etc/mkinitcpio.d/linux-test.preset"

static void put_tool(struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = kp_path_join("/usr/bin", name);
	_cleanup_free_ char *text = kp_strf(NOTE("%s"), name);

	put(f, path, text);
	assert_int_equal(chmod(path, 0755), 0);
}

static void mkinitcpio(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_tool(f, "mkinitcpio");
	put_tool(f, "dracut");
	put(f, TREE "/pkgbase", "linux-test\n");
	put(f, PRESET,
	    "PRESETS=('default' 'fallback')\n"
	    "#default_image=/boot/other.img\n"
	    "default_image=\"/boot/initramfs-linux-test.img\"\n"
	    "fallback_uki='/efi/EFI/Linux/arch.efi' # or not\n");
	/* None of its images exists. */
	mark(f, K);
	settle(f, K);
	put_image(f, "/boot/other.img", true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	put_image(f, "/boot/initramfs-linux-test.img", false);
	put_image(f, "/efi/EFI/Linux/arch.efi", false);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	/* One that is old is enough. */
	put_image(f, "/efi/EFI/Linux/arch.efi", true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "mkinitcpio -p linux-test\n");
	/* The image of a kernel that has taken this one's place is none of its business. */
	superseded = true;
	mark(f, K);
	settle(f, K);
	assert_noted(f, "mkinitcpio -p linux-test\n");
}

static void dracut_by_package(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_tool(f, "mkinitcpio"); /* without a preset it makes nothing */
	put_tool(f, "dracut");
	put(f, TREE "/pkgbase", "linux-test\n");
	put_image(f, "/boot/initramfs-linux-test.img", true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "dracut -q --force /boot/initramfs-linux-test.img " K "\n");
}

static void kernel_install(void **state)
{
	static const char *const images[] = { "/efi/token/" K "/initrd",
					      "/boot/efi/EFI/Linux/token-" K ".efi",
					      "/boot/EFI/Linux/token-" K "+3-0.efi" };
	static const char *const others[] = { "/efi/other/" K "/initrd",
					      "/efi/EFI/Linux/token-" K ".1.efi",
					      "/efi/EFI/Linux/token-" K "+3.efi.old" };
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_tool(f, "kernel-install");
	put(f, "/etc/kernel/entry-token", "token\n");
	put(f, TREE "/vmlinuz", "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++)
		put_image(f, others[i], true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(images); i++) {
		unlink("/noted");
		put_image(f, images[i], true);
		mark(f, K);
		settle(f, K);
		assert_noted(f, "kernel-install add " K " " TREE "/vmlinuz\n");
		assert_int_equal(unlink(images[i]), 0);
	}
	/* Without a kernel to give it there is no call to make. */
	put_image(f, images[0], true);
	assert_int_equal(unlink(TREE "/vmlinuz"), 0);
	unlink("/noted");
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
}

static void preset_text(void **state)
{
	static const char text[] =
		"ALL_kver='/boot/vmlinuz-linux'\n"
		"  default_image=/boot/a.img # plain\n"
		"default_uki=\"/efi/EFI/Linux/b c.efi\";x=1\n"
		"fallback_image='/boot/$c.img'\n"
		"x_image=\"/boot/$c.img\"\nx_image=/boot/{d,e}$f\n"
		"x_image=\"/boot/open\nx_image='/boot/a'b\nx_image=relative.img\n"
		"x_image=/boot/../etc/shadow\nx_image=\nimage=/boot/no\n"
		"y_image=/boot/a.img\nlast_image=/boot/last.img";
	static const char *const expect[] = { "/boot/a.img", "/efi/EFI/Linux/b c.efi",
					      "/boot/$c.img", "/boot/last.img" };
	_cleanup_strv_ char **images = NULL;

	(void)state;
	kp_initramfs_preset_parse(text, strlen(text), &images);
	assert_int_equal(kp_strv_len(images), KP_ARRAY_SIZE(expect));
	for (size_t i = 0; i < KP_ARRAY_SIZE(expect); i++)
		assert_string_equal(images[i], expect[i]);
}

/* What is not made any more stays as old as it is. */
static void preset_names(void **state)
{
	static const struct {
		const char *presets;
		bool all;
	} cases[] = {
		{ "PRESETS=('default')", false },
		{ "PRESETS=( default )#", false },
		{ "PRESETS=(x)\nPRESETS=(\"default\" 'other')", false },
		{ "#PRESETS=('default')", true },
		{ "PRESETS=('default' 'fallback')", true },
		{ "PRESETS=($some)", true },
		{ "PRESETS=(", true },
		{ "PRESETS=('default'", true },
		{ "PRESETS=", true },
		{ "PRESETS=()", true },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			kp_strf("default_image=/boot/a\n%s\nfallback_image=/boot/b\n",
				cases[i].presets);
		_cleanup_strv_ char **images = NULL;

		kp_initramfs_preset_parse(text, strlen(text), &images);
		assert_int_equal(kp_strv_len(images), cases[i].all ? 2 : 1);
		assert_string_equal(images[0], "/boot/a");
	}
}

static void preset_with_nul(void **state)
{
	static const char text[] = "PRESETS=(a\0b)\na_image=/boot/a";
	_cleanup_strv_ char **images = NULL;

	(void)state;
	kp_initramfs_preset_parse(text, sizeof(text) - 1, &images);
	assert_int_equal(kp_strv_len(images), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(dracut),
		LIVE(mkinitcpio),
		LIVE(dracut_by_package),
		LIVE(kernel_install),
		cmocka_unit_test(preset_text),
		cmocka_unit_test(preset_names),
		cmocka_unit_test(preset_with_nul),
	};

	in_overlay = enter_overlay();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
