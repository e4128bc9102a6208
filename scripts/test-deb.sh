#!/usr/bin/env bash
# Tests the package of `make deb` in a clean Debian 12 without Swift: installs it, uses it, upgrades it, removes and
# purges it, and looks at what each leaves. `make test-deb`.
#
# First in a chroot; then on Debian's kernel (scripts/lab.sh), with systemd as its first process and the unit's whole
# sandbox around the daemon (scripts/test-unit.sh). The clean system is made by debootstrap once and kept in the user's
# cache folder; the first run takes minutes and the network, later ones neither.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "test-deb: $*" >&2
    exit 1
}

if [[ $EUID -ne 0 ]]; then exec sudo --preserve-env "$PWD/scripts/test-deb.sh" "$@"; fi
for tool in debootstrap unshare; do
    command -v "$tool" >/dev/null || fail "'$tool' is missing; run 'make test-deb', which installs it"
done
packages=(.build/deb/vpcctl_*.deb)
[[ -f ${packages[0]} && ${#packages[@]} -eq 1 ]] || fail "no package, or several, in .build/deb; run 'make deb' first"

work=$PWD/.build/test-deb
root=$work/root
# Beside the package, for scripts/test-unit-inside.sh.
tools=(iproute2 iputils-ping)
# The number names the layout: raise it when what is stored changes.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vpcctl/debian-12-1.tar

make_clean_system() {
    rm -rf "$work"
    mkdir -p "$root"
    if [[ ! -f $cache ]]; then
        echo "test-deb: making a Debian 12 in $cache" >&2
        mkdir -p "$(dirname "$cache")"
        debootstrap --variant=minbase --include=systemd,systemd-sysv bookworm "$root" >"$work/debootstrap.log" 2>&1 ||
            fail "debootstrap failed; $work/debootstrap.log says why"
        find "$root/var/cache/apt/archives" -name '*.deb' -delete
        tar -C "$root" -cf "$cache.new" .
        mv "$cache.new" "$cache"
    else
        tar -C "$root" -xf "$cache"
    fi
}

add_test() {
    cp "${packages[0]}" "$root/package.deb"
    cp scripts/test-deb-inside.sh scripts/test-unit-inside.sh scripts/checks.sh "$root/"
}

# What apt has to fetch to install the package is kept with the clean system.
fetch_dependencies() {
    local apt=(apt-get -q -y --no-install-recommends --download-only install /package.deb "${tools[@]}")
    if unshare --net chroot "$root" "${apt[@]}"; then return; fi >"$work/apt.log" 2>&1
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    { chroot "$root" apt-get -q update && chroot "$root" "${apt[@]}"; } \
        >"$work/apt.log" 2>&1 || fail "what the package depends on cannot be fetched; $work/apt.log says why"
    rm "$root"/*.deb "$root"/*.sh
    tar -C "$root" -cf "$cache.new" .
    mv "$cache.new" "$cache"
    add_test
}

# Runs a part of the test inside, with its own processes, mounts and network, in which nothing is reachable.
inside() {
    unshare --mount --pid --net --fork sh -euc "
        mount -t proc proc '$root/proc'
        mount -t devpts devpts '$root/dev/pts' -o ptmxmode=666
        exec chroot '$root' env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 bash /test-deb-inside.sh $1"
}

trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
make_clean_system
add_test
fetch_dependencies
echo "== in a chroot"
for part in first_installation upgrade removal; do inside "$part"; done

echo "== with systemd, kernel ${KERNEL:-6.1}"
inside with_tools
VPCCTL_LAB_TIMEOUT=900 scripts/lab.sh --kernel "${KERNEL:-6.1}" -- "$PWD/scripts/test-unit.sh" "$root"
echo "== all is as it shall be"
