// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads an archive, in the sandbox: tar, compressed or not (libarchive), from standard input. Says what is in it in a
 * form that is easy to read for who does not trust this process (lib/unpack-parts.h).
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/unpack-parts.h"

static char piece[KP_UNPACK_PIECE];

static int fail(int code, const char *why)
{
	fprintf(stderr, "%s\n", why ? why : "damaged");
	return code;
}

static char type_of(struct archive_entry *e)
{
	if (archive_entry_hardlink(e))
		return KP_UNPACK_HARD;
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return KP_UNPACK_FILE;
	case AE_IFDIR:
		return KP_UNPACK_DIR;
	case AE_IFLNK:
		return KP_UNPACK_LINK;
	default:
		return KP_UNPACK_OTHER;
	}
}

static void put_head(struct archive_entry *e, char type)
{
	const char *name = archive_entry_pathname(e);
	const char *link = type == KP_UNPACK_HARD   ? archive_entry_hardlink(e)
			   : type == KP_UNPACK_LINK ? archive_entry_symlink(e)
						    : "";
	size_t name_len, link_len;

	/* What cannot be told is no name that is taken. */
	name = name ? name : "\n";
	link = link ? link : "\n";
	name_len = strnlen(name, KP_UNPACK_NAME);
	link_len = strnlen(link, KP_UNPACK_NAME);
	printf("%c %o %lld %zu %zu\n", type, (unsigned int)archive_entry_perm(e),
	       (long long)archive_entry_mtime(e), name_len, link_len);
	fwrite(name, 1, name_len, stdout);
	fwrite(link, 1, link_len, stdout);
}

static int put_content(struct archive *a, long long *bytes)
{
	la_ssize_t n;

	while ((n = archive_read_data(a, piece, sizeof(piece))) > 0) {
		*bytes += n;
		if (*bytes > KP_UNPACK_BYTES)
			return fail(KP_UNPACK_LARGE, "too large");
		printf("%zd\n", (ssize_t)n);
		fwrite(piece, 1, (size_t)n, stdout);
	}
	if (n < 0)
		return fail(KP_UNPACK_BAD, archive_error_string(a));
	printf("0\n");
	return 0;
}

static int put_members(struct archive *a)
{
	struct archive_entry *e;
	long long bytes = 0;
	size_t entries = 0;
	int r;

	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		char type = type_of(e);
		int rc = 0;

		if (++entries > KP_UNPACK_ENTRIES)
			return fail(KP_UNPACK_LARGE, "too many files");
		/* Not only when all of it was read: a few bytes can stand for any number. */
		if (type == KP_UNPACK_FILE &&
		    archive_entry_size(e) > KP_UNPACK_BYTES - bytes)
			return fail(KP_UNPACK_LARGE, "too large");
		put_head(e, type);
		if (type == KP_UNPACK_FILE)
			rc = put_content(a, &bytes);
		if (rc)
			return rc;
	}
	if (r != ARCHIVE_EOF)
		return fail(KP_UNPACK_BAD, archive_error_string(a));
	printf("%c 0 0 0 0\n", KP_UNPACK_END);
	return fflush(stdout) ? fail(KP_UNPACK_NONE, "cannot write") : KP_UNPACK_GOOD;
}

/* PROTOCOL */
int main(int argc, char **argv)
{
	struct archive *a = archive_read_new();

	/* Nowhere but in the sandbox. */
	if (argc != 2 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return KP_UNPACK_NONE;
	if (strcmp(argv[1], KP_UNPACK_PROTOCOL) != 0)
		return fail(KP_UNPACK_NONE,
			    "kmodpkg was upgraded meanwhile: run it again");
	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open_fd(a, STDIN_FILENO, sizeof(piece)) != ARCHIVE_OK)
		return fail(KP_UNPACK_BAD, archive_error_string(a));
	return put_members(a);
}
