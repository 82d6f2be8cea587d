// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The second expansion. DKMS prints every directive's value into a file, unquoted,
 * between double quotes, and sources that: confs rely on what it does to variables,
 * backslashes and white space. What it does to a '"' or to a command (it runs it, when
 * status is asked) is not repeated here; conf.h says what is.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf-parts.h"

/* Elements may be made of the ones before them, twice as long each. */
#define VALUE_MAX (1024 * 1024)
#define VALUES_MAX (16 * 1024 * 1024)

static bool is_name_start(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of "$name", "${name}" or "${name[n]}" at S, with what it stands for; 0: none of
 * them, or left alone. */
static size_t expand_variable(const char *s, const struct kp_vars *vars,
			      struct kp_buf *out)
{
	bool braces = s[1] == '{';
	const char *name = s + 1 + braces, *end = name, *value;
	_cleanup_free_ char *copy = NULL;
	unsigned long index = 0;

	if (!is_name_start(*name))
		return 0;
	while (is_name_start(*end) || (*end >= '0' && *end <= '9'))
		end++;
	copy = kp_strndup(name, (size_t)(end - name));
	if (kp_conf_name_special(copy))
		return 0;
	if (braces) {
		if (end[0] == '[' && end[1] >= '0' && end[1] <= '9') {
			char *close;

			index = strtoul(end + 1, &close, 10);
			if (*close != ']' || index > 9999)
				return 0;
			end = close + 1;
		}
		if (*end++ != '}')
			return 0;
	}
	value = kp_vars_get(vars, copy, (unsigned int)index);
	kp_buf_adds(out, value ? value : "");
	return (size_t)(end - s);
}

/* NULL: too long. */
static char *expand(const char *value, const struct kp_vars *vars)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;

	while (*value && out.len <= VALUE_MAX) {
		size_t n = strspn(value, " \t\n");

		if (n) {
			kp_buf_addc(&out, ' ');
			value += n;
			continue;
		}
		if (*value == '\\' && value[1] && strchr("$`\"\\", value[1])) {
			kp_buf_addc(&out, value[1]);
			value += 2;
			continue;
		}
		n = *value == '$' ? expand_variable(value, vars, &out) : 0;
		if (!n) {
			kp_buf_addc(&out, *value);
			n = 1;
		}
		value += n;
	}
	return out.len <= VALUE_MAX ? kp_buf_steal(&out) : NULL;
}

int kp_conf_expand(struct kp_vars *vars, bool *ret_cr, struct kp_err *err)
{
	size_t made = 0;

	*ret_cr = false;
	for (size_t i = 0; kp_conf_directives[i]; i++) {
		const struct kp_var *var = kp_vars_find(vars, kp_conf_directives[i]);

		for (size_t j = 0; var && j < var->n_elems; j++) {
			struct kp_var_elem *e = &var->elems[j];
			size_t n = strlen(e->value);
			char *value;

			if (n && e->value[n - 1] == '\r') {
				e->value[n - 1] = '\0';
				*ret_cr = true;
			}
			value = expand(e->value, vars);
			if (!value)
				return kp_err_set(err, -EINVAL,
						  "%s[%u] has more than a MiB", var->name,
						  e->index);
			free(e->value);
			e->value = value;
			made += strlen(value);
			if (made > VALUES_MAX)
				return kp_err_set(err, -EINVAL,
						  "its values have more than 16 MiB");
		}
	}
	return 0;
}
