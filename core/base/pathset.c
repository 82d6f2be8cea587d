// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pathset.h"

void kp_pathset_add(struct kp_pathset *s, const char *path, size_t tag)
{
	KP_GROW(s->list, s->n, s->alloc);
	s->list[s->n++] = (struct kp_pathset_entry){
		.path = kp_strdup(path),
		.len = strlen(path),
		.tag = tag,
	};
}

static int by_len(const void *pa, const void *pb)
{
	const struct kp_pathset_entry *a = pa, *b = pb;

	return a->len < b->len ? -1 : a->len > b->len;
}

void kp_pathset_seal(struct kp_pathset *s)
{
	if (s->n) {
		qsort(s->list, s->n, sizeof(*s->list), by_len);
		s->max_len = s->list[s->n - 1].len;
	}
	s->first_of_len = kp_calloc(s->max_len + 1, sizeof(*s->first_of_len));
	for (size_t i = 0; i <= s->max_len; i++)
		s->first_of_len[i] = SIZE_MAX;
	for (size_t i = s->n; i-- > 0;)
		s->first_of_len[s->list[i].len] = i;
}

const struct kp_pathset_entry *kp_pathset_find(const struct kp_pathset *s,
					       const char *path, size_t len,
					       const struct kp_pathset_entry *after)
{
	size_t i;

	if (len > s->max_len)
		return NULL;
	i = after ? (size_t)(after - s->list) + 1 : s->first_of_len[len];
	for (; i < s->n && s->list[i].len == len; i++)
		if (!memcmp(s->list[i].path, path, len))
			return &s->list[i];
	return NULL;
}

void kp_pathset_clear(struct kp_pathset *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i].path);
	free(s->list);
	free(s->first_of_len);
	*s = (struct kp_pathset){ 0 };
}
