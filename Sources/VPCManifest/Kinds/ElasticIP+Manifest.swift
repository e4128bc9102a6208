internal import IPAddressing
internal import VPCModel

extension ElasticIP: ManifestResource {
    static let blank = ElasticIP(metadata: Metadata(name: ""), externalNetwork: "", address: .anyIPv4)

    static let spec = FieldList<ElasticIP>([
        .required("externalNetwork", \.externalNetwork, .name(of: ExternalNetwork.self)),
        .required("address", \.address, .address, "of the external network's pools; nobody else uses it"),
        .optional(
            "interface", \.interface, .name(of: NetworkInterface.self), absent: "none: the address is reserved",
            "whose it is: one of a VPC whose default route leads to a NAT gateway of the same external network. An"
                + " interface has one elastic IP"),
        .optional(
            "mode", \.mode, .word, default: .nat, absent: "nat",
            "`nat`: translated, by connections; `stateless`: by packets; `passThrough`: the guest has the address itself,"
                + " [edge.md](edge.md#elastic-ips)"),
    ])
}
