// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tar archives, compressed or not.
 *
 * What comes from an archive is not trusted: its paths are looked at in one place, and every
 * file is made below the directory that is given, which no link leads out of. Nothing but
 * directories, regular files and links that stay inside is taken; owners and set-id bits are
 * not.
 */
#pragma once

#include <sys/types.h>

#include <kmodpkg/err.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

/* Unpack the archive that is open for reading into the empty directory TO_FD. It is read in the sandbox; on the way its
 * content lies in ctx->work_dir, which has to be there. -EINVAL: no archive, or one with members that are not taken (the
 * text names the first); what was unpacked by then stays. -EFBIG: more than a source with builds has. */
int kp_archive_unpack(struct kp_ctx *ctx, int archive_fd, int to_fd, struct kp_err *err);

struct kp_archive;

/* Write an archive to FD. The same files give the same bytes. */
int kp_archive_new(int fd, struct kp_archive **ret, struct kp_err *err);
/* Add the tree or file PATH below root_fd as AT ("a/b"), with all below it in the order of their
 * names. Links that stay in PATH are added as links. Of others those are followed that lead to
 * something below FOLLOW (NULL: none); the rest is left out, with a warning: it may name what not
 * everybody may read. So is what is neither file, directory nor link. */
int kp_archive_add(struct kp_archive *a, int root_fd, const char *path, const char *at,
		   const char *follow, struct kp_err *err);
/* An empty directory. */
int kp_archive_add_dir(struct kp_archive *a, const char *at, struct kp_err *err);
int kp_archive_add_text(struct kp_archive *a, const char *at, const char *text,
			struct kp_err *err);
/* Finish it; an archive that is freed without is not whole. */
int kp_archive_end(struct kp_archive *a, struct kp_err *err);
/* Compress the file PATH as the end of NAME says: .gz, .xz, .zst, .bz2, none of them: not at all. -ENOPKG: the tool is
 * not installed. */
int kp_archive_compress(struct kp_ctx *ctx, const char *path, const char *name,
			struct kp_err *err);
void kp_archive_free(struct kp_archive *a);
KP_DEFINE_CLEANUP(struct kp_archive *, kp_archive_free);
