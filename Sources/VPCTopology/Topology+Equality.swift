extension Topology: Equatable {
    /// Whether both say the same. Numbers do not count.
    public static func == (left: Topology, right: Topology) -> Bool {
        let (left, right) = (left.renumbered, right.renumbered)
        return left.hosts.elementsEqual(right.hosts) && left.vpcs.elementsEqual(right.vpcs)
            && left.subnets.elementsEqual(right.subnets) && left.routeTables.elementsEqual(right.routeTables)
            && left.interfaces.elementsEqual(right.interfaces)
            && left.securityGroups.elementsEqual(right.securityGroups) && left.acls.elementsEqual(right.acls)
            && left.probes.elementsEqual(right.probes) && left.interfacesOfVPC == right.interfacesOfVPC
            && left.interfacesOfHost == right.interfacesOfHost && left.policyElements == right.policyElements
    }

    /// The same with the numbers that it would have if it had been resolved afresh.
    package var renumbered: Topology {
        let hosts = Renumbering(self, \.hosts)
        let vpcs = Renumbering(self, \.vpcs)
        let subnets = Renumbering(self, \.subnets)
        let routeTables = Renumbering(self, \.routeTables)
        let interfaces = Renumbering(self, \.interfaces)
        let securityGroups = Renumbering(self, \.securityGroups)
        let acls = Renumbering(self, \.acls)
        var result = Topology()
        result.hosts = hosts.elements { _ in }
        result.vpcs = vpcs.elements { _ in }
        result.subnets = subnets.elements { subnet in
            subnet.vpc = vpcs[subnet.vpc]
            subnet.routeTable = subnet.routeTable.map { routeTables[$0] }
            subnet.acl = subnet.acl.map { acls[$0] }
        }
        result.routeTables = routeTables.elements { table in
            table.vpc = vpcs[table.vpc]
            for route in table.routes.indices {
                for hop in table.routes[route].nextHops.indices {
                    let interface = table.routes[route].nextHops[hop].interface
                    table.routes[route].nextHops[hop].interface = interfaces[interface]
                }
            }
        }
        result.interfaces = interfaces.elements { interface in
            interface.vpc = vpcs[interface.vpc]
            interface.subnet = subnets[interface.subnet]
            interface.host = hosts[interface.host]
            interface.securityGroups = interface.securityGroups.map { securityGroups[$0] }
        }
        result.securityGroups = securityGroups.elements { group in
            group.vpc = vpcs[group.vpc]
            group.members = group.members.map { interfaces[$0] }
            for rule in group.ingress.indices {
                group.ingress[rule].groups = group.ingress[rule].groups.map { securityGroups[$0] }
            }
            for rule in group.egress.indices {
                group.egress[rule].groups = group.egress[rule].groups.map { securityGroups[$0] }
            }
        }
        result.acls = acls.elements { $0.vpc = vpcs[$0.vpc] }
        result.probes = Renumbering(self, \.probes).elements { probe in
            probe.from = interfaces[probe.from]
            probe.toInterface = probe.toInterface.map { interfaces[$0] }
        }
        result.interfacesOfVPC = vpcs.order.map { interfacesOfVPC[$0].map { interfaces[$0] } }
        result.interfacesOfHost = hosts.order.map { interfacesOfHost[$0].map { interfaces[$0] } }
        result.policyElements = policyElements
        return result
    }
}

/// From the numbers of a topology to those in the order of the kind.
private struct Renumbering<Element: TopologyElement> {
    let order: [Int]
    private let former: Slots<Element>
    private var new: [Int]

    init(_ topology: Topology, _ kind: KeyPath<Topology, Slots<Element>>) {
        former = topology[keyPath: kind]
        order = topology.inOrder(former.indices, of: kind)
        new = Array(repeating: -1, count: former.endIndex)
        for (position, number) in order.enumerated() { new[number] = position }
    }

    subscript(number: Int) -> Int { new[number] }

    /// - Parameter renumber: Changes what an element refers to.
    func elements(_ renumber: (inout Element) -> Void) -> Slots<Element> {
        var result = Slots<Element>()
        for number in order {
            var element = former[number]
            renumber(&element)
            result.add(element)
        }
        return result
    }
}
