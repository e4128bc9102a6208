#!/usr/bin/env bash
# Starts a Debian system with systemd as its first process, in namespaces of its own, and runs scripts/test-unit-inside.sh
# in it: scripts/test-unit.sh ROOT, where ROOT has the package installed and that script in its root folder. Needs cgroup
# v2 and a kernel with GRE and VRF devices: runs in the virtual machine of scripts/lab.sh. ROOT is not written to.
#
# The network is not in a namespace of its own: the system is the machine's only host.
set -euo pipefail
root=$1

# The system's own cgroup, which it sees as the root of all.
cgroup=/sys/fs/cgroup/system
mkdir "$cgroup"

layers=$(mktemp -d)
mkdir "$layers"/{upper,work,system}
mount -t overlay -o "lowerdir=$root,upperdir=$layers/upper,workdir=$layers/work" overlay "$layers/system"

# Runs as the first process of its namespaces, and becomes systemd.
# shellcheck disable=SC2317 # its text is handed to another shell
become_system() {
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 dev dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs -o mode=755 run run
    mkdir -p old
    pivot_root . old
    umount --lazy old
    # As on a machine: what is mounted in the system reaches its services.
    mount --make-rshared /
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
}

(
    echo $BASHPID >"$cgroup/cgroup.procs"
    # A mount that can be pivoted to has to be its namespace's own.
    exec unshare --mount --pid --uts --ipc --cgroup --fork --propagation private --kill-child \
        bash -euc "$(declare -f become_system); mount --bind '$layers/system' '$layers/system'; become_system '$layers/system'"
) >"$layers/console" 2>&1 &
started=$!

# unshare's child is the first process in there.
until first=$(<"/proc/$started/task/$started/children") && [[ -n $first ]] &&
    [[ $(readlink "/proc/${first% }/exe") == *systemd ]]; do
    kill -0 $started || { cat "$layers/console" >&2 && exit 1; }
    sleep 0.1
done
first=${first% }

status=0
nsenter --target "$first" --mount --pid --uts --ipc --cgroup --root --wd \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash /test-unit-inside.sh || status=$?
if ((status != 0)); then
    echo "-- the system's console" >&2
    tail -n 40 "$layers/console" >&2
    nsenter --target "$first" --mount --pid --root --wd journalctl --no-pager -n 60 >&2 || true
fi
kill -KILL "$first"
exit $status
