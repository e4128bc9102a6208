internal import IPAddressing
internal import VPCModel

extension VPCPeering: ManifestResource {
    static let blank = VPCPeering(metadata: Metadata(name: ""), requester: Side(vpc: ""), accepter: Side(vpc: ""))

    static let spec = FieldList<VPCPeering>([
        .required(
            "requester", \.requester, .object(Side.fields, from: Side(vpc: ""), hint: "write {vpc: NAME}"),
            "who asks for it"),
        .required(
            "accepter", \.accepter, .object(Side.fields, from: Side(vpc: ""), hint: "write {vpc: NAME}"),
            "who is asked: another VPC"),
        .optional(
            "accepted", \.isAccepted, .boolean, default: false,
            "only of VPCs of one account; else a [PeeringAcceptance](#peeringacceptance) of the other account says so."
                + " Until then it is `Pending`, and nobody reaches anybody by it"),
    ])
}

extension VPCPeering.Side {
    fileprivate static let fields = FieldList<VPCPeering.Side>([
        .required("vpc", \.vpc, .name(of: VPC.self)),
        .optional(
            "prefixes", \.prefixes, .list(of: .prefix, "CIDR blocks"), default: [], absent: "all blocks of the VPC",
            "inside of the VPC's blocks: what of it the other side may reach. None that the other side has as well"),
        .optional(
            "translate", \.translate,
            .list(
                of: .object(
                    VPCPeering.Translation.fields,
                    from: VPCPeering.Translation(inside: .defaultIPv4, outside: .defaultIPv4)), "translations"),
            default: [], absent: "none", "for blocks that both have; not supported yet"),
    ])
}

extension VPCPeering.Translation {
    fileprivate static let fields = FieldList<VPCPeering.Translation>([
        .required("inside", \.inside, .prefix), .required("outside", \.outside, .prefix),
    ])
}
