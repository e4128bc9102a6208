internal import IPAddressing
internal import VPCModel

extension ElasticIP: ManifestResource {
    static let blank = ElasticIP(metadata: Metadata(name: ""), externalNetwork: "")

    static let spec = FieldList<ElasticIP>([
        .required("externalNetwork", \.externalNetwork, .name(of: ExternalNetwork.self)),
        .optional(
            "address", \.address, .address, absent: "[chosen](#addresses-that-are-left-out): the lowest that is free",
            "of the external network's pools; nobody else uses it"),
        .optional(
            "interface", \.interface, .name(of: NetworkInterface.self), absent: "none: the address is reserved",
            "whose it is: one of a VPC whose default route leads to a NAT gateway of the same external network. An"
                + " interface has one elastic IP"),
        .optional(
            "mode", \.mode, .word, default: .nat, absent: "nat",
            "`nat`: translated, by connections; `stateless`: by packets; `passThrough`: the guest has the address itself,"
                + " [edge.md](edge.md#elastic-ips)"),
        .optional(
            "bandwidth", \.bandwidth, .object(Bandwidth.fields, from: Bandwidth()), default: Bandwidth(),
            absent: "unlimited", "what may pass by it, [edge.md](edge.md#bandwidth)"),
    ])
}
