#!/bin/busybox sh
# The first process of the lab's virtual machine; scripts/lab.sh packs it with busybox and a few modules into the
# initial file system. It runs twice: as /init there, and again (as "stage2") on the final root.
#
# The root is the host's root file system, read-only over 9p, with /tmp, /run, /etc and /var private to the VM.
# Three virtio ports lead back to scripts/lab.sh: 1 is the command's standard output, 2 its standard error, and 3
# carries two lines: "booted", and at the end "exit STATUS".
# shellcheck shell=dash
export PATH=/bin:/usr/sbin:/usr/bin:/sbin

# One of the values scripts/lab.sh put on the kernel's command line, which may not contain spaces or quotes: it sends
# the path of a folder, and everything else is in files in there.
run_folder() { sed -n 's/.*lab\.run=\([^ ]*\).*/\1/p' /proc/cmdline; }

stage1() {
    /bin/busybox mkdir -p /proc /sys /dev /host /root
    /bin/busybox --install -s /bin
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    while read -r module; do
        insmod "/modules/$module" || echo "lab: cannot load $module"
    done </modules/list

    # Nothing changes the files under us that matter, so 9p may cache whatever it has read.
    mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=524288 host /host
    run=/host$(run_folder)

    root=/root
    mount --bind /host $root
    mount -t tmpfs -o mode=1777 tmp $root/tmp
    mount -t tmpfs -o mode=755 run $root/run
    mkdir -p $root/run/lab/modules/lib/modules $root/run/netns
    for folder in etc var; do
        layer=$root/run/lab/overlay/$folder
        mkdir -p $layer/upper $layer/work
        mount -t overlay -o "lowerdir=/host/$folder,upperdir=$layer/upper,workdir=$layer/work" overlay $root/$folder
    done
    # The folders the command needs, in case they were in one of those just covered.
    while read -r folder; do
        [ -d "$root$folder" ] && continue
        mkdir -p "$root$folder"
        mount --bind "/host$folder" "$root$folder"
    done <"$run/folders"
    # What the command writes here, the host sees at once.
    out=$(cat "$run/out-folder")
    mkdir -p "$root$out"
    mount -t 9p -o rw,trans=virtio,version=9p2000.L,cache=none,msize=524288 out "$root$out"

    mount --bind "/host$(cat "$run/kernel-folder")/lib/modules" $root/run/lab/modules/lib/modules
    # Also where programs look for them; scripts/lab.sh makes the folder where it is missing.
    if [ -d $root/lib/modules ]; then mount --bind "/host$(cat "$run/kernel-folder")/lib/modules" $root/lib/modules; fi
    cp /bin/busybox /init "$run/job" $root/run/lab/

    mount --move /dev $root/dev
    mount --move /sys $root/sys
    mount --move /proc $root/proc
    exec switch_root $root /run/lab/busybox sh /run/lab/init stage2
}

stage2() {
    ln -sf /proc/self/fd /dev/fd
    ln -sf /proc/self/fd/0 /dev/stdin
    ln -sf /proc/self/fd/1 /dev/stdout
    ln -sf /proc/self/fd/2 /dev/stderr
    mkdir -p /dev/pts /dev/shm
    mount -t devpts -o ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 shm /dev/shm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup

    # /lib need not have a modules folder: tell modprobe, ours and the one the kernel calls by itself.
    export MODPROBE_OPTIONS=--dirname=/run/lab/modules
    printf '#!/bin/sh\nexec /sbin/modprobe %s "$@"\n' "$MODPROBE_OPTIONS" >/run/lab/modprobe
    chmod +x /run/lab/modprobe
    echo /run/lab/modprobe >/proc/sys/kernel/modprobe
    # The kernel loads the others by itself when they are first asked for.
    /sbin/modprobe -a ip_gre vrf nf_tables nf_conntrack # with its path: the shell prefers busybox's own

    hostname lab
    ip link set lo up

    # A port can be opened only once, so the command gets pipes, which it may open again as /dev/stdout.
    mkfifo /run/lab/out /run/lab/err
    until ports=$(find /dev -name 'vport*p3') && [ -n "$ports" ]; do usleep 10000; done
    ports=${ports%3}
    exec 3>"${ports}3"
    cat </run/lab/out >"${ports}1" 3>&- &
    out=$!
    cat </run/lab/err >"${ports}2" 3>&- &
    err=$!
    # Without them nobody would learn of an out-of-memory kill.
    echo -1000 >/proc/$out/oom_score_adj
    echo -1000 >/proc/$err/oom_score_adj
    echo booted >&3
    /bin/bash /run/lab/job </dev/null >/run/lab/out 2>/run/lab/err 3>&-
    status=$?

    # Whatever the command left running would keep the pipes open.
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        case $process in
            1 | "$out" | "$err") ;;
            *) kill -9 "$process" 2>/dev/null ;;
        esac
    done
    wait $out $err
    echo "exit $status" >&3
    # With QEMU's -no-reboot this ends the machine, and needs no ACPI.
    reboot -f
}

if [ "${1:-}" = stage2 ]; then stage2; else stage1; fi
