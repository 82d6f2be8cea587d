// SPDX-License-Identifier: GPL-2.0-or-later
/* The plugin with a clock around its hooks: prints what it costs a transaction, in microseconds.
 * What is to be measured does not concern kmodpkg, so nothing is run. */
#include <time.h>

#include "../../plugins/rpm/transaction.c"

extern struct rpmPluginHooks_s cost_hooks;

static double spent, spent_pre;
static int calls;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static rpmRC timed_init(rpmPlugin plugin, rpmts ts)
{
	double start = now();
	rpmRC rc = init(plugin, ts);

	spent = now() - start;
	return rc;
}

static rpmRC timed_tsm_pre(rpmPlugin plugin, rpmts ts)
{
	double start = now();
	rpmRC rc = tsm_pre(plugin, ts);

	spent_pre = now() - start;
	spent += spent_pre;
	return rc;
}

static rpmRC timed_psm_post(rpmPlugin plugin, rpmte te, int res)
{
	double start = now();
	rpmRC rc = psm_post(plugin, te, res);

	spent += now() - start;
	calls++;
	return rc;
}

static rpmRC timed_tsm_post(rpmPlugin plugin, rpmts ts, int res)
{
	double start = now();
	rpmRC rc = tsm_post(plugin, ts, res);

	spent += now() - start;
	dprintf(STDERR_FILENO,
		"cost: %.0f us, %.0f of it to look at %d elements; psm_post came %d times\n",
		spent, spent_pre, rpm.rpmtsNElements(ts), calls);
	return rc;
}

__attribute__((visibility("default"))) struct rpmPluginHooks_s cost_hooks = {
	.init = timed_init,
	.cleanup = cleanup,
	.tsm_pre = timed_tsm_pre,
	.tsm_post = timed_tsm_post,
	.psm_post = timed_psm_post,
};
