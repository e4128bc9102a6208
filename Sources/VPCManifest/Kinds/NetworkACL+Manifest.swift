internal import IPAddressing
internal import VPCModel

extension NetworkACL: ManifestResource {
    static let blank = NetworkACL(metadata: Metadata(name: ""), vpc: "")

    static let spec = FieldList<NetworkACL>([
        .required("vpc", \.vpc, .name(of: VPC.self)),
        .optional("ingress", \.ingress, lines, default: [], absent: "empty: everything is denied"),
        .optional("egress", \.egress, lines, default: [], absent: "empty: everything is denied"),
    ])

    private static let lines = FieldType<[ACLRule]>.list(of: .object(ACLRule.fields, from: ACLRule.blank), "lines")
}

extension ACLRule {
    fileprivate static let blank = ACLRule(priority: 1, action: .deny, traffic: TrafficMatch(), cidr: .defaultIPv4)

    fileprivate static let fields = FieldList<ACLRule>(
        [
            .required("priority", \.priority, .integer(in: priorities), "1 to 32766; once per direction"),
            .required("action", \.action, .word),
            .traffic(\.traffic),
            .required(
                "cidr", \.cidr, .prefix, "the far end: the source of `ingress`, the destination of `egress`"),
        ], listed: ["priority", "action", "protocol", "cidr", "ports", "icmpType", "icmpCode"])
}
