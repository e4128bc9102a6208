internal import IPAddressing
internal import VPCModel

extension NetworkInterface: ManifestResource {
    static let blank = NetworkInterface(
        metadata: Metadata(name: ""), subnet: "", host: "", address: nil, attachment: .device(""))

    static let spec = FieldList<NetworkInterface>([
        .required("subnet", \.subnet, .name(of: Subnet.self)),
        .required("host", \.host, .name(of: Host.self), "where the guest is"),
        .optional(
            "address", \.address, .address, absent: "[chosen](#addresses-that-are-left-out): the lowest that is free",
            "in the subnet; not its first (network) or last (broadcast), nor its gateway; unique in the VPC"),
        .optional(
            "addresses", \.addresses, .list(of: .address, "addresses"), default: [], absent: "none",
            "further ones, of which the same is required"),
        .optional(
            "prefixes", \.prefixes, .list(of: .prefix, "CIDR blocks"), default: [], absent: "none",
            "[delegated](#several-addresses) to the guest: in the subnet, without its first and last address and its"
                + " gateway; disjoint from every other prefix and address of an interface"),
        .optional(
            "mac", \.mac, .mac, absent: "`02:`, one octet of the VPC's id, the address in hexadecimal",
            "six two-digit octets; not a group address, not `02:00:5e:00:00:01`, which is every gateway's; unique in"
                + " the VPC"),
        .optional(
            "sourceDestCheck", \.sourceDestCheck, .boolean, default: true,
            "`false` lets the guest send and receive packets of other addresses, as gateways must"),
        .optional(
            "securityGroups", \.securityGroups, .list(of: .name(of: SecurityGroup.self), "names"), default: [],
            absent: "none: everything is allowed",
            "of [security groups](#securitygroup): up to 5, each once, of the interface's VPC. What any of them"
                + " allows is allowed"),
        .required(
            "attachment", \.attachment, .object(Attachment.fields, from: .device("")),
            "how the guest is connected, see below"),
        .optional(
            "mtu", \.mtu, .integer(in: mtus), absent: "1500",
            "68 to 65535. Fragments longer than the largest of a host's interfaces are dropped, also where the device of"
                + " an attachment lets more through"),
        .optional(
            "hostname", \.hostName, .hostName, absent: "the interface's name",
            "what the guest is called, without a domain; told by [DHCP](guests.md#dhcp)"),
    ])
}

extension NetworkInterface.Attachment {
    fileprivate static let fields = FieldList<NetworkInterface.Attachment>([
        Field(
            ["netns", "device"],
            [
                FieldDescription(
                    "netns", "string", "none",
                    "a named network namespace (`ip netns`): a file name of 1 to 128 bytes"),
                FieldDescription(
                    "device", FieldType.device, "required",
                    "the guest's end, in that namespace; without one a device of the host"),
            ],
            read: { reader, nodes, attachment in
                let netns = reader.optional(nodes, 0)
                guard let node = reader.required(nodes, 1, "device") else {
                    _ = netns.flatMap { reader.netns($0) }
                    return
                }
                if let netns {
                    let device = reader.device(node)
                    if let name = reader.netns(netns), let device { attachment = .namespace(name, device: device) }
                } else if let device = reader.ownDevice(node) {
                    attachment = .device(device)
                }
            },
            write: { attachment, members in
                switch attachment {
                case .namespace(let netns, let device):
                    members.append(StructuredValue.Member("netns", .string(netns)))
                    members.append(StructuredValue.Member("device", .string(device)))
                case .device(let device): members.append(StructuredValue.Member("device", .string(device)))
                }
            })
    ])
}
