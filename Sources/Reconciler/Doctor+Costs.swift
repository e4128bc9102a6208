import Glibc
public import KernelModel

/// What makes every packet dearer without being needed here. Nothing of this is ours to change.
extension Doctor {
    /// Whether something tracks connections in every network namespace, as openvswitch does before Linux 6.12 from the
    /// moment it is loaded (its limits of connections by zone, `nf_conncount_init`).
    /// - Parameter kernel: of a new network namespace, in which nobody has asked for anything.
    public func unaskedTracking(_ kernel: some KernelAccess) -> Finding {
        let subject = "connection tracking only where it is asked for"
        let isTracking: Bool
        do {
            isTracking = try kernel.tracksLoopback()
        } catch {
            // Whether connections can be listed at all is another finding.
            return Finding(subject: subject, isGood: true, detail: "cannot be told: \(error)")
        }
        guard isTracking else { return Finding(subject: subject, isGood: true, detail: "so it is") }
        let isOpenVSwitch = access("/sys/module/openvswitch", F_OK) == 0
        return Finding(
            subject: subject, isGood: true, isCostly: true,
            detail: "it is on in every network namespace"
                + (isOpenVSwitch ? ", because the module openvswitch is loaded" : "")
                + ": a packet that is only forwarded costs a quarter more",
            remedy: isOpenVSwitch
                ? "modprobe -r openvswitch where nothing needs it, or use Linux 6.12 or later"
                : "see what uses it (lsmod | grep nf_conntrack), and unload that where nothing needs it")
    }

    /// What other filters the packets of this network namespace pass.
    public func otherFilters() -> [Finding] {
        var findings: [Finding] = []
        let tables = Self.lines(of: "/proc/net/ip_tables_names")
        if !tables.isEmpty {
            findings.append(
                Finding(
                    subject: "no tables of the old iptables", isGood: true, isCostly: true,
                    detail: "there are \(tables.joined(separator: ", ")): every packet of this namespace passes them,"
                        + " and they may drop what the manifests allow",
                    remedy: "use iptables-nft, and unload them where nothing needs them: modprobe -r "
                        + tables.map { "iptable_\($0)" }.joined(separator: " ")))
        }
        if Self.lines(of: "/proc/sys/net/bridge/bridge-nf-call-iptables") == ["1"] {
            findings.append(
                Finding(
                    subject: "bridges apart from IP filters", isGood: true, isCostly: true,
                    detail: "net.bridge.bridge-nf-call-iptables is 1: every frame that a bridge of this namespace"
                        + " forwards passes all IP filters, ours too",
                    remedy: "sysctl -w net.bridge.bridge-nf-call-iptables=0 where nothing (Docker, Kubernetes)"
                        + " needs it"))
        }
        return findings
    }

    private static func lines(of path: String) -> [String] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 256)
        var lines: [String] = []
        while fgets(&buffer, Int32(buffer.count), file) != nil {
            let line = buffer.prefix { $0 != 0 && $0 != 10 }
            lines.append(String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return lines
    }
}
