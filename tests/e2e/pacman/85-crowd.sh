# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Many commands at once, see lib/crowd.sh.

crowd_transaction()
{
	pacman --noconfirm -U "$hello"
}

# pacman does not wait for its lock.
crowd_unrelated()
{
	insist pacman --noconfirm -U "$unrelated"
}

scenario crowd kernel long
crowd()
{
	local hello unrelated
	hello=$(source_file kmodpkg-hello)
	mkdir /tmp/empty
	unrelated=$(make_package unrelated 1 /tmp/empty)
	# shellcheck source=SCRIPTDIR/../lib/crowd.sh
	. /run/e2e/lib/crowd.sh
	crowd_all
}
