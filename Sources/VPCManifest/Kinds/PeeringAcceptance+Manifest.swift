internal import VPCModel

extension PeeringAcceptance: ManifestResource {
    static let blank = PeeringAcceptance(metadata: Metadata(name: ""), peering: "", account: "")

    static let spec = FieldList<PeeringAcceptance>([
        .required("peering", \.peering, .name(of: VPCPeering.self), "once"),
        .required("account", \.account, .string, "that of the accepter's VPC"),
    ])
}
