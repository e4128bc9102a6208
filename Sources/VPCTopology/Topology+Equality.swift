extension Topology: Equatable {
    /// Whether both say the same. Numbers do not count.
    public static func == (left: Topology, right: Topology) -> Bool {
        let (left, right) = (left.renumbered, right.renumbered)
        return left.hosts.elementsEqual(right.hosts) && left.vpcs.elementsEqual(right.vpcs)
            && left.subnets.elementsEqual(right.subnets) && left.routeTables.elementsEqual(right.routeTables)
            && left.interfaces.elementsEqual(right.interfaces)
            && left.securityGroups.elementsEqual(right.securityGroups) && left.acls.elementsEqual(right.acls)
            && left.tables.holdsWhat(right.tables) && left.interfacesOfVPC == right.interfacesOfVPC
            && left.furtherOfVPC == right.furtherOfVPC
            && left.interfacesOfHost == right.interfacesOfHost && left.policyElements == right.policyElements
    }

    /// The same with the numbers that it would have if it had been resolved afresh.
    package var renumbered: Topology {
        let numbers = TopologyNumbers(self)
        var result = Topology()
        result.hosts = hosts.renumbered(numbers.hosts) { _ in }
        result.vpcs = vpcs.renumbered(numbers.vpcs) { _ in }
        result.subnets = subnets.renumbered(numbers.subnets) { subnet in
            subnet.vpc = numbers.vpcs[subnet.vpc]
            subnet.routeTable = subnet.routeTable.map { numbers.routeTables[$0] }
            subnet.acl = subnet.acl.map { numbers.acls[$0] }
        }
        result.routeTables = routeTables.renumbered(numbers.routeTables) { table in
            table.vpc = numbers.vpcs[table.vpc]
            for route in table.routes.indices {
                table.routes[route].nextHops = table.routes[route].nextHops.map { hop in
                    switch hop.target {
                    case .interface(let interface):
                        ResolvedNextHop(
                            .interface(numbers.interfaces[interface]), weight: hop.weight, liveness: hop.liveness)
                    case .natGateway(let gateway): ResolvedNextHop(.natGateway(numbers.natGateways[gateway]))
                    case .peering(let peering): ResolvedNextHop(.peering(numbers.peerings[peering]))
                    }
                }
            }
        }
        result.interfaces = interfaces.renumbered(numbers.interfaces) { interface in
            interface.vpc = numbers.vpcs[interface.vpc]
            interface.subnet = numbers.subnets[interface.subnet]
            interface.host = numbers.hosts[interface.host]
            interface.securityGroups = interface.securityGroups.map { numbers.securityGroups[$0] }
        }
        result.securityGroups = securityGroups.renumbered(numbers.securityGroups) { group in
            group.vpc = numbers.vpcs[group.vpc]
            group.members = group.members.map { numbers.interfaces[$0] }
            for rule in group.ingress.indices {
                group.ingress[rule].groups = group.ingress[rule].groups.map { numbers.securityGroups[$0] }
                group.ingress[rule].balancers = group.ingress[rule].balancers.map { numbers.loadBalancers[$0] }
            }
            for rule in group.egress.indices {
                group.egress[rule].groups = group.egress[rule].groups.map { numbers.securityGroups[$0] }
                group.egress[rule].balancers = group.egress[rule].balancers.map { numbers.loadBalancers[$0] }
            }
        }
        result.acls = acls.renumbered(numbers.acls) { $0.vpc = numbers.vpcs[$0.vpc] }
        result.tables = tables.renumbered(numbers, vpcs)
        result.interfacesOfVPC = inOrder(vpcs.indices, of: \.vpcs).map { vpc in
            interfacesOfVPC[vpc].map { numbers.interfaces[$0] }
        }
        result.furtherOfVPC = inOrder(vpcs.indices, of: \.vpcs).map { vpc in
            furtherOfVPC[vpc].map {
                Destination($0.prefix, isDelegated: $0.isDelegated, of: numbers.interfaces[$0.interface])
            }
        }
        result.interfacesOfHost = inOrder(hosts.indices, of: \.hosts).map { host in
            interfacesOfHost[host].map { numbers.interfaces[$0] }
        }
        result.policyElements = policyElements
        return result
    }
}

/// By the numbers of a topology, those in the order of each kind.
package struct TopologyNumbers {
    package let hosts: [Int]
    package let vpcs: [Int]
    package let subnets: [Int]
    package let routeTables: [Int]
    package let interfaces: [Int]
    package let securityGroups: [Int]
    package let acls: [Int]
    package let externalNetworks: [Int]
    package let natGateways: [Int]
    package let peerings: [Int]
    package let elasticIPs: [Int]
    package let targetGroups: [Int]
    package let loadBalancers: [Int]

    init(_ topology: Topology) {
        hosts = topology.places(of: \.hosts)
        vpcs = topology.places(of: \.vpcs)
        subnets = topology.places(of: \.subnets)
        routeTables = topology.places(of: \.routeTables)
        interfaces = topology.places(of: \.interfaces)
        securityGroups = topology.places(of: \.securityGroups)
        acls = topology.places(of: \.acls)
        externalNetworks = topology.places(of: \.externalNetworks)
        natGateways = topology.places(of: \.natGateways)
        peerings = topology.places(of: \.peerings)
        elasticIPs = topology.places(of: \.elasticIPs)
        targetGroups = topology.places(of: \.targetGroups)
        loadBalancers = topology.places(of: \.loadBalancers)
    }
}

extension Topology {
    fileprivate func places<Element: TopologyElement>(of kind: KeyPath<Topology, Slots<Element>>) -> [Int] {
        let elements = self[keyPath: kind]
        var places = [Int](repeating: -1, count: elements.endIndex)
        for (place, number) in inOrder(elements.indices, of: kind).enumerated() { places[number] = place }
        return places
    }
}

extension Slots {
    /// - Parameter renumber: Changes what an element refers to.
    fileprivate func renumbered(_ numbers: [Int], _ renumber: (inout Element) -> Void) -> Slots {
        var result = Slots()
        for number in indices.sorted(by: { numbers[$0] < numbers[$1] }) {
            var element = self[number]
            renumber(&element)
            result.add(element)
        }
        return result
    }
}
