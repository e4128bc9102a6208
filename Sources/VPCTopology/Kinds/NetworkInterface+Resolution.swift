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
            addresses: resolved.furtherAddresses, prefixes: resolved.prefixes,
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
        resolver.topology.enterFurther(of: number)
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
        while furtherOfVPC.count < vpcs.endIndex { furtherOfVPC.append([]) }
    }

    /// Enters an interface in the lists of its VPC and its host.
    /// - Returns: one that has the address already; then it is in no list.
    mutating func enter(_ number: Int) -> Int? {
        let (vpc, host, address) = (interfaces[number].vpc, interfaces[number].host, interfaces[number].address)
        if !furtherOfVPC[vpc].isEmpty, let other = further(around: address, inVPC: vpc) { return other.interface }
        // Mostly they come in order.
        if let last = interfacesOfVPC[vpc].last, interfaces[last].address >= address {
            if let other = interface(at: address, inVPC: vpc) { return other }
            let all = interfaces
            interfacesOfVPC[vpc].insert(number) { all[$0].address < address }
        } else {
            interfacesOfVPC[vpc].append(number)
        }
        if let last = interfacesOfHost[host].last,
            interfaces[last].vpc == vpc
                ? interfaces[last].address >= address : !isVPC(interfaces[last].vpc, before: vpc)
        {
            let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
            interfacesOfHost[host].insert(number) { all[$0].isBefore(interface, vpcs) }
        } else {
            interfacesOfHost[host].append(number)
        }
        return nil
    }

    /// Makes an interface a member of its groups.
    mutating func enterGroups(of number: Int) {
        let address = interfaces[number].address
        for group in interfaces[number].securityGroups {
            if let last = securityGroups[group].members.last, interfaces[last].address >= address {
                let all = interfaces
                securityGroups[group].members.insert(number) { all[$0].address < address }
            } else {
                securityGroups[group].members.append(number)
            }
        }
    }

    /// Takes an interface out of all lists.
    mutating func leave(_ number: Int) {
        leaveFurther(of: number)
        let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
        interfacesOfVPC[interface.vpc].remove(number) { all[$0].address < interface.address }
        interfacesOfHost[interface.host].remove(number) { all[$0].isBefore(interface, vpcs) }
        for group in interface.securityGroups {
            securityGroups[group].members.remove(number) { all[$0].address < interface.address }
        }
    }
}
