// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kmodpkg/err.h>

#include "base/str.h"

static void append(struct kp_err *err, const char *text)
{
	size_t len = strlen(err->text);

	snprintf(err->text + len, sizeof(err->text) - len, "%s", text);
}

static void __attribute__((format(printf, 3, 0)))
fill(struct kp_err *err, int code, const char *fmt, va_list ap)
{
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int kp_err_set(struct kp_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	kp_str_printable(err->text);
	return code;
}

int kp_err_sys(struct kp_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	append(err, ": ");
	append(err, strerror(-code));
	kp_str_printable(err->text);
	return code;
}

int kp_err_prefix(struct kp_err *err, const char *fmt, ...)
{
	char old[KP_ERR_MAX];
	va_list ap;

	if (!err)
		return 0;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	append(err, ": ");
	append(err, old);
	kp_str_printable(err->text);
	return err->code;
}

const char *kp_err_text(const struct kp_err *err, int code)
{
	if (err && err->text[0])
		return err->text;
	return strerror(code < 0 ? -code : code);
}

bool kp_err_is_disk(int code)
{
	return code == -ENOSPC || code == -EDQUOT || code == -EROFS;
}
