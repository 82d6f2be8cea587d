// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What inside/unpack.c, which reads an archive in the sandbox, says to archive-unpack.c, and nobody else, on its
 * standard output. For each member:
 *
 *	TYPE MODE MTIME LENGTH-OF-NAME LENGTH-OF-LINK<newline>NAME LINK (without anything between)
 *
 * TYPE is a letter (below), MODE octal, the others are decimal. Behind a file comes its content in pieces, each a line
 * "LENGTH" and as many bytes; the last is of length 0. Behind all is a member of the type '.'.
 */
#pragma once

/* The argument: the two may be of different versions while kmodpkg itself is upgraded. */
#define KP_UNPACK_PROTOCOL "1"

/* Exit codes. All but the first come with a reason on standard error. */
enum {
	KP_UNPACK_GOOD = 0,
	KP_UNPACK_BAD = 1,   /* no archive, or damaged */
	KP_UNPACK_LARGE = 2, /* more than KP_UNPACK_BYTES or KP_UNPACK_ENTRIES */
	KP_UNPACK_NONE = 3,
};

enum {
	KP_UNPACK_FILE = 'f',
	KP_UNPACK_DIR = 'd',
	KP_UNPACK_LINK = 'l', /* symbolic */
	KP_UNPACK_HARD = 'h',
	KP_UNPACK_OTHER = 'o',
	KP_UNPACK_END = '.',
};

/* More than a source with builds has. */
#define KP_UNPACK_ENTRIES 200000
#define KP_UNPACK_BYTES (4LL << 30)
/* Longer than any name that is taken; what is longer is cut. */
#define KP_UNPACK_NAME 8192
#define KP_UNPACK_PIECE 65536
