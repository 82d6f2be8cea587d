# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Many commands at once, see lib/crowd.sh.

crowd_transaction()
{
	apt-get install "$(source_deb kmodpkg-hello)"
}

crowd_unrelated()
{
	bounded apt-get -o DPkg::Lock::Timeout=200 install /tmp/e2e-unrelated_1_all.deb
}

scenario crowd kernel long
crowd()
{
	small_deb /tmp e2e-unrelated 1
	# shellcheck source=SCRIPTDIR/../lib/crowd.sh
	. /run/e2e/lib/crowd.sh
	crowd_all
}
