import ArgumentParser
import CommandOptions
import Console
import Glibc
import Netlink

struct Denied: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch the packets that this host denies, with what denies each.",
        discussion: """
            'vpcctl denied -f manifests --host h1' prints a line for every packet that a network ACL or a security group \
            denies, or that a guest has forged, as it happens, until it is interrupted. It sees the VPCs with \
            'logDenied', and from now on only: nothing is kept.
            """)

    @Option(name: [.customShort("c"), .long], help: "End after so many packets.")
    var count: Int?
    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var host: HostOption
    @OptionGroup var output: OutputOptions
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count is a number from 1 on.") }
    }

    func run() throws {
        let manifests = try Manifests(manifests, global)
        let kernel = try Kernel.open(global, toModify: true)
        let groups = Set(manifests.topology.vpcs.compactMap(\.denialLog?.group)).sorted()
        guard !groups.isEmpty else {
            global.error("no VPC of these manifests logs what is denied; give one 'logDenied: {nflogGroup: 5}'")
            throw ExitStatus.failed.code
        }
        try Kernel.reporting(global) {
            let host = try manifests.host(host, kernel)
            let namespace = try Kernel.host(of: kernel)
            var log = try open(groups, namespace)
            let name = manifests.topology.hosts[host].metadata.name
            global.note(
                "host \(name): watching nflog group\(groups.count == 1 ? "" : "s")"
                    + " \(groups.map(String.init).joined(separator: ", "))")
            var presentation = DenialPresentation(manifests: manifests, host: host, namespace: namespace)
            presentation.begin(output.format, global)
            try watch(&log, &presentation)
        }
    }

    private func open(_ groups: [UInt16], _ namespace: NetworkNamespace) throws -> PacketLogSocket {
        do throws(NetlinkError) {
            return try PacketLogSocket(groups: groups, in: namespace)
        } catch {
            // That this process may is known: so it is the group that is taken.
            if error.errno == EPERM {
                global.error(
                    "another program reads nflog group \(groups.map(String.init).joined(separator: " or ")): a group"
                        + " has one reader; end it, or give the VPC another nflogGroup")
                throw ExitStatus.failed.code
            }
            throw error
        }
    }

    private func watch(_ log: inout PacketLogSocket, _ presentation: inout DenialPresentation) throws {
        var left = count ?? .max
        while left > 0 {
            switch try log.next(timeout: nil) {
            case .packet(let packet, let lostBefore):
                if lostBefore > 0 {
                    global.warning("\(lostBefore) denied packets before this one were not read in time")
                }
                presentation.show(packet, output.format, global)
                left -= 1
            case .overrun: global.warning("packets are denied faster than they are read: some are missing here")
            case .timedOut: break
            }
        }
    }
}
