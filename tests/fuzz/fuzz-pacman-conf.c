// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stdint.h>

#include "../../plugins/alpm/conf.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void include(const char *pattern, void *data)
{
	(void)data;
	assert(pattern[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_pacman_conf_clear) struct kp_pacman_conf conf = { 0 };
	_cleanup_free_ char *text = kp_malloc(size + 1);

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	kp_pacman_conf_parse(&conf, text, include, NULL);
	assert(!conf.dbpath || (conf.dbpath[0] == '/' && !strchr(conf.dbpath, '\n')));
	assert(!conf.logfile || conf.logfile[0] == '/');
	kp_strv_foreach(dir, conf.hookdirs)
		assert(**dir == '/' && !strchr(*dir, ' '));
	return 0;
}
