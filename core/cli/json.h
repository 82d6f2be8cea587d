// SPDX-License-Identifier: GPL-2.0-or-later
/* What the verbs print for programs (--json): jansson, with null for what is not known. */
#pragma once

#include <jansson.h>

/* A string, or null for NULL. Bytes that are no UTF-8 become '?'. */
json_t *cli_json_text(const char *s);
/* A vector of strings. */
json_t *cli_json_texts(char *const *v);
/* Takes VALUE; ends the process where memory does. */
void cli_json_set(json_t *object, const char *key, json_t *value);
/* Print to stdout, and release. */
void cli_json_print(json_t *root);
