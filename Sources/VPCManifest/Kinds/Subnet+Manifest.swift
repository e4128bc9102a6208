internal import IPAddressing
internal import VPCModel

extension Subnet: ManifestResource {
    static let blank = Subnet(metadata: Metadata(name: ""), vpc: "", cidr: .defaultIPv4)

    static let spec = FieldList<Subnet>([
        .required("vpc", \.vpc, .name(of: VPC.self)),
        .required(
            "cidr", \.cidr, .prefix,
            "inside one of the VPC's blocks, disjoint from its other subnets, /30 or larger"),
        .optional(
            "gateway", \.gateway, .address, absent: "the first usable: 10.0.1.1 of 10.0.1.0/24",
            "an address of the subnet, neither its first nor its last. Guests use it as their default gateway; every"
                + " host answers for it"),
        .optional("zone", \.zone, .string, "free"),
        .optional(
            "routeTable", \.routeTable, .name(of: RouteTable.self),
            absent: "the VPC's main table: local routes only", "of the same VPC"),
        .optional(
            "acl", \.acl, .name(of: NetworkACL.self), absent: "none: everything is allowed", "of the same VPC"),
        .optional(
            "dhcp", \.dhcp, .object(DHCPOptions.fields, from: DHCPOptions()), absent: "none: nobody is answered",
            "guests of the subnet that ask by DHCP get their addresses from `vpcd`, see [guests.md](guests.md#dhcp)"),
    ])
}
