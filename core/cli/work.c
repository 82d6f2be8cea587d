// SPDX-License-Identifier: GPL-2.0-or-later
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli/progress.h"
#include "cli/work.h"
#include "lib/backend.h"
#include "lib/secureboot.h"

/* A holder commits packages and makes an initramfs; builds run outside of the lock. */
#define LOCK_TIMEOUT_MS (5 * 60 * 1000)

int cli_intent_open(struct cli *cli, struct cli_intent *ret)
{
	struct cli_intent i = { .lock = -1 };
	int rc;

	rc = kp_lock_main(cli->ctx, cli->cmd->name, LOCK_TIMEOUT_MS, &i.lock, &cli->err);
	if (rc < 0)
		return rc;
	rc = kp_intent_load(cli->ctx, &i.in, &cli->err);
	if (rc < 0) {
		cli_intent_close(&i);
		return rc;
	}
	*ret = i;
	return 0;
}

int cli_intent_save(struct cli *cli, const struct cli_intent *i)
{
	return kp_intent_save(cli->ctx, i->in, &cli->err);
}

void cli_intent_close(struct cli_intent *i)
{
	kp_intent_free(i->in);
	i->in = NULL;
	if (i->lock >= 0)
		close(i->lock);
	i->lock = -1;
}

int cli_keep_source(struct cli *cli, const char *module, const char *version)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	int rc = cli_intent_open(cli, &i);

	if (rc < 0 || !kp_intent_drop_pending(i.in, module, version))
		return rc;
	return cli_intent_save(cli, &i);
}

bool cli_in_transaction(struct cli *cli)
{
	struct kp_backend *b = cli->ctx->backend;
	enum kp_lock_state state;

	return b && b->ops->state(b->db, &state, NULL, NULL) == 0 &&
	       (state == KP_LOCK_INSIDE_CAN_COMMIT || state == KP_LOCK_INSIDE_MUST_DEFER);
}

bool cli_did_nothing(const struct kp_sync_result *r)
{
	return !r->built && !r->installed && !r->queued && !r->erased && !r->blocked &&
	       !r->failed;
}

/* What was signed in vain is not to be found out at the next boot. */
static void tell_enrolment(struct cli *cli, const struct kp_sync_result *r)
{
	bool any = r->built || r->installed || r->queued;
	_cleanup_free_ char *hint = any ? kp_secure_boot_hint(cli->ctx) : NULL;

	if (hint)
		kp_warn("%s", hint);
}

/* Changes that wait for the package database are no changes yet, to a person. A transaction drains
 * its own. */
static void tell_queued(struct cli *cli)
{
	_cleanup_(kp_queue_clear) struct kp_queue queue = { 0 };
	_cleanup_free_ char *holder = NULL;
	struct kp_backend *b = cli->ctx->backend;
	enum kp_lock_state state;

	if (!b || kp_sync_is_nested() || kp_queue_load(cli->ctx, &queue, NULL) < 0 ||
	    !queue.n || b->ops->state(b->db, &state, &holder, NULL) < 0 ||
	    state == KP_LOCK_INSIDE_CAN_COMMIT || state == KP_LOCK_INSIDE_MUST_DEFER)
		return;
	kp_warn("%zu package %s queued%s%s; kmodpkg sync finishes it", queue.n,
		queue.n == 1 ? "change is" : "changes are",
		state == KP_LOCK_BUSY ? ", the database is held by " : "",
		state != KP_LOCK_BUSY ? ""
		: holder	      ? holder
				      : "another process");
}

int cli_sync(struct cli *cli, struct kp_sync_opts *opts, struct kp_sync_result *ret)
{
	/* A package manager's terminal is one that it logs, and draws on itself. */
	struct cli_progress *progress =
		cli_progress_new(cli->ctx, !cli_in_transaction(cli));
	struct kp_sync_result r = { 0 };
	int rc;

	opts->progress = cli_progress_event;
	opts->progress_data = progress;
	rc = kp_sync(cli->ctx, opts, &r, &cli->err);
	cli_progress_free(progress);
	if (rc < 0)
		return rc;
	tell_enrolment(cli, &r);
	tell_queued(cli);
	*ret = r;
	return 0;
}

int cli_sync_all(struct cli *cli, struct kp_sync_opts *opts)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	int rc;

	rc = cli_sync(cli, opts, &result);
	if (rc < 0)
		return rc;
	return result.failed && !cli_in_transaction(cli) ? CLI_FAILED : CLI_OK;
}
