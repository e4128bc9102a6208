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
            "the host that is connected to the provider, or two: a [pair](edge.md#a-pair-of-gateways), of which the first"
                + " is preferred and takes no other's place by itself"),
        .optional(
            "endpoint", \.endpoint, .address, absent: "the underlay address of the host",
            "of a pair, which needs it: an underlay address that no host has; whoever is active takes it"),
        .required(
            "uplinkAddress", \.uplinkAddress, .address,
            "what the provider routes the pools to; the gateway asks for `nextHop` with it. No guest and no NAT gateway"
                + " has it"),
        .optional(
            "announce", \.announcement, .word, default: .arp, absent: "arp",
            "`arp`: the gateway answers for `uplinkAddress` and for every public address in use. `routes`: the active one of"
                + " a pair puts routes into a table, which [BIRD or FRR](edge.md#announced-by-bird-or-frr) announce"),
        .optional(
            "liveness", \.liveness,
            .object(Liveness.fields, from: Liveness(interval: .milliseconds(300), multiplier: 3)),
            absent: "300 ms, 3 times",
            "of a pair: when one takes the other for dead"),
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
        .required(
            "interval", \.interval, .duration(in: .milliseconds(50) ... .seconds(10)),
            "50ms to 10s: how often the active one says that it is there"),
        .required(
            "multiplier", \.multiplier, .integer(in: 2...20), "2 to 20: so many intervals of silence are its death"),
    ])
}
