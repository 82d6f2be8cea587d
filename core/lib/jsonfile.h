// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Our state files: one JSON object each, {"schema": 1, ...}, replaced as a whole.
 *
 * The schema number is that of the one file format; a file with another number is not touched
 * (-ENOTSUP), so that going back to an older version loses nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include <kmodpkg/err.h>

#include "base/cleanup.h"

#define _cleanup_json_ _cleanup_(json_decrefp) /* jansson.h has it */

/* FILE is for messages. -EINVAL: "<file>: <where and what>"; -ENOTSUP: another schema. */
int kp_json_parse(const char *text, size_t len, const char *file, json_t **ret,
		  struct kp_err *err);
/* Check and take members apart as json_unpack() does, every member of OBJECT accounted
 * for. -EINVAL as above. */
int kp_json_unpack(json_t *object, const char *file, struct kp_err *err, const char *fmt,
		   ...);
/* -ENOENT without words when absent; an irregular or huge file is -EINVAL. */
int kp_json_load(int root_fd, const char *path, json_t **ret, struct kp_err *err);
int kp_json_save(int root_fd, const char *path, json_t *object, struct kp_err *err);

/* A string in which control characters and bytes that are no UTF-8 became '?'; NULL gives
 * NULL. */
json_t *kp_json_text(const char *s);

/* An array of strings; NULL: one is no UTF-8. V: a string vector. */
json_t *kp_json_strings(char *const *v);
/* A string vector of one, to be freed; MEMBER is what it is called. -EINVAL as above. */
int kp_json_to_strings(const json_t *array, const char *file, const char *member,
		       char ***ret, struct kp_err *err);

/* Are these what they are called? NULL is not. */
bool kp_json_is_token(const char *s);  /* key: like a name, and short */
bool kp_json_is_sha256(const char *s); /* in lower case hex */
