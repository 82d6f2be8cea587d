// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The planner on data files: each tests/plan/NAME.plan is one test. Lines:
 *
 *   SOURCE module version [missing:why]
 *   KERNEL release [present] [db] [headers]
 *   PAIR module version kernel [key:k] [noauto] [excluded:why] [bad:why] [pin [headers-only]] [hold]
 *        [built:k] [content:c] [failed:k:why] [machine] [requested] [deps:a,b]
 *   PACKAGE name module version kernel key [content:c] [queued] [removed] [gone] [lost] [pin [headers-only]] [hold]
 *   OPTION no-autoinstall | force | reinstall | build-only | anyway | module:m | kernel:k
 *   EXPECT
 *   module version kernel|- state action|- package|- [note]
 *
 * In words '~' stands for a blank. Every row of the plan must be expected, in order.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/plan.h"

struct fixture {
	struct kp_plan_source *sources;
	struct kp_plan_kernel *kernels;
	struct kp_plan_pair *pairs;
	struct kp_plan_package *packages;
	struct kp_plan_input in;
	char **only_modules, **only_kernels;
	char **keep; /* strings that the above point to */
};

static const char *keep(struct fixture *f, const char *s)
{
	char *d = kp_strdup(s);

	for (char *p = d; *p; p++)
		if (*p == '~')
			*p = ' ';
	kp_strv_take(&f->keep, d);
	return d;
}

static const char *option(struct fixture *f, char **words, const char *name)
{
	_cleanup_free_ char *prefix = kp_strf("%s:", name);

	kp_strv_foreach(w, words) {
		if (!strcmp(*w, name))
			return "";
		if (kp_str_starts(*w, prefix))
			return keep(f, *w + strlen(prefix));
	}
	return NULL;
}

static enum kp_intent_kind intent_of(struct fixture *f, char **words)
{
	if (option(f, words, "pin"))
		return KP_INTENT_PIN;
	return option(f, words, "hold") ? KP_INTENT_HOLD : KP_INTENT_NONE;
}

static size_t source_index(struct fixture *f, const char *module, const char *version)
{
	for (size_t i = 0; i < f->in.n_sources; i++)
		if (!strcmp(f->sources[i].module, module) &&
		    !strcmp(f->sources[i].version, version))
			return i;
	fail_msg("no SOURCE %s %s", module, version);
	return 0;
}

static size_t kernel_index(struct fixture *f, const char *release)
{
	for (size_t i = 0; i < f->in.n_kernels; i++)
		if (!strcmp(f->kernels[i].release, release))
			return i;
	fail_msg("no KERNEL %s", release);
	return 0;
}

static void add_pair(struct fixture *f, char **w)
{
	const char *o;
	struct kp_plan_pair x = {
		.source = source_index(f, w[1], w[2]),
		.kernel = kernel_index(f, w[3]),
		.key = option(f, w, "key"),
		.autoinstall = !option(f, w, "noauto"),
		.intent = intent_of(f, w),
		.headers_only = option(f, w, "headers-only") != NULL,
		.built_key = option(f, w, "built"),
		.built_content = option(f, w, "content"),
		.failed_otherwise = option(f, w, "machine") != NULL,
		.requested = option(f, w, "requested") != NULL,
	};

	if ((o = option(f, w, "excluded"))) {
		x.conf = KP_PLAN_CONF_EXCLUDED;
		x.conf_reason = o;
	} else if ((o = option(f, w, "bad"))) {
		x.conf = KP_PLAN_CONF_BAD;
		x.conf_reason = o;
	}
	if ((o = option(f, w, "failed"))) {
		char **parts = kp_strv_split(o, ":");

		x.failed_key = keep(f, parts[0]);
		x.failed_reason = keep(f, parts[1]);
		kp_strv_free(parts);
	}
	if ((o = option(f, w, "deps"))) {
		char **names = kp_strv_split(o, ",");
		size_t n = kp_strv_len(names);
		const char **deps = kp_calloc(n + 1, sizeof(*deps));

		for (size_t i = 0; i < n; i++)
			deps[i] = keep(f, names[i]);
		kp_strv_free(names);
		x.depends = deps;
	}
	f->pairs = kp_reallocarray(f->pairs, f->in.n_pairs + 1, sizeof(x));
	f->pairs[f->in.n_pairs++] = x;
}

static void add_line(struct fixture *f, char **w)
{
	if (!strcmp(w[0], "SOURCE")) {
		struct kp_plan_source s = { .module = keep(f, w[1]),
					    .version = keep(f, w[2]),
					    .problem = option(f, w, "missing") };

		s.missing = s.problem != NULL;
		f->sources = kp_reallocarray(f->sources, f->in.n_sources + 1, sizeof(s));
		f->sources[f->in.n_sources++] = s;
	} else if (!strcmp(w[0], "KERNEL")) {
		struct kp_plan_kernel k = { .release = keep(f, w[1]),
					    .present = option(f, w, "present") != NULL,
					    .in_database = option(f, w, "db") != NULL,
					    .headers = option(f, w, "headers") != NULL };

		f->kernels = kp_reallocarray(f->kernels, f->in.n_kernels + 1, sizeof(k));
		f->kernels[f->in.n_kernels++] = k;
	} else if (!strcmp(w[0], "PAIR")) {
		add_pair(f, w);
	} else if (!strcmp(w[0], "PACKAGE")) {
		struct kp_plan_package p = { .name = keep(f, w[1]),
					     .module = keep(f, w[2]),
					     .version = keep(f, w[3]),
					     .kernel = keep(f, w[4]),
					     .key = keep(f, w[5]),
					     .content = option(f, w, "content"),
					     .queued = option(f, w, "queued") != NULL,
					     .removed = option(f, w, "removed") != NULL,
					     .source_gone = option(f, w, "gone") != NULL,
					     .incomplete = option(f, w, "lost") != NULL,
					     .intent = intent_of(f, w),
					     .headers_only =
						     option(f, w, "headers-only") };

		f->packages = kp_reallocarray(f->packages, f->in.n_packages + 1, sizeof(p));
		f->packages[f->in.n_packages++] = p;
	} else if (!strcmp(w[0], "OPTION")) {
		const char *o;

		f->in.no_autoinstall |= option(f, w, "no-autoinstall") != NULL;
		f->in.force |= option(f, w, "force") != NULL;
		f->in.reinstall |= option(f, w, "reinstall") != NULL;
		f->in.build_only |= option(f, w, "build-only") != NULL;
		f->in.anyway |= option(f, w, "anyway") != NULL;
		if ((o = option(f, w, "module")))
			kp_strv_add(&f->only_modules, o);
		if ((o = option(f, w, "kernel")))
			kp_strv_add(&f->only_kernels, o);
	} else {
		fail_msg("unknown line: %s", w[0]);
	}
}

static void expect_row(struct fixture *f, const struct kp_plan *plan, size_t i, char **w)
{
	_cleanup_free_ char *got = NULL, *want = NULL;
	const struct kp_plan_row *row;

	if (i >= plan->n_rows)
		fail_msg("row %zu (%s %s %s) is not in the plan", i, w[0], w[1], w[2]);
	row = &plan->rows[i];
	got = kp_strf("%s %s %s %s %s %s %s", row->module, row->version,
		      row->kernel ? row->kernel : "-", kp_state_name(row->state),
		      row->action ? kp_action_name(row->action) : "-",
		      row->package ? row->package : "-", row->note ? row->note : "");
	want = kp_strf("%s %s %s %s %s %s %s", w[0], w[1], w[2], w[3], w[4], w[5],
		       w[6] ? keep(f, w[6]) : "");
	assert_string_equal(got, want);
}

static void run_file(void **state)
{
	const char *file = *state;
	struct fixture f = { 0 };
	struct kp_plan plan;
	char line[1024];
	bool planned = false;
	size_t rows = 0;
	FILE *in = fopen(file, "re");

	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		char **w = kp_strv_split(line, " \t\n");

		if (w && w[0][0] != '#') {
			if (!strcmp(w[0], "EXPECT")) {
				f.in.sources = f.sources;
				f.in.kernels = f.kernels;
				f.in.pairs = f.pairs;
				f.in.packages = f.packages;
				f.in.only_modules = f.only_modules;
				f.in.only_kernels = f.only_kernels;
				kp_plan_make(&f.in, &plan);
				planned = true;
			} else if (planned) {
				expect_row(&f, &plan, rows++, w);
			} else {
				add_line(&f, w);
			}
		}
		kp_strv_free(w);
	}
	fclose(in);
	assert_true(planned);
	assert_int_equal(rows, plan.n_rows);
	kp_plan_clear(&plan);
	for (size_t i = 0; i < f.in.n_pairs; i++)
		free((void *)f.pairs[i].depends);
	free(f.sources);
	free(f.kernels);
	free(f.pairs);
	free(f.packages);
	kp_strv_free(f.only_modules);
	kp_strv_free(f.only_kernels);
	kp_strv_free(f.keep);
}

int main(void)
{
	_cleanup_free_ char *dir = kp_strdup(__FILE__), *plans = NULL;
	_cleanup_free_ struct CMUnitTest *tests = NULL;
	_cleanup_strv_ char **paths = NULL;
	struct dirent **names;
	int n, rc;

	*strrchr(dir, '/') = '\0';
	plans = kp_strf("%s/../plan", dir);
	n = scandir(plans, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (kp_str_ends(names[i]->d_name, ".plan"))
			kp_strv_addf(&paths, "%s/%s", plans, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	n = (int)kp_strv_len(paths);
	if (!n) {
		fprintf(stderr, "no data files; run from the top of the tree\n");
		return 1;
	}
	tests = kp_calloc((size_t)n, sizeof(*tests));
	for (int i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = strrchr(paths[i], '/') + 1,
						.test_func = run_file,
						.initial_state = paths[i] };
	rc = _cmocka_run_group_tests("plan", tests, (size_t)n, NULL, NULL);
	return rc ? 1 : 0;
}
