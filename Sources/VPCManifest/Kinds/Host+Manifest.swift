internal import IPAddressing
internal import VPCModel

extension Host: ManifestResource {
    static let blank = Host(metadata: Metadata(name: ""), underlayAddress: .anyIPv4)

    static let spec = FieldList<Host>([
        .required("underlay", underlay, "where the other hosts find it"),
        .optional("region", \.region, .string, "free"),
        .optional("zone", \.zone, .string, "free"),
        .optional(
            "aggregateRoutes", \.aggregatesRoutes, .boolean, default: false,
            "its tables get the fewest routes that forward alike, [below](#aggregated-routes)"),
        .optional(
            "dataPlane", \.dataPlane, .object(dataPlaneFields, from: DataPlane()), default: DataPlane(),
            absent: "as below"),
    ])

    private static let dataPlaneFields = FieldList<DataPlane>([
        .optional(
            "namespace", \.namespace, .ownNamespace, absent: "`vpc-` and the host's name",
            "the network namespace that is made for [all that is the VPCs'](datapath.md#the-namespace)"),
        .optional(
            "offload", \.offloads, .boolean, default: true,
            "whether packets of established connections go [past the rules](datapath.md#established-connections) where the"
                + " kernel can do that"),
    ])

    private static let underlay = FieldList<Host>([
        .required(
            "address", \.underlayAddress, .address,
            "source and destination of the host's GRE packets; unique; not in 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4,"
                + " 240.0.0.0/4"),
        .optional(
            "device", \.underlayDevice, .ownDevice, absent: "found from the address",
            "the device that has the address; or, where that is one that no packet leaves by (`lo`, a dummy), an uplink,"
                + " by which tunnel packets of all hosts are accepted then, besides those"
                + " [of the ways to them](datapath.md#the-ways-to-other-hosts)"),
    ])
}
