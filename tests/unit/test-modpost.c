// SPDX-License-Identifier: GPL-2.0-or-later
/* What modpost says in logs, in the words of several kernels. */
#include "test.h"

#include "inside/modinfo.h"

static struct kp_symbol list[] = { { .name = (char *)"a" },
				   { .name = (char *)"a_b" },
				   { .name = (char *)".dot" } };
static struct kp_symbols symbols = { list, 3 };

/* "ran:" and the names that are marked after TEXT, to be freed. */
static char *after(const char *text)
{
	struct kp_buf b = KP_BUF_INIT;
	/* No byte behind it. */
	_cleanup_free_ char *copy = kp_memdup(text, strlen(text));

	for (size_t i = 0; i < symbols.n; i++)
		list[i].undefined = false;
	if (kp_modpost_resolve(copy, strlen(text), "my-mod", &symbols))
		kp_buf_adds(&b, "ran:");
	for (size_t i = 0; i < symbols.n; i++)
		if (list[i].undefined)
			kp_buf_addf(&b, " %s", list[i].name);
	return kp_buf_steal(&b);
}

static void logs(void **state)
{
	static const struct {
		const char *text, *expect;
	} cases[] = {
		{ "", "" },
		{ "make all\ncc -c x.c\n", "" },
		{ "  MODPOST /x/Module.symvers\n", "ran:" },
		{ "  MODPOST 1 modules", "ran:" },
		{ "\tscripts/mod/modpost -m -a -o Module.symvers\n", "ran:" },
		/* 6.x, 5.8; also with KBUILD_MODPOST_WARN */
		{ "ERROR: modpost: \"a\" [/x/my-mod.ko] undefined!\n", "ran: a" },
		{ "WARNING: modpost: \"a_b\" [my_mod.ko] undefined!", "ran: a_b" },
		{ "x\nERROR: modpost: \".dot\" [./my-mod.ko] undefined!\r\n",
		  "ran: .dot" },
		/* before */
		{ "  MODPOST 1 modules\nERROR: \"a\" [/x/my-mod.ko] undefined!\n",
		  "ran: a" },
		/* about others */
		{ "ERROR: modpost: \"c\" [/x/my-mod.ko] undefined!\n", "ran:" },
		{ "ERROR: modpost: \"a\" [/x/my-mod2.ko] undefined!\n", "ran:" },
		{ "ERROR: modpost: \"a\" [/x/not-my-mod.ko] undefined!\n", "ran:" },
		/* left out, of whatever module */
		{ "ERROR: modpost: \"c\" [/x/z.ko] undefined!\n"
		  "WARNING: modpost: suppressed 5 unresolved symbol warnings because "
		  "there were too many)\n",
		  "ran: a a_b .dot" },
		/* nonsense */
		{ "undefined!", "" },
		{ ".ko] undefined!", "" },
		{ "[my-mod.ko] undefined!", "" },
		{ "\" [my-mod.ko] undefined!", "" },
		{ "a\" [my-mod.ko] undefined!", "" },
		{ "\"a\"[my-mod.ko] undefined!", "" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *got = after(cases[i].text);

		if (strcmp(got, cases[i].expect) != 0)
			fail_msg("'%s' gives '%s'", cases[i].text, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
