// SPDX-License-Identifier: GPL-2.0-or-later
/* Which recipes are closed: what real module sources have in their make files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "lib/recipe-scan.h"

#define SEEN "/var/lib/dkms/x/1/build"

static const char *make_line;	  /* NULL: the default one */
static const char *includes = ""; /* make files with names of their own */

static void check(const char *text, unsigned int levels, const char *words, bool running)
{
	struct kp_scan_file file = { .levels = levels };
	_cleanup_free_ char *why = kp_scan_makefile(text, make_line, SEEN, &file);
	_cleanup_free_ char *names = kp_strv_join(file.includes, " ");

	if (!words && why)
		fail_msg("%s\n%s", text, why);
	if (words && (!why || !strstr(why, words)))
		fail_msg("%s\n'%s' does not say '%s'", text, why ? why : "closed", words);
	if (!words)
		assert_int_equal(file.running, running);
	if (!words)
		assert_string_equal(names, includes);
	kp_strv_free(file.includes);
}

static void test_closed(void **state)
{
	(void)state;
	check("", 0, NULL, false);
	check("obj-m := a.o b/\na-objs := a1.o \\\n\ta2.o\nccflags-y += -I$(src)/inc\n",
	      0, NULL, false);
	check("ifneq ($(KERNELRELEASE),)\nobj-m := x.o\nelse\n"
	      "KDIR ?= /lib/modules/$(shell uname -r)/build\nPWD := $(shell pwd)\n"
	      "all:\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\n"
	      "clean:\n\t-rm -rf *.o *.ko .tmp_versions # mine\nendif\n",
	      0, NULL, true);
	check("all:\n\t@make -C /lib/modules/`uname -r`/build M=`pwd` modules\n", 0, NULL,
	      true);
	check("V := $(shell uname -r | cut -d. -f1)\nA := $(shell uname -m)\n", 0, NULL,
	      true);
	check("A := $(shell uname -m | sed -e s/i.86/i386/)\n", 0, NULL, false);
	check("V = $(shell cat VERSION)\nx.h: x.h.in\n\tsed \"s/@V@/$(V)/\" $^ > $@\n", 0,
	      NULL, false);
	check("include $(src)/common.mk\n-include ./conf.mk\n", 0, NULL, false);
	check("KBUILD_EXTRA_SYMBOLS := $(src)/../core/Module.symvers\n", 1, NULL, false);
	/* What is not part of a build. */
	check("all:\ninstall: all\n\tif test -e $(CONF); then dracut --force; fi\n"
	      "dracut_uninstall:\n\tdracut --force\n",
	      0, NULL, false);
	check(".PHONY: all install\nKDIR = /lib/modules/$(KERNELRELEASE)/build\n"
	      "all: ; $(MAKE) -C $(KDIR) M=$(CURDIR)\n",
	      0, NULL, false);
	/* kbuild asks its compiler; that is in the key. */
	check("ccflags-y += $(call cc-option,-Wno-x)\n", 0, NULL, false);
	check("S := $(wildcard $(src)/*.c) $(wildcard *.h)\n", 0, NULL, false);
}

static void test_open(void **state)
{
	(void)state;
	check("F := $(shell pkg-config --cflags x)\n", 0, "runs 'pkg-config'", false);
	check("F := $(shell test -e /usr/include/x.h && echo -DX)\n", 0,
	      "reads '/usr/include/x.h'", false);
	check("F := $(shell grep -c x $(KDIR)/include/linux/fs.h)\n", 0,
	      "reads '$(KDIR)/include/linux/fs.h'", false);
	check("F != cat /etc/machine-id\n", 0, "reads '/etc/machine-id'", false);
	check("F := `git describe`\n", 0, "runs 'git'", false);
	check("F := $(patsubst a,b,$(shell ./configure))\n", 0, "runs './configure'",
	      false);
	check("ifeq ($(wildcard /usr/include/x.h),)\nendif\n", 0,
	      "looks for '/usr/include/x.h'", false);
	check("include /etc/x.mk\n", 0, "includes '/etc/x.mk'", false);
	check("include $(KDIR)/.config\n", 0, "includes", false);
	check("include conf.inc\n", 0, "includes 'conf.inc'", false);
	check("x.h:\n\tcp $(SYS)/x.h .\n", 0, "reads '$(SYS)/x.h'", false);
	check("x.h:\n\tcat </etc/x >$@\n", 0, "reads '/etc/x'", false);
	check("x.h:\n\tcp ../x.h .\n", 0, "reads '../x.h'", false);
	check("x.h:\n\techo $$(cat /etc/x) >$@\n", 0, "reads '/etc/x'", false);
	check("x.h:\n\techo a; for i in 1 2; do ./gen $$i; done\n", 0, "runs './gen'",
	      false);
	check("x.h: ; ./gen\n", 0, "runs './gen'", false);
	check("x.o: x.c\n\t$(CC) -c $<\n", 0, "runs '$(CC)'", false);
	check("all:\n\techo a \\\n\t  && ./gen\n", 0, "runs './gen'", false);
	check("all: x.1\nx.1:\n\thelp2man x >$@\n", 0, "runs 'help2man'", false);
	check("ifdef X\nall:\n\techo\nelse\n\t./gen\nendif\n", 0, "runs './gen'", false);
	check("install.h:\n\t./gen\n", 0, "runs './gen'", false);
	check("payload:\n\t./gen\n", 0, "runs './gen'", false);
	check("V := $(shell uname -v)\n", 0, "asks uname for '-v'", false);
	check("SHELL := /opt/sh\n", 0, "sets 'SHELL", false);
	check("export PATH := /opt:$(PATH)\n", 0, "exports 'PATH", false);
	check("KBUILD_EXTRA_SYMBOLS := /var/x/Module.symvers\n", 0, "sets", false);
	check("KBUILD_EXTRA_SYMBOLS := $(src)/../core/Module.symvers\n", 0, "climbs out",
	      false);
	check("KBUILD_EXTRA_SYMBOLS := $(src)/x /var/x/Module.symvers\n", 0, "sets",
	      false);
	check("all: KBUILD_EXTRA_SYMBOLS := /var/x\n", 0, "sets", false);
	check("export MAKEFLAGS += -I/x\n", 0, "exports 'MAKEFLAGS", false);
	check("export KDIR := /usr/src/other\n", 0, "exports", false);
	check("export\n", 0, "exports", false);
	check("vpath %.c /usr/src/x\n", 0, "has 'vpath", false);
	check("X := $(realpath /usr/src/x.h)\n", 0, "looks for '/usr/src/x.h'", false);
	check("M := /usr/src/dep\n", 0, "sets 'M", false);
	check("src := /usr/src/dep\n", 0, "sets 'src", false);
	check("PWD := $(shell pwd)\nsrc ?= $(PWD)\nM = /usr\n", 0, "sets 'M", false);
	check("x:\n\techo \"x # y\" ; ./gen\n", 0, "runs './gen'", false);
	check("x:\n\techo x # y \\\n\t./gen\n", 0, "runs './gen'", false);
	check("X := $(shell echo \"x # y\"; ./gen)\n", 0, "runs './gen'", false);
	check("X := $(shell echo /usr/src/foo-*)\n", 0, "reads '/usr/src/foo-*'", false);
	check("X := /usr/src/foo-*\n", 0, "looks for '/usr/src/foo-*'", false);
	check("x.h: /usr/src/x.h\n\tcp $< $@\n", 0, "reads '$", false);
	check("x.h:\n\tgrep -f/etc/x y\n", 0, "reads '-f/etc/x'", false);
	check("x.h:\n\tsed 'r /etc/x' y\n", 0, "has a program", false);
	check("x.h:\n\tawk '{ getline <\"/etc/x\" }' y\n", 0, "has a program", false);
	check("x.h:\n\tsed 's/a/b/e;s/c/d/' y\n", 0, "has a program", false);
	check("x.h:\n\tsed -f prog y\n", 0, "has a program", false);
	check("MAKEFLAGS += -I/x\n", 0, "sets 'MAKEFLAGS", false);
	check("x.h:\n\tmv /etc/x .\n", 0, "reads '/etc/x'", false);
	check("x.h:\n\tcat .git/HEAD\n", 0, "reads '.git/HEAD'", false);
	check("x-objs := ../../y.o\n", 1, "climbs out with '../../y.o'", false);
	check("ccflags-y += -fplugin=/x.so\n", 0, "has '-fplugin'", false);
	check("include sub/Makefile\n", 0, "includes 'sub/Makefile'", false);
	check("$(A)TH := /x\n", 0, "sets", false);
	check("X := $(eval A)\n", 0, "uses the function 'eval'", false);
	check("X := $(file </etc/x)\n", 0, "uses the function 'file'", false);
	check("define gen\n./gen\nendef\n", 0, "has 'define gen'", false);
	check("X := `\n", 0, "has an open", false);
	check("all: X != cat /usr/share/x\n", 0, "reads '/usr/share/x'", false);
	check("x:\n\tawk 'BEGIN{ARGV[1]=\"/x\";ARGC=2}{print}'\n", 0, "has a program",
	      false);
	check("UP := ..\nx:\n\tcat ./$(UP)/$(UP)/x\n", 1, "climbs out", false);
	check("UP=../\nx:\n\tcat ./$(UP)$(UP)x\n", 1, "climbs out", false);
	check("x:\n\tcat \\/usr/share/x\n", 0, "reads '/usr/share/x'", false);
	check("x:\n\tcat .\\./x\n", 0, "reads '../x'", false);
	check("V := $(shell uname -n)\n", 0, "asks uname for '-n'", false);
}

/* Flags by which programs read files that no dependency file names. */
static void test_flags(void **state)
{
	static const char *const good[] = {
		"ldflags-y := -T $(src)/x.lds -T$(src)/sub/x.lds",
		"ccflags-y += -I$(src)/inc -I/usr/include/x -I /usr/include/y -DP=\\\"/x\\\"",
		"ccflags-$(CONFIG_X) += -include $(src)/x.h -include /usr/include/x.h",
		"ccflags-y += -Wa,-I$(src)/x -I$(PREFIX)/x -Wno-x -std=gnu99 $(W)",
		"CFLAGS_x.o := -fmacro-prefix-map=$(src)/= -mcmodel=large",
		"EXTRA_CFLAGS += $(shell pwd)/x",
		"x:\n\t$(MAKE) EXTRA_CFLAGS=\"-DX -I.\" sub",
	};
	static const char *const bad[] = {
		"ldflags-y := -T /usr/share/x.lds",
		"ldflags-y := -T/usr/share/x.lds",
		"ldflags-y := -L/usr/lib/foo",
		"ldflags-y := $(src)/x.o -lfoo",
		"ldflags-$(CONFIG_X) := /x.o",
		"LDFLAGS_a.o := /usr/lib/foo/blob.o",
		"LDFLAGS_$(X).o := /usr/lib/foo/blob.o",
		"EXTRA_LDFLAGS += /usr/lib/foo/blob.o",
		"EXTRA_LDFLAGS += $(BLOB)",
		"EXTRA_LDFLAGS += -DX $(TWO)",
		"EXTRA_LDFLAGS += -L$(PREFIX)/x",
		"ccflags-y += @/usr/share/x.opts",
		"ccflags-y += -Wl,@/usr/share/x.opts",
		"ccflags-y += -fauto-profile=/x",
		"asflags-y += -Wa,-I/usr/share/x",
		"a.o: ccflags-y += @/x",
		"x:\n\t$(MAKE) EXTRA_LDFLAGS=-lfoo sub",
		"x:\n\tKCFLAGS=@/x $(MAKE)",
		"x:\n\tKCFLAGS=\"-DX @/x\" $(MAKE)",
	};
	static const char vars[] =
		"PREFIX := /usr\nW = -W\nBLOB := $(PREFIX)/x.o\n"
		"ifdef X\nTWO := -DX\nelse\nTWO = /x.o $(TWO)\nendif\n";

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *text = kp_strf("%s%s\n", vars, good[i]);

		check(text, 0, NULL, false);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *text = kp_strf("%s%s\n", vars, bad[i]);

		check(text, 0, " '", false);
	}
}

#define KDIR "KDIR ?= /lib/modules/$(shell uname -r)/build\n"

/* Calls of make, whose arguments can say anything. */
static void test_calls_of_make(void **state)
{
	static const char *const good[] = {
		"$(MAKE) -C $(KDIR) M=$(PWD) $@",
		"$(MAKE) -C sub",
		"$(MAKE) -C sub all",
		"$(MAKE) X=y other",
		"$(MAKE) -j4 --no-print-directory -C $(KDIR)/ M=`pwd` modules_install",
		"KCFLAGS=-DX $(MAKE) EXTRA_CFLAGS=-DX -C $(KDIR) M=\"$(PWD)\" modules",
		"$(MAKE) -C /lib/modules/`uname -r`/build M=$(PWD)/sub KDIR=$(KDIR)",
	};
	static const char *const bad[] = {
		"$(MAKE) KBUILD_EXTRA_SYMBOLS=/usr/src/dep-1/Module.symvers",
		"KBUILD_EXTRA_SYMBOLS=/usr/src/dep-1/Module.symvers $(MAKE)",
		"$(MAKE) SHELL=/x",
		"$(MAKE) MAKEFILES=/x",
		"$(MAKE) -C $(KDIR) M=$(PWD) LD=/opt/ld",
		"$(MAKE) -f Makefile.linux",
		"make -C /usr/src/other",
		"make -C $(OTHER)",
		"make -C ../other",
		"$(MAKE) --eval=x:",
		"$(MAKE) -I/x",
		"$(MAKE) $(GOAL)",
		"$(MAKE) -C sub dkms",
		"$(MAKE) -C $(KDIR) M=/usr/src/other",
		"$(MAKE) -C $(KDIR) M=$(OTHER)",
		"$(MAKE) OTHER=/usr/src/other",
		"$(MAKE) -C /lib/modules/5.10.0/build M=$(PWD)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		_cleanup_free_ char *text = kp_strf(KDIR "all:\n\t%s\n", good[i]);

		check(text, 0, NULL, true);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		_cleanup_free_ char *text = kp_strf(KDIR "all:\n\t%s\n", bad[i]);

		check(text, 0, " '", false);
	}
	check("KDIR := /usr/src/other\nall:\n\t$(MAKE) -C $(KDIR) M=$(PWD)\n", 0,
	      "enters '$(KDIR)'", false);
	check("K := $(L)/$(shell uname -r)\nL = /lib/modules\nall:\n"
	      "\tmake -C \"$(K)/build\" M=$(PWD)\n",
	      0, NULL, true);
}

/* What a build does depends on what is asked for, and not only on names. */
static void test_passed_over(void **state)
{
	static const char gen[] = "all: x.o\ndkms:\n\tpkg-config foo >flags.mk\n";

	(void)state;
	check(gen, 0, NULL, false);
	make_line = "make dkms";
	check(gen, 0, "runs 'pkg-config'", false);
	make_line = NULL;
	check("all: dkms-conf\ndkms-conf:\n\tpkg-config foo >x\n", 0, "runs 'pkg-config'",
	      false);
	check("dkms-conf:\n\tpkg-config foo >x\nall:\n", 0, "runs 'pkg-config'", false);
	check("all: a\na: b-load\nb-load:\n\tpkg-config foo >x\n", 0, "runs 'pkg-config'",
	      false);
	check("all:\n\t$(MAKE) dkms\ndkms:\n\tpkg-config foo >x\n", 0,
	      "runs 'pkg-config'", false);
	check("T := dkms\nall: $(T)\ndkms:\n\tpkg-config foo >x\n", 0,
	      "runs 'pkg-config'", false);
	check("all: x.1\nx.1:\n\thelp2man x >$@\n", 0, "runs 'help2man'", false);
	check("ifdef X\nall:\nelse\ndkms:\n\tpkg-config foo >x\nendif\n", 0,
	      "runs 'pkg-config'", false);
	/* Nobody asks for "dev". */
	check("all:\ndev: dkms-add\ndkms-add:\n\tdkms add .\n", 0, NULL, false);
	check("all:\ninstall-man: x.1\nx.1: x\n\thelp2man x >$@\n", 0, NULL, false);
}

/* Which are scanned, too: known by their names, wherever they are. */
static void test_includes(void **state)
{
	(void)state;
	includes = "conf settings.* *.Kbuild";
	check("include $(src)/conf\n-include ${M}/d/settings.* $(obj)/*.Kbuild\n", 0,
	      NULL, false);
	includes = "conf";
	make_line = "make A=" SEEN " B=/usr/src/linux C=" SEEN "/.. D=" SEEN "/d E=e";
	check("include ${A}/conf\n", 0, NULL, false);
	check("include ${D}/conf\n", 0, NULL, false);
	check("include $(A)/../conf\n", 1, "includes", false);
	check("include $(A)conf\n", 0, "includes", false);
	check("include $(A)/$(X)\n", 0, "includes", false);
	check("A = /etc\ninclude $(A)/conf\n", 0, "includes", false);
	check("include $(B)/conf\n", 0, "includes", false);
	check("include $(C)/conf\n", 0, "includes", false);
	check("include $(E)/conf\n", 0, "includes", false);
	check("include $(F)/conf\n", 0, "includes", false);
	check("include $(A)/*c*\n", 0, "includes", false);
	check("include $(A)/con?\n", 0, "includes", false);
	check("include $(A)/[c]onf\n", 0, "includes", false);
	check("include $(A)/\n", 0, "includes", false);
	check("include conf\n", 0, "includes", false);
	make_line = NULL;
	includes = "";
}

static void test_make_line(void **state)
{
	static const char *const headers[] = { "/lib/modules/6.1/build", NULL };
	static const char *const good[] = {
		"make",
		"make all KDIR=/lib/modules/6.1/build",
		"make -C /lib/modules/6.1/build M=/var/lib/dkms/x/1/build modules",
		"'make' -j4 -C \"src\" KVER=$kernelver",
		"make KVER=6.1 -C /var/lib/dkms/x/1/build",
		"make -C ${kernel_source_dir} M=$PWD",
		"make M=" SEEN "/a modules ; find " SEEN
		" -name '*.ko' -exec mv -v {} " SEEN " \\;",
		"make && find " SEEN "/a -type f -name \"x.ko\" -exec mv {} " SEEN
		"/b ';'",
	};
	static const char *const bad[] = {
		"./configure && make",
		"make; mv a b",
		"make -f other.mk",
		"make -C /usr/src/other",
		"make -C ../other",
		"make -C",
		"sh build.sh",
		"make X=`nproc`",
		"make X=$(pkg-config x)",
		"make KBUILD_EXTRA_SYMBOLS=/x",
		"make SHELL=/x",
		"make M=/usr/src/other",
		"make KDIR=/usr/src/other",
		"make KVER=5.10.0",
		"make MAKEFILES=/x",
		"make MAKEFLAGS=-I/x",
		"make LD=/opt/ld",
		"make -C /lib/modules/6.1/build-2",
		"make EXTRA_LDFLAGS=\"-T /x\"",
		"make KCFLAGS=@/x",
		"make LDFLAGS=-lfoo",
		"make || find " SEEN " -name x -exec cp {} " SEEN " \\;",
		"make; find /etc -name '*.ko' -exec mv {} " SEEN " \\;",
		"make; find " SEEN "-2 -name '*.ko' -exec mv {} " SEEN " \\;",
		"make; find " SEEN "/.. -name '*.ko' -exec mv {} " SEEN " \\;",
		"make; find -L " SEEN " -name '*.ko' -exec mv {} " SEEN " \\;",
		"make; find " SEEN " -newer /etc/x -exec mv {} " SEEN " \\;",
		"make; find " SEEN " -name '*.ko' -exec mv {} /etc \\;",
		"make; find " SEEN " -name '*.ko' -exec mv /etc/x " SEEN " \\;",
		"make; find " SEEN " -name '*.ko' -exec sh {} " SEEN " \\;",
		"make; find " SEEN " -name '*.ko' -exec mv {} " SEEN " \\; -ls",
		"make; find " SEEN " -name '*.ko' -exec mv {} " SEEN " \\; ; x",
		"make; find " SEEN " -name `x` -exec mv {} " SEEN " \\;",
		"make; find " SEEN " -name Makefile -exec mv {} " SEEN " \\;",
		"make; find " SEEN " -exec mv {} " SEEN " \\;",
		"make; find " SEEN " -exec mv",
		"make; find " SEEN " -name",
		"make; find",
		"sh x; find " SEEN " -name '*.ko' -exec mv {} " SEEN " \\;",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		_cleanup_free_ char *why = kp_scan_make_line(good[i], SEEN, headers);

		if (why)
			fail_msg("%s: %s", good[i], why);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		_cleanup_free_ char *why = kp_scan_make_line(bad[i], SEEN, headers);

		if (!why)
			fail_msg("'%s' is not refused", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),	      cmocka_unit_test(test_open),
		cmocka_unit_test(test_calls_of_make), cmocka_unit_test(test_passed_over),
		cmocka_unit_test(test_make_line),     cmocka_unit_test(test_includes),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests_name("recipe-scan", tests, NULL, NULL);
}
