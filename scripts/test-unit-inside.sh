#!/usr/bin/env bash
# The part of scripts/test-unit.sh that runs inside the system that systemd has started: the daemon in its whole sandbox
# on a real kernel, with guests, drift, a kill, upgrades and removal, while traffic flows.
set -euo pipefail
# shellcheck source=scripts/checks.sh
source /checks.sh

manifest=/usr/share/doc/vpcctl/examples/one-host.yaml
property() { systemctl show --value --property "$1" vpcd; }
status_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status"; }
phase() { vpcctl status -o json | sed -n 's/^  "phase": "\(.*\)",*/\1/p'; }
ping_once() { ip netns exec web1 ping -q -c 1 -W 5 10.0.1.12; }
install_package() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@" install /package.deb
}

# Runs a command and waits for an event that it causes, as `vpcctl watch` tells it.
causes() {
    local event=$1 line
    shift
    exec 5< <(exec vpcctl watch --tail 1 --timeout 60s -o json)
    # The last event of before: from here on nothing is missed.
    read -ru 5 line
    "$@"
    until [[ $line == *"\"$event\""* ]]; do read -ru 5 line || return 1; done
    exec 5<&-
}

# Packets all the time, and at the end none may be missing.
begin_traffic() {
    ip netns exec web1 ping -i 0.2 10.0.1.12 >/tmp/ping &
    traffic=$!
}
no_packet_was_lost() {
    # Just after an answer, so that none is on its way.
    grep -q -m 1 'bytes from' <(exec tail -n 0 -f /tmp/ping)
    kill -INT "$traffic"
    while kill -0 "$traffic" 2>/dev/null; do sleep 0.1; done
    tail -n 4 /tmp/ping
    contains ' 0% packet loss' /tmp/ping
}

it_starts() {
    # From then on questions are answered.
    until [[ -S /run/systemd/private ]]; do sleep 0.1; done
    until [[ $(property ActiveState) == active ]] || (($(property NRestarts) > 2)); do sleep 0.2; done
    check "the daemon has said that it is ready" prints active systemctl is-active vpcd
    check "with five capabilities and no more" prints 00000000002c3000 status_of CapEff
    check "which bound it" prints 00000000002c3000 status_of CapBnd
    check "no program it starts gets others" prints 1 status_of NoNewPrivs
    check "system calls are filtered" prints 2 status_of Seccomp
    check "the socket is root's and the group's" \
        prints "root:vpcctl 660" stat -c '%U:%G %a' /run/vpcctl/vpcd.sock
    check "revisions are root's alone" prints "root:root 750" stat -c '%U:%G %a' /var/lib/vpcctl
    check "without a desired state nothing is touched" prints_nothing vpcctl get --host h1 --no-agent -o name
    check "and it says so" contains "nothing is touched" <(journalctl --no-pager -u vpcd)
    check "root may ask" vpcctl status
    check "others may not" ends_with 77 as nobody nogroup vpcctl status
    check "the group may" as nobody vpcctl vpcctl status
}
as() { setpriv --reuid "$1" --regid "$2" --clear-groups "${@:3}"; }

it_works() {
    ip link add u0 type dummy
    ip address add 172.31.0.1/24 dev u0
    ip link set u0 up
    # After the daemon: they have to reach its mount namespace.
    ip netns add web1
    ip netns add web2
    check "a host is applied" vpcctl apply -f $manifest --wait --timeout 120s
    check "its guests reach each other" ping_once
    check "a second time nothing is to do" vpcctl plan -f $manifest
    check "libnl, which came with the package, reads the same" vpcctl doctor --witness
    check "a route that is taken away comes back" causes DriftRepaired ip route flush table 1000001 proto 118
    check "so does a rule" causes DriftRepaired ip rule del pref 1001
    check "the phase is Ready" prints Ready phase
}
it_confirms() {
    check "a change that waits for its confirmation" confirmed_apply
    check "ran every probe that begins here" ends_with 1 contains 'skipped' /tmp/confirm
    check "and they passed" contains 'probe ping passed' /tmp/confirm
    check "it is confirmed" vpcctl confirm
}
confirmed_apply() {
    sed 's/^metadata: {name: http}/metadata: {name: http-again}/' $manifest >/tmp/changed.yaml
    vpcctl apply -f /tmp/changed.yaml --confirm 10m >/tmp/confirm 2>&1
}

it_survives() {
    local before
    begin_traffic
    before=$(property MainPID)
    check "it is killed" systemctl kill --signal KILL vpcd
    until [[ $(property ActiveState) == active && $(property MainPID) != "$before" ]]; do sleep 0.2; done
    check "and comes back with its revision" vpcctl history 1
    before=$(property MainPID)
    check "it is upgraded" install_package --reinstall
    check "which starts it anew" ends_with 1 test "$(property MainPID)" = "$before"
    check "and is ready" causes_nothing_to_do
    check "nothing was written" prints_nothing drift_since_start
    check "traffic never noticed" no_packet_was_lost
}
causes_nothing_to_do() { vpcctl plan -f $manifest; }
drift_since_start() { vpcctl watch --tail 1000 --timeout 1s -o json | grep DriftRepaired || true; }

guests_come_and_go() {
    ip netns del web2
    check "a namespace that was deleted is gone" ip_link_is_gone
    ip netns add web2
    vpcctl apply -f $manifest --wait --timeout 120s >/dev/null
    check "one that comes back is connected" ping_once
}
# The kernel removes it in the background; held in the daemon's mount namespace, it would never go.
ip_link_is_gone() {
    until ! ip link show e-web2; do sleep 0.1; done
}

it_listens() {
    sed -i 's/^#metrics:/metrics:/' /etc/vpcctl/vpcd.yaml
    check "metrics are served after a restart" systemctl restart vpcd
    # It has said that it answers; the first pass comes after that.
    until [[ $(phase) == Ready ]]; do sleep 0.2; done
    check "over TCP" metrics_are_there
    sed -i 's/^metrics:/#metrics:/' /etc/vpcctl/vpcd.yaml
    echo 'revisions: many' >>/etc/vpcctl/vpcd.yaml
    check "with a bad configuration it does not start" ends_with 1 systemctl restart vpcd
    check "and is not tried again" prints failed systemctl is-active vpcd
    check "the journal says why" contains 'vpcd.yaml:.*: error: revisions must be' <(journalctl --no-pager -u vpcd)
    check "traffic goes on without it" ping_once
    sed -i '/^revisions: many/d' /etc/vpcctl/vpcd.yaml
    check "put right, it starts" systemctl start vpcd
}
metrics_are_there() {
    exec 6<>/dev/tcp/127.0.0.1/9469
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&6
    cat <&6 >/tmp/metrics
    contains '^vpcctl_desired_revision 3' /tmp/metrics || { cat /tmp/metrics && return 1; }
}

# The kernel need not tell of these: the next full pass finds them, and a reload makes one.
change_parameter() {
    echo 1 >/proc/sys/net/ipv4/conf/all/send_redirects
    systemctl reload vpcd
}
change_guest() {
    ip -n web1 route del default
    systemctl reload vpcd
}

it_reads_again() {
    check "a parameter is put right by a reload" causes DriftRepaired change_parameter
    check "which has its value again" prints 0 cat /proc/sys/net/ipv4/conf/all/send_redirects
    check "and a route in a guest" causes DriftRepaired change_guest
    check "the phase is Ready" prints Ready phase
}

it_goes() {
    begin_traffic
    check "the sandbox was in nobody's way" prints_nothing refusals
    check "it is stopped" systemctl stop vpcd
    check "and purged" env DEBIAN_FRONTEND=noninteractive apt-get -q -y purge vpcctl
    check "the data path is what it was" ip link show e-web1
    check "traffic never noticed" no_packet_was_lost
}
refusals() { journalctl --no-pager | grep -E 'vpcd.*(Operation not permitted|Permission denied|Read-only file|SIGSYS)' || true; }

for part in it_starts it_works it_confirms it_survives guests_come_and_go it_listens it_reads_again it_goes; do $part; done
