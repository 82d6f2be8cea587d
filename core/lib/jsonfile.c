// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/jsonfile.h"

#define FILE_MAX (16 * 1024 * 1024)
#define TOKEN_MAX 128
#define SCHEMA 1

int kp_json_parse(const char *text, size_t len, const char *file, json_t **ret,
		  struct kp_err *err)
{
	_cleanup_json_ json_t *object = NULL;
	const json_t *schema;
	json_error_t e;

	object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!object)
		return kp_err_set(err, -EINVAL, "%s:%d: %s", file, e.line, e.text);
	schema = json_object_get(object, "schema");
	if (!json_is_integer(schema))
		return kp_err_set(err, -EINVAL,
				  "%s: expected an object with a schema number", file);
	if (json_integer_value(schema) != SCHEMA)
		return kp_err_set(
			err, -ENOTSUP,
			"%s: schema %lld is not known to this version of kmodpkg", file,
			(long long)json_integer_value(schema));
	*ret = kp_steal(&object);
	return 0;
}

int kp_json_unpack(json_t *object, const char *file, struct kp_err *err, const char *fmt,
		   ...)
{
	json_error_t e;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = json_vunpack_ex(object, &e, JSON_STRICT, fmt, ap);
	va_end(ap);
	return r ? kp_err_set(err, -EINVAL, "%s: %s", file, e.text) : 0;
}

int kp_json_load(int root_fd, const char *path, json_t **ret, struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = kp_read_in(root_fd, path, FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return r;
	if (r == -EINVAL || r == -EFBIG)
		return kp_err_set(err, -EINVAL,
				  "%s: expected a regular file of at most %d MiB", path,
				  FILE_MAX >> 20);
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", path);
	return kp_json_parse(text, len, path, ret, err);
}

int kp_json_save(int root_fd, const char *path, json_t *object, struct kp_err *err)
{
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	_cleanup_free_ char *dump = NULL;

	json_object_set_new(object, "schema", json_integer(SCHEMA));
	dump = json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (!dump)
		return kp_err_set(err, -EINVAL, "%s: cannot be written as JSON", path);
	kp_buf_addf(&text, "%s\n", dump);
	return kp_write_in(root_fd, path, text.s, text.len, 0644, err);
}

json_t *kp_json_text(const char *s)
{
	_cleanup_free_ char *text = kp_strdup(s);

	if (!text)
		return NULL;
	kp_str_printable(text);
	return json_string(text);
}

json_t *kp_json_strings(char *const *v)
{
	_cleanup_json_ json_t *array = json_array();

	kp_strv_foreach(p, v)
		if (json_array_append_new(array, json_string(*p)))
			return NULL;
	return kp_steal(&array);
}

int kp_json_to_strings(const json_t *array, const char *file, const char *member,
		       char ***ret, struct kp_err *err)
{
	_cleanup_strv_ char **v = NULL;
	size_t n = json_array_size(array);

	if (!json_is_array(array))
		return kp_err_set(err, -EINVAL, "%s: expected an array in \"%s\"", file,
				  member);
	v = kp_calloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(array, i));

		if (!s)
			return kp_err_set(err, -EINVAL, "%s: expected strings in \"%s\"",
					  file, member);
		v[i] = kp_strdup(s);
	}
	*ret = kp_steal(&v);
	return 0;
}

bool kp_json_is_token(const char *s)
{
	return s && kp_name_ok(s) && strlen(s) <= TOKEN_MAX;
}

bool kp_json_is_sha256(const char *s)
{
	return s && strlen(s) == KP_HASH_HEX - 1 &&
	       strspn(s, "0123456789abcdef") == KP_HASH_HEX - 1;
}
