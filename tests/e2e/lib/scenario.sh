#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs inside a root: one scenario, or the making of a layer.
#
# usage: scenario.sh FILE FUNCTION
set -eEuo pipefail

# A command that fails without having said so through fail().
trap 'rc=$?; [ $BASH_SUBSHELL -gt 0 ] ||
	printf "FAILED: %s:%s: status %s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" $rc "$BASH_COMMAND" >&2' ERR

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/assert.sh
. "$here/assert.sh"
# shellcheck source=SCRIPTDIR/inside.sh
. "$here/inside.sh"
# shellcheck source=/dev/null
. "$here/../$MANAGER/assert.sh"
# shellcheck source=/dev/null
. "$here/../$MANAGER/inside.sh"

# The registrations in a file of scenarios mean nothing here.
scenario()
{
	:
}

# shellcheck source=/dev/null
. "$here/../$1"
: >/var/log/e2e-initramfs
# Where a kmodpkg that is made with the sanitizers reports (tests/sanitize.c).
mkdir -m 1777 /run/sanitizer-reports
"$2"
[[ $2 == layer_* ]] || assert_system
assert_no_reports
echo "finished $2"
