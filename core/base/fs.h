// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files below a root descriptor.
 *
 * Every path of the managed system is absolute ("/usr/src/x-1") and resolved below a root
 * descriptor with openat2(RESOLVE_IN_ROOT): symbolic links of the target system, absolute
 * ones included, never lead out of it. With root_fd of "/" that is ordinary resolution.
 * Where a kernel or a seccomp filter lacks openat2 and the root is "/", openat serves.
 *
 * What is written appears whole or not at all: temporary file in the same directory,
 * fsync, rename, fsync of the directory. Temporary names are KP_TEMP_PREFIX and the writer's
 * pid; one who is killed leaves it behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

#define KP_TEMP_PREFIX ".kp-"

/* A name ".kp-PID-..." that nobody else uses, to be freed. */
char *kp_temp_name(void);

/* Open PATH below the root. O_CLOEXEC is added. -errno, no words. */
int kp_open_in(int root_fd, const char *path, int flags, mode_t mode);
/* Open the directory that holds PATH (flags O_PATH or O_RDONLY; O_DIRECTORY is added), for
 * the *at() calls on *ret_name, PATH's last component, to be freed. -EINVAL: PATH has no last
 * component that is a name ("/", "a/.."). */
int kp_open_parent_in(int root_fd, const char *path, int flags, char **ret_name);
/* stat that follows links within the root / that does not follow the last one. */
int kp_stat_in(int root_fd, const char *path, struct stat *ret);
int kp_lstat_in(int root_fd, const char *path, struct stat *ret);
/* May this process read the regular file that PATH leads to? It is not opened. -EINVAL: not a regular file. */
int kp_readable_in(int root_fd, const char *path);
bool kp_exists_in(int root_fd, const char *path); /* follows links */
bool kp_is_dir_in(int root_fd, const char *path);
/* Text of a symbolic link; *ret to be freed. -EINVAL: not a link. */
int kp_readlink_in(int root_fd, const char *path, char **ret);
/* The path without links, as seen from inside the root; *ret to be freed. */
int kp_realpath_in(int root_fd, const char *path, char **ret);
/* The other name that a path has because its first directory, or that below /usr, is a link:
 * /lib -> usr/lib makes /lib/x and /usr/lib/x one file, and which of them a package ships
 * differs. NULL: none. To be freed. */
char *kp_path_alias_in(int root_fd, const char *path);
/* Names in a directory, sorted by bytes, without . and ..; an absent directory gives
 * -ENOENT. *ret is a string vector to be freed. */
int kp_list_in(int root_fd, const char *path, char ***ret);
/* The same of an open directory, which stays the caller's and is read once only. */
int kp_list_fd(int fd, char ***ret);
/* Text of the symbolic link NAME in the directory DIR_FD ("": the link that is open), to be
 * freed. */
int kp_readlink_at(int dir_fd, const char *name, char **ret);

/* The whole file (at most MAX bytes, -EFBIG above; 0: 64 MiB), NUL added, to be freed.
 * Regular files only (-EINVAL), so that a pipe or device cannot block us. */
int kp_read_in(int root_fd, const char *path, size_t max, char **ret, size_t *ret_len);
int kp_read_fd(int fd, size_t max, char **ret, size_t *ret_len);

/* Create with missing parents (mode for the last; parents 0755). 0 when there already. */
int kp_mkdir_in(int root_fd, const char *path, mode_t mode, struct kp_err *err);
/* The same for what has to be there after a power cut, as what is written into it; mode 0755. */
int kp_mkdir_durably_in(int root_fd, const char *path, struct kp_err *err);
/* Replace PATH by these bytes, durably; parents must exist. */
int kp_write_in(int root_fd, const char *path, const void *data, size_t len, mode_t mode,
		struct kp_err *err);
/* The same for what can be made again: whole for whoever reads it now, but not flushed, so after a power
 * cut it may be there in part. */
int kp_write_cache_in(int root_fd, const char *path, const void *data, size_t len,
		      mode_t mode, struct kp_err *err);
/* Make or atomically replace a symbolic link. */
int kp_symlink_in(int root_fd, const char *target, const char *path, struct kp_err *err);
int kp_unlink_in(int root_fd, const char *path); /* 0 also when absent */
/* Remove a directory if it is empty; 0 when gone or not empty. */
int kp_rmdir_in(int root_fd, const char *path);
int kp_rename_in(int root_fd, const char *from, const char *to);
/* Put the directory FROM in the place of TO, whatever is there, with no moment without; what was
 * there is at FROM then (where the file system can exchange two). */
int kp_swap_in(int root_fd, const char *from, const char *to, struct kp_err *err);
/* Remove PATH and all below; never follows a link, never leaves the file system
 * object it started on by a link swapped underneath. 0 when absent. */
int kp_rm_rf_in(int root_fd, const char *path, struct kp_err *err);
/* fsync a directory. */
int kp_sync_dir_in(int root_fd, const char *path);

/*
 * Copy a tree: regular files (reflink where the file system can, copy_file_range), modes
 * without set-id bits, mtimes, symbolic links as they are, hard links as copies; other
 * kinds of files are skipped with a warning. FROM is opened below from_root; the copy
 * goes to the directory TO_FD (which exists). Owner UID:GID is given to what is created
 * (-1: unchanged). Existing files are replaced (so that overlays work).
 */
int kp_copy_tree(int from_root, const char *from, int to_fd, uid_t uid, gid_t gid,
		 struct kp_err *err);
/* Copy the bytes of one open file to another from their current offsets. */
int kp_copy_fd(int in_fd, int out_fd, struct kp_err *err);
int kp_write_all(int fd, const void *p, size_t len);

/* "/a" + "b/c" -> "/a/b/c"; repeated and trailing slashes are dropped. To be freed. */
char *kp_path_join(const char *a, const char *b);
/* The path without its last component: "/a/b" -> "/a", "/a" -> "/". To be freed. */
char *kp_path_dir(const char *path);
/* Is NAME usable as one path component and safe to print: not empty, not "." or "..",
 * no slash, no control character, no white space, not longer than 255 bytes, UTF-8 (JSON
 * holds nothing else)? */
bool kp_name_ok(const char *name);
/* Is PATH relative, without "..", "." or empty components, control characters,
 * all UTF-8? */
bool kp_relpath_ok(const char *path);
/* Is PATH absolute, and the like below its first slash? NULL and "/" are not. */
bool kp_path_ok(const char *path);
/* Does a symbolic link with this text, in a directory so many LEVELS below a top, stay below that,
 * whatever other such links it meets? */
bool kp_link_stays(unsigned int levels, const char *text);
