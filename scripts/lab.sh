#!/usr/bin/env bash
# Runs a command, as root, on a Linux kernel that has GRE and VRF devices:
#
#   scripts/lab.sh [--kernel 6.1|6.12|host] [--] COMMAND [ARGUMENT…]
#
# Without --kernel, on the running kernel if it has them; else in a small virtual machine that boots Debian's own
# kernel (6.1, see scripts/lab-kernel.sh), with hardware virtualisation where there is any and in emulation elsewhere.
# `--kernel host` insists on the running kernel, any other value on the virtual machine.
#
# In the virtual machine the command sees this machine's files, read-only; /tmp, /run, /etc and /var are its own and
# vanish with it. The folder VPCCTL_LAB_OUT (.lab in this checkout unless set) is writable and kept. Standard output and
# error arrive as they are written, the exit status is the command's, standard input is empty, there is no network.
# Variables named VPCCTL_* are passed on, and VPCCTL_LAB_KERNEL_FOLDER names the folder of its kernel (scripts/lab-kernel.sh).
#
#   VPCCTL_LAB_KERNEL   the default for --kernel
#   VPCCTL_LAB_MEMORY   memory of the virtual machine (4G)
#   VPCCTL_LAB_TIMEOUT  seconds after which the virtual machine is killed, with status 124 (none)
#   VPCCTL_LAB_ACCEL    kvm or tcg, to overrule what was found
#   VPCCTL_LAB_CLOCK    "instructions": the virtual machine's clock counts the instructions it executes, a nanosecond
#                       each, so that what is timed in there is the same on any machine and under any load
#   VPCCTL_LAB_OUT      the folder for results
#
# Status 125 means that the lab itself failed: the virtual machine did not start, or died before the command ended.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(dirname "$scripts")
PATH=$PATH:/usr/sbin:/sbin
kernel=${VPCCTL_LAB_KERNEL:-}
memory=${VPCCTL_LAB_MEMORY:-4G}
timeout=${VPCCTL_LAB_TIMEOUT:-0}
clock=${VPCCTL_LAB_CLOCK:-}
boot_timeout=120

say() { echo "lab: $*" >&2; }
fail() {
    say "$@"
    exit 125
}

while [[ ${1:-} == -* ]]; do
    case $1 in
        --kernel) kernel=${2:?--kernel needs a value} && shift 2 ;;
        --kernel=*) kernel=${1#*=} && shift ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 0 ;;
        --) shift && break ;;
        *) fail "unknown option $1" ;;
    esac
done
[[ $# -gt 0 ]] || fail "no command; see scripts/lab.sh --help"
[[ -z $clock || $clock == instructions ]] || fail "VPCCTL_LAB_CLOCK=$clock is not known; see scripts/lab.sh --help"

# Both device types, in a network namespace that is gone afterwards.
host_has_gre_and_vrf() {
    [[ $EUID -eq 0 ]] && unshare --net sh -c '
        ip link add vrf-probe type vrf table 7 &&
        ip link add gre-probe type gre local 192.0.2.1 remote 192.0.2.2 key 7' >/dev/null 2>&1
}

out=${VPCCTL_LAB_OUT:-$checkout/.lab}
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
export VPCCTL_LAB_OUT=$out

case $kernel in
    host)
        host_has_gre_and_vrf || fail "the running kernel has no GRE or VRF devices, or this is not root"
        exec "$@" </dev/null
        ;;
    "")
        if [[ -z $clock ]] && host_has_gre_and_vrf; then exec "$@" </dev/null; fi
        kernel=6.1
        ;;
esac

for tool in qemu-system-x86_64 busybox modprobe setpriv; do
    command -v "$tool" >/dev/null || fail "'$tool' is missing; run 'make setup' first"
done
# Where the virtual machine's modules are mounted: a machine that is a container has none.
[[ -d /lib/modules ]] || mkdir -p /lib/modules 2>/dev/null || true
kernel_folder=$("$scripts/lab-kernel.sh" "$kernel") || fail "no $kernel kernel"
release=$(<"$kernel_folder/release")
export VPCCTL_LAB_KERNEL_FOLDER=$kernel_folder

run=$(mktemp -d "${TMPDIR:-/tmp}/vpcctl-lab.XXXXXX")
qemu=
# Only ever what this script started.
# shellcheck disable=SC2317 # reached through the trap
cleanup() {
    if [[ -n $qemu ]]; then kill -KILL "$qemu" 2>/dev/null || true; fi
    rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# What the VM reads from us: lab-init.sh says what for.
write_job() {
    local name
    {
        for name in $(compgen -e); do
            case $name in
                VPCCTL_* | PATH | TERM | LANG | LC_ALL | TZ | CI | NO_COLOR)
                    printf 'export %s=%q\n' "$name" "${!name}"
                    ;;
            esac
        done
        # The real one is read-only in there.
        echo "export HOME=/tmp"
        printf 'cd %q || exit\n' "$(pwd -P)"
        # One stream if ours is one, or lines would change places.
        if [[ $(stat -Lc %d:%i /proc/self/fd/1) == $(stat -Lc %d:%i /proc/self/fd/2) ]]; then echo "exec 2>&1"; fi
        printf 'exec'
        printf ' %q' "$@"
        echo
    } >"$run/job"
    echo "$kernel_folder" >"$run/kernel-folder"
    echo "$out" >"$run/out-folder"
    printf '%s\n' "$checkout" "$(pwd -P)" >"$run/folders"
}

# busybox, lab-init.sh and the modules it takes to reach the host's files.
write_initrd() {
    local tree=$run/initrd module
    mkdir -p "$tree/bin" "$tree/modules"
    cp "$(command -v busybox)" "$tree/bin/busybox"
    cp "$scripts/lab-init.sh" "$tree/init"
    chmod +x "$tree/init"
    modprobe -a -d "$kernel_folder" -S "$release" --show-depends virtio_pci virtio_console 9pnet_virtio 9p overlay |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r module; do
            cp "$module" "$tree/modules/"
            basename "$module" >>"$tree/modules/list"
        done
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$run/initrd.cpio"
}

# The accelerators to try, in order; emulation gets a second chance, for hosts that are too busy.
# /dev/kvm can exist, and even make a VM, without being able to run an ordinary kernel: so the processor must have the
# instructions too.
accelerators() {
    if [[ -n $clock ]]; then
        echo tcg tcg
    elif [[ -n ${VPCCTL_LAB_ACCEL:-} ]]; then
        echo "$VPCCTL_LAB_ACCEL"
    elif grep -qwE 'vmx|svm' /proc/cpuinfo && python3 -c '
import fcntl, os
KVM_CREATE_VM = 0xAE01
os.close(fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), KVM_CREATE_VM, 0))' 2>/dev/null; then
        echo kvm tcg tcg
    else
        echo tcg tcg
    fi
}

# Everything here was chosen for the time emulation takes (2 s to the first command; a common set-up takes 7 to 12):
# - all devices in one PCI slot share one interrupt line; ACPI takes 0.1 s to set up each. (QEMU's microvm machine is
#   faster still, but has no clock to measure the processor's against, and hangs at boot when this machine is busy.)
# - one processor: with two, 6.12 dies while it patches its own code (seen with QEMU 7.2);
# - qemu64: the protections of newer processors cost a lot when emulated, GRE forwards five times as fast without;
#   rdrand, so that nothing waits for random numbers;
# - norandmaps: the emulator finds its translation of a program again if it lies at the same address; starting a program
#   takes a third of the time;
# - no mitigations, self-tests and page clearing: they do not change what is tested;
# - no security modules: with AppArmor alone switched off, Debian's kernel takes SELinux instead, which no Debian system
#   runs by itself and whose hooks see every packet and every open file.
# The emulated processor's time stamp counter is this machine's, whose frequency bogomips gives (it is twice that): a
# guest that has to measure it while this machine is busy can be wrong by a factor of ten, and its clock with it. For
# the same reason it must not judge its timer by the time it takes (no_timer_check).
# A kernel that stumbles (oops) stops the machine, so that it cannot go unnoticed.
kernel_options="console=ttyS0 quiet panic=-1 oops=panic mitigations=off init_on_alloc=0 cryptomgr.notests norandmaps"
kernel_options+=" audit=0 lsm=capability"
start() {
    local accelerator=$1 cpu=qemu64,+rdrand
    local options=$kernel_options counting=()
    if [[ $accelerator == kvm ]]; then
        cpu=host
    elif [[ -n $clock ]]; then
        # Idle time passes at once (sleep=off); the time stamp counter is the count of instructions.
        counting=(-icount "shift=0,sleep=off")
        options+=" no_timer_check tsc_early_khz=1000000"
    else
        options+=" no_timer_check"
        options+=$(awk '$1 == "bogomips" { printf " tsc_early_khz=%d", $3 * 500; exit }' /proc/cpuinfo)
    fi
    rm -f "$run"/{out,err,status,console}
    mkfifo "$run/out" "$run/err"
    cat "$run/out" &
    cat_out=$!
    cat "$run/err" >&2 &
    cat_err=$!
    # Should this script be killed, the kernel kills the VM.
    setpriv --pdeathsig KILL qemu-system-x86_64 \
        -name vpcctl-lab -machine pc -accel "$accelerator" "${counting[@]}" -cpu "$cpu" -smp 1 -m "$memory" \
        -nodefaults -no-user-config -no-reboot -display none \
        -kernel "$kernel_folder/vmlinux" -initrd "$run/initrd.cpio" \
        -append "$options lab.run=$run" \
        -chardev "file,id=console,path=$run/console" -serial chardev:console \
        -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" \
        -device virtio-9p-pci,addr=4.0,multifunction=on,fsdev=host,mount_tag=host \
        -fsdev "local,id=out,path=${out//,/,,},security_model=none,multidevs=remap" \
        -device virtio-9p-pci,addr=4.1,fsdev=out,mount_tag=out \
        -device virtio-serial-pci,addr=4.2 \
        -chardev "file,id=out,path=$run/out" -device virtserialport,nr=1,chardev=out \
        -chardev "file,id=err,path=$run/err" -device virtserialport,nr=2,chardev=err \
        -chardev "file,id=status,path=$run/status" -device virtserialport,nr=3,chardev=status \
        </dev/null >"$run/qemu" 2>&1 &
    qemu=$!
}

booted() { grep -qs '^booted' "$run/status"; }
alive() { kill -0 "$qemu" 2>/dev/null; }

stop() {
    kill -KILL "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
    finish_output
}

# Opening a pipe in both directions never waits, and closing it again lets a reader go whom the VM never reached.
finish_output() {
    : <>"$run/out"
    : <>"$run/err"
    wait "$cat_out" "$cat_err" || true
    qemu=
}

# What the kernel and QEMU last said; the kernel's whole log is kept beside the results.
report_death() {
    local console=$out/console.log
    say "$1"
    cat "$run/console" "$run/qemu" 2>/dev/null | tr -d '\r' >"$console"
    grep -m 3 -E 'Kernel panic|BUG:|Oops|Call Trace|Out of memory' "$console" | sed 's/^/lab:   /' >&2 || true
    say "its last words ($console has all of them):"
    tail -n 12 "$console" | sed 's/^/lab:   /' >&2
}

write_job "$@"
write_initrd

# bash would print a QEMU that aborts as a failed job, with its whole command line.
for accelerator in $(accelerators) none; do
    if [[ $accelerator == none ]]; then report_death "Linux $release did not start" && exit 125; fi
    if [[ $accelerator == kvm ]]; then limit=30; else limit=$boot_timeout; fi
    SECONDS=0
    start "$accelerator"
    until booted || ! alive || ((SECONDS > limit)); do sleep 0.1; done 2>/dev/null
    if booted; then break; fi
    stop
    say "the virtual machine did not start with $accelerator"
done

SECONDS=0
if ((timeout > 0)); then
    while alive; do
        if ((SECONDS > timeout)); then
            stop
            say "killed after $timeout s"
            exit 124
        fi
        sleep 0.2
    done
fi
wait "$qemu" 2>/dev/null || true
finish_output

status=$(sed -n 's/^exit //p' "$run/status")
if grep -qs 'Out of memory: Killed' "$run/console"; then
    say "out of memory (VPCCTL_LAB_MEMORY=$memory):"
    grep -o 'Out of memory: Killed.*' "$run/console" | tr -d '\r' | sed 's/^/lab:   /' >&2
fi
if [[ -z $status ]]; then
    report_death "Linux $release died before the command ended"
    exit 125
fi
exit "$status"
