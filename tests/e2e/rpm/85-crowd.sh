# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Many commands at once, see lib/crowd.sh.

crowd_transaction()
{
	rpm -U "$(source_rpm kmodpkg-hello)"
}

# Where nobody sits at a terminal, rpm does not wait for its lock.
crowd_unrelated()
{
	insist rpm -U "$unrelated"
}

scenario crowd kernel long
crowd()
{
	local unrelated
	unrelated=$(small_rpm e2e-unrelated 1)
	# shellcheck source=SCRIPTDIR/../lib/crowd.sh
	. /run/e2e/lib/crowd.sh
	crowd_all
}
