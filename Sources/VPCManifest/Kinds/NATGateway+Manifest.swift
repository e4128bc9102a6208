internal import IPAddressing
internal import VPCModel

extension NATGateway: ManifestResource {
    static let blank = NATGateway(
        metadata: Metadata(name: ""), subnet: "", address: .anyIPv4, externalNetwork: "", addresses: [])

    static let spec = FieldList<NATGateway>([
        .required("subnet", \.subnet, .name(of: Subnet.self), "the subnet that it has its address in"),
        .required(
            "address", \.address, .address,
            "its own in the VPC: of the subnet, and no interface's. It answers pings, and errors come from it"),
        .required("externalNetwork", \.externalNetwork, .name(of: ExternalNetwork.self)),
        .required(
            "addresses", \.addresses,
            .list(of: .address, "addresses", emptyHint: "name a public address of the external network"),
            "public ones, of the external network's pools, that nobody else uses: 1 to 64. An inside address always gets"
                + " the same one of them"),
    ])
}
