// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#include "deb822.h"

void kp_deb822_init(struct kp_deb822 *d, char *text, size_t len, const char *file)
{
	*d = (struct kp_deb822){ .p = text, .end = text + len, .file = file };
}

int kp_deb822_stanza(struct kp_deb822 *d)
{
	while (d->p < d->end && *d->p == '\n') {
		d->p++;
		d->line++;
	}
	return d->p < d->end;
}

/* Cut the line at d->p off; NULL: it has no end, or a NUL in it. */
static char *take_line(struct kp_deb822 *d)
{
	char *line = d->p, *nl = memchr(line, '\n', (size_t)(d->end - line));

	d->line++;
	if (!nl || memchr(line, '\0', (size_t)(nl - line)))
		return NULL;
	*nl = '\0';
	d->p = nl + 1;
	return line;
}

int kp_deb822_field(struct kp_deb822 *d, char **ret_name, char **ret_value,
		    struct kp_err *err)
{
	char *line, *colon;

	do {
		if (d->p == d->end || *d->p == '\n')
			return 0;
		line = take_line(d);
		if (!line)
			return kp_err_set(err, -EIO, "%s: line %lu is cut off", d->file,
					  d->line);
	} while (*line == ' ' || *line == '\t');
	colon = strchr(line, ':');
	if (!colon || colon == line)
		return kp_err_set(err, -EIO, "%s: line %lu is no \"Field: value\"",
				  d->file, d->line);
	*colon = '\0';
	*ret_name = line;
	*ret_value = kp_str_strip(colon + 1);
	return 1;
}
