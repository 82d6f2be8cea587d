# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make                        build into build/ (or O=DIR)
#   make check-faults           kill kmodpkg, and let its calls fail, at every point (hours)
#   make install DESTDIR=DIR    prefix, sbindir, libdir, libexecdir, sysconfdir, mandir
#   make check                  all tests but the long end-to-end ones (check-all)
#   make WITH_RPM=no            leave a backend out: WITH_{DPKG,APT,RPM,ALPM}; the default is
#                               yes where pkg-config finds its library
#   make SANITIZE=address,undefined O=build-asan check-unit
#
# CC, CFLAGS, CPPFLAGS, LDFLAGS of the environment are honoured (dpkg-buildflags). WERROR=1
# makes warnings errors. V=1 prints commands. There is no configure step; the only questions
# asked of the system are the pkg-config ones below.

O ?= build
VERSION := $(shell cat VERSION)

prefix ?= /usr
sbindir ?= $(prefix)/sbin
libdir ?= $(prefix)/lib
libexecdir ?= $(prefix)/libexec
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
sysconfdir ?= /etc
# Debian: $(datadir)/zsh/vendor-completions
zshdir ?= $(datadir)/zsh/site-functions
unitdir ?= $(prefix)/lib/systemd/system
presetdir ?= $(prefix)/lib/systemd/system-preset
kernelinstalldir ?= $(prefix)/lib/kernel/install.d
# Where rpm looks for plugins and for files of macros.
rpmplugindir ?= $(shell rpm --eval '%{__plugindir}' 2>/dev/null)
rpmmacrodir ?= $(prefix)/lib/rpm/macros.d
plugindir = $(libdir)/kmodpkg

PKG_CONFIG ?= pkg-config
CLANG ?= clang
CFLAGS ?= -O2 -g
CXXFLAGS ?= -O2 -g

# ---- what is there

CORE_PKGS := jansson libarchive libkmod libmd
pkg-cflags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)
pkg-libs = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)
pkg-exists = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes || echo no)

WITH_DPKG ?= yes
WITH_APT ?= $(call pkg-exists,apt-pkg)
WITH_RPM ?= $(call pkg-exists,rpm)
WITH_ALPM ?= $(call pkg-exists,libarchive)

# Native libraries of each backend. libalpm is loaded at run time, and not needed to build.
PKGS_rpm := rpm
PKGS_alpm := libarchive

# librpm has global state that outlives a dlclose() badly.
PLUGIN_LDFLAGS_rpm := -Wl,-z,nodelete

BACKENDS :=
ifeq ($(WITH_DPKG),yes)
BACKENDS += dpkg
endif
ifeq ($(WITH_RPM),yes)
BACKENDS += rpm
endif
ifeq ($(WITH_ALPM),yes)
BACKENDS += alpm
endif

# ---- flags

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wformat=2 -Wundef
KP_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Icore -Icore/include -DKP_VERSION='"$(VERSION)"' \
	-DKP_PLUGIN_DIR='"$(plugindir)"' -DKP_LIBEXEC_DIR='"$(libexecdir)/kmodpkg"' \
	-DKP_SYSCONF_DIR='"$(sysconfdir)"' -DKP_SBIN_DIR='"$(sbindir)"' \
	-DKP_REAL_UNAME='"/run/kmodpkg-uname"'
KP_CFLAGS := -std=gnu11 $(WARNINGS) -fPIC -fvisibility=hidden
KP_CXXFLAGS := -std=c++17 -Wall -Wextra -fPIC -fvisibility=hidden
KP_LDFLAGS := -Wl,--as-needed
PLUGIN_LDFLAGS := -shared
DEPFLAGS = -MMD -MP

ifdef WERROR
KP_CFLAGS += -Werror
KP_CXXFLAGS += -Werror
endif
ifdef SANITIZE
SANITIZE_FLAGS := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
KP_CFLAGS += $(SANITIZE_FLAGS)
KP_CXXFLAGS += $(SANITIZE_FLAGS)
KP_LDFLAGS += $(SANITIZE_FLAGS)
SANITIZE_OPTIONS := $(O)/tests/sanitize.o
else
# The sanitizers' run-time library is the program's.
PLUGIN_LDFLAGS += -Wl,-z,defs
endif

CORE_CFLAGS := $(call pkg-cflags,$(CORE_PKGS))
CORE_LIBS := $(call pkg-libs,$(CORE_PKGS))

ifndef V
Q := @
say = @printf '  %-8s%s\n' '$(1)' '$(patsubst $(O)/%,%,$@)';
endif

# ---- what is built

objects = $(patsubst %.c,$(O)/%.o,$(1))
BASE := $(call objects,$(wildcard core/base/*.c))
LIB := $(call objects,$(wildcard core/lib/*.c) core/probe-front/modc.c \
	core/probe-front/question.c)
CLI := $(call objects,$(wildcard core/cli/*.c))
MAKE_FRONT := $(call objects,$(wildcard core/make-front/*.c))
PROBE_FRONT := $(call objects,$(wildcard core/probe-front/*.c))
UNAME_FRONT := $(call objects,$(wildcard core/uname-front/*.c))
# What runs in the sandbox: a program each, and what is below them.
INSIDE_PROGRAMS := check initramfs unpack
INSIDE := $(filter-out $(INSIDE_PROGRAMS:%=$(O)/core/inside/%.o),$(call objects,$(wildcard core/inside/*.c)))
APT := $(patsubst %.cc,$(O)/%.o,$(wildcard plugins/dpkg/apt/*.cc))
TRANSACTION := $(call objects,plugins/rpm/transaction.c)
BACKENDS := $(foreach b,$(BACKENDS),$(if $(filter-out %/transaction.c,$(wildcard plugins/$(b)/*.c)),$(b)))

PLUGINS := $(BACKENDS:%=$(O)/plugins/%.so)
ifneq ($(filter dpkg,$(BACKENDS)),)
ifeq ($(WITH_APT),yes)
PLUGINS += $(if $(APT),$(O)/plugins/apt.so)
endif
endif
# rpm has no sanitizer's run-time library for it.
ifeq ($(WITH_RPM)$(SANITIZE),yes)
RPM_PLUGIN := $(O)/rpm-plugins/kmodpkg.so
endif

UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test-*.c))
# What unit tests share.
UNIT_HELP := $(call objects,$(filter-out tests/unit/test-% tests/unit/programs.c,$(wildcard tests/unit/*.c)))
FAKE := $(patsubst tests/fake-backend.c,$(O)/tests/fake.so,$(wildcard tests/fake-backend.c))
FAULT := $(patsubst tests/faults/%.c,$(O)/tests/faults/%,$(wildcard tests/faults/*.c))
CONF_DIFF := $(patsubst tests/conf/%.c,$(O)/tests/conf/%,$(wildcard tests/conf/conf-diff.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz-*.c))

PRODUCTS := $(O)/kmodpkg $(INSIDE_PROGRAMS:%=$(O)/%) $(O)/make $(O)/probe-front $(O)/uname $(PLUGINS) $(RPM_PLUGIN)

.PHONY: all tests fuzzers conf-diff fault rpm-plugin install install-dpkg install-rpm install-alpm \
	check check-unit check-e2e check-faults check-all fuzz bench demo deb rpm pacman-pkg format clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PRODUCTS)
tests: $(UNIT) $(FAKE) $(PLUGINS) $(INSIDE_PROGRAMS:%=$(O)/%) $(O)/probe-front $(O)/uname
fuzzers: $(FUZZ)
conf-diff: $(CONF_DIFF)
fault: $(FAULT)
rpm-plugin: $(O)/rpm-plugins/kmodpkg.so $(O)/tests/rpm-plugin/cost.so

# Objects depend on the flags they are made with, so that one O can change its flags.
FLAGS = $(CC) $(CXX) $(KP_CPPFLAGS) $(CPPFLAGS) $(KP_CFLAGS) $(CFLAGS) $(KP_CXXFLAGS) \
	$(CXXFLAGS) $(KP_LDFLAGS) $(LDFLAGS) $(BACKENDS)
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@$(PKG_CONFIG) --print-errors --exists $(CORE_PKGS)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(O)/%.o: %.c $(O)/flags
	$(call say,CC)mkdir -p $(@D)
	$(Q)$(CC) $(KP_CPPFLAGS) $(CPPFLAGS) $(EXTRA) $(KP_CFLAGS) $(CFLAGS) $(DEPFLAGS) \
		-c $< -o $@
$(O)/%.o: %.cc $(O)/flags
	$(call say,CXX)mkdir -p $(@D)
	$(Q)$(CXX) $(KP_CPPFLAGS) $(CPPFLAGS) $(EXTRA) $(KP_CXXFLAGS) $(CXXFLAGS) $(DEPFLAGS) \
		-c $< -o $@
$(O)/core/%.o $(O)/tests/%.o: EXTRA = $(CORE_CFLAGS)

link = $(Q)$(CC) $(KP_CFLAGS) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS)

# Archives, so that a plugin or a test takes only what it uses.
archive = $(call say,AR)rm -f $@ && $(AR) rcs $@ $^
$(O)/base.a: $(BASE)
	$(archive)
$(O)/lib.a: $(LIB)
	$(archive)
$(O)/cli.a: $(filter-out %/main.o,$(CLI))
	$(archive)

$(O)/kmodpkg: $(CLI) $(SANITIZE_OPTIONS) $(O)/lib.a $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^ $(CORE_LIBS)

$(O)/inside.a: $(INSIDE)
	$(archive)
$(INSIDE_PROGRAMS:%=$(O)/%): $(O)/%: $(O)/core/inside/%.o $(SANITIZE_OPTIONS) $(O)/inside.a $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^ $(CORE_LIBS)

$(O)/make: $(MAKE_FRONT) $(SANITIZE_OPTIONS)
	$(call say,LINK)
	$(link) -o $@ $^

# Started hundreds of times in a build, so without a dynamic linker, where there is a libc for that.
static = $(shell echo 'int main(void) { return 0; }' | \
	$(CC) $(CFLAGS) $(LDFLAGS) -static -x c -o /dev/null - 2>/dev/null && echo -static)
$(O)/probe-front: $(PROBE_FRONT) $(SANITIZE_OPTIONS)
	$(call say,LINK)
	$(link) $(if $(SANITIZE),,$(static)) -o $@ $^

$(O)/uname: $(UNAME_FRONT) $(SANITIZE_OPTIONS)
	$(call say,LINK)
	$(link) -o $@ $^

define plugin
$(O)/plugins/$(1)/%.o: EXTRA = $$(CFLAGS_$(1))
CFLAGS_$(1) := $$(call pkg-cflags,$$(PKGS_$(1)) libmd)
LIBS_$(1) := $$(call pkg-libs,$$(PKGS_$(1)) libmd)
$(O)/plugins/$(1).so: $(filter-out $(TRANSACTION),$(call objects,$(wildcard plugins/$(1)/*.c))) \
		$(O)/base.a
	$$(call say,PLUGIN)
	$$(link) $$(PLUGIN_LDFLAGS) $$(PLUGIN_LDFLAGS_$(1)) -o $$@ $$^ $$(LIBS_$(1))
endef
$(foreach b,$(BACKENDS),$(eval $(call plugin,$(b))))

ifneq ($(APT),)
$(O)/plugins/dpkg/apt/%.o: EXTRA = $(APT_CFLAGS)
APT_CFLAGS := $(call pkg-cflags,apt-pkg)
APT_LIBS := $(call pkg-libs,apt-pkg)
$(O)/plugins/apt.so: $(APT)
	$(call say,PLUGIN)
	$(Q)$(CXX) $(KP_CXXFLAGS) $(CXXFLAGS) $(KP_LDFLAGS) $(LDFLAGS) $(PLUGIN_LDFLAGS) \
		-o $@ $^ $(APT_LIBS)
endif

# Runs inside of rpm and is loaded by it: no library but libc, which the file says itself.
$(O)/rpm-plugins/kmodpkg.so: $(TRANSACTION)
	$(call say,PLUGIN)mkdir -p $(@D)
	$(link) $(PLUGIN_LDFLAGS) -Wl,-z,relro,-z,now -o $@ $^

$(O)/tests/fake.so: $(O)/tests/fake-backend.o $(O)/base.a
	$(call say,PLUGIN)
	$(link) $(PLUGIN_LDFLAGS) -o $@ $^ $(call pkg-libs,libmd jansson)

$(O)/tests/rpm-plugin/cost.so: $(O)/tests/rpm-plugin/cost.o
	$(call say,PLUGIN)
	$(link) $(PLUGIN_LDFLAGS) -o $@ $^

$(O)/tests/help.a: $(UNIT_HELP)
	$(archive)
$(O)/tests/unit/test-%: $(O)/tests/unit/test-%.o $(O)/tests/unit/programs.o $(O)/tests/help.a $(O)/cli.a \
		$(O)/inside.a $(O)/lib.a $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^ $(CORE_LIBS) -lcmocka

$(O)/tests/bench/%: $(O)/tests/bench/%.o $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^

$(O)/tests/faults/%: $(O)/tests/faults/%.o $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^

$(O)/tests/conf/%: $(O)/tests/conf/%.o $(O)/lib.a $(O)/base.a
	$(call say,LINK)
	$(link) -o $@ $^ $(CORE_LIBS)

# ---- fuzzing: the same sources by clang, instrumented

FUZZ_FLAGS := -std=gnu11 $(WARNINGS) $(if $(WERROR),-Werror) -O1 -g \
	-fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_CORE := $(patsubst %.c,$(O)/fuzz/%.o,$(wildcard core/base/*.c core/lib/*.c) \
	core/probe-front/modc.c core/probe-front/question.c) $(patsubst $(O)/%,$(O)/fuzz/%,$(INSIDE))

$(O)/fuzz/core.a: $(FUZZ_CORE)
	$(archive)
$(O)/fuzz/%.o: %.c $(O)/flags
	$(call say,CLANG)mkdir -p $(@D)
	$(Q)$(CLANG) $(KP_CPPFLAGS) $(CORE_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link \
		$(DEPFLAGS) -c $< -o $@
$(O)/fuzz/fuzz-%: $(O)/fuzz/tests/fuzz/fuzz-%.o $(O)/fuzz/core.a
	$(call say,LINK)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(CORE_LIBS)

# ---- install

INSTALL_PROGRAM = install -D -m 755
INSTALL_DATA = install -D -m 644
# The same for glue that names our command by its path. $(3): INSTALL_PROGRAM for a script.
install-glue = sed 's,/usr/s*bin/kmodpkg,$(sbindir)/kmodpkg,' $(1) >$(O)/glue-$(notdir $(1)) && \
	$(or $(3),$(INSTALL_DATA)) $(O)/glue-$(notdir $(1)) $(2)
MAN := $(wildcard man/*.[158])

install: all
	$(INSTALL_PROGRAM) $(O)/kmodpkg $(DESTDIR)$(sbindir)/kmodpkg
	ln -sf kmodpkg $(DESTDIR)$(sbindir)/dkms
	$(foreach p,$(INSIDE_PROGRAMS),$(INSTALL_PROGRAM) $(O)/$(p) $(DESTDIR)$(libexecdir)/kmodpkg/$(p) &&) :
	$(INSTALL_PROGRAM) $(O)/make $(DESTDIR)$(libexecdir)/kmodpkg/make
	$(INSTALL_PROGRAM) $(O)/probe-front $(DESTDIR)$(libexecdir)/kmodpkg/probe-front
	$(INSTALL_PROGRAM) $(O)/uname $(DESTDIR)$(libexecdir)/kmodpkg/uname
	$(foreach p,$(PLUGINS),$(INSTALL_DATA) $(p) $(DESTDIR)$(plugindir)/$(notdir $(p)) &&) :
	$(foreach m,$(MAN),$(INSTALL_DATA) $(m) \
		$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)) &&) :
	$(foreach c,kmodpkg dkms,$(INSTALL_DATA) completions/$(c).bash \
		$(DESTDIR)$(datadir)/bash-completion/completions/$(c) && \
		$(INSTALL_DATA) completions/_$(c) $(DESTDIR)$(zshdir)/_$(c) && \
		$(INSTALL_DATA) completions/$(c).fish \
		$(DESTDIR)$(datadir)/fish/vendor_completions.d/$(c).fish &&) :
	$(INSTALL_DATA) packaging/kmodpkg.conf $(DESTDIR)$(sysconfdir)/kmodpkg/kmodpkg.conf
	install -d $(DESTDIR)$(sysconfdir)/kmodpkg/kmodpkg.conf.d
	$(call install-glue,hooks/systemd/kmodpkg.service,$(DESTDIR)$(unitdir)/kmodpkg.service)

# What makes dpkg and NAME-dkms packages call us; the triggers, and the link to dpkg.cfg from /etc/dpkg/dpkg.cfg.d, are part
# of the package (packaging/deb).
install-dpkg:
	$(INSTALL_DATA) hooks/dpkg/kmodpkg.cfg $(DESTDIR)$(datadir)/kmodpkg/dpkg.cfg
	$(INSTALL_DATA) hooks/dpkg/finish $(DESTDIR)$(datadir)/kmodpkg/finish
	$(INSTALL_PROGRAM) hooks/dpkg/aa-kmodpkg \
		$(DESTDIR)$(sysconfdir)/kernel/postinst.d/aa-kmodpkg
	$(INSTALL_PROGRAM) hooks/dpkg/common.postinst $(DESTDIR)$(libdir)/dkms/common.postinst

# What makes rpm, and kernel-install, call us; the file triggers are part of the package
# (packaging/kmodpkg.spec).
install-rpm: all
	$(if $(rpmplugindir),,$(error say where rpm has its plugins: rpmplugindir=DIR))
	$(INSTALL_PROGRAM) $(O)/rpm-plugins/kmodpkg.so $(DESTDIR)$(rpmplugindir)/kmodpkg.so
	$(INSTALL_DATA) hooks/rpm/macros.transaction_kmodpkg \
		$(DESTDIR)$(rpmmacrodir)/macros.transaction_kmodpkg
	$(call install-glue,hooks/kernel-install/40-kmodpkg.install, \
		$(DESTDIR)$(kernelinstalldir)/40-kmodpkg.install,$(INSTALL_PROGRAM))
	$(INSTALL_DATA) hooks/systemd/80-kmodpkg.preset $(DESTDIR)$(presetdir)/80-kmodpkg.preset

# What makes pacman call us.
install-alpm:
	$(foreach h,$(notdir $(wildcard hooks/alpm/*.hook)),$(call \
		install-glue,hooks/alpm/$(h),$(DESTDIR)$(datadir)/libalpm/hooks/$(h)) &&) :

# ---- tests; the driver calls this Makefile for what it runs

CHECK = MAKE='$(MAKE)' O='$(O)' SANITIZE='$(SANITIZE)' CLANG='$(CLANG)' tests/check

check:
	+@tests/install-deps
	+@$(CHECK) check
check-all:
	+@tests/install-deps
	+@$(CHECK) check-all
check-unit check-e2e check-faults fuzz:
	+@$(CHECK) $@

bench: all
	O='$(O)' tests/bench/run small tiny large kernels status idle

demo:
	+@tests/install-deps
	+@$(MAKE) deb
	KMODPKG_PKG="$$(echo '$(O)'/kmodpkg_*.deb)" tests/e2e/demo

deb:
	+MAKE='$(MAKE)' O='$(O)' SANITIZE='$(SANITIZE)' packaging/deb/build

rpm:
	O='$(O)' packaging/rpm/build

pacman-pkg:
	O='$(O)' packaging/pacman/build

format:
	clang-format -i $(wildcard core/*/*.[ch] core/include/*/*.h plugins/*/*.[ch] \
		tests/*.[ch] tests/*/*.[ch])

clean:
	rm -rf $(O)

-include $(shell find $(O)/core $(O)/plugins $(O)/tests $(O)/fuzz -name '*.d' -type f 2>/dev/null)
