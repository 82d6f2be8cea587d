// SPDX-License-Identifier: GPL-2.0-or-later
#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/pair-memo.h"

#define FILE_NAME "pairs"
#define FILE_MAX (16 * 1024 * 1024)
#define CONF_DIR "/etc/dkms"
#define END "end"

/* The fields of a line, separated by tabs. "" stands for NULL. */
enum field {
	MODULE,
	VERSION,
	KERNEL,
	SOURCE_STAMP,
	KERNEL_STAMP,
	EXCLUDED, /* "yes", "no", and so AUTOINSTALL */
	REASON,
	AUTOINSTALL,
	DEPENDS, /* words */
	KEY,
	BUILT_KEY,
	BUILT_CONTENT,
	FILES, /* and from there on: a path, its looks, a path, ... */
};

struct line {
	char **fields;
	size_t n;
	bool used;
};

/* What all pairs of a source, or of a kernel, share. */
struct stamp {
	char *text;
	int64_t newest_s;
};

struct kp_pair_memo {
	struct kp_ctx *ctx;
	const struct kp_sources *sources;
	const struct kp_kernels *kernels;
	size_t n_sources, n_kernels;
	struct stamp *source_stamps, *kernel_stamps; /* parallel; made when needed */
	char *head;	   /* first line: what concerns all pairs */
	char **conf_names; /* what is in /etc/dkms */
	time_t start;
	char *text; /* as read; FIELDS point into it */
	size_t len;
	char **fields;
	struct line *lines;
	size_t n, next;	     /* most are asked for in their order */
	struct kp_buf added; /* whole lines */
};

static char *memo_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, FILE_NAME);
}

/* The build ID that the linker gave this program; what is remembered by another one does not count, which
 * may think otherwise. A dl_iterate_phdr() callback. */
static int find_build_id(struct dl_phdr_info *info, size_t size KP_UNUSED, void *data)
{
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *p = (const char *)info->dlpi_addr + segment->p_vaddr;
		const char *end = p + segment->p_memsz;

		while (segment->p_type == PT_NOTE &&
		       end - p > (ptrdiff_t)sizeof(ElfW(Nhdr))) {
			const ElfW(Nhdr) *note = (const void *)p;
			const char *name = p + sizeof(*note);
			const char *id = name + (note->n_namesz + 3) / 4 * 4;

			p = id + (note->n_descsz + 3) / 4 * 4;
			if (note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 ||
			    memcmp(name, "GNU", 4) != 0)
				continue;
			for (size_t j = 0; j < note->n_descsz; j++)
				kp_buf_addf(data, "%02x", (unsigned char)id[j]);
		}
	}
	return 1; /* the program comes first, its libraries do not matter */
}

/* NULL: not to be told, or nothing that fits in a line. */
static char *make_head(const struct kp_ctx *ctx, char *const *conf_names)
{
	_cleanup_free_ char *names = kp_strv_join(conf_names, "/"), *head = NULL;
	_cleanup_buf_ struct kp_buf id = KP_BUF_INIT;
	struct utsname uts;

	dl_iterate_phdr(find_build_id, &id);
	if (!id.len || uname(&uts) < 0)
		return NULL;
	head = kp_strf("2 %s %s %s %s %s %s %s %d %ld %s", id.s, uts.release, ctx->arch,
		       ctx->distro_like, ctx->dkms_tree, ctx->source_tree,
		       ctx->install_tree, ctx->config.jobs, sysconf(_SC_NPROCESSORS_ONLN),
		       names);
	return strpbrk(head, "\t\n") ? NULL : kp_steal(&head);
}

/* ---- reading */

/* Cut P in place at each SEPARATOR; count of parts, which the caller has room for. */
static size_t cut(char *p, char separator, char **ret)
{
	size_t n = 0;

	for (; p; n++) {
		ret[n] = p;
		p = strchr(p, separator);
		if (p)
			*p++ = '\0';
	}
	return n;
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (const char *p = text; (p = strchr(p, c)); p++)
		n++;
	return n;
}

/* m->text to m->lines; nothing where it is not whole, or not what this program would write. */
static void parse(struct kp_pair_memo *m)
{
	_cleanup_free_ char **lines = NULL;
	size_t n, at = 0;

	if (strlen(m->text) != m->len || !kp_str_ends(m->text, "\n" END "\n"))
		return;
	n = count(m->text, '\n');
	lines = kp_calloc(n + 1, sizeof(*lines));
	m->fields = kp_calloc(count(m->text, '\t') + n + 1, sizeof(*m->fields));
	m->lines = kp_calloc(n, sizeof(*m->lines));
	cut(m->text, '\n', lines);
	if (strcmp(lines[0], m->head) != 0)
		return;
	for (size_t i = 1; i + 1 < n; i++) {
		struct line *line = &m->lines[m->n];

		line->fields = m->fields + at;
		line->n = cut(lines[i], '\t', line->fields);
		at += line->n;
		m->n += line->n >= FILES && (line->n - FILES) % 2 == 0;
	}
}

struct kp_pair_memo *kp_pair_memo_open(struct kp_ctx *ctx,
				       const struct kp_sources *sources,
				       const struct kp_kernels *kernels)
{
	struct kp_pair_memo *m = kp_calloc(1, sizeof(*m));
	_cleanup_free_ char *path = memo_path(ctx);

	m->ctx = ctx;
	m->sources = sources;
	m->kernels = kernels;
	m->n_sources = sources->n;
	m->n_kernels = kernels->n;
	m->start = time(NULL);
	m->source_stamps = kp_calloc(sources->n, sizeof(*m->source_stamps));
	m->kernel_stamps = kp_calloc(kernels->n, sizeof(*m->kernel_stamps));
	(void)kp_list_in(ctx->root_fd, CONF_DIR, &m->conf_names);
	m->head = make_head(ctx, m->conf_names);
	if (!m->head) {
		kp_pair_memo_free(m);
		return NULL;
	}
	if (kp_read_in(ctx->root_fd, path, FILE_MAX, &m->text, &m->len) == 0)
		parse(m);
	return m;
}

void kp_pair_memo_free(struct kp_pair_memo *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_sources; i++)
		free(m->source_stamps[i].text);
	for (size_t i = 0; i < m->n_kernels; i++)
		free(m->kernel_stamps[i].text);
	free(m->source_stamps);
	free(m->kernel_stamps);
	free(m->head);
	kp_strv_free(m->conf_names);
	free(m->text);
	free(m->fields);
	free(m->lines);
	kp_buf_free(&m->added);
	free(m);
}

static char *look(const struct kp_pair_memo *m, const char *dir, const char *name,
		  int64_t *newest_s)
{
	_cleanup_free_ char *path = kp_path_join(dir, name);

	return kp_looks_in(m->ctx->root_fd, path, newest_s);
}

/* The conf by itself as well: it may be a link that leads out of the tree. */
static const struct stamp *source_stamp(struct kp_pair_memo *m, size_t i)
{
	const struct kp_source *s = &m->sources->list[i];
	struct stamp *stamp = &m->source_stamps[i];

	if (!stamp->text) {
		_cleanup_free_ char *conf =
			look(m, s->dir, "dkms.conf", &stamp->newest_s);

		stamp->text = kp_strf("%s %s %s", s->tree_looks, conf, s->dir);
	}
	return stamp;
}

/* The configuration by itself as well, whoever owns the headers: somebody may have edited it. */
static const struct stamp *kernel_stamp(struct kp_pair_memo *m, size_t i)
{
	const struct kp_kernel *k = &m->kernels->list[i];
	struct stamp *stamp = &m->kernel_stamps[i];

	if (!stamp->text) {
		_cleanup_free_ char *build = kp_path_join(k->moddir, "build");
		_cleanup_free_ char *auto_conf =
			look(m, build, "include/config/auto.conf", &stamp->newest_s);
		_cleanup_free_ char *config = look(m, build, ".config", &stamp->newest_s);

		stamp->text =
			kp_strf("%s %s %s %s", k->headers_key ? k->headers_key : "-",
				auto_conf, config, k->moddir);
	}
	return stamp;
}

static struct line *find_line(struct kp_pair_memo *m, const struct kp_source *s,
			      const struct kp_kernel *k)
{
	for (size_t i = 0; i < m->n; i++) {
		size_t at = (m->next + i) % m->n;
		struct line *line = &m->lines[at];

		if (strcmp(line->fields[MODULE], s->module) != 0 ||
		    strcmp(line->fields[VERSION], s->version) != 0 ||
		    strcmp(line->fields[KERNEL], k->release) != 0)
			continue;
		m->next = at + 1;
		return line;
	}
	return NULL;
}

static bool files_look_the_same(const struct kp_pair_memo *m, const struct line *line)
{
	for (size_t i = FILES; i < line->n; i += 2) {
		int64_t newest_s = 0;
		_cleanup_free_ char *looks =
			kp_looks_in(m->ctx->root_fd, line->fields[i], &newest_s);

		if (strcmp(looks, line->fields[i + 1]) != 0)
			return false;
	}
	return true;
}

static const char *text_of(const struct line *line, enum field field)
{
	return *line->fields[field] ? line->fields[field] : NULL;
}

static bool is_yes(const struct line *line, enum field field)
{
	return !strcmp(line->fields[field], "yes");
}

bool kp_pair_memo_find(struct kp_pair_memo *m, struct kp_plan_pair *x,
		       char ***ret_depends)
{
	const struct kp_source *s = &m->sources->list[x->source];
	const struct kp_kernel *k = &m->kernels->list[x->kernel];
	struct line *line;

	if (!s->tree_looks)
		return false;
	line = find_line(m, s, k);
	if (!line ||
	    strcmp(line->fields[SOURCE_STAMP], source_stamp(m, x->source)->text) ||
	    strcmp(line->fields[KERNEL_STAMP], kernel_stamp(m, x->kernel)->text) ||
	    !files_look_the_same(m, line))
		return false;
	x->conf = is_yes(line, EXCLUDED) ? KP_PLAN_CONF_EXCLUDED : KP_PLAN_CONF_OK;
	x->conf_reason = text_of(line, REASON);
	x->autoinstall = is_yes(line, AUTOINSTALL);
	*ret_depends = kp_strv_split(line->fields[DEPENDS], " ");
	x->depends = (const char *const *)*ret_depends;
	x->key = text_of(line, KEY);
	x->built_key = text_of(line, BUILT_KEY);
	x->built_content = text_of(line, BUILT_CONTENT);
	line->used = true;
	return true;
}

/* ---- writing */

/* The paths that have to look the same, but those of the stamps; false: it cannot be said. */
static bool list_files(const struct kp_pair_memo *m, const struct kp_source *s,
		       const struct kp_kernel *k, const struct kp_world_pair *wp,
		       char ***ret)
{
	_cleanup_free_ char *built =
		kp_record_dir(m->ctx, s->module, s->version, k->release);
	_cleanup_free_ char *record =
		kp_record_path(m->ctx, s->module, s->version, k->release);

	/* One that cannot be read is complained of each time. */
	if (!wp->record == kp_exists_in(m->ctx->root_fd, record))
		return false;
	if (wp->conf->why_shell && !wp->conf->closed)
		return false;
	for (char **p = wp->conf->files + 1; *p; p++)
		kp_strv_add(ret, *p);
	kp_strv_foreach(p, wp->conf->reads)
		kp_strv_add(ret, *p);
	kp_strv_add(ret, record);
	for (size_t i = 0; wp->record && i < wp->record->n_files; i++)
		kp_strv_addf(ret, "%s/module/%s", built, wp->record->files[i].name);
	return true;
}

/* Is the outcome one that depends on nothing but what is looked at? */
static bool is_in_order(const struct kp_pair_memo *m, const struct kp_plan_pair *x,
			const struct kp_world_pair *wp)
{
	const struct kp_source *s = &m->sources->list[x->source];

	/* What lies in a directory there is laid over the source. */
	return s->tree_key && !s->tree_fresh && wp->conf && !wp->problem &&
	       x->conf != KP_PLAN_CONF_BAD && !kp_strv_has(m->conf_names, s->module) &&
	       (!wp->record || (wp->record->result == KP_BUILD_OK && x->built_key));
}

static void add_field(struct kp_buf *line, bool *ok, const char *text)
{
	*ok &= !text || !strpbrk(text, "\t\n");
	kp_buf_addf(line, "%s%s", line->len ? "\t" : "", text ? text : "");
}

void kp_pair_memo_add(struct kp_pair_memo *m, const struct kp_plan_pair *x,
		      const struct kp_world_pair *wp)
{
	const struct kp_source *s = &m->sources->list[x->source];
	const struct kp_kernel *k = &m->kernels->list[x->kernel];
	_cleanup_buf_ struct kp_buf line = KP_BUF_INIT;
	_cleanup_strv_ char **files = NULL;
	_cleanup_free_ char *depends = NULL;
	const struct stamp *source, *kernel;
	int64_t newest_s = 0;
	bool ok = true;

	if (!is_in_order(m, x, wp) || !list_files(m, s, k, wp, &files))
		return;
	source = source_stamp(m, x->source);
	kernel = kernel_stamp(m, x->kernel);
	depends = kp_strv_join(wp->conf->build_depends, " ");
	for (int i = 0; i < FILES; i++) {
		const char *const fields[FILES] = {
			[MODULE] = s->module,
			[VERSION] = s->version,
			[KERNEL] = k->release,
			[SOURCE_STAMP] = source->text,
			[KERNEL_STAMP] = kernel->text,
			[EXCLUDED] = x->conf == KP_PLAN_CONF_EXCLUDED ? "yes" : "no",
			[REASON] = x->conf_reason,
			[AUTOINSTALL] = x->autoinstall ? "yes" : "no",
			[DEPENDS] = depends,
			[KEY] = x->key,
			[BUILT_KEY] = x->built_key,
			[BUILT_CONTENT] = x->built_content,
		};

		add_field(&line, &ok, fields[i]);
	}
	kp_strv_foreach(p, files) {
		_cleanup_free_ char *looks = kp_looks_in(m->ctx->root_fd, *p, &newest_s);

		add_field(&line, &ok, *p);
		add_field(&line, &ok, looks);
	}
	/* Too young to be sure that it looked so when it was read. */
	if (!ok || newest_s + KP_RACY_S >= m->start ||
	    source->newest_s + KP_RACY_S >= m->start ||
	    kernel->newest_s + KP_RACY_S >= m->start)
		return;
	kp_buf_addf(&m->added, "%s\n", line.s);
}

void kp_pair_memo_save(struct kp_pair_memo *m)
{
	_cleanup_free_ char *path = memo_path(m->ctx);
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;

	/* Not where nothing of ours is, nor by somebody who may not. */
	if (!m->added.len || geteuid() != 0 ||
	    !kp_is_dir_in(m->ctx->root_fd, m->ctx->state_dir))
		return;
	kp_buf_addf(&out, "%s\n", m->head);
	for (size_t i = 0; i < m->n; i++) {
		const struct line *line = &m->lines[i];

		for (size_t j = 0; line->used && j < line->n; j++)
			kp_buf_addf(&out, "%s%c", line->fields[j],
				    j + 1 < line->n ? '\t' : '\n');
	}
	kp_buf_add(&out, m->added.s, m->added.len);
	kp_buf_adds(&out, END "\n");
	(void)kp_write_in(m->ctx->root_fd, path, out.s, out.len, 0644, NULL);
}
