internal import IPAddressing
internal import VPCModel

extension ExternalNetwork: ManifestResource {
    static let blank = ExternalNetwork(
        metadata: Metadata(name: ""), pools: [], nextHop: .anyIPv4, gateways: [], uplinkAddress: .anyIPv4)

    static let spec = FieldList<ExternalNetwork>([
        .required(
            "pools", \.pools,
            .list(of: .prefix, "CIDR blocks", emptyHint: "name the addresses that the provider gives"),
            "public addresses that NAT gateways may take; disjoint from every other pool"),
        .required("nextHop", \.nextHop, .address, "the provider's router"),
        .required(
            "gateways", \.gateways,
            .list(
                of: .object(Uplink.fields, from: Uplink(host: "", device: "")), "gateways",
                emptyHint: "name the host that is connected to the provider"),
            "the host that is connected to the provider. A pair, of which one stands by, is not supported yet"),
        .optional(
            "endpoint", \.endpoint, .address, absent: "the underlay address of the host",
            "of a pair: the underlay address of whoever is active; not supported yet"),
        .required(
            "uplinkAddress", \.uplinkAddress, .address,
            "what the provider routes the pools to; the gateway asks for `nextHop` with it. No guest and no NAT gateway"
                + " has it"),
        .optional(
            "announce", \.announcement, .word, default: .arp, absent: "arp",
            "`arp`: the gateway answers for `uplinkAddress` and for every public address in use. `routes` is not supported"
                + " yet"),
        .optional(
            "liveness", \.liveness,
            .object(Liveness.fields, from: Liveness(interval: .milliseconds(300), multiplier: 3)),
            absent: "300 ms, 3 times",
            "of a pair: when one takes the other for dead; not supported yet"),
    ])
}

extension ExternalNetwork.Uplink {
    fileprivate static let fields = FieldList<ExternalNetwork.Uplink>([
        .required("host", \.host, .name(of: Host.self)),
        .required("device", \.device, .ownDevice, "a device of the host's own namespace, which leads to the provider"),
        .optional(
            "mode", \.mode, .word, default: .macvlan, absent: "macvlan",
            "how it is used, [edge.md](edge.md#the-uplink): by a device upon it with a MAC address of its own (`macvlan`)"
                + " or with that of the device (`ipvlan`, where the provider takes only one); `move`, whole, is not"
                + " supported yet"),
    ])
}

extension ExternalNetwork.Liveness {
    fileprivate static let fields = FieldList<ExternalNetwork.Liveness>([
        .required("interval", \.interval, .duration(in: .milliseconds(10) ... .seconds(60)), "10ms to 60s"),
        .required("multiplier", \.multiplier, .integer(in: 1...255), "1 to 255"),
    ])
}
