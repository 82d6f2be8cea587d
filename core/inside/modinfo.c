// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <libkmod.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "inside/modinfo.h"

KP_DEFINE_CLEANUP(struct kmod_ctx *, kmod_unref);
KP_DEFINE_CLEANUP(struct kmod_module *, kmod_module_unref);
KP_DEFINE_CLEANUP(struct kmod_list *, kmod_module_info_free_list);
KP_DEFINE_CLEANUP(struct kmod_list *, kmod_module_dependency_symbols_free_list);

static void drop_message(void *data KP_UNUSED, int priority KP_UNUSED,
			 const char *file KP_UNUSED, int line KP_UNUSED,
			 const char *fn KP_UNUSED, const char *format KP_UNUSED,
			 va_list args KP_UNUSED)
{
}

/* A module and the context it keeps alive. */
static int open_module(const char *path, struct kmod_module **ret, struct kp_err *err)
{
	static const char *const no_config[] = { NULL };
	_cleanup_(kmod_unrefp) struct kmod_ctx *ctx = kmod_new("/", no_config);
	int r;

	if (!ctx)
		return kp_err_set(err, -ENOMEM, "libkmod cannot be started");
	kmod_set_log_fn(ctx, drop_message, NULL);
	r = kmod_module_new_from_path(ctx, path, ret);
	if (r < 0)
		return kp_err_sys(err, r, "open '%s'", path);
	return 0;
}

static void set_field(struct kp_modinfo *m, const char *key, const char *value)
{
	struct {
		const char *key;
		char **field;
	} fields[] = {
		{ "name", &m->name },	    { "vermagic", &m->vermagic },
		{ "version", &m->version }, { "srcversion", &m->srcversion },
		{ "depends", &m->depends }, { "signer", &m->signer },
		{ "license", &m->license },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(fields); i++)
		if (!strcmp(key, fields[i].key) && !*fields[i].field)
			*fields[i].field = kp_strdup(value);
}

int kp_modinfo_read(const char *path, struct kp_modinfo *ret, struct kp_err *err)
{
	_cleanup_(kmod_module_unrefp) struct kmod_module *mod = NULL;
	_cleanup_(kmod_module_info_free_listp) struct kmod_list *list = NULL;
	struct kp_modinfo m = { 0 };
	struct kmod_list *l;
	int r;

	r = open_module(path, &mod, err);
	if (r < 0)
		return r;
	r = kmod_module_get_info(mod, &list);
	if (r < 0)
		return kp_err_sys(err, -ENOEXEC, "'%s' has no module information", path);
	kmod_list_foreach(l, list)
		set_field(&m, kmod_module_info_get_key(l), kmod_module_info_get_value(l));
	*ret = m;
	return 0;
}

void kp_modinfo_clear(struct kp_modinfo *m)
{
	free(m->name);
	free(m->vermagic);
	free(m->version);
	free(m->srcversion);
	free(m->depends);
	free(m->signer);
	free(m->license);
	*m = (struct kp_modinfo){ 0 };
}

static int by_name(const void *a, const void *b)
{
	const struct kp_symbol *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int kp_symbols_read(const char *path, struct kp_symbols *ret, struct kp_err *err)
{
	_cleanup_(kmod_module_unrefp) struct kmod_module *mod = NULL;
	_cleanup_(kmod_module_dependency_symbols_free_listp) struct kmod_list *list =
		NULL;
	struct kp_symbols symbols = { 0 };
	struct kmod_list *l;
	size_t alloc = 0;
	int r;

	r = open_module(path, &mod, err);
	if (r < 0)
		return r;
	r = kmod_module_get_dependency_symbols(mod, &list);
	if (r < 0 && r != -ENOENT)
		return kp_err_sys(err, -ENOEXEC, "symbols of '%s' cannot be read", path);
	kmod_list_foreach(l, list) {
		KP_GROW(symbols.list, symbols.n, alloc);
		symbols.list[symbols.n++] = (struct kp_symbol){
			.name = kp_strdup(kmod_module_dependency_symbol_get_symbol(l)),
			.crc = (uint32_t)kmod_module_dependency_symbol_get_crc(l),
			.weak = kmod_module_dependency_symbol_get_bind(l) ==
				KMOD_SYMBOL_WEAK,
		};
	}
	if (symbols.n)
		qsort(symbols.list, symbols.n, sizeof(*symbols.list), by_name);
	*ret = symbols;
	return 0;
}

void kp_symbols_clear(struct kp_symbols *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i].name);
	free(s->list);
	*s = (struct kp_symbols){ 0 };
}
