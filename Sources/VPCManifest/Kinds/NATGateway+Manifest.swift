internal import IPAddressing
internal import VPCModel

extension NATGateway: ManifestResource {
    static let blank = NATGateway(
        metadata: Metadata(name: ""), subnet: "", address: .anyIPv4, externalNetwork: "", pool: .addresses([]))

    static let spec = FieldList<NATGateway>([
        .required("subnet", \.subnet, .name(of: Subnet.self), "the subnet that it has its address in"),
        .required(
            "address", \.address, .address,
            "its own in the VPC: of the subnet, and no interface's. It answers pings, and errors come from it"),
        .required("externalNetwork", \.externalNetwork, .name(of: ExternalNetwork.self)),
        .oneOf(
            \.pool, missing: "names no public address", severalHint: "have addresses of its own, or share one",
            [
                UnionCase(
                    "addresses",
                    .list(of: .address, "addresses", emptyHint: "name a public address of the external network"),
                    make: { .addresses($0) },
                    value: { if case .addresses(let addresses) = $0 { addresses } else { nil } },
                    "public ones, of the external network's pools, that nobody else uses: 1 to 64. An inside address"
                        + " always gets the same one of them. Either this or `shared`"),
                UnionCase(
                    "shared", .object(PublicPorts.fields, from: PublicPorts.blank), make: { .shared($0) },
                    value: { if case .shared(let shared) = $0 { shared } else { nil } },
                    "ports of an address that several NAT gateways share,"
                        + " [edge.md](edge.md#one-address-for-several-vpcs)"),
            ]),
        .optional(
            "portsPerInterface", \.portsPerInterface, .integer(in: portCounts), absent: "whichever ports are free",
            "64 to 32768: a fixed block of so many ports for each address of the subnets whose route table leads to it,"
                + " [edge.md](edge.md#a-block-of-ports-for-each-inside-address)"),
        .optional(
            "portForwards", \.portForwards,
            .list(of: .object(PortForward.fields, from: PortForward.blank), "port forwards"), default: [],
            absent: "none",
            "at most 1024: public ports that lead to interfaces, [edge.md](edge.md#port-forwards)"),
        .optional(
            "bandwidth", \.limits.bandwidth, .object(Bandwidth.fields, from: Bandwidth()), default: Bandwidth(),
            absent: "unlimited", "what may pass it, elastic IPs included, [edge.md](edge.md#bandwidth)"),
        .optional(
            "maxConnections", \.limits.maxConnections, .integer(in: connectionLimits),
            absent: "a quarter of the host's table",
            "1 to 2147483647: tracked connections at once; more are refused while it has so many,"
                + " [edge.md](edge.md#limits-of-connections)"),
        .optional(
            "newConnectionsPerSecond", \.limits.newConnectionsPerSecond, .integer(in: beginRates), absent: "20000",
            "1 to 1000000: connections that may begin in a second"),
        .optional(
            "idleTimeouts", \.limits.idleTimeouts, .object(IdleTimeouts.fields, from: IdleTimeouts()),
            default: IdleTimeouts(), absent: "as below",
            "when a connection without a packet is forgotten; whole seconds"),
        .optional(
            "logTranslations", \.logsTranslations, .boolean, default: false, absent: "false",
            "whether the host records who had which public address and port, and when,"
                + " [edge.md](edge.md#records-of-translations)"),
    ])

    private static let connectionLimits = 1...Int(Int32.max)
    private static let beginRates = 1...1_000_000

    private static let portCounts = 64...32768
}

extension PublicPorts {
    fileprivate static let blank = PublicPorts(address: .anyIPv4, ports: usable)

    fileprivate static let fields = FieldList<PublicPorts>([
        .required("address", \.address, .address, "of the external network's pools; nobody else uses it whole"),
        .required(
            "ports", \.ports, .portRange,
            "such as `1024-5119`: whole blocks of 1024, above 1023, that no other gateway has"),
    ])
}

extension NATGateway.PortForward {
    fileprivate static let blank = NATGateway.PortForward(
        address: .anyIPv4, port: 1, interface: "", interfacePort: 1)

    private static let ports: ClosedRange<UInt16> = 1...UInt16.max

    fileprivate static let fields = FieldList<NATGateway.PortForward>([
        .required("address", \.address, .address, "one of the gateway's"),
        .optional("protocol", \.transport, .word, default: .tcp, absent: "tcp", isAlwaysWritten: true),
        .required(
            "port", \.port, .integer(in: ports),
            "1 to 65535; once for an address and protocol. Of a shared address one"
                + " of the gateway's ports"),
        .required("to", target),
    ])

    private static let target = FieldList<NATGateway.PortForward>([
        .required(
            "interface", \.interface, .name(of: NetworkInterface.self),
            "of the gateway's VPC. Its security groups judge who may come"),
        .required("port", \.interfacePort, .integer(in: ports), "1 to 65535"),
    ])
}

extension NATGateway.IdleTimeouts {
    private static let times = Duration.seconds(1) ... .seconds(7 * 86400)

    fileprivate static let fields = FieldList<NATGateway.IdleTimeouts>([
        .optional(
            "tcp", \.tcp, .duration(in: times), default: .seconds(350), absent: "350s",
            "1s to 168h: of established connections"),
        .optional(
            "udp", \.udp, .duration(in: times), default: .seconds(120), absent: "120s",
            "1s to 168h: where both sides have spoken; where one has, at most 30 s"),
        .optional("icmp", \.icmp, .duration(in: times), default: .seconds(30), absent: "30s", "1s to 168h"),
    ])
}
