// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a path, remembered: <state_dir>/owners.json, as long as the database's files look as
 * they did. To look a path up, a backend may have to read the file lists of all packages.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/jsonfile.h"
#include "lib/owner-memo.h"

#define FILE_NAME "owners.json"
/* Those of a sync are a few dozen; doctor asks about what it finds. */
#define PATHS_MAX 1000

struct kp_owner_memo {
	char *stamp;
	json_t *owners; /* path: null, or [package, version, path] */
	bool dirty;
};

static char *memo_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, FILE_NAME);
}

char *kp_owner_memo_stamp(const struct kp_ctx *ctx, bool *ret_fresh)
{
	const struct kp_pkgdb_ops *ops = ctx->backend->ops;
	int64_t newest_s = 0;
	char *stamp = ops->stamp ? ops->stamp(ctx->backend->db, &newest_s) : NULL;

	*ret_fresh = newest_s + KP_RACY_S >= time(NULL);
	return stamp;
}

static void from_json(json_t *object, const char *path, struct kp_owner_memo *m)
{
	const char *stamp;
	json_t *owners;
	int schema;

	if (kp_json_unpack(object, path, NULL, "{s:i, s:s, s:o}", "schema", &schema,
			   "stamp", &stamp, "owners", &owners) < 0 ||
	    !json_is_object(owners))
		return;
	m->stamp = kp_strdup(stamp);
	m->owners = json_incref(owners);
}

static struct kp_owner_memo *load(const struct kp_ctx *ctx)
{
	struct kp_owner_memo *m = kp_calloc(1, sizeof(*m));
	_cleanup_free_ char *path = memo_path(ctx);
	_cleanup_json_ json_t *object = NULL;

	/* Whatever is wrong with it: it is made again. */
	if (kp_json_load(ctx->root_fd, path, &object, NULL) == 0)
		from_json(object, path, m);
	return m;
}

struct kp_owner_memo *kp_owner_memo_get(const struct kp_ctx *ctx, char **ret_stamp,
					bool *ret_fresh)
{
	struct kp_backend *b = ctx->backend;

	*ret_stamp = kp_owner_memo_stamp(ctx, ret_fresh);
	if (!*ret_stamp)
		return NULL;
	if (!b->memo)
		b->memo = load(ctx);
	if (!kp_str_eq(b->memo->stamp, *ret_stamp)) {
		free(b->memo->stamp);
		json_decref(b->memo->owners);
		b->memo->stamp = kp_strdup(*ret_stamp);
		b->memo->owners = json_object();
	}
	return b->memo;
}

bool kp_owner_memo_find(const struct kp_owner_memo *m, const char *path,
			struct kp_owner *ret)
{
	json_t *answer = m ? json_object_get(m->owners, path) : NULL;
	const char *package, *version, *at;

	if (!answer)
		return false;
	*ret = (struct kp_owner){ 0 };
	if (json_is_null(answer))
		return true;
	if (json_unpack(answer, "[s, s, s!]", &package, &version, &at))
		return false;
	*ret = (struct kp_owner){ kp_strdup(package), kp_strdup(version), kp_strdup(at) };
	return true;
}

void kp_owner_memo_add(struct kp_owner_memo *m, const char *path,
		       const struct kp_owner *owner)
{
	json_t *answer;

	if (json_object_size(m->owners) >= PATHS_MAX)
		return;
	answer = owner->package ? json_pack("[s, s, s]", owner->package, owner->version,
					    owner->path)
				: json_null();
	/* Text that is no UTF-8 is asked for again. */
	if (answer && json_object_set_new(m->owners, path, answer) == 0)
		m->dirty = true;
}

void kp_owner_memo_close(const struct kp_ctx *ctx)
{
	struct kp_owner_memo *m = kp_steal(&ctx->backend->memo);
	_cleanup_free_ char *path = memo_path(ctx);
	_cleanup_json_ json_t *object = NULL;

	if (!m)
		return;
	object = json_pack("{s:s, s:O}", "stamp", m->stamp, "owners", m->owners);
	/* Not where nothing of ours is, nor by somebody who may not. */
	if (m->dirty && object && geteuid() == 0 &&
	    kp_is_dir_in(ctx->root_fd, ctx->state_dir))
		(void)kp_json_save(ctx->root_fd, path, object, NULL);
	json_decref(m->owners);
	free(m->stamp);
	free(m);
}
