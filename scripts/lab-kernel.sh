#!/usr/bin/env bash
# Puts one of Debian's kernels into the user's cache folder and prints the folder: scripts/lab-kernel.sh 6.1
#
# The kernel comes from its Debian package, downloaded and unpacked but never installed: installing it would add a
# boot entry to this machine. The folder then holds
#   vmlinux             the ELF image (a VM starts it directly: nothing to decompress, which takes seconds in emulation)
#   release             the version, as `uname -r` will print it
#   lib/modules/…       the modules a network lab can need, decompressed for the same reason
set -euo pipefail

series=${1:?usage: lab-kernel.sh SERIES, for example 6.1}
# The number after "kernels" names the layout: raise it when what is stored changes.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vpcctl/kernels-1
folder=$cache/$series

fail() {
    echo "lab-kernel: $*" >&2
    exit 1
}

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# The newest plain kernel of the series: not the cloud, rt or debug flavours.
newest_package() {
    apt-cache pkgnames "linux-image-$series." |
        grep -E "^linux-image-${series//./\\.}\.[0-9]+(-[0-9]+)?(\+deb[0-9]+)?-amd64$" |
        sort -V | tail -n 1
}

# The compressed ELF image inside a bzImage; where it lies is in the boot header (Documentation/arch/x86/boot.rst of the
# kernel: setup_sects, payload_offset, payload_length). Its last four bytes are its length, which the decompressors do
# not want.
extract_vmlinux() {
    local image=$1 sectors offset length magic decompress
    sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$image")
    offset=$(od -An -tu4 -j $((0x248)) -N 4 "$image")
    length=$(od -An -tu4 -j $((0x24c)) -N 4 "$image")
    offset=$(((sectors + 1) * 512 + offset))
    magic=$(od -An -tx1 -j "$offset" -N 4 "$image" | tr -d ' ')
    case $magic in
        fd377a58) decompress="xz -dc" ;;
        28b52ffd) decompress="zstd -dcq" ;;
        1f8b08*) decompress="gzip -dc" ;;
        *) fail "$image: unknown compression (magic $magic)" ;;
    esac
    # dd rather than tail | head: a reader that stops early would fail the pipeline.
    dd if="$image" iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) bs=1M status=none | $decompress
}

unpack() {
    local deb=$1 to=$2 package release
    package=$to/package
    mkdir "$package"
    dpkg -x "$deb" "$package"
    # Debian before and after the merge of /lib into /usr.
    [[ -d $package/lib/modules ]] || mv "$package/usr/lib" "$package/lib"
    release=$(basename "$package"/lib/modules/*)
    extract_vmlinux "$package/boot/vmlinuz-$release" >"$to/vmlinux"
    mkdir -p "$to/lib/modules"
    # Without graphics, sound, storage and the like it is a quarter of the size.
    (cd "$package/lib/modules/$release/kernel" &&
        find sound drivers -mindepth 1 -maxdepth 1 ! -name net ! -name virtio ! -name char -exec rm -rf {} + &&
        find drivers/net -mindepth 1 -maxdepth 1 -type d \
            ! -name vxlan ! -name wireguard ! -name bonding ! -name team ! -name ipvlan ! -name netdevsim \
            -exec rm -rf {} +)
    mv "$package/lib/modules/$release" "$to/lib/modules/"
    find "$to/lib/modules" -name '*.ko.xz' -exec xz -dT 1 {} +
    # -e is left out: modules that lean on what was just removed stay behind and are never loaded.
    depmod -b "$to" "$release"
    echo "$release" >"$to/release"
    rm -rf "$package"
}

if [[ ! -d $folder ]]; then
    [[ $(uname -m) == x86_64 ]] || fail "the lab's kernels are amd64 packages; this machine is $(uname -m)"
    PATH=$PATH:/usr/sbin:/sbin
    for tool in apt-get dpkg xz zstd depmod; do
        command -v "$tool" >/dev/null || fail "'$tool' is missing; run 'make setup' first"
    done
    mkdir -p "$cache"
    # One download at a time; whoever waited finds it done.
    exec 9>"$cache/$series.lock"
    flock 9
    if [[ ! -d $folder ]]; then
        package=$(newest_package || true)
        if [[ -z $package ]]; then
            as_root apt-get update -q >&2
            package=$(newest_package || true)
        fi
        [[ -n $package ]] || fail "no Linux $series in this system's package lists (linux-image-$series.*-amd64)"
        echo "lab-kernel: downloading $package into $cache" >&2
        # Everything happens in a folder beside the final one, renamed at the end: a run that is cut off leaves nothing
        # that could be taken for a kernel, and what it leaves goes first.
        rm -rf "$cache/$series".part.*
        work=$(mktemp -d "$cache/$series.part.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        trap 'exit 130' INT TERM HUP
        mkdir "$work/deb" "$work/kernel"
        # As root apt would change to a user who cannot write here, and warn; the package's hash is checked either way.
        download() { (cd "$work/deb" && apt-get download -q -o APT::Sandbox::User=root "$package" >&2); }
        # The lists can be older than the archive, which forgets superseded versions.
        if ! download; then
            as_root apt-get update -q >&2
            package=$(newest_package)
            download || fail "could not download $package"
        fi
        unpack "$work"/deb/*.deb "$work/kernel"
        chmod 755 "$work/kernel"
        mv -T "$work/kernel" "$folder"
    fi
fi
echo "$folder"
