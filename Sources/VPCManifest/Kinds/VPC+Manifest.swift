internal import IPAddressing
internal import VPCModel

extension VPC: ManifestResource {
    static let blank = VPC(metadata: Metadata(name: ""), id: .lowest, cidrs: [])

    static let spec = FieldList<VPC>([
        .required(
            "id", \.id, .vpcID,
            "1 to 2147483647; unique. The GRE key of the VPC's packets: it must not change while the VPC is in use"),
        .required(
            "cidrs", \.cidrs, .list(of: .prefix, "CIDR blocks", emptyHint: "a VPC needs at least one CIDR block"),
            "at least one; disjoint; none that holds addresses of 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 or 240.0.0.0/4"),
        .optional(
            "logDenied", \.denialLog,
            .object(
                DenialLog.fields, from: DenialLog(group: 0),
                hint: "write {nflogGroup: 5} to log, and leave the field out not to"),
            absent: "none: denied packets are counted only",
            "where every host reports the VPC's packets that it denies, see [security.md](security.md#denied-packets)"),
        .optional(
            "maxConnections", \.maxConnections, .integer(in: connectionLimits), absent: "a quarter of the host's table",
            "1 to 2147483647: tracked connections that the VPC may have on one host; more are refused while it has so"
                + " many, see [security.md](security.md#connections)"),
        .optional(
            "account", \.account, .string, absent: "none",
            "whose it is: a [VPCPeering](#vpcpeering) of VPCs of different accounts is accepted by the other one"),
        .optional("region", \.region, .string, absent: "none", "VPCs of different regions cannot be peered yet"),
    ])
}

extension DenialLog {
    fileprivate static let fields = FieldList<DenialLog>([
        .required(
            "nflogGroup", \.group, .integer(in: 0...UInt16.max),
            "0 to 65535 without 1180: the group of nfnetlink_log, in the host's network namespace. VPCs may share one"),
        .optional(
            "rate", \.rate, .integer(in: rates), default: defaultRate,
            "1 to 10000: packets a second that each line of an ACL and each list of security groups may report; the"
                + " others are dropped all the same, and counted"),
    ])
}

extension FieldType<VPCID> {
    fileprivate static let vpcID = FieldType(
        "integer",
        read: {
            $0.integer($1, in: Int(VPCID.range.lowerBound)...Int(VPCID.range.upperBound)).flatMap { VPCID(UInt32($0)) }
        },
        write: { .integer(Int($0.rawValue)) })
}
