// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/sign-parts.h"

#define PIN_SOURCE "pin-source="
#define PIN_MAX 4096
#define KEY_MAX (1024 * 1024)
/* Tokens in the network are slow; one that never answers is not to hold up a transaction. */
#define SIGN_SECONDS 120
#define LOCK_WAIT_MS (10 * SIGN_SECONDS * 1000)

static bool is_token(const struct kp_signer *s)
{
	return kp_str_starts(s->key, "pkcs11:");
}

/* Does the URI itself say what the PIN is, or where? */
static bool names_pin(const char *uri)
{
	return strstr(uri, PIN_SOURCE) || strstr(uri, "pin-value=");
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

char *kp_sign_pin_source(const char *uri)
{
	const char *p = kp_str_starts(uri, "pkcs11:") ? strstr(uri, PIN_SOURCE) : NULL;
	_cleanup_buf_ struct kp_buf path = KP_BUF_INIT;

	if (!p)
		return NULL;
	p += strlen(PIN_SOURCE);
	if (kp_str_starts(p, "file:"))
		p += kp_str_starts(p, "file:///") ? 7 : 5;
	for (; *p && !strchr("&;?", *p); p++) {
		bool coded = *p == '%' && isxdigit((unsigned char)p[1]) &&
			     isxdigit((unsigned char)p[2]);

		kp_buf_addc(&path,
			    coded ? (char)(hex_digit(p[1]) * 16 + hex_digit(p[2])) : *p);
		p += coded ? 2 : 0;
	}
	return path.len && path.s[0] == '/' ? kp_buf_steal(&path) : NULL;
}

/* PKCS#8's or OpenSSL's older form of PEM. */
static bool is_encrypted(const struct kp_ctx *ctx, const char *key)
{
	_cleanup_free_ char *text = NULL;
	bool encrypted;

	if (kp_read_in(ctx->root_fd, key, KEY_MAX, &text, NULL) < 0)
		return false;
	encrypted = strstr(text, "BEGIN ENCRYPTED PRIVATE KEY") ||
		    strstr(text, "Proc-Type: 4,ENCRYPTED");
	explicit_bzero(text, strlen(text));
	return encrypted;
}

/* The PIN of a token or the passphrase of a key: the first line of the configured file, else
 * our environment's; NULL: none. */
static int read_pin(const struct kp_ctx *ctx, char **ret, struct kp_err *err)
{
	const char *file = ctx->config.sign_pin_file;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (!file) {
		*ret = kp_strdup(getenv("KBUILD_SIGN_PIN"));
		return 0;
	}
	r = kp_stat_in(ctx->root_fd, file, &st);
	if (r < 0 || !S_ISREG(st.st_mode))
		return kp_err_set(err, -ENOENT,
				  "the configured sign_pin_file '%s' is not there", file);
	fd = kp_open_in(ctx->root_fd, file, O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return kp_err_sys(err, fd < 0 ? fd : -errno, "open '%s'", file);
	if (st.st_mode & 077)
		return kp_err_set(
			err, -EPERM,
			"sign_pin_file '%s' is not for root alone: chmod 600 %s", file,
			file);
	r = kp_read_fd(fd, PIN_MAX, ret, NULL);
	if (r < 0)
		return kp_err_sys(err, r, "read '%s'", file);
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return 0;
}

/* The URI with the PIN. A sign-file that uses OpenSSL's provider knows KBUILD_SIGN_PIN for files
 * only, and would ask; a file that the URI names is read by that and by the older engine. What it
 * names is a descriptor, so that the PIN is in no argument and in no file system. */
static int add_pin(const char *uri, const char *pin, int *ret_fd, char **ret,
		   struct kp_err *err)
{
	size_t len = strlen(pin);
	int fd = memfd_create("pin", MFD_CLOEXEC);

	if (fd < 0 || write(fd, pin, len) != (ssize_t)len) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return kp_err_sys(err, -code, "hand over the PIN");
	}
	*ret_fd = fd;
	*ret = kp_strf("%s%cpin-source=file:/proc/self/fd/%d", uri,
		       strchr(uri, '?') ? '&' : '?', fd);
	return 0;
}

/* Nobody is to be asked: /dev/tty is none in a session of one's own. The alarm outlives exec. */
static int setup(void *data)
{
	(void)data;
	setsid();
	alarm(SIGN_SECONDS);
	return 0;
}

static int run(const struct kp_signer *s, const char *hash, const char *key,
	       const char *pin, int pin_fd, const char *ko, int log_fd,
	       struct kp_proc_end *end, struct kp_err *err)
{
	const char *argv[] = { s->tool, hash, key, s->cert, ko, NULL };
	_cleanup_strv_ char **env = kp_strv_dup((char *const *)kp_proc_default_env());
	struct kp_proc proc = {
		.argv = argv,
		.out_fd = log_fd,
		.err_fd = log_fd,
		.keep_fds = &pin_fd,
		.n_keep_fds = pin_fd >= 0,
		.setup = setup,
	};

	/* How sign-file is told the passphrase of a file. */
	if (pin)
		kp_strv_addf(&env, "KBUILD_SIGN_PIN=%s", pin);
	proc.env = (const char *const *)env;
	return kp_proc_run(&proc, end, err);
}

static const char *where_from(const struct kp_ctx *ctx, const struct kp_signer *s,
			      bool has_pin)
{
	if (is_token(s) && names_pin(s->key))
		return "of sign_key";
	if (!has_pin)
		return "no sign_pin_file is set";
	return ctx->config.sign_pin_file ? ctx->config.sign_pin_file : "KBUILD_SIGN_PIN";
}

/* The key in words: of a URI without what may be a PIN. */
static char *name_key(const struct kp_signer *s)
{
	return kp_strf("%.*s", (int)(is_token(s) ? strcspn(s->key, "?") : strlen(s->key)),
		       s->key);
}

static int explain(const struct kp_ctx *ctx, const struct kp_signer *s, bool has_pin,
		   int code, struct kp_err *err)
{
	_cleanup_free_ char *what = kp_strdup(kp_err_text(err, code));
	_cleanup_free_ char *key = name_key(s);
	const char *where = where_from(ctx, s, has_pin);

	if (is_token(s))
		return kp_err_set(err, code,
				  "%s; look at sign_key '%s', at the PIN (%s), and "
				  "whether OpenSSL can use the token (pkcs11-provider)",
				  what, key, where);
	if (has_pin && is_encrypted(ctx, s->key))
		return kp_err_set(err, code, "%s; is the passphrase of '%s' right (%s)?",
				  what, key, where);
	return code;
}

/* Key and PIN, wherever that is, as one word. */
static void identify(const struct kp_ctx *ctx, const struct kp_signer *s, const char *pin,
		     char ret[KP_HASH_HEX])
{
	_cleanup_free_ char *file = kp_sign_pin_source(s->key), *text = NULL;
	struct kp_hash h;

	if (file)
		(void)kp_read_in(ctx->root_fd, file, PIN_MAX, &text, NULL);
	kp_hash_init(&h);
	kp_hash_field(&h, "key", s->key);
	kp_hash_field(&h, "pin", pin);
	kp_hash_field(&h, "file", text);
	kp_hash_hex(&h, ret);
	if (text)
		explicit_bzero(text, strlen(text));
}

static char *failed_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->run_dir, "token-failed");
}

/* Many tokens lock themselves after a few wrong PINs, and there is a module to be signed for every
 * kernel, at every sync: a PIN that failed is not tried again. *ID is what identify() says. */
static int check_token(const struct kp_ctx *ctx, const struct kp_signer *s,
		       const char *pin, char id[KP_HASH_HEX], struct kp_err *err)
{
	_cleanup_free_ char *failed = failed_path(ctx), *before = NULL,
			    *key = name_key(s);

	identify(ctx, s, pin, id);
	if (kp_read_in(ctx->root_fd, failed, KP_HASH_HEX, &before, NULL) < 0 ||
	    !kp_str_eq(before, id))
		return 0;
	return kp_err_set(err, -EACCES,
			  "signing with '%s' failed with this PIN (%s), and is "
			  "not tried again lest the token locks itself; correct "
			  "it, or if it is right: rm %s",
			  key, where_from(ctx, s, true), failed);
}

/* PIN NULL: the URI has one. */
static int run_with_token(struct kp_ctx *ctx, const struct kp_signer *s, const char *pin,
			  const char *hash, const char *ko, int log_fd,
			  struct kp_err *err)
{
	_cleanup_free_ char *lock = kp_path_join(ctx->run_dir, "token.lock");
	_cleanup_free_ char *failed = failed_path(ctx), *uri = NULL;
	_cleanup_close_ int lock_fd = -1, pin_fd = -1;
	struct kp_proc_end end = { -1, 0 };
	char id[KP_HASH_HEX];
	int r;

	r = kp_lock_take(ctx->root_fd, lock, "signs with a token", LOCK_WAIT_MS, &lock_fd,
			 err);
	if (r == 0)
		r = check_token(ctx, s, pin, id, err);
	if (r < 0)
		return r;
	if (!names_pin(s->key))
		r = add_pin(s->key, pin, &pin_fd, &uri, err);
	if (r < 0)
		return r;
	r = run(s, hash, uri ? uri : s->key, pin, pin_fd, ko, log_fd, &end, err);
	/* One that did not end by itself says nothing about the PIN. */
	if (r == -ECHILD && !end.signal)
		(void)kp_write_in(ctx->root_fd, failed, id, strlen(id), 0600, NULL);
	else if (!r)
		(void)kp_unlink_in(ctx->root_fd, failed);
	return r;
}

/* The PIN or passphrase, NULL: it takes none. */
static int find_pin(const struct kp_ctx *ctx, const struct kp_signer *s, char **ret,
		    struct kp_err *err)
{
	int r = read_pin(ctx, ret, err);

	if (r < 0)
		return r;
	if (!is_token(s) && !*ret && is_encrypted(ctx, s->key))
		return kp_err_set(err, -EACCES,
				  "the key '%s' is encrypted: write its passphrase into "
				  "a file that only root may read, and name that in "
				  "sign_pin_file",
				  s->key);
	return 0;
}

static bool has_token_pin(const struct kp_signer *s, const char *pin)
{
	return is_token(s) && (pin || names_pin(s->key));
}

static void forget_pin(char *pin)
{
	if (pin)
		explicit_bzero(pin, strlen(pin));
	free(pin);
}

int kp_signer_check(struct kp_ctx *ctx, const struct kp_signer *s, struct kp_err *err)
{
	char id[KP_HASH_HEX], *pin = NULL;
	int r = find_pin(ctx, s, &pin, err);

	if (r == 0 && has_token_pin(s, pin))
		r = check_token(ctx, s, pin, id, err);
	forget_pin(pin);
	return r;
}

int kp_signer_run(struct kp_ctx *ctx, const struct kp_signer *s, const char *hash,
		  const char *ko, int log_fd, struct kp_err *err)
{
	char *pin = NULL;
	int r = find_pin(ctx, s, &pin, err);

	if (r < 0)
		return r;
	if (has_token_pin(s, pin))
		r = run_with_token(ctx, s, pin, hash, ko, log_fd, err);
	else
		r = run(s, hash, s->key, pin, -1, ko, log_fd, NULL, err);
	if (r == -ECHILD)
		r = explain(ctx, s, pin, r, err);
	forget_pin(pin);
	return r;
}
