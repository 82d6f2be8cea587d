// SPDX-License-Identifier: GPL-2.0-or-later
/* The dkms command line, its words separated by NUL. */
#include <assert.h>
#include <stdarg.h>
#include <stdint.h>

#include "../../core/cli/dkms-args.c"

/* What is elsewhere in the command. */
const struct dkms_action *dkms_find_action(const char *word)
{
	static const struct dkms_action actions[] = {
		{ "add", NULL, 0 },
		{ "install", NULL, DKMS_ALL },
		{ "status", NULL, 0 },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(actions); i++)
		if (kp_str_eq(word, actions[i].name))
			return &actions[i];
	return NULL;
}

int cli_fail(struct cli *cli, int status, const char *fmt, ...)
{
	char text[KP_ERR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	kp_err_set(&cli->err, -EINVAL, "%s", text);
	return status;
}

static void check(const struct dkms *d)
{
	assert(!d->module || kp_name_ok(d->module));
	assert(!d->version || kp_name_ok(d->version));
	assert(!d->arch || kp_name_ok(d->arch));
	assert(!d->template_kernel || kp_name_ok(d->template_kernel));
	assert(!d->dkms_tree || *d->dkms_tree == '/');
	assert(!d->conf_file || *d->conf_file == '/');
	assert(!d->tree || *d->tree == '/');
	assert(d->jobs >= 0 && d->jobs <= 4096);
	assert(!d->all_kernels || !d->n_pairs);
	for (size_t i = 0; i < d->n_pairs; i++) {
		assert(kp_name_ok(d->pairs[i].kernel));
		assert(!d->pairs[i].arch || kp_name_ok(d->pairs[i].arch));
	}
	kp_strv_foreach(p, d->directives)
		assert(strchr(*p, '=') > *p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli = { 0 };
	struct dkms d = { .cli = &cli };
	char **argv = NULL;
	int rc;

	kp_log_set_level(KP_LOG_ERR);
	kp_strv_add(&argv, "dkms");
	for (size_t at = 0; at < size;) {
		const uint8_t *nul = memchr(data + at, '\0', size - at);
		size_t n = nul ? (size_t)(nul - data) - at : size - at;

		kp_strv_take(&argv, kp_strndup((const char *)data + at, n));
		at += n + 1;
	}
	rc = dkms_parse(&d, (int)kp_strv_len(argv), argv);
	assert(rc == 0 || cli.err.text[0]);
	if (rc == 0 && !d.help && !d.show_version)
		check(&d);
	dkms_clear(&d);
	kp_strv_free(argv);
	return 0;
}
