#!/usr/bin/env bash
# The demonstration: two tenants with the same addresses on three hosts, from the manifest to packets on the wire.
# Runs on a kernel with GRE and VRF devices, in a virtual machine if need be (scripts/lab.sh). `make demo` builds first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${VPCCTL_DEMO_INSIDE:-} != 1 ]]; then
    [[ -t 1 ]] || export NO_COLOR=1
    [[ -x .build/release/vpclab ]] || {
        echo "demo: .build/release/vpclab is missing; run 'make build' first" >&2
        exit 1
    }
    if [[ -z ${NO_COLOR:-} ]]; then export VPCCTL_DEMO_COLOR=1; fi
    echo "demo: starting; without GRE and VRF here, that is a virtual machine"
    export VPCCTL_DEMO_INSIDE=1
    exec scripts/lab.sh -- "$PWD/scripts/demo.sh"
fi

PATH=$PWD/.build/release:$PATH
manifest=Examples/two-tenants.yaml
hosts=(h1 h2 h3)
underlay=two-tenants-underlay
pair=Examples/nat-pair.yaml
gateways=/run/vpclab/nat-pair

bold=() plain=()
if [[ ${VPCCTL_DEMO_COLOR:-} == 1 ]]; then bold=($'\e[1m') plain=($'\e[0m'); fi
step() { printf '\n%s== %s%s\n' "${bold[*]}" "$*" "${plain[*]}"; }
# Shows a command before it runs.
show() {
    echo "\$ $*"
    "$@"
}
on() { ip netns exec "$@"; }

background=()
cleanup() {
    for process in "${background[@]}"; do kill "$process" 2>/dev/null || true; done
    vpclab down -f "$manifest" >/dev/null || true
    vpclab down -f "$pair" >/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step "Three hosts and their guests as network namespaces, nothing applied yet"
show vpclab up --no-apply -f "$manifest"

step "What vpcctl would do on h1 (exit status 2: changes are pending)"
echo "\$ ip netns exec h1 vpcctl plan -f $manifest --host h1"
status=0
plan=$(on h1 vpcctl plan -f "$manifest" --host h1) || status=$?
head -n 12 <<<"$plan"
echo "  … $(wc -l <<<"$plan") lines in all, status $status"
[[ $status -eq 2 ]]

step "Applied on every host"
for host in "${hosts[@]}"; do show ip netns exec "$host" vpcctl apply -f "$manifest" --host "$host"; done

step "Applied again: nothing to do"
for host in "${hosts[@]}"; do show ip netns exec "$host" vpcctl apply -f "$manifest" --host "$host"; done

step "Probes with real packets: what must be reachable is, what must not is not"
show vpclab test -f "$manifest"

step "On the wire: GRE, the key is the VPC's id (101 is 0x65)"
on blue-web1 ping -q -i 0.2 -w 20 10.0.1.12 >/dev/null &
background+=($!)
show ip netns exec "$underlay" timeout 20 tcpdump -i h1 -n -c 1 -t proto gre 2>/dev/null
kill "${background[-1]}"
wait "${background[-1]}" 2>/dev/null || true
unset 'background[-1]'

step "Throughput between guests on different hosts"
on blue-web2 iperf3 --server --one-off >/dev/null &
background+=($!)
for _ in {1..100}; do
    if [[ -n $(on blue-web2 ss -ltnH 'sport = :5201') ]]; then break; fi
    sleep 0.1
done
echo "\$ ip netns exec blue-web1 iperf3 -c 10.0.1.12 -t 3"
on blue-web1 iperf3 -c 10.0.1.12 -t 3 -f m | grep -E 'receiver|error'

step "Removed from h1, and everything taken down"
show ip netns exec h1 vpcctl delete --yes --host h1
show vpclab down -f "$manifest"

step "A NAT gateway on two hosts, of which one stands by"
show vpclab up -f "$pair"
show vpcctl gateway --socket $gateways/gw1.vpcgw.sock

step "A connection from inside to the internet, and the active gateway dies"
on internet-inet iperf3 --server --one-off >/dev/null &
background+=($!)
for _ in {1..100}; do
    if [[ -n $(on internet-inet ss -ltnH 'sport = :5201') ]]; then break; fi
    sleep 0.1
done
echo "\$ ip netns exec app1 iperf3 -c 198.51.100.7 -t 8 -b 4M"
on app1 iperf3 -c 198.51.100.7 -t 8 -b 4M -f m >/tmp/vpcctl-demo.iperf &
transfer=$!
sleep 3
for device in u0 wan0; do show ip netns exec gw1 ip link set $device down; done
wait $transfer
grep -E '^\[|receiver|error' /tmp/vpcctl-demo.iperf
show vpcctl gateway --socket $gateways/gw2.vpcgw.sock
show vpclab down -f "$pair"
trap - EXIT
echo
echo "demo: done in $SECONDS s"
