// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/key.h"
#include "lib/plan.h"

enum visit { VISIT_NO, VISIT_NOW, VISIT_DONE };

struct row_extra {
	enum visit visit;
	size_t package; /* index of what is there for (module, kernel), SIZE_MAX: nothing */
	bool selected;
};

struct planner {
	const struct kp_plan_input *in;
	struct kp_plan *plan;
	struct row_extra *extra; /* parallel to plan->rows */
	bool *package_used;
};

const char *kp_state_name(enum kp_state s)
{
	static const char *const names[] = {
		[KP_STATE_ADDED] = "added",	    [KP_STATE_BUILT] = "built",
		[KP_STATE_INSTALLED] = "installed", [KP_STATE_STALE] = "stale",
		[KP_STATE_QUEUED] = "queued",	    [KP_STATE_HELD] = "held",
		[KP_STATE_BLOCKED] = "blocked",	    [KP_STATE_FAILED] = "failed",
		[KP_STATE_EXCLUDED] = "excluded",   [KP_STATE_NO_HEADERS] = "no-headers",
	};

	return names[s];
}

const char *kp_action_name(enum kp_action a)
{
	static const char *const names[] = {
		[KP_ACTION_NONE] = "",
		[KP_ACTION_BUILD] = "build",
		[KP_ACTION_INSTALL] = "install",
		[KP_ACTION_ERASE] = "erase",
	};

	return names[a];
}

static const struct kp_plan_source *pair_source(const struct planner *p, size_t pair)
{
	return &p->in->sources[p->in->pairs[pair].source];
}

static const struct kp_plan_kernel *pair_kernel(const struct planner *p, size_t pair)
{
	return &p->in->kernels[p->in->pairs[pair].kernel];
}

static const struct kp_plan_kernel *find_kernel(const struct planner *p, const char *name)
{
	for (size_t i = 0; i < p->in->n_kernels; i++)
		if (kp_str_eq(p->in->kernels[i].release, name))
			return &p->in->kernels[i];
	return NULL;
}

static void set_note(struct kp_plan_row *row, char *note)
{
	free(row->note);
	row->note = note;
}

static struct kp_plan_row *add_row(struct planner *p, const char *module,
				   const char *version, const char *kernel)
{
	struct kp_plan *plan = p->plan;
	size_t old = plan->alloc;

	KP_GROW(plan->rows, plan->n_rows, plan->alloc);
	if (plan->alloc != old)
		p->extra = kp_reallocarray(p->extra, plan->alloc, sizeof(*p->extra));
	p->extra[plan->n_rows] = (struct row_extra){ .package = SIZE_MAX };
	plan->rows[plan->n_rows] = (struct kp_plan_row){
		.module = kp_strdup(module),
		.version = kp_strdup(version),
		.kernel = kp_strdup(kernel),
		.pair = SIZE_MAX,
	};
	return &plan->rows[plan->n_rows++];
}

/* What is there for (module, kernel): a queued package is newer than an installed one. */
static size_t find_package(const struct planner *p, const char *module,
			   const char *kernel)
{
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < p->in->n_packages; i++) {
		const struct kp_plan_package *pkg = &p->in->packages[i];

		if (!kp_str_eq(pkg->module, module) || !kp_str_eq(pkg->kernel, kernel))
			continue;
		if (found == SIZE_MAX || pkg->queued)
			found = i;
	}
	return found;
}

static bool is_target(const struct planner *p, size_t pair)
{
	const struct kp_plan_pair *x = &p->in->pairs[pair];
	const struct kp_plan_kernel *k = &p->in->kernels[x->kernel];

	/* A person may build for a kernel of which only the headers are here. */
	return k->present || (k->headers && (x->requested || x->headers_only));
}

static bool usable(const struct planner *p, size_t pair)
{
	return p->in->pairs[pair].conf == KP_PLAN_CONF_OK &&
	       !pair_source(p, pair)->missing;
}

/* The one version of PAIR's module that is wanted for its kernel, SIZE_MAX: none. */
static size_t choose(const struct planner *p, size_t pair)
{
	const char *module = pair_source(p, pair)->module;
	size_t kernel = p->in->pairs[pair].kernel, best = SIZE_MAX;
	size_t pkg = find_package(p, module, pair_kernel(p, pair)->release);
	const char *stays = NULL;

	for (size_t i = 0; i < p->in->n_pairs; i++) {
		const struct kp_plan_pair *x = &p->in->pairs[i];
		const struct kp_plan_source *s = &p->in->sources[x->source];

		if (x->kernel != kernel || !kp_str_eq(s->module, module) ||
		    !is_target(p, i))
			continue;
		if (x->intent == KP_INTENT_PIN)
			return usable(p, i) ? i : SIZE_MAX;
		/* What is there from a source that cannot be judged now stays: a lower
		 * version is no replacement for it. One that is known to be gone can. */
		if (pkg != SIZE_MAX && !p->in->packages[pkg].source_gone &&
		    !p->in->packages[pkg].removed &&
		    kp_str_eq(p->in->packages[pkg].version, s->version) &&
		    x->conf != KP_PLAN_CONF_EXCLUDED && !usable(p, i) &&
		    x->intent != KP_INTENT_HOLD)
			stays = s->version;
		if (!usable(p, i) || !(x->autoinstall || x->requested))
			continue;
		if (best == SIZE_MAX ||
		    kp_version_cmp(s->version, pair_source(p, best)->version) > 0)
			best = i;
	}
	if (best == SIZE_MAX || p->in->pairs[best].intent == KP_INTENT_HOLD)
		return SIZE_MAX;
	if (stays && kp_version_cmp(pair_source(p, best)->version, stays) < 0)
		return SIZE_MAX;
	return best;
}

static struct kp_plan_row *wanted_row(struct planner *p, const char *module,
				      const char *kernel)
{
	for (size_t i = 0; i < p->plan->n_rows; i++) {
		struct kp_plan_row *row = &p->plan->rows[i];

		if (row->wanted && kp_str_eq(row->module, module) &&
		    kp_str_eq(row->kernel, kernel))
			return row;
	}
	return NULL;
}

static void plan_wanted(struct planner *p, size_t index);

/* Are the BUILD_DEPENDS of a row there, or will they be? Fills row->key, row->depends. */
static bool resolve_depends(struct planner *p, size_t index)
{
	struct kp_plan_row *row = &p->plan->rows[index];
	const struct kp_plan_pair *x = &p->in->pairs[row->pair];
	const char **keys = NULL;
	char hex[KP_HASH_HEX];
	size_t n = 0;
	bool ok = true;

	for (const char *const *d = x->depends; ok && d && *d; d++) {
		struct kp_plan_row *dep = wanted_row(p, *d, row->kernel);
		size_t pkg = find_package(p, *d, row->kernel);

		if (kp_str_eq(*d, row->module))
			continue;
		keys = kp_reallocarray(keys, n + 1, sizeof(*keys));
		if (dep) {
			size_t at = (size_t)(dep - p->plan->rows);

			if (p->extra[at].visit == VISIT_NOW) {
				set_note(row,
					 kp_strf("BUILD_DEPENDS go in a circle by way "
						 "of %s",
						 *d));
				ok = false;
				break;
			}
			plan_wanted(p, at);
			if (dep->action != KP_ACTION_NONE ||
			    dep->state == KP_STATE_INSTALLED ||
			    dep->state == KP_STATE_QUEUED) {
				keys[n++] = dep->key;
				if (dep->action != KP_ACTION_NONE)
					kp_strv_add(&row->depends, *d);
				continue;
			}
		}
		if (pkg != SIZE_MAX) {
			keys[n++] = p->in->packages[pkg].key;
			continue;
		}
		if (p->in->anyway && x->requested)
			continue;
		set_note(row, dep ? kp_strf("needs %s, which is %s", *d,
					    kp_state_name(dep->state))
				  : kp_strf("needs %s (BUILD_DEPENDS), which is not "
					    "installed for this kernel",
					    *d));
		ok = false;
	}
	if (ok) {
		kp_key_with_deps(x->key, keys, n, hex);
		row->key = kp_strdup(hex);
	}
	free(keys);
	return ok;
}

/* The same key, and other files: what is published was built anew by force, or signed anew. */
static bool was_built_anew(const struct kp_plan_pair *x,
			   const struct kp_plan_package *pkg)
{
	return kp_str_eq(x->built_key, pkg->key) && x->built_content && pkg->content &&
	       strcmp(x->built_content, pkg->content) != 0;
}

/* Does a person want more than that it is installed? */
static bool is_asked_for(const struct planner *p, const struct kp_plan_row *row)
{
	const struct kp_plan_pair *x = &p->in->pairs[row->pair];

	return x->requested &&
	       (p->in->force || p->in->reinstall ||
		(p->in->build_only && !kp_str_eq(x->built_key, row->key)));
}

static enum kp_state installed_state(const struct kp_plan_package *pkg)
{
	return pkg->queued ? KP_STATE_QUEUED : KP_STATE_INSTALLED;
}

/* What there is to say of one that is as it should be. */
static void note_installed(struct kp_plan_row *row, const struct kp_plan_pair *x)
{
	const char *pinned = x->intent == KP_INTENT_PIN ? "pinned" : NULL;

	if (kp_str_eq(x->failed_key, row->key))
		set_note(row, kp_strf("%sbuilding it anew failed: %s",
				      pinned ? "pinned; " : "", x->failed_reason));
	else
		set_note(row, kp_strdup(pinned));
}

static void plan_wanted(struct planner *p, size_t index)
{
	struct kp_plan_row *row = &p->plan->rows[index];
	struct row_extra *extra = &p->extra[index];
	const struct kp_plan_pair *x = &p->in->pairs[row->pair];
	const struct kp_plan_kernel *k = pair_kernel(p, row->pair);
	const struct kp_plan_package *pkg = NULL;
	bool force = p->in->force && x->requested, failed = false;

	if (extra->visit != VISIT_NO)
		return;
	extra->visit = VISIT_NOW;
	if (extra->package != SIZE_MAX) {
		pkg = &p->in->packages[extra->package];
		row->package = kp_strdup(pkg->name);
		row->outdated = !kp_str_eq(pkg->version, row->version);
		p->package_used[extra->package] = true;
	}
	row->state = pkg ? KP_STATE_STALE : KP_STATE_ADDED;
	if (!k->headers) {
		/* Without them there is no key: one of this version is taken for what it is. */
		row->state = !pkg				? KP_STATE_NO_HEADERS
			     : row->outdated || pkg->incomplete ? KP_STATE_STALE
								: installed_state(pkg);
		set_note(row, kp_strf("kernel headers are not installed%s",
				      pkg ? ", so it cannot be rebuilt" : ""));
	} else if (!x->key) {
		row->state = pkg ? KP_STATE_STALE : KP_STATE_FAILED;
		set_note(row, kp_strdup(x->failed_reason
						?: "its source or the headers "
						   "cannot be read"));
	} else if (!resolve_depends(p, index)) {
		row->state = pkg ? KP_STATE_STALE : KP_STATE_BLOCKED;
	} else if (pkg && !is_asked_for(p, row) && !row->outdated &&
		   kp_str_eq(pkg->key, row->key) && !pkg->incomplete &&
		   !was_built_anew(x, pkg)) {
		row->state = installed_state(pkg);
		note_installed(row, x);
		/* It was to be built anew all the same, and the machine kept it from that. */
		if (x->failed_otherwise && kp_str_eq(x->failed_key, row->key) &&
		    !p->in->no_autoinstall)
			row->action = KP_ACTION_BUILD;
	} else if (!force && kp_str_eq(x->built_key, row->key)) {
		row->state = pkg ? KP_STATE_STALE : KP_STATE_BUILT;
		row->action = KP_ACTION_INSTALL;
	} else if (!x->requested && !x->failed_otherwise &&
		   kp_str_eq(x->failed_key, row->key)) {
		row->state = pkg ? KP_STATE_STALE : KP_STATE_FAILED;
		set_note(row, kp_strdup(x->failed_reason));
	} else if (p->in->no_autoinstall && !x->requested) {
		set_note(row, kp_strdup("not built: no-autoinstall is set"));
	} else {
		row->action = KP_ACTION_BUILD;
		if (!pkg && x->failed_key)
			row->state = KP_STATE_FAILED;
		failed = x->failed_key && (!pkg || (kp_str_eq(x->failed_key, row->key) &&
						    !is_asked_for(p, row)));
		set_note(row, failed ? kp_strdup(x->failed_reason) : NULL);
	}
	if (pkg && row->action != KP_ACTION_NONE && !row->note) {
		if (row->outdated)
			set_note(row, kp_strf("%s takes the place of %s", row->version,
					      pkg->version));
		else
			set_note(row,
				 kp_strdup(is_asked_for(p, row) ? "asked for"
					   : pkg->incomplete
						   ? "files of its package are missing"
					   : kp_str_eq(pkg->key, row->key)
						   ? "built anew"
						   : "its source or the kernel headers "
						     "changed"));
	}
	/* Nothing is going to change that now, or for sure. */
	if (row->outdated && (row->action == KP_ACTION_NONE || failed))
		set_note(row, kp_strf("%s is installed%s%s", pkg->version,
				      row->note ? "; " : "", row->note ? row->note : ""));
	extra->visit = VISIT_DONE;
}

/* A person wants this version built, though not installed. */
static void plan_publish(struct planner *p, size_t index)
{
	struct kp_plan_row *row = &p->plan->rows[index];
	const struct kp_plan_pair *x = &p->in->pairs[row->pair];

	if (!pair_kernel(p, row->pair)->headers) {
		row->state = KP_STATE_NO_HEADERS;
		set_note(row, kp_strdup("kernel headers are not installed"));
	} else if (!x->key) {
		row->state = KP_STATE_FAILED;
		set_note(row, kp_strdup("its source or the headers cannot be read"));
	} else if (!resolve_depends(p, index)) {
		row->state = KP_STATE_BLOCKED;
	} else if (p->in->force || !kp_str_eq(x->built_key, row->key)) {
		row->action = KP_ACTION_BUILD;
	}
}

/* A registered version that is not the wanted one. */
static void plan_other(struct planner *p, size_t index, size_t chosen)
{
	struct kp_plan_row *row = &p->plan->rows[index];
	const struct kp_plan_pair *x = &p->in->pairs[row->pair];
	const struct kp_plan_source *s = pair_source(p, row->pair);

	p->extra[index].visit = VISIT_DONE;
	if (s->missing) {
		row->state = KP_STATE_FAILED;
		set_note(row, kp_strdup(s->problem ?: "its source is missing"));
	} else if (x->conf == KP_PLAN_CONF_BAD) {
		row->state = KP_STATE_FAILED;
		set_note(row, kp_strdup(x->conf_reason));
	} else if (x->intent == KP_INTENT_HOLD) {
		row->state = KP_STATE_HELD;
		set_note(row, kp_strdup("uninstalled by hand"));
	} else if (x->conf == KP_PLAN_CONF_EXCLUDED) {
		row->state = KP_STATE_EXCLUDED;
		set_note(row, kp_strdup(x->conf_reason));
	} else {
		row->state = x->built_key ? KP_STATE_BUILT : KP_STATE_ADDED;
		if (chosen != SIZE_MAX)
			set_note(row, kp_strf("%s is the version for this kernel",
					      pair_source(p, chosen)->version));
		else if (!x->autoinstall)
			set_note(row, kp_strdup("AUTOINSTALL is not set"));
	}
	if (x->requested && usable(p, row->pair))
		plan_publish(p, index);
}

/* Positive evidence that a package nobody wants any more is to go; NULL: none. */
static char *erase_reason(const struct planner *p, const struct kp_plan_package *pkg)
{
	const struct kp_plan_kernel *k = find_kernel(p, pkg->kernel);

	if (pkg->removed)
		return kp_strdup("its source was removed");
	if (pkg->intent == KP_INTENT_HOLD)
		return kp_strdup("uninstalled by hand");
	if (!k || (!k->present && !k->in_database && !(k->headers && pkg->headers_only)))
		return kp_strf("kernel %s is gone", pkg->kernel);
	if (pkg->source_gone)
		return kp_strdup("its source went with the package that owned it");
	/* A conf may look at the headers before it says so. */
	for (size_t i = 0; k->headers && i < p->in->n_pairs; i++) {
		const struct kp_plan_source *s = pair_source(p, i);

		if (p->in->pairs[i].conf == KP_PLAN_CONF_EXCLUDED && !s->missing &&
		    kp_str_eq(s->module, pkg->module) &&
		    kp_str_eq(s->version, pkg->version) &&
		    kp_str_eq(pair_kernel(p, i)->release, pkg->kernel))
			return kp_strf("excluded: %s", p->in->pairs[i].conf_reason);
	}
	return NULL;
}

static struct kp_plan_row *find_row(struct planner *p, const struct kp_plan_package *pkg)
{
	for (size_t i = 0; i < p->plan->n_rows; i++) {
		struct kp_plan_row *row = &p->plan->rows[i];

		if (kp_str_eq(row->module, pkg->module) &&
		    kp_str_eq(row->version, pkg->version) &&
		    kp_str_eq(row->kernel, pkg->kernel) && !row->package)
			return row;
	}
	return NULL;
}

/* A package that no wanted row stands for: erase it, or keep it and say why. */
static void plan_leftover(struct planner *p, size_t index)
{
	const struct kp_plan_package *pkg = &p->in->packages[index];
	const struct kp_plan_kernel *k = find_kernel(p, pkg->kernel);
	struct kp_plan_row *row = find_row(p, pkg);
	char *reason = erase_reason(p, pkg);
	bool registered = row != NULL;

	if (!row)
		row = add_row(p, pkg->module, pkg->version, pkg->kernel);
	row->package = kp_strdup(pkg->name);
	p->extra[row - p->plan->rows].visit = VISIT_DONE;
	if (reason) {
		row->action = KP_ACTION_ERASE;
		if (!registered)
			row->state = KP_STATE_STALE;
		set_note(row, reason);
		return;
	}
	if (registered && row->state != KP_STATE_FAILED &&
	    row->state != KP_STATE_EXCLUDED) {
		/* AUTOINSTALL=no and nobody said otherwise: as good as it was. */
		row->state = installed_state(pkg);
		return;
	}
	row->state = KP_STATE_STALE;
	if (!row->note)
		set_note(row,
			 kp_strdup(k && !k->present ? "the kernel's files are not there"
						    : "its source is not registered"));
}

bool kp_plan_names(char *const *words, const char *module, const char *version)
{
	_cleanup_free_ char *full = kp_strf("%s/%s", module, version);

	return !words || kp_strv_has(words, module) || kp_strv_has(words, full);
}

static bool selected(const struct kp_plan_input *in, const struct kp_plan_row *row)
{
	return (!in->only_kernels || !row->kernel ||
		kp_strv_has(in->only_kernels, row->kernel)) &&
	       kp_plan_names(in->only_modules, row->module, row->version);
}

static void select_with_depends(struct planner *p, size_t index)
{
	struct kp_plan_row *row = &p->plan->rows[index];

	if (p->extra[index].selected)
		return;
	p->extra[index].selected = true;
	kp_strv_foreach(d, row->depends) {
		struct kp_plan_row *dep = wanted_row(p, *d, row->kernel);

		if (dep)
			select_with_depends(p, (size_t)(dep - p->plan->rows));
	}
}

static int by_identity(const void *a, const void *b)
{
	const struct kp_plan_row *x = a, *y = b;
	int c = strcmp(x->module, y->module);

	if (!c)
		c = kp_version_cmp(x->version, y->version);
	if (!c)
		c = strcmp(x->version, y->version);
	if (!c)
		c = kp_version_cmp(x->kernel ? x->kernel : "",
				   y->kernel ? y->kernel : "");
	if (!c)
		c = strcmp(x->kernel ? x->kernel : "", y->kernel ? y->kernel : "");
	return c;
}

void kp_plan_make(const struct kp_plan_input *in, struct kp_plan *ret)
{
	struct planner p = { .in = in, .plan = ret };

	*ret = (struct kp_plan){ 0 };
	p.package_used = kp_calloc(in->n_packages, sizeof(*p.package_used));
	for (size_t i = 0; i < in->n_sources; i++) {
		bool any = false;

		for (size_t j = 0; j < in->n_pairs; j++)
			any |= in->pairs[j].source == i && is_target(&p, j);
		if (!any) {
			struct kp_plan_row *row = add_row(&p, in->sources[i].module,
							  in->sources[i].version, NULL);

			row->state =
				in->sources[i].missing ? KP_STATE_FAILED : KP_STATE_ADDED;
			row->note = kp_strdup(in->sources[i].problem);
		}
	}
	for (size_t i = 0; i < in->n_pairs; i++) {
		struct kp_plan_row *row;
		size_t at;

		if (!is_target(&p, i))
			continue;
		row = add_row(&p, pair_source(&p, i)->module, pair_source(&p, i)->version,
			      pair_kernel(&p, i)->release);
		at = (size_t)(row - ret->rows);
		row->pair = i;
		row->wanted = choose(&p, i) == i;
		if (row->wanted)
			p.extra[at].package = find_package(&p, row->module, row->kernel);
	}
	for (size_t i = 0; i < ret->n_rows; i++) {
		if (ret->rows[i].wanted)
			plan_wanted(&p, i);
		else if (ret->rows[i].pair != SIZE_MAX)
			plan_other(&p, i, choose(&p, ret->rows[i].pair));
	}
	for (size_t i = 0; i < in->n_packages; i++) {
		/* The installed package that a queued one of the same name replaces. */
		size_t newest =
			find_package(&p, in->packages[i].module, in->packages[i].kernel);

		if (!p.package_used[i] && newest == i)
			plan_leftover(&p, i);
	}
	for (size_t i = 0; i < ret->n_rows; i++)
		if (selected(in, &ret->rows[i]))
			select_with_depends(&p, i);
	for (size_t i = 0; i < ret->n_rows; i++) {
		if (!p.extra[i].selected)
			ret->rows[i].action = KP_ACTION_NONE;
		ret->n_actions += ret->rows[i].action != KP_ACTION_NONE;
	}
	free(p.extra);
	free(p.package_used);
	if (ret->n_rows)
		qsort(ret->rows, ret->n_rows, sizeof(*ret->rows), by_identity);
}

void kp_plan_clear(struct kp_plan *plan)
{
	for (size_t i = 0; i < plan->n_rows; i++) {
		struct kp_plan_row *row = &plan->rows[i];

		free(row->module);
		free(row->version);
		free(row->kernel);
		free(row->note);
		free(row->package);
		free(row->key);
		kp_strv_free(row->depends);
	}
	free(plan->rows);
	*plan = (struct kp_plan){ 0 };
}
