// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "lib/reduce.h"

/* Declarations and macros, and the names of these. A kernel's <linux/module.h> has a tenth. */
#define ITEMS_MAX (1 << 19)
#define NAMES_MAX (1 << 20)

/* A piece of text that nobody owns. */
struct piece {
	const char *s;
	size_t n;
};

static bool is(const struct piece *p, const char *word)
{
	return p->n == strlen(word) && !memcmp(p->s, word, p->n);
}

/* WORDS end with NULL. */
static bool is_one_of(const struct piece *p, const char *const *words)
{
	while (*words && !is(p, *words))
		words++;
	return *words;
}

static int compare(const struct piece *a, const struct piece *b)
{
	int rc = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);

	return rc ?: (a->n > b->n) - (a->n < b->n);
}

static bool is_ident_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* ---- tokens ---- */

enum token_kind { END, IDENT, PUNCT, OTHER };

struct token {
	enum token_kind kind;
	struct piece text;
};

static bool tok_is(const struct token *t, char c)
{
	return t->kind == PUNCT && *t->text.s == c;
}

static bool is_tag_word(const struct token *t)
{
	return t->kind == IDENT &&
	       (is(&t->text, "struct") || is(&t->text, "union") || is(&t->text, "enum"));
}

/* Words in front of parentheses that are no function's name. */
static bool is_operator_word(const struct token *t)
{
	static const char *const words[] = {
		"__attribute__",  "__attribute", "__asm__",  "asm",
		"__typeof__",	  "typeof",	 "_Alignas", "__alignof__",
		"_Alignof",	  "sizeof",	 "__asm",    "__typeof",
		"_Static_assert", NULL
	};

	return t->kind == IDENT && is_one_of(&t->text, words);
}

/* What can stand before a name without being one, and is defined by nothing. */
static bool is_keyword(const struct piece *p)
{
	static const char *const words[] = {
		"_Bool",    "__const",	"__extension__", "__inline",	 "__inline__",
		"__int128", "__signed", "__signed__",	 "__volatile__", "auto",
		"char",	    "const",	"double",	 "enum",	 "extern",
		"float",    "inline",	"int",		 "long",	 "register",
		"restrict", "short",	"signed",	 "static",	 "struct",
		"typedef",  "union",	"unsigned",	 "void",	 "volatile",
		NULL
	};

	return is_one_of(p, words);
}

/* The token at *P, and behind it. */
static struct token next_token(const char **p, const char *end)
{
	const char *s = *p, *from;
	struct token t = { .kind = OTHER };

	while (s < end && isspace((unsigned char)*s))
		s++;
	from = s;
	if (s == end) {
		t.kind = END;
	} else if (isdigit((unsigned char)*s)) {
		while (s < end && (is_ident_char(*s) || *s == '.'))
			s++;
	} else if (is_ident_char(*s)) {
		t.kind = IDENT;
		while (s < end && is_ident_char(*s))
			s++;
		/* L"x" is one token, and L no name. */
		if (s < end && (*s == '"' || *s == '\''))
			t.kind = OTHER;
	} else if (*s == '"' || *s == '\'') {
		for (s++; s < end && *s != *from && *s != '\n'; s++)
			s += *s == '\\' && s + 1 < end;
		s += s < end;
	} else {
		t.kind = PUNCT;
		/* "->", so that what follows is seen to be a member. */
		s += s + 1 < end && s[0] == '-' && s[1] == '>' ? 2 : 1;
	}
	t.text = (struct piece){ from, (size_t)(s - from) };
	*p = s;
	return t;
}

/* ---- what there is ---- */

/* A declaration or a macro: where a name of it is found, and whether it is needed. */
struct item {
	struct piece text; /* a declaration as it stands, a macro's whole line */
	bool is_macro;
	bool is_function; /* with a body */
	bool needed;
};

/* A name that an item defines. Tags ("struct x") are names of their own kind. */
struct name {
	struct piece text;
	bool is_tag;
	bool was_needed[2]; /* the first of equal ones: as a tag, otherwise */
	uint32_t item;
};

struct reducer {
	struct kp_buf code; /* the text without directives */
	struct item *items;
	size_t n_items, items_alloc;
	struct name *names;
	size_t n_names, names_alloc;
	uint32_t *todo; /* needed items whose own needs have not been looked for */
	size_t n_todo, todo_alloc;
	bool failed; /* it is not what it should be: nothing can be relied on */
};

static void add_name(struct reducer *r, const struct piece *text, bool is_tag,
		     uint32_t item)
{
	r->failed |= r->n_names == NAMES_MAX;
	if (r->failed)
		return;
	KP_GROW(r->names, r->n_names, r->names_alloc);
	r->names[r->n_names++] =
		(struct name){ .text = *text, .is_tag = is_tag, .item = item };
}

/* Its number. */
static uint32_t add_item(struct reducer *r, const struct item *item)
{
	r->failed |= r->n_items == ITEMS_MAX;
	if (r->failed && r->n_items)
		return 0;
	KP_GROW(r->items, r->n_items, r->items_alloc);
	r->items[r->n_items] = *item;
	return (uint32_t)r->n_items++;
}

static bool line_starts(const char *line, const char *end, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(end - line) >= n && !memcmp(line, with, n);
}

/* "#define NAME..." and "#undef NAME". Others that change no declaration are dropped. */
static void add_directive(struct reducer *r, const char *line, const char *end)
{
	static const char *const words[] = { "#define ", "#undef ",
					     "#pragma GCC diagnostic ",
					     "#pragma GCC unroll " };
	size_t i = 0;

	while (i < sizeof(words) / sizeof(*words) && !line_starts(line, end, words[i]))
		i++;
	if (i < 2) {
		const char *p = line + strlen(words[i]);
		struct item item = { .text = { line, (size_t)(end - line) },
				     .is_macro = true };
		struct token t = next_token(&p, end);

		if (t.kind == IDENT)
			add_name(r, &t.text, false, add_item(r, &item));
	}
	r->failed |= i == sizeof(words) / sizeof(*words);
}

static void split_lines(struct reducer *r, const char *text, size_t len)
{
	const char *end = text + len, *line = text, *eol;

	for (; line < end; line = eol + (eol < end)) {
		eol = memchr(line, '\n', (size_t)(end - line)) ?: end;
		if (*line == '#')
			add_directive(r, line, eol);
		else
			kp_buf_add(&r->code, line, (size_t)(eol - line) + (eol < end));
	}
}

#define DEPTH_MAX 64

/* Of the declaration that is being read. */
struct reading {
	struct token prev[3]; /* the last ones, the latest first */
	size_t braces, parens;
	bool in_enum[DEPTH_MAX]; /* by depth of braces */
	bool is_typedef, is_function, has_name, has_value;
	bool names_begin; /* the next identifier in an enum is one of its names */
};

static void open_brace(struct reducer *r, struct reading *now, uint32_t item)
{
	const struct token *prev = now->prev;
	bool tagged = prev[0].kind == IDENT && is_tag_word(&prev[1]);
	const struct token *word = tagged ? &prev[1] : &prev[0];

	if (tagged)
		add_name(r, &prev[0].text, true, item);
	else if (!now->braces && !now->has_value && tok_is(&prev[0], ')'))
		now->is_function = true;
	now->braces++;
	if (now->braces < DEPTH_MAX) {
		now->in_enum[now->braces] = is_tag_word(word) && is(&word->text, "enum");
		now->names_begin = now->in_enum[now->braces];
	}
}

/* Is PREV, with NEXT behind it, the name that is declared? */
static bool is_declared(const struct reading *now, const struct token *next)
{
	const struct token *prev = now->prev;

	if (prev[0].kind != IDENT || now->braces || is_tag_word(&prev[1]) ||
	    is_operator_word(&prev[0]) || is_keyword(&prev[0].text))
		return false;
	if (now->is_typedef)
		return tok_is(next, ';') || tok_is(next, ',') || tok_is(next, '[') ||
		       tok_is(next, ')') || is_operator_word(next);
	if (now->parens || now->has_value)
		return false;
	return tok_is(next, ';') || tok_is(next, ',') || tok_is(next, '[') ||
	       tok_is(next, '=') || (tok_is(next, '(') && !now->has_name) ||
	       /* "bool __attribute__((x)) f(...)" has a type there. */
	       (is_operator_word(next) &&
		(tok_is(&prev[1], '*') ||
		 (prev[1].kind == IDENT && !is_keyword(&prev[1].text))));
}

/* Take in one token. True: it ends the declaration. */
static bool read_token(struct reducer *r, struct reading *now, const struct token *t,
		       uint32_t item)
{
	bool in_enum = now->braces && now->braces < DEPTH_MAX &&
		       now->in_enum[now->braces] && !now->parens;

	if (is_declared(now, t)) {
		add_name(r, &now->prev[0].text, false, item);
		now->has_name = now->has_name || tok_is(t, '(');
	}
	if (t->kind == IDENT) {
		now->is_typedef |= !now->braces && is(&t->text, "typedef");
		if (in_enum && now->names_begin)
			add_name(r, &t->text, false, item);
	}
	if (in_enum)
		now->names_begin = tok_is(t, ',');
	if (tok_is(t, '{')) {
		open_brace(r, now, item);
	} else if (tok_is(t, '}')) {
		now->braces -= now->braces > 0;
		if (!now->braces && now->is_function)
			return true;
	} else if (tok_is(t, '(')) {
		now->parens++;
	} else if (tok_is(t, ')')) {
		now->parens -= now->parens > 0;
	} else if (tok_is(t, '=') && !now->braces && !now->parens) {
		now->has_value = true;
	} else if (tok_is(t, ';') && !now->braces) {
		return true;
	}
	now->prev[2] = now->prev[1];
	now->prev[1] = now->prev[0];
	now->prev[0] = *t;
	return false;
}

static void split_code(struct reducer *r)
{
	const char *p = r->code.s ?: "", *end = p + r->code.len;

	while (p < end && !r->failed) {
		struct reading now = { .is_typedef = false };
		struct item item = { .text = { p, 0 } };
		struct token t = next_token(&p, end);
		uint32_t i;

		if (t.kind == END)
			break;
		item.text.s = t.text.s;
		i = add_item(r, &item);
		/* What is put into the output whoever includes it. */
		r->items[i].needed = t.kind == IDENT && is_operator_word(&t) &&
				     memmem(t.text.s, t.text.n, "asm", 3);
		while (t.kind != END && !read_token(r, &now, &t, i)) {
			t = next_token(&p, end);
			if (!now.braces && t.kind == IDENT &&
			    (is(&t.text, "__used__") || is(&t.text, "used")))
				r->items[i].needed = true;
		}
		r->items[i].text.n = (size_t)(p - r->items[i].text.s);
		r->items[i].is_function = now.is_function;
	}
}

/* ---- what is needed ---- */

static int by_text(const void *va, const void *vb)
{
	const struct name *a = va, *b = vb;
	int rc = compare(&a->text, &b->text);

	return rc ?: (a->item > b->item) - (a->item < b->item);
}

static void need_item(struct reducer *r, uint32_t i)
{
	r->items[i].needed = true;
	KP_GROW(r->todo, r->n_todo, r->todo_alloc);
	r->todo[r->n_todo++] = i;
}

/* What defines TEXT: of macros the last directive counts, of declarations all. Once, since as many can name
 * it as define it. */
static void need(struct reducer *r, const struct piece *text, bool tags, bool others)
{
	size_t low = 0, high = r->n_names, last = SIZE_MAX;
	bool *was_needed;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&r->names[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == r->n_names || compare(&r->names[low].text, text))
		return;
	was_needed = r->names[low].was_needed;
	tags &= !was_needed[0];
	others &= !was_needed[1];
	if (!tags && !others)
		return;
	was_needed[0] |= tags;
	was_needed[1] |= others;
	for (; low < r->n_names && !compare(&r->names[low].text, text); low++) {
		const struct name *n = &r->names[low];

		if (r->items[n->item].is_macro)
			last = n->item;
		else if ((n->is_tag ? tags : others) && !r->items[n->item].needed)
			need_item(r, n->item);
	}
	if (others && last != SIZE_MAX && !r->items[last].needed)
		need_item(r, (uint32_t)last);
}

/* All that the text of an item names. A pointer needs no more of a structure than its tag; what a function
 * or a macro does with one is not looked at. */
static void need_of(struct reducer *r, const struct item *item)
{
	const char *p = item->text.s, *end = p + item->text.n;
	const bool whole = item->is_function || item->is_macro;
	struct token prev = { .kind = END }, t;

	if (item->is_macro)
		p = memchr(p, ' ', item->text.n) ?: end;
	for (t = next_token(&p, end); t.kind != END;) {
		const char *behind = p;
		struct token next = next_token(&behind, end);
		bool is_tag = is_tag_word(&prev);

		if (t.kind == IDENT && !is_keyword(&t.text) && !tok_is(&prev, '.') &&
		    (!tok_is(&prev, '-') || prev.text.n < 2) &&
		    !(is_tag && !whole && !is(&prev.text, "enum") && tok_is(&next, '*')))
			need(r, &t.text, is_tag, !is_tag);
		p = behind;
		prev = t;
		t = next;
	}
}

static void choose(struct reducer *r, const struct item *use, const char *const *names)
{
	if (r->n_names)
		qsort(r->names, r->n_names, sizeof(*r->names), by_text);
	for (size_t i = 0; i < r->n_items; i++)
		if (r->items[i].needed)
			need_item(r, (uint32_t)i);
	need_of(r, use);
	for (; *names; names++)
		need(r, &(struct piece){ *names, strlen(*names) }, true, true);
	while (r->n_todo) {
		const struct item item = r->items[r->todo[--r->n_todo]];

		need_of(r, &item);
	}
}

/* Declarations have no macros left in them, and must not meet any. */
static void write_needed(const struct reducer *r, struct kp_buf *ret)
{
	for (int macros = 0; macros < 2; macros++)
		for (size_t i = 0; i < r->n_items; i++)
			if (r->items[i].needed && r->items[i].is_macro == macros) {
				kp_buf_add(ret, r->items[i].text.s, r->items[i].text.n);
				kp_buf_addc(ret, '\n');
			}
}

bool kp_reduce(const char *text, size_t len, const char *uses, size_t uses_len,
	       const char *const *names, struct kp_buf *ret)
{
	const struct item use = { .text = { uses, uses_len }, .is_function = true };
	struct reducer r = { .code = KP_BUF_INIT };

	split_lines(&r, text, len);
	split_code(&r);
	if (!r.failed) {
		choose(&r, &use, names);
		write_needed(&r, ret);
	}
	kp_buf_free(&r.code);
	free(r.items);
	free(r.names);
	free(r.todo);
	return !r.failed;
}
