internal import IPAddressing
internal import VPCModel

extension SecurityGroup: ManifestResource {
    static let blank = SecurityGroup(metadata: Metadata(name: ""), vpc: "")

    static let spec = FieldList<SecurityGroup>([
        .required("vpc", \.vpc, .name(of: VPC.self)),
        .optional(
            "ingress", \.ingress, SecurityRule.list(peers: "from", not: "to"), default: [],
            absent: "empty: nothing may come in"),
        .optional(
            "egress", \.egress, SecurityRule.list(peers: "to", not: "from"), default: [],
            absent: "empty: nothing may go out"),
    ])
}

extension SecurityRule {
    private static let blank = SecurityRule(traffic: TrafficMatch(), peers: [])

    /// Rules whose far ends are under one key; the other key is that of the other direction.
    fileprivate static func list(peers key: String, not other: String) -> FieldType<[SecurityRule]> {
        let type = FieldType<[Peer]>.list(
            of: .peer, "far ends", emptyHint: "write [{cidr: 0.0.0.0/0}] for every address")
        // One list of names for both, so that a complaint can tell them apart.
        let names = key == "from" ? [key, other] : [other, key]
        let (position, otherPosition) = key == "from" ? (0, 1) : (1, 0)
        let peers = Field<SecurityRule>(
            names,
            [FieldDescription(key, type, "required", "at least one; each has one of the following")],
            read: { reader, nodes, rule in
                if let node = reader.optional(nodes, otherPosition) {
                    return reader.report(
                        "unknown-field", "\(reader.path(nodes.mapping)) has no field \"\(other)\"",
                        hint: "ingress rules say from, egress rules to", at: node)
                }
                guard let node = reader.required(nodes, position, key) else { return }
                if let peers = reader.peers(node, type) { rule.peers = peers }
            },
            write: { rule, members in members.append(StructuredValue.Member(key, type.write(rule.peers))) })
        return .list(of: .object(FieldList([.traffic(\.traffic), peers]), from: blank), "rules")
    }
}

extension FieldType<SecurityRule.Peer> {
    fileprivate static let peer = FieldType(
        "mapping", fields: fields.descriptions,
        read: { reader, node in
            if let hint = reader.peerHint(node) {
                reader.reportType("a mapping", at: node, hint: "write \(hint)")
                return nil
            }
            var peer = SecurityRule.Peer.cidr(.defaultIPv4)
            return fields.read(&reader, node, into: &peer) ? peer : nil
        },
        write: { .object(fields.members(of: $0)) })

    private static let fields = FieldList<SecurityRule.Peer>([
        .oneOf(
            \.self, missing: "names no far end", severalHint: "make it two entries of the list",
            [
                UnionCase(
                    "cidr", .prefix, make: { .cidr($0) },
                    value: { if case .cidr(let cidr) = $0 { cidr } else { nil } }),
                UnionCase(
                    "securityGroup", .groupOfPeer, make: { .securityGroup($0) },
                    value: { if case .securityGroup(let name) = $0 { name } else { nil } },
                    "of the same VPC, or `VPC/GROUP` of one that has a peering with it; it may be the group itself. Stands for the addresses of all interfaces that have the"
                        + " group"),
                UnionCase(
                    "loadBalancer", .name(of: LoadBalancer.self), make: { .loadBalancer($0) },
                    value: { if case .loadBalancer(let name) = $0 { name } else { nil } },
                    "of the same VPC. In `to` it stands for the addresses of its targets, for these are judged; in `from`"
                        + " for its own"),
            ])
    ])
}

extension FieldType<String> {
    /// Of the same VPC, or with the name of another one before it.
    fileprivate static let groupOfPeer = FieldType(
        FieldType.name(of: SecurityGroup.self).name,
        read: { reader, node in
            guard reader.tree[node].kind == .scalar, reader.tree.type(node) == .string else { return reader.name(node) }
            let parts = reader.tree.text(node).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            return parts.count == 2 && parts.allSatisfy(isDNSLabel) ? parts.joined(separator: "/") : reader.name(node)
        }, write: { .string($0) })
}

extension DocumentReader {
    fileprivate mutating func peers(
        _ node: Int, _ type: FieldType<[SecurityRule.Peer]>
    ) -> [SecurityRule.Peer]? {
        guard let hint = peerHint(node) else { return type.read(&self, node) }
        reportType("a list of far ends", at: node, hint: "write [\(hint)]")
        return nil
    }

    /// How a far end would be written that is only named.
    fileprivate func peerHint(_ node: Int) -> String? {
        guard tree[node].kind == .scalar, tree.type(node) == .string else { return nil }
        let text = short(tree.text(node))
        return isDNSLabel(text) ? "{securityGroup: \(text)}" : "{cidr: \(text)}"
    }
}
