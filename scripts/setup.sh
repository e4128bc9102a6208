#!/usr/bin/env bash
# Installs what building and testing need, as far as it is missing: `make setup`. For Debian 12 and its like; asks sudo
# when it is not root. With everything in place it takes no time and no network. Packages named as arguments come on top.
#
#   KERNEL   the lab's kernels to fetch (6.1)
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

packages=(
    # to build
    git make pkg-config libmnl-dev libyaml-dev libnl-3-dev libnl-route-3-dev libssl-dev
    # for the lab's virtual machine (scripts/lab.sh)
    qemu-system-x86 busybox-static kmod zstd xz-utils python3
    # what tests and the demo compare with and probe with
    iproute2 nftables iptables conntrack tcpdump iperf3 iputils-ping procps
    # other hands at BFD
    bird2 frr
    # load balancers of HTTP
    haproxy openssl
    # guests that ask for their addresses
    udhcpc isc-dhcp-client dhcpcd-base
    # an independent client of the API, and what judges its answers
    curl python3-jsonschema python3-prometheus-client
    # for `make lint`
    shellcheck
    "$@"
)

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is not a Debian system; install by hand: ${packages[*]}" >&2
    exit 1
fi
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
    grep -qx "installed $package" <<<"$installed" || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    echo "setup: installing ${missing[*]}"
    # Another apt may be at work: wait for it.
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
    as_root "${apt[@]}" update
    # Routing daemons are for namespaces of the tests: none is to speak for this machine (invoke-rc.d(8)).
    policy=/usr/sbin/policy-rc.d
    if [[ -e $policy ]]; then policy=; fi
    if [[ -n $policy ]]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
    fi
    as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
    if [[ -n $policy ]]; then as_root rm -f "$policy"; fi
    # Nor after the next start.
    for service in bird frr haproxy; do
        if [[ " ${missing[*]} " == *" $service"* ]] && command -v systemctl >/dev/null; then
            as_root systemctl disable "$service" >/dev/null 2>&1 || true
        fi
    done
fi

# Where the running kernel has all it takes, the lab needs no other unless asked for one by number.
for kernel in ${KERNEL:-6.1}; do
    if [[ $kernel != host ]]; then "$scripts/lab-kernel.sh" "$kernel" >/dev/null; fi
done

if ! command -v swift >/dev/null; then
    cat >&2 <<'EOF'
setup: Swift is missing, and this script does not install it. Get a toolchain, 6.2 or newer, for this system from
       https://www.swift.org/install/linux and put its usr/bin folder into PATH. All else is in place.
EOF
    exit 1
fi
