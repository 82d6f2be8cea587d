// SPDX-License-Identifier: GPL-2.0-or-later
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include <apt-pkg/cachefile.h>
#include <apt-pkg/configuration.h>
#include <apt-pkg/depcache.h>
#include <apt-pkg/error.h>
#include <apt-pkg/init.h>
#include <apt-pkg/pkgcache.h>
#include <apt-pkg/pkgsystem.h>

#include "apt.h"

namespace {

// The first of the errors that libapt has piled up, which it keeps for whoever asks.
int fail(char *error, size_t size)
{
	std::string text, first = "libapt-pkg gave no reason";

	while (!_error->empty()) {
		bool is_error = _error->PopMessage(text);

		if (!is_error)
			continue;
		first = text;
		break;
	}
	_error->Discard();
	snprintf(error, size, "%s", first.c_str());
	return -EIO;
}

bool open_cache(pkgCacheFile &cache)
{
	// Not the lock: below a running apt it cannot be had, and reading needs none.
	return (_system || (pkgInitConfig(*_config) && pkgInitSystem(*_config, _system))) &&
	       cache.Open(nullptr, false);
}

int mark_auto(const char *const *names, size_t n, char *error, size_t error_size)
{
	pkgCacheFile file;

	if (!open_cache(file))
		return fail(error, error_size);
	pkgDepCache *cache = file.GetDepCache();
	for (size_t i = 0; i < n; i++) {
		pkgCache::PkgIterator pkg = cache->FindPkg(names[i]);

		if (!pkg.end())
			cache->MarkAuto(pkg, true);
	}
	if (!cache->writeStateFile(nullptr))
		return fail(error, error_size);
	_error->Discard();
	return 0;
}

int find_headers(const char *kernel, char **ret, char *error, size_t error_size)
{
	pkgCacheFile file;

	if (!open_cache(file))
		return fail(error, error_size);
	_error->Discard();
	std::string name = std::string("linux-headers-") + kernel;
	pkgCache::PkgIterator pkg = file.GetPkgCache()->FindPkg(name);
	if (pkg.end())
		return -ENOENT;
	if (pkg.VersionList().end()) {
		pkgCache::PrvIterator provides = pkg.ProvidesList();

		if (provides.end())
			return -ENOENT;
		name = provides.OwnerPkg().Name();
	}
	*ret = strdup(name.c_str());
	return *ret ? 0 : -ENOMEM;
}

// No exception may reach the C side.
template <typename F> int guard(F f, char *error, size_t error_size)
{
	try {
		return f();
	} catch (const std::exception &e) {
		snprintf(error, error_size, "%s", e.what());
	} catch (...) {
		snprintf(error, error_size, "libapt-pkg failed");
	}
	return -EIO;
}

int guarded_mark_auto(const char *const *names, size_t n, char *error, size_t size)
{
	return guard([&] { return mark_auto(names, n, error, size); }, error, size);
}

int guarded_find_headers(const char *kernel, char **ret, char *error, size_t size)
{
	return guard([&] { return find_headers(kernel, ret, error, size); }, error, size);
}

} // namespace

extern "C" __attribute__((visibility("default"))) const struct kp_apt_ops kp_apt_ops = {
	KP_APT_ABI,
	sizeof(struct kp_apt_ops),
	guarded_mark_auto,
	guarded_find_headers,
};
