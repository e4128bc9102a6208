internal import IPAddressing
internal import VPCModel

/// Port forwards of NAT gateways, whose interfaces and ways are known only later than the gateways.
extension Resolver {
    mutating func resolvePortForwards() {
        for gateway in model.natGateways.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            guard !gateway.portForwards.isEmpty, let number = number(NATGateway.self, gateway.metadata.name) else {
                continue
            }
            checkCount(of: gateway)
            checkDuplicates(of: gateway)
            var forwards: [ResolvedPortForward] = []
            for (position, forward) in gateway.portForwards.enumerated() {
                let path: FieldPath = ["spec", "portForwards", .index(position)]
                checkPort(of: forward, gateway, path)
                let interface = self.number(
                    of: NetworkInterface.self, forward.interface, for: gateway.reference, path + ["to", "interface"])
                guard let interface else { continue }
                check(forward, to: interface, by: number, gateway, path + ["to", "interface"])
                forwards.append(
                    ResolvedPortForward(
                        address: forward.address, transport: forward.transport, port: forward.port,
                        interface: interface, interfacePort: forward.interfacePort))
            }
            topology.natGateways[number].portForwards = forwards.sorted { $0.place < $1.place }
            NATGateway.enterForwards(of: number, &self)
        }
    }

    private mutating func checkCount(of gateway: NATGateway) {
        let (count, most) = (gateway.portForwards.count, NATGateway.maximumPortForwards)
        if count <= most { return }
        report(
            "too-many-port-forwards", "it has \(count) port forwards, more than \(most)",
            hint: "give servers elastic IPs", at: gateway.reference, ["spec", "portForwards", .index(most)])
    }

    private mutating func checkDuplicates(of gateway: NATGateway) {
        var known: [ResolvedPortForward.Place: Int] = [:]
        for (position, forward) in gateway.portForwards.enumerated() {
            guard let first = known.updateValue(position, forKey: forward.place) else { continue }
            known[forward.place] = first
            report(
                "duplicate-port-forward",
                "\(forward.transport.rawValue) port \(forward.port) of \(forward.address) is forwarded twice",
                hint: "remove one of them, or use another port", at: gateway.reference,
                ["spec", "portForwards", .index(position)],
                related: Diagnostic.Related(
                    "the first one is here", at: gateway.reference, ["spec", "portForwards", .index(first)]))
        }
    }

    /// Whether the public port is one of the gateway's.
    private mutating func checkPort(
        of forward: NATGateway.PortForward, _ gateway: NATGateway, _ path: FieldPath
    ) {
        guard gateway.pool.addresses.contains(forward.address) else {
            report(
                "port-forward-address", "\(forward.address) is no public address of it",
                hint: "choose one of \(listed(gateway.pool.addresses.map(\.description)))", at: gateway.reference,
                path + ["address"])
            return
        }
        guard case .shared(let shared) = gateway.pool, !shared.ports.contains(forward.port) else { return }
        report(
            "port-forward-port", "port \(forward.port) of the shared address \(forward.address) is not its own",
            hint: "choose one of \(shared.ports.lowerBound) to \(shared.ports.upperBound)", at: gateway.reference,
            path + ["port"],
            related: Diagnostic.Related("its ports are here", at: gateway.reference, ["spec", "shared", "ports"]))
    }

    private mutating func check(
        _ forward: NATGateway.PortForward, to interface: Int, by number: Int, _ gateway: NATGateway, _ path: FieldPath
    ) {
        let (target, vpc) = (topology.interfaces[interface], topology.natGateways[number].vpc)
        let related = Diagnostic.Related(
            "the interface is here", at: ResourceReference(.networkInterface, target.name), ["spec", "subnet"])
        guard target.vpc == vpc else {
            report(
                "port-forward-elsewhere",
                "\(target.name) is in VPC \(topology.vpcs[target.vpc].name), not in \(topology.vpcs[vpc].name)",
                hint: "name an interface of VPC \(topology.vpcs[vpc].name)", at: gateway.reference, path,
                related: related)
            return
        }
        let elastic = index.elasticIPsOfInterface[interface].filter { topology.elasticIPs[$0].mode == .stateless }
        if !elastic.isEmpty { reportStateless(interface, number, at: gateway.reference, path) }
        if topology.defaultNATGateway(of: interface) == number { return }
        let subnet = topology.subnets[target.subnet].name
        warn(
            "port-forward-without-way",
            "nobody is reached by port \(forward.port) of \(forward.address): what \(target.name) answers does not leave"
                + " by this gateway",
            hint:
                "give the subnet \(subnet) a route table with a route to 0.0.0.0/0 whose next hop is \(gateway.metadata.name)",
            at: gateway.reference, path,
            related: Diagnostic.Related("the subnet is here", at: ResourceReference(.subnet, subnet), ["spec"]))
    }

    /// What a guest with a stateless address sends is not tracked: an answer by a port forward would not be known as one.
    mutating func reportStateless(
        _ interface: Int, _ gateway: Int, at resource: ResourceReference, _ path: FieldPath
    ) {
        let name = topology.interfaces[interface].name
        report(
            "port-forward-stateless",
            "\(name) has a stateless elastic IP, and a port of NAT gateway \(topology.natGateways[gateway].name) that is"
                + " forwarded to it",
            hint: "use mode nat, or reach the port by the elastic IP", at: resource, path,
            related: Diagnostic.Related(
                "the NAT gateway is here", at: ResourceReference(.natGateway, topology.natGateways[gateway].name),
                ["spec", "portForwards"]))
    }
}

extension Topology {
    /// The NAT gateway that an interface's default route leads to.
    func defaultNATGateway(of interface: Int) -> Int? {
        let subnet = subnets[interfaces[interface].subnet]
        let routes = subnet.routeTable.map { routeTables[$0].routes } ?? []
        let standard = routes.first { $0.destination == .defaultIPv4 }
        guard case .natGateway(let gateway) = standard?.nextHops.first?.target else { return nil }
        return gateway
    }
}

extension ResolvedPortForward {
    /// What of it there is only once.
    struct Place: Hashable, Comparable {
        var address: IPAddress
        var transport: String
        var port: UInt16

        static func < (left: Place, right: Place) -> Bool {
            (left.address, left.transport, left.port) < (right.address, right.transport, right.port)
        }
    }

    var place: Place { Place(address: address, transport: transport.rawValue, port: port) }
}

extension NATGateway.PortForward {
    fileprivate var place: ResolvedPortForward.Place {
        ResolvedPortForward.Place(address: address, transport: transport.rawValue, port: port)
    }
}
