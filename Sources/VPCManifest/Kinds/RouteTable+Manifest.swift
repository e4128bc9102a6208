internal import IPAddressing
internal import VPCModel

extension RouteTable: ManifestResource {
    static let blank = RouteTable(metadata: Metadata(name: ""), vpc: "", routes: [])

    static let spec = FieldList<RouteTable>([
        .required("vpc", \.vpc, .name(of: VPC.self)),
        .optional(
            "routes", \.routes,
            .list(of: .object(CustomRoute.fields, from: CustomRoute.blank), "routes"), default: [], absent: "empty",
            isAlwaysWritten: true),
    ])
}

extension CustomRoute {
    fileprivate static let blank = CustomRoute(destination: .defaultIPv4, target: .blackhole)

    fileprivate static let fields = FieldList<CustomRoute>([
        .required("destination", \.destination, .prefix, "once per table; not one of the VPC's own blocks"),
        targetFields,
    ])

    private static let nextHops = FieldType<[NextHop]>.list(
        of: .object(NextHop.fields, from: NextHop(interface: "")), "next hops",
        emptyHint: "write blackhole: true to drop the traffic")

    private static let targetFields = Field<CustomRoute>(
        ["nextHops", "blackhole"],
        [
            FieldDescription(
                "nextHops", nextHops, "", "1 to 256; several share the flows (ECMP). Either this or `blackhole`"),
            FieldDescription("blackhole", "`true`", "", "drops the traffic"),
        ],
        read: { reader, nodes, route in
            let (nextHopsNode, blackholeNode) = (reader.optional(nodes, 0), reader.optional(nodes, 1))
            if let hops = nextHopsNode.flatMap({ nextHops.read(&reader, $0) }) { route.target = .nextHops(hops) }
            if let node = blackholeNode, let isBlackhole = reader.boolean(node) {
                reader.checkBlackhole(isBlackhole, node, nodes, hasNextHops: nextHopsNode != nil)
            }
            if nextHopsNode == nil, blackholeNode == nil {
                reader.report(
                    "missing-field", "\(reader.path(nodes.mapping)) leads nowhere",
                    hint: "add nextHops, or blackhole: true", at: nodes.mapping)
            }
        },
        write: { route, members in
            switch route.target {
            case .blackhole: members.append(StructuredValue.Member("blackhole", true))
            case .nextHops(let hops): members.append(StructuredValue.Member("nextHops", nextHops.write(hops)))
            }
        })
}

extension DocumentReader {
    fileprivate mutating func checkBlackhole(_ isBlackhole: Bool, _ node: Int, _ nodes: FieldNodes, hasNextHops: Bool) {
        if hasNextHops {
            report(
                "conflicting-fields", "\(path(nodes.mapping)) has both nextHops and blackhole",
                hint: "remove one of them", at: node)
        } else if !isBlackhole {
            report("invalid-value", "\(path(node)) can only be true", hint: "name nextHops instead", at: node)
        }
    }
}

extension NextHop {
    fileprivate static let fields = FieldList<NextHop>(
        [
            .oneOf(
                \.target, missing: "names nothing that packets could be sent to",
                severalHint: "a next hop is one of them",
                [
                    UnionCase(
                        "interface", .name(of: NetworkInterface.self), make: { .interface($0) },
                        value: { if case .interface(let name) = $0 { name } else { nil } },
                        "in the table's VPC; once per route. Either this or one of the others"),
                    UnionCase(
                        "natGateway", .name(of: NATGateway.self), make: { .natGateway($0) },
                        value: { if case .natGateway(let name) = $0 { name } else { nil } },
                        "of the table's VPC; alone in its route"),
                    UnionCase(
                        "peering", .name(of: VPCPeering.self), make: { .peering($0) },
                        value: { if case .peering(let name) = $0 { name } else { nil } },
                        "of the table's VPC; alone in its route: the destination's part of what the other side lets reach,"
                            + " see [peering.md](peering.md)"),
                ]),
            .optional(
                "weight", \.weight, .integer(in: weights), default: 1, "1 to 256: the share of the flows"),
            .optional(
                "liveness", \.liveness, .word, default: .none,
                "`bfd`, `ping`: its guest is left out as long as it does not answer, see [liveness.md](liveness.md)"),
        ],
        check: { reader, fields, hop in
            if case .interface = hop.target { return }
            guard hop.liveness != .none, let node = reader.optional(fields, "liveness") else { return }
            reader.report(
                "conflicting-fields", "\(reader.path(node)) is for interfaces", hint: "remove it", at: node)
        })
}
