#!/usr/bin/env bash
# Packs what `make build` made as a Debian package: `make deb`. The packages are put into .build/deb: vpcctl_*.deb, and
# vpcctl-dbgsym_*.deb with the debugging symbols. The same programs give the same bytes.
#
#   DEB_VERSION   another version than that of packaging/debian/changelog
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "deb: $*" >&2
    exit 1
}

for tool in dpkg-buildpackage dh chrpath lintian python3; do
    command -v "$tool" >/dev/null || fail "'$tool' is missing; run 'make deb', which installs it"
done
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
for program in vpcctl vpclab vpcd vpcgw; do
    [[ -x .build/release/$program ]] || fail ".build/release/$program is missing; run 'make build' first"
    told=$(.build/release/$program --version)
    [[ $told == "${version%-*}" ]] || fail "$program is version $told, packaging/debian/changelog says $version"
    if readelf -d ".build/release/$program" | grep -q 'NEEDED.*libswift'; then
        fail "$program needs Swift's shared libraries; run 'make build' first"
    fi
done

work=$PWD/.build/deb
rm -rf "$work"
mkdir -p "$work/vpcctl"
cp -a packaging/debian "$work/vpcctl/debian"
if [[ -n ${DEB_VERSION:-} ]]; then
    sed -i "1s/([^)]*)/($DEB_VERSION)/" "$work/vpcctl/debian/changelog"
fi
# The time of everything in the package is that of the changelog, whenever it is built.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)}
export SOURCE_DATE_EPOCH TOP=$PWD
umask 022
(cd "$work/vpcctl" && dpkg-buildpackage --build=binary --no-sign) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "dpkg-buildpackage failed; the whole log is $work/log"
}
rm -rf "$work/vpcctl"
lintian --allow-root --fail-on error,warning "$work"/*.changes
ls -l "$work"/*.deb
