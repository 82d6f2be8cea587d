#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in a root: write the index of the local repository and have apt read it, and it alone.
set -euo pipefail

cd /srv/e2e/repo
for deb in *.deb; do
	[ -e "$deb" ] || continue
	dpkg-deb -f "$deb"
	printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" \
		"$(sha256sum "$deb" | cut -d ' ' -f 1)"
done >Packages.new
mv Packages.new Packages
apt-get update -q -o Dir::Etc::SourceList=/etc/apt/sources.list.d/e2e.list \
	-o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=false
