internal import IPAddressing
internal import VPCModel

extension Probe: ManifestResource {
    static let blank = Probe(
        metadata: Metadata(name: ""), from: .interface(""), to: .interface(""), transport: .icmp, expect: .allow)

    static let spec = FieldList<Probe>(
        [
            .required(
                "from", \.from, .probeSender,
                "from outside (`external`): the lab alone can send that, by the network that"
                    + " has the address `to`"),
            .required("to", \.to, .probeTarget, "not `from`; with `from: {external: …}` a public address"),
            transportFields,
            .required("expect", \.expect, .word, "`deny` where `to` is in another VPC"),
        ],
        check: { reader, fields, probe in
            if probe.transport != .icmp, reader.optional(fields, "port") == nil { _ = reader.required(fields, "port") }
        })

    private enum Word: String, CaseIterable {
        case tcp, udp, sctp, icmp
    }

    private static let port = FieldType<UInt16>.integer(in: 1...UInt16.max)

    private static let transportFields = Field<Probe>(
        ["protocol", "port"],
        [
            FieldDescription("protocol", FieldType<Word>.word, "required", ""),
            FieldDescription("port", port, "required for tcp, udp and sctp", "1 to 65535; not with icmp"),
        ],
        read: { reader, nodes, probe in
            let word = reader.required(nodes, 0, "protocol").flatMap { reader.word($0, Word.self) }
            let node = reader.optional(nodes, 1)
            let port = node.flatMap { Self.port.read(&reader, $0) } ?? 0
            switch word {
            case nil: break
            case .icmp:
                if let node {
                    reader.report(
                        "conflicting-fields", "spec.port means nothing for icmp", hint: "remove the port",
                        at: node)
                }
            case .tcp: probe.transport = .tcp(port: port)
            case .udp: probe.transport = .udp(port: port)
            case .sctp: probe.transport = .sctp(port: port)
            }
        },
        write: { probe, members in
            let (word, number) = probe.transport.parts
            members.append(StructuredValue.Member("protocol", .string(word)))
            if let number { members.append(StructuredValue.Member("port", port.write(number))) }
        })
}

extension Probe.Transport {
    fileprivate var parts: (word: String, port: UInt16?) {
        switch self {
        case .icmp: ("icmp", nil)
        case .tcp(let port): ("tcp", port)
        case .udp(let port): ("udp", port)
        case .sctp(let port): ("sctp", port)
        }
    }
}

/// `{external: 198.51.100.7}`.
private struct ExternalAddress {
    var address = IPAddress.anyIPv4

    static let fields = FieldList<ExternalAddress>([.required("external", \.address, .address)])
    static let type = FieldType.object(fields, from: ExternalAddress())
}

extension FieldType<Probe.Sender> {
    fileprivate static let probeSender = FieldType(
        "name of a [NetworkInterface](#networkinterface), or `{external: ADDRESS}`",
        read: { reader, node in
            if let outside = reader.outside(node) { return outside.map(Probe.Sender.external) }
            return reader.name(node).map(Probe.Sender.interface)
        },
        write: {
            switch $0 {
            case .interface(let name): .string(name)
            case .external(let address): ExternalAddress.type.write(ExternalAddress(address: address))
            }
        })
}

extension FieldType<Probe.Target> {
    fileprivate static let probeTarget = FieldType(
        "name of a [NetworkInterface](#networkinterface), address, or `{external: ADDRESS}`",
        read: { reader, node in
            if let outside = reader.outside(node) { return outside.map(Probe.Target.external) }
            return reader.probeTarget(node)
        },
        write: {
            switch $0 {
            case .interface(let name): .string(name)
            case .address(let address): .string(address.description)
            case .external(let address): ExternalAddress.type.write(ExternalAddress(address: address))
            }
        })
}

extension DocumentReader {
    /// Nil: it is no mapping; an inner nil: it is one, and was reported.
    fileprivate mutating func outside(_ node: Int) -> IPAddress?? {
        guard tree[node].kind == .mapping else { return .none }
        return .some(ExternalAddress.type.read(&self, node)?.address)
    }

    /// An address, or the name of an interface: a name has no dots.
    fileprivate mutating func probeTarget(_ node: Int) -> Probe.Target? {
        guard tree[node].kind == .scalar, tree.type(node) == .string else {
            _ = string(node)
            return nil
        }
        let text = tree.text(node)
        if isDNSLabel(text) { return .interface(text) }
        if text.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") }) {
            return address(node).map(Probe.Target.address)
        }
        return name(node).map(Probe.Target.interface)
    }
}
