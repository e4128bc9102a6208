import CommandOptions
import Console
import Glibc
import IPAddressing
import KernelNames
import Netlink
import Traffic
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology

/// Denied packets for people and for programs.
struct DenialPresentation {
    let manifests: Manifests
    /// A number of `Topology.hosts`.
    let host: Int
    let namespace: NetworkNamespace
    private let denials: [String: Denial]
    private var places: [Field: String?] = [:]
    private let nameWidth: Int

    private struct Field: Hashable {
        var resource: ResourceReference
        var path: FieldPath
    }

    /// - Parameter namespace: Of the host's VPCs.
    init(manifests: Manifests, host: Int, namespace: NetworkNamespace) {
        self.namespace = namespace
        let topology = manifests.topology
        self.manifests = manifests
        self.host = host
        denials = topology.loggedDenials
        nameWidth = topology.interfacesOfHost[host].map { topology.interfaces[$0].name.count }.max() ?? 0
    }

    private var topology: Topology { manifests.topology }

    /// What was denied, and whose it was.
    private struct Finding {
        var time: timespec
        var packet: IPv4Packet?
        var input: InterfaceName?
        var output: InterfaceName?
        var source: MACAddress?
        var prefix: String
        /// Nil where the host has rules that are not of these manifests.
        var denial: Denial?
        var interface: Int?
        var resource: ResourceReference?
        var place: String?
    }

    func begin(_ format: OutputFormat, _ global: GlobalOptions) {
        guard format == .table || format == .wide else { return }
        let header = row(time: "TIME", interface: "INTERFACE", packet: "PACKET", reason: "DENIED BY")
        Streams.outputLine(global.outputStyle.bold(header))
    }

    mutating func show(_ packet: LoggedPacket, _ format: OutputFormat, _ global: GlobalOptions) {
        let finding = finding(packet)
        switch format {
        case .json: Streams.output(structured(finding).compactJSON + "\n")
        case .yaml: Streams.output("---\n" + structured(finding).yaml)
        case .name: Streams.outputLine(finding.resource?.description ?? finding.prefix)
        case .table, .wide:
            var text = row(
                time: WallClock.localTime(finding.time),
                interface: finding.interface.map { topology.interfaces[$0].name },
                packet: finding.packet?.summary, reason: reason(finding))
            if let place = finding.place { text += global.outputStyle.dim("  (\(place))") }
            if format == .wide { text += global.outputStyle.dim("  \(devices(finding))") }
            Streams.outputLine(text)
        }
    }

    // MARK: Finding out

    private mutating func finding(_ packet: LoggedPacket) -> Finding {
        var finding = Finding(
            time: packet.time.map { timespec(sinceEpoch: $0) } ?? WallClock.now, packet: IPv4Packet(packet.bytes[...]),
            input: InterfaceName(index: packet.inputDevice, in: namespace),
            output: InterfaceName(index: packet.outputDevice, in: namespace),
            source: packet.hardwareAddress.count == 6
                ? MACAddress(rawValue: packet.hardwareAddress.reduce(0) { $0 << 8 | UInt64($1) }) : nil,
            prefix: packet.prefix, denial: denials[packet.prefix])
        guard let denial = finding.denial else { return finding }
        finding.interface = topology.interface(
            of: denial, onHost: host, input: finding.input, output: finding.output, source: finding.source)
        if let subject = topology.subject(of: denial, interface: finding.interface, in: manifests.set.model) {
            finding.resource = subject.resource
            finding.place = place(of: Field(resource: subject.resource, path: subject.path))
        }
        return finding
    }

    /// Finding a place reads its document again, so it is done once for each.
    private mutating func place(of field: Field) -> String? {
        if let known = places[field] { return known }
        let place = manifests.set.locate(field.resource, field.path)?.description
        places[field] = place
        return place
    }

    // MARK: Text

    private func row(time: String, interface: String?, packet: String?, reason: String) -> String {
        [
            time.padded(to: 12), (interface ?? "-").padded(to: max(nameWidth, 9)), (packet ?? "-").padded(to: 56),
            reason,
        ]
        .joined(separator: "  ")
    }

    private func devices(_ finding: Finding) -> String {
        let devices = (finding.input?.description ?? "-") + " → " + (finding.output?.description ?? "-")
        return devices + (finding.source.map { " from \($0)" } ?? "")
    }

    private func reason(_ finding: Finding) -> String {
        switch finding.denial {
        case nil: return "unknown to these manifests: \(finding.prefix)"
        case .acl(let acl, let direction, let priority):
            let name = "ACL \(topology.acls[acl].name): "
            return name + (priority.map { "\(direction.field) line \($0)" } ?? "no \(direction.field) line matches")
        case .groups(let groups, let direction, let isStray):
            let names = groups.map { topology.securityGroups[$0].name }.joined(separator: ", ")
            let text = (groups.count == 1 ? "group " : "groups ") + names
            return text + (isStray ? ": of no connection that is known" : ": no \(direction.field) rule allows it")
        case .spoofed: return "source or MAC address is another's"
        case .toHost: return "the host takes pings of the gateway only, and not more than 100 a second"
        }
    }

    // MARK: Structure

    private func structured(_ finding: Finding) -> StructuredValue {
        let (kind, direction, priority) = words(of: finding.denial)
        let packet = finding.packet
        return [
            "apiVersion": "vpcctl.dev/v1", "kind": "DeniedPacket",
            "time": .string(WallClock.universalTime(finding.time)),
            "host": .string(topology.hosts[host].metadata.name),
            "interface": .string(orNull: finding.interface.map { topology.interfaces[$0].name }),
            "source": .string(orNull: packet?.source.description),
            "destination": .string(orNull: packet?.destination.description),
            "protocol": .string(orNull: packet.map { IPProtocol($0.protocolNumber).description }),
            "sourcePort": packet?.ports.map { .integer(Int($0.source)) } ?? .null,
            "destinationPort": packet?.ports.map { .integer(Int($0.destination)) } ?? .null,
            "icmpType": packet?.icmp.map { .integer(Int($0.type)) } ?? .null,
            "icmpCode": packet?.icmp.map { .integer(Int($0.code)) } ?? .null,
            "tcpFlags": .string(orNull: packet?.tcpFlags?.description), "reason": .string(kind),
            "direction": .string(orNull: direction?.field), "priority": priority.map { .integer($0) } ?? .null,
            "resource": .string(orNull: finding.resource?.description), "place": .string(orNull: finding.place),
            "prefix": .string(finding.prefix),
        ]
    }

    private func words(of denial: Denial?) -> (kind: String, TrafficDirection?, priority: Int?) {
        switch denial {
        case nil: ("unknown", nil, nil)
        case .acl(_, let direction, let priority): (priority == nil ? "aclDefault" : "aclLine", direction, priority)
        case .groups(_, let direction, let isStray): (isStray ? "noConnection" : "securityGroups", direction, nil)
        case .spoofed: ("spoofed", nil, nil)
        case .toHost: ("toHost", nil, nil)
        }
    }
}

extension IPv4Packet {
    /// `10.0.1.10:49152 → 10.0.2.20:443 tcp SYN`, `10.0.1.10 → 10.0.2.20 icmp type 8 code 0`.
    var summary: String {
        let name = IPProtocol(protocolNumber).description
        if let ports {
            let flags = tcpFlags.map { " \($0)" } ?? ""
            return "\(source):\(ports.source) → \(destination):\(ports.destination) \(name)\(flags)"
        }
        let detail = icmp.map { " type \($0.type) code \($0.code)" } ?? ""
        return "\(source) → \(destination) \(name)\(detail)"
    }
}
