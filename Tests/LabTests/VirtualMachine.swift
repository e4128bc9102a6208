import Foundation
import Glibc
import TestSupport
import Testing

/// A guest with a kernel of its own: QEMU, emulating, with Debian's kernel and a busybox behind a tap device.
///
/// It is spoken to by its serial line, of which the network knows nothing: a line of shell goes in, what it prints comes out.
final class VirtualMachine {
    private let qemu: Program
    private let input: FileHandle
    private let output: FileHandle
    private let folder: String
    private var pending: [UInt8] = []

    struct Network {
        var tap: String
        var mac: String
        /// With its prefix's length.
        var address: String
        var gateway: String
    }

    /// What is missing to have one; nil where nothing is.
    static let obstacle: String? = {
        guard let kernel else {
            return
                "no kernel for it: scripts/lab.sh says by VPCCTL_LAB_KERNEL_FOLDER where it is, scripts/lab-kernel.sh gets one"
        }
        let line = """
            for name in qemu-system-x86_64 busybox modprobe; do command -v $name >/dev/null || echo "$name is missing"; done
            test -r \(kernel)/vmlinux || echo "\(kernel)/vmlinux is missing"
            test -e /dev/net/tun || modprobe tun || echo "tun devices are missing"
            """
        let missing = Command.run("PATH=$PATH:/usr/sbin:/sbin; " + line).output
        return missing.isEmpty ? nil : missing
    }()

    /// The folder with `vmlinux`, `release` and modules.
    private static let kernel: String? = {
        if let folder = ProcessInfo.processInfo.environment["VPCCTL_LAB_KERNEL_FOLDER"] { return folder }
        let found = Command.run("\(checkout.path())/scripts/lab-kernel.sh 6.1 2>/dev/null")
        return found.status == 0 ? found.output.trimmingCharacters(in: .whitespacesAndNewlines) : nil
    }()

    /// Starts to boot; ``awaitBoot(timeout:)`` waits for its end.
    /// - Parameter namespace: Where the tap device is.
    init(in namespace: String, _ network: Network) throws {
        let kernel = try #require(Self.kernel)
        folder = "/tmp/vpclab-tests-guest-\(getpid())-\(UUID().uuidString)"
        let build = Command.run(Self.initrd(kernel, network, in: folder))
        try #require(build.status == 0, "\(build.output)")
        let (read, write) = (try openPipe(), try openPipe())
        (input, output) = (read.writing, write.reading)
        // The options are those of scripts/lab.sh, which says why.
        let frequency = Command.run("awk '$1 == \"bogomips\" { printf \"%d\", $3 * 500; exit }' /proc/cpuinfo").output
        qemu = try Program(
            [
                "ip", "netns", "exec", namespace, "qemu-system-x86_64", "-machine", "pc", "-accel", "tcg",
                "-cpu", "qemu64,+rdrand", "-smp", "1", "-m", "96M", "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", "-kernel", "\(kernel)/vmlinux", "-initrd", "\(folder)/initrd",
                "-append",
                "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 cryptomgr.notests norandmaps audit=0"
                    + " lsm=capability no_timer_check tsc_early_khz=\(frequency)",
                "-netdev", "tap,id=net,ifname=\(network.tap),script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net,mac=\(network.mac),romfile=",
                "-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line",
            ], input: read.reading.fileDescriptor, output: write.writing.fileDescriptor,
            error: write.writing.fileDescriptor)
    }

    deinit { stop() }

    func stop() {
        qemu.send(SIGKILL)
        qemu.wait()
        try? FileManager.default.removeItem(atPath: folder)
    }

    var isRunning: Bool { qemu.isRunning }

    // MARK: Speaking

    func awaitBoot(timeout: Duration = .seconds(240)) throws {
        _ = try lines(until: { $0 == "=ready" }, within: timeout)
    }

    /// Runs a line of shell in the guest that has to succeed.
    /// - Returns: what it printed, errors too.
    @discardableResult
    func shell(_ line: String, timeout: Duration = .seconds(60)) throws -> String {
        try input.write(contentsOf: Data((line + "\n").utf8))
        let lines = try lines(until: { $0.hasPrefix("=status ") }, within: timeout)
        let text = lines.dropLast().joined(separator: "\n").trimmingCharacters(in: .newlines)
        try #require(lines.last == "=status 0", "\(line): \(text)")
        return text
    }

    /// The next lines, up to one that is looked for.
    private func lines(until isLast: (String) -> Bool, within timeout: Duration) throws -> [String] {
        let deadline = ContinuousClock.now + timeout
        var lines: [String] = []
        while true {
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end].filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
                pending.removeFirst(end + 1)
                lines.append(line)
                if isLast(line) { return lines }
            }
            var poll = pollfd(fd: output.fileDescriptor, events: Int16(POLLIN), revents: 0)
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero, Glibc.poll(&poll, 1, Int32(left.components.seconds + 1) * 1000) >= 0 else {
                throw ProgramFailure("the guest says nothing more: \(lines.suffix(20))")
            }
            if poll.revents == 0 { continue }
            let read = output.availableData
            if read.isEmpty { throw ProgramFailure("QEMU has ended: \(lines.suffix(20))") }
            pending += read
        }
    }

    // MARK: The guest's own

    /// What makes the guest's first file system: busybox, the modules that its device takes, and a first process that
    /// configures it and does what it is told.
    private static func initrd(_ kernel: String, _ network: Network, in folder: String) -> String {
        """
        set -e; PATH=$PATH:/usr/sbin:/sbin; mkdir -p \(folder)/tree/bin \(folder)/tree/modules; cd \(folder)/tree
        cp "$(command -v busybox)" bin/busybox
        modprobe -a -d \(kernel) -S "$(cat \(kernel)/release)" --show-depends virtio_pci virtio_net |
            awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >../modules
        while read -r module; do cp "$module" modules/; basename "$module" >>modules/list; done <../modules
        cat >init <<'END'
        #!/bin/busybox sh
        /bin/busybox mkdir -p /proc /sys /dev /www
        /bin/busybox --install -s /bin
        mount -t proc proc /proc
        mount -t sysfs sys /sys
        mount -t devtmpfs dev /dev
        while read -r module; do insmod /modules/$module; done </modules/list
        ip link set lo up
        ip link set eth0 up
        ip addr add \(network.address) dev eth0
        ip route add default via \(network.gateway)
        head -c 1000000 /dev/zero >/www/million
        httpd -p 80 -h /www
        exec </dev/ttyS0 >/dev/ttyS0 2>&1
        stty raw -echo
        echo; echo =ready
        while read -r line; do
            sh -c "$line"
            status=$?
            echo; echo "=status $status"
        done
        END
        chmod +x init
        find . | busybox cpio -o -H newc 2>/dev/null >../initrd
        """
    }
}
