// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stanzas of "Field: value" lines, as dpkg and APT keep their databases.
 *
 * The text is read in place and changed: names and values come out as strings inside it.
 * Only the first line of a value is kept, continuation lines are passed over; no field
 * that this program reads has any. What dpkg itself would not read is an error, above all
 * a text that ends in the middle of a line: a cut off database must never look like a
 * short one. Format: deb822(5), deb-control(5).
 */
#pragma once

#include <stddef.h>

#include <kmodpkg/err.h>

struct kp_deb822 {
	char *p, *end;
	const char *file; /* for messages */
	unsigned long line;
};

/* TEXT must stay, and have a NUL behind its LEN bytes. */
void kp_deb822_init(struct kp_deb822 *d, char *text, size_t len, const char *file);
/* Go to the next stanza: 1; 0: there is none. */
int kp_deb822_stanza(struct kp_deb822 *d);
/* The next field of this stanza: 1; 0: the stanza ends here. -EIO with file and line. */
int kp_deb822_field(struct kp_deb822 *d, char **ret_name, char **ret_value,
		    struct kp_err *err);
