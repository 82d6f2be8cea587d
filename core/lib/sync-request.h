// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests left by commands that ran below a sync; for sync.c only. */
#pragma once

#include <stdbool.h>

#include "lib/ctx.h"

/* Was a request left? It is taken: what it asks for is seen by the world loaded next. */
bool kp_sync_take_request(struct kp_ctx *ctx);
