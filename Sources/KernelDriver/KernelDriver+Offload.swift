import Glibc
import KernelModel
import NFTables
import Netlink

extension KernelDriver {
    public func offloadObstacle() -> String? { Self.obstacle }

    /// Looked for once.
    private static let obstacle = flowtableObstacle() ?? tunnelObstacle()

    // MARK: Flowtables

    /// Whether nf_tables has them is tried: by a transaction that nothing comes of, for its last message asks for what is not
    /// there.
    private static func flowtableObstacle() -> String? {
        var table = NFTableIntent(NFTable(.inet, "vpcctl_trial"))
        table.flowtables = [NFFlowtable("flows")]
        table.chain("forward", NFBaseChain(.filter, .forward, priority: 0)) { $0.rule(.offload(to: "flows")) }
        var trial = NFChangeSet(table.table, table.changes(from: nil).operations)
        trial.turn.append(.deleteChain(name: "absent"))
        do throws(NetlinkError) {
            var driver = try FirewallDriver()
            guard case .refused(let failures) = try driver.commit([trial], generation: nil) else { return nil }
            let reason = failures.first { $0.operation != .deleteChain(name: "absent") }?.reason
            return reason.map { "nf_tables has no flowtables (modprobe nf_flow_table_inet nft_flow_offload): \($0)" }
        } catch {
            return "whether nf_tables has flowtables could not be tried: \(error)"
        }
    }

    // MARK: Tunnels

    /// A GRE device that has no far end of its own writes its header in front of a packet itself, and nobody who sends by a
    /// flowtable has seen to it that there is room. Kernels before the beginning of 2026 (ipgre_header of
    /// net/ipv4/ip_gre.c) do not look, and stop: a guest would stop its host. Those that look call pskb_expand_head() there.
    private static func tunnelObstacle() -> String? {
        var names = utsname()
        guard uname(&names) == 0 else { return "the kernel does not say which one it is" }
        let release = withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let file = "/lib/modules/\(release)/kernel/net/ipv4/ip_gre.ko"
        guard let bytes = read(file) ?? read("\(file).xz").flatMap(XZ.decompressed), let module = KernelModule(bytes)
        else {
            return
                "whether GRE devices of this kernel make room for their header is not known: there is no \(file)[.xz]"
        }
        return tunnelObstacle(of: module, in: file, loaded: read("/sys/module/ip_gre/notes/.note.gnu.build-id"))
    }

    /// - Parameter loaded: The build of the module that runs; nil where it is yet to be loaded.
    static func tunnelObstacle(of module: KernelModule, in file: String, loaded: [UInt8]?) -> String? {
        if let loaded, module.buildID.map({ !$0.elementsEqual(loaded) }) ?? true {
            return "the GRE module that runs is not that of \(file): reboot"
        }
        if module.function("ipgre_header", calls: "pskb_expand_head") { return nil }
        return
            "GRE devices of this kernel do not make room for their header (\(file)): a guest could stop it; use a newer one"
    }

    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        // Modules have some hundred kilobytes.
        while bytes.count < 1 << 24 {
            let count = Glibc.read(descriptor, &part, part.count)
            if count < 0 { return nil }
            if count == 0 { return bytes }
            bytes += part.prefix(count)
        }
        return nil
    }
}
