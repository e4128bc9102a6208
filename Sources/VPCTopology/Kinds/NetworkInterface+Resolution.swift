internal import VPCModel

extension NetworkInterface: ResolvableResource {
    static let resolution = [ResolutionStep(.interfaces) { $0.resolveInterfaces() }]

    static func elements(of topology: Topology) -> Slots<ResolvedInterface> { topology.interfaces }
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<ResolvedInterface>) -> Result)
        -> Result
    {
        body(&topology.interfaces)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedInterface>) -> Result
    ) -> Result {
        body(&change.interfaces)
    }

    init(_ resolved: ResolvedInterface, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), subnet: topology.subnets[resolved.subnet].name,
            host: topology.hosts[resolved.host].metadata.name, address: resolved.address,
            mac: resolved.hasOwnMAC ? resolved.mac : nil, sourceDestCheck: resolved.sourceDestCheck,
            securityGroups: resolved.securityGroups.map { topology.securityGroups[$0].name },
            attachment: resolved.attachment, mtu: resolved.mtu)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let interface = resolver.topology.interfaces[number]
        resolver.index.devices.insert(number, interface.guestDevice.hashValue)
        if !interface.hasPlainPort { resolver.index.ports.insert(number, interface.port.hashValue) }
        if interface.hasOwnMAC { resolver.index.stations[interface.station] = number }
        _ = resolver.topology.enter(number)
        resolver.topology.enterGroups(of: number)
    }

    static func leave(_ number: Int, _ resolver: inout Resolver) {
        let interface = resolver.topology.interfaces[number]
        resolver.index.devices.remove(number, interface.guestDevice.hashValue)
        if !interface.hasPlainPort { resolver.index.ports.remove(number, interface.port.hashValue) }
        if resolver.index.stations[interface.station] == number { resolver.index.stations[interface.station] = nil }
        resolver.topology.leave(number)
    }

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        resolver.index.routeTablesOfInterface[number].map { NumberedResource(kind: .routeTable, number: $0) }
            + resolver.index.probesOfInterface[number].map { NumberedResource(kind: .probe, number: $0) }
    }

    func concerned(by new: NetworkInterface, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        (subnet, address, sourceDestCheck) == (new.subnet, new.address, new.sourceDestCheck)
            ? [] : Self.referrers(to: number, resolver)
    }
}

extension Topology {
    mutating func makeRoomForHosts() {
        while interfacesOfHost.count < hosts.endIndex { interfacesOfHost.append([]) }
    }

    mutating func makeRoomForVPCs() {
        while interfacesOfVPC.count < vpcs.endIndex { interfacesOfVPC.append([]) }
    }

    /// Enters an interface in the lists of its VPC and its host.
    /// - Returns: one that has the same address; then it is in no list.
    mutating func enter(_ number: Int) -> Int? {
        let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
        if let last = interfacesOfVPC[interface.vpc].last, all[last].address >= interface.address,
            let other = self.interface(at: interface.address, inVPC: interface.vpc)
        {
            return other
        }
        interfacesOfVPC[interface.vpc].insert(number) { all[$0].address < interface.address }
        interfacesOfHost[interface.host].insert(number) { all[$0].isBefore(interface, vpcs) }
        return nil
    }

    /// Makes an interface a member of its groups.
    mutating func enterGroups(of number: Int) {
        let (interface, all) = (interfaces[number], interfaces)
        for group in interface.securityGroups {
            securityGroups[group].members.insert(number) { all[$0].address < interface.address }
        }
    }

    /// Takes an interface out of all lists.
    mutating func leave(_ number: Int) {
        let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
        interfacesOfVPC[interface.vpc].remove(number) { all[$0].address < interface.address }
        interfacesOfHost[interface.host].remove(number) { all[$0].isBefore(interface, vpcs) }
        for group in interface.securityGroups {
            securityGroups[group].members.remove(number) { all[$0].address < interface.address }
        }
    }
}

extension ResolvedInterface {
    fileprivate func isBefore(_ other: ResolvedInterface, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? address < other.address : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}
