// SPDX-License-Identifier: GPL-2.0-or-later
/* Time that goes on evenly whatever is set: for waits, limits and how long something took. */
#pragma once

#include <stdint.h>

/* Milliseconds since some moment before this system's start. */
int64_t kp_now_ms(void);
