internal import IPAddressing
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
            metadata: Metadata(name: resolved.name, labels: resolved.labels),
            subnet: topology.subnets[resolved.subnet].name,
            host: topology.hosts[resolved.host].metadata.name,
            address: resolved.hasChosenAddress ? nil : resolved.address,
            addresses: resolved.further.filter { !$0.isDelegated && !$0.isPublic }.map(\.prefix.address),
            prefixes: resolved.prefixes,
            mac: resolved.hasOwnMAC ? resolved.mac : nil, sourceDestCheck: resolved.sourceDestCheck,
            securityGroups: resolved.securityGroups.map { topology.securityGroups[$0].name },
            attachment: resolved.attachment, mtu: resolved.mtu, hostName: resolved.hostName)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {
        let interface = resolver.topology.interfaces[number]
        resolver.index.devices.insert(number, interface.guestDevice.hashValue)
        if !interface.hasPlainPort { resolver.index.ports.insert(number, interface.port.hashValue) }
        if interface.hasOwnMAC || interface.address.family == .ipv6 {
            resolver.index.stations[interface.station] = number
        }
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
            + resolver.index.elasticIPsOfInterface[number].map { NumberedResource(kind: .elasticIP, number: $0) }
            + resolver.index.natGatewaysOfInterface[number].map { NumberedResource(kind: .natGateway, number: $0) }
            + resolver.namingTargetGroups(number).map { NumberedResource(kind: .targetGroup, number: $0) }
    }

    func concerned(by new: NetworkInterface, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        // Who leaves it out keeps it.
        let address = resolver.topology.interfaces[number].address
        return (subnet, address, sourceDestCheck) == (new.subnet, new.address ?? address, new.sourceDestCheck)
            ? [] : Self.referrers(to: number, resolver)
    }
}

extension Resolver {
    fileprivate mutating func resolveInterfaces() {
        placements.reserveCapacity(interfaces.count)
        var unstated: [Int] = []
        // Read where they are: there are many, and they are large.
        let all = interfaces
        // Many in a row have the same.
        var last: (name: String, subnet: Int)?
        for index in all.indices {
            var subnet = last.flatMap { $0.name == all[index].subnet ? $0.subnet : nil }
            if subnet == nil {
                subnet = number(
                    of: Subnet.self, all[index].subnet, for: all[index].reference, ["spec", "subnet"])
                last = subnet.map { (all[index].subnet, $0) }
            }
            let host = number(of: Host.self, all[index].host, for: all[index].reference, ["spec", "host"])
            let address = all[index].address
            if let subnet {
                if let address { check(address, of: all[index], subnet, ["spec", "address"]) }
                if all[index].hasFurther { checkFurther(all[index], subnet) }
            }
            if let subnet, let host {
                if address == nil { unstated.append(placements.count) }
                let vpc = topology.subnets[subnet].vpc
                placements.append(
                    Placement(
                        vpc: vpc, rank: topology.vpcs[vpc].id, address: address ?? .anyIPv4, index: index,
                        subnet: subnet, host: host))
            } else {
                giveUp(all[index])
            }
        }
        chooseAddresses(at: unstated)
        let found = placements
        orderOfPlacements = found.indices.sorted {
            (found[$0].rank, found[$0].address, $0) < (found[$1].rank, found[$1].address, $1)
        }
        if change == nil { topology.interfaces.reserveCapacity(found.count) }
        for position in orderOfPlacements { placeInterface(at: position) }
        // In the order of the documents, so that of two equal ones the later is reported.
        checkAttachments()
        checkMACs()
        for position in orderOfPlacements { enterInterface(at: position) }
        enterFurther()
    }

    private mutating func placeInterface(at position: Int) {
        let placement = placements[position]
        let (all, index) = (interfaces, placement.index)
        let name = all[index].metadata.name
        let resolved = ResolvedInterface(
            name: name, vpc: placement.vpc, subnet: placement.subnet, host: placement.host,
            address: placement.address, hasChosenAddress: all[index].address == nil, mac: mac(of: placement),
            hasOwnMAC: all[index].mac != nil, sourceDestCheck: all[index].sourceDestCheck,
            attachment: all[index].attachment, mtu: all[index].mtu ?? NetworkInterface.defaultMTU,
            hostName: all[index].hostName,
            further: all[index].hasFurther ? all[index].further : [], labels: all[index].metadata.labels)
        let number = place(NetworkInterface.self, name, resolved)
        placements[position].number = number
        if self.index.routeTablesOfInterface.has(number) {
            topology.interfaces[number].gatewayKey = GatewayKey(interfaceName: name)
            topology.interfaces[number].speaksBFD = isAskedForBFD(number)
        }
    }

    private mutating func enterInterface(at position: Int) {
        let placement = placements[position]
        if index.probesAbroad.has(TopologyIndex.Place(vpc: placement.vpc, address: placement.address)) {
            isInDoubt = true
        }
        let place = TopologyIndex.Place(vpc: placement.vpc, address: placement.address)
        if let gateway = index.natGatewayPlaces[place] {
            reportGateway(
                placement.address, gateway, at: interfaces[placement.index].reference, ["spec", "address"])
        }
        if index.balancerPlaces[place] != nil { isInDoubt = true }
        if !index.natGatewayPlaces.isEmpty || !index.balancerPlaces.isEmpty, interfaces[placement.index].hasFurther {
            isInDoubt = true
        }
        guard let first = topology.enter(placement.number) else { return }
        var (own, other) = (topology.interfaces[placement.number], topology.interfaces[first])
        // Who has kept it was there before, whatever the order.
        if own.hasChosenAddress { swap(&own, &other) }
        report(
            "duplicate-address", "the address \(placement.address) is that of interface \(other.name)",
            hint: other.hasChosenAddress ? Self.keeps(other.name) : Self.uniqueAddresses,
            at: ResourceReference(.networkInterface, own.name), ["spec", "address"],
            related: Diagnostic.Related(
                "the other interface is here", at: ResourceReference(.networkInterface, other.name),
                ["spec", "address"]))
    }

    static let uniqueAddresses = "an address belongs to one interface of a VPC"

    /// An interface whose subnet and host are known.
    struct Placement {
        var vpc: Int
        /// Of the VPC.
        var rank: VPCID
        /// Stated, or chosen.
        var address: IPAddress
        /// In the model.
        var index: Int
        var subnet: Int
        var host: Int
        var number = -1
    }

    private func mac(of placement: Placement) -> MACAddress {
        interfaces[placement.index].mac
            ?? MACAddress(vpc: topology.vpcs[placement.vpc].id, address: placement.address)
    }

    /// A derived address that does not tell whose it is, see `MACAddress.init(vpc:address:)`.
    private func hashedMAC(of placement: Placement) -> MACAddress? {
        placement.address.family == .ipv6 ? mac(of: placement) : nil
    }

    /// - Parameter number: Of the subnet.
    mutating func check(
        _ address: IPAddress, of interface: @autoclosure () -> NetworkInterface, _ number: Int,
        _ path: @autoclosure () -> FieldPath
    ) {
        if topology.subnets[number].isUsable(address) { return }
        let (interface, subnet, path) = (interface(), topology.subnets[number], path())
        let cidr = subnet.cidr
        let isInside = cidr.contains(address)
        let related = Diagnostic.Related(
            "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"])
        let hint = "interfaces can have \(cidr.firstUsable) to \(cidr.lastUsable), except the gateway \(subnet.gateway)"
        if !isInside {
            report(
                "address-outside-subnet", "the address \(address) is not in \(cidr) of subnet \(subnet.name)",
                hint: hint,
                at: interface.reference, path, related: related)
        } else {
            let use = address == cidr.address ? "network" : address == cidr.broadcast ? "broadcast" : "gateway"
            report(
                "address-not-usable", "\(address) is the \(use) address of subnet \(subnet.name) (\(cidr))", hint: hint,
                at: interface.reference, path, related: related)
        }
    }

    // MARK: MAC addresses

    private mutating func checkMACs() {
        let path: FieldPath = ["spec", "mac"]
        for placement in placements {
            guard let mac = interfaces[placement.index].mac ?? hashedMAC(of: placement) else { continue }
            let interface = interfaces[placement.index]
            if mac == .gateway {
                report(
                    "mac-reserved", "\(mac) is the MAC address of every subnet's gateway",
                    hint: "choose another one, or leave the field out", at: interface.reference, path)
            }
            let station = TopologyIndex.Station(vpc: placement.vpc, mac: mac)
            if let first = index.stations[station] ?? topology.interface(deriving: station) {
                reportMAC(mac, at: interface.reference, related: topology.interfaces[first].name)
            } else {
                index.stations[station] = placement.number
            }
        }
        guard !index.stations.isEmpty else { return }
        // Derived addresses differ from each other, as the interfaces' addresses do.
        for placement in placements where interfaces[placement.index].mac == nil && placement.address.family == .ipv4 {
            let mac = mac(of: placement)
            guard let first = index.stations[TopologyIndex.Station(vpc: placement.vpc, mac: mac)] else { continue }
            reportMAC(
                mac, at: ResourceReference(.networkInterface, topology.interfaces[first].name),
                related: interfaces[placement.index].metadata.name)
        }
    }

    private mutating func reportMAC(_ mac: MACAddress, at interface: ResourceReference, related: String) {
        report(
            "duplicate-mac", "the MAC address \(mac) is that of interface \(related)",
            hint: "a MAC address belongs to one interface of a VPC; leave the field out to have a unique one",
            at: interface, ["spec", "mac"],
            related: Diagnostic.Related(
                "the other interface is here", at: ResourceReference(.networkInterface, related), ["spec", "mac"]))
    }

    // MARK: Attachments

    private mutating func checkAttachments() {
        var mayMeet = index.ports.count > 0
        for placement in placements {
            let attachment = interfaces[placement.index].attachment
            if case .device(let device) = attachment, device == underlayDevice(of: placement) {
                reportUnderlay(device, placement)
            }
            let device = DeviceKey(guestOf: attachment, on: placement.host)
            let hash = device.hashValue
            if let first = index.devices.first(hash, where: { topology.interfaces[$0].guestDevice == device }) {
                reportAttachment(device, placement, first: first)
                continue
            }
            index.devices.insert(placement.number, hash)
            if !topology.interfaces[placement.number].hasPlainPort {
                checkPort(placement, topology.interfaces[placement.number].port)
            }
            mayMeet = mayMeet || underlayDevice(of: placement)?.hasPrefix(PortName.prefix) == true
        }
        guard mayMeet || index.ports.count > 0 else { return }
        for placement in placements {
            let interface = topology.interfaces[placement.number]
            guard case .namespace = interface.attachment else { continue }
            if interface.hasPlainPort, let first = index.interface(withPort: interface.port, in: topology) {
                reportPort(interface.port, placement, first: first)
            }
            guard interface.port.device == underlayDevice(of: placement) else { continue }
            let host = topology.hosts[placement.host]
            report(
                "port-name-collision",
                "its device would be named \(interface.port.device), as the underlay device of host"
                    + " \(host.metadata.name) is",
                hint: "rename the interface", at: interfaces[placement.index].reference, ["metadata", "name"],
                related: Diagnostic.Related(
                    "the host says so here", at: host.reference, ["spec", "underlay", "device"]))
        }
    }

    private func underlayDevice(of placement: Placement) -> String? { topology.hosts[placement.host].underlayDevice }

    private mutating func reportUnderlay(_ device: String, _ placement: Placement) {
        let host = topology.hosts[placement.host]
        report(
            "device-is-underlay", "\(device) is the underlay device of host \(host.metadata.name)",
            hint: "a guest needs a device of its own", at: interfaces[placement.index].reference,
            ["spec", "attachment", "device"],
            related: Diagnostic.Related("the host says so here", at: host.reference, ["spec", "underlay", "device"]))
    }

    private mutating func reportAttachment(_ key: DeviceKey, _ placement: Placement, first: Int) {
        let (interface, other) = (interfaces[placement.index], topology.interfaces[first].name)
        report(
            "duplicate-attachment",
            "the device \(key.device)\(key.netns.map { " in namespace \($0)" } ?? "") on host \(interface.host)"
                + " is that of interface \(other)",
            hint: "every interface needs a device of its own", at: interface.reference,
            ["spec", "attachment", "device"],
            related: Diagnostic.Related(
                "the other interface is here", at: ResourceReference(.networkInterface, other),
                ["spec", "attachment", "device"]))
    }

    /// Enters a port whose name could be that of another one.
    private mutating func checkPort(_ placement: Placement, _ port: DeviceKey) {
        if let first = index.interface(withPort: port, in: topology) ?? plainInterface(withPort: port) {
            reportPort(port, placement, first: first)
        } else {
            index.ports.insert(placement.number, port.hashValue)
        }
    }

    /// An interface that was there before and whose name gives the port.
    private mutating func plainInterface(withPort port: DeviceKey) -> Int? {
        guard port.device.hasPrefix(PortName.prefix),
            let number = number(NetworkInterface.self, String(port.device.dropFirst(PortName.prefix.count)))
        else { return nil }
        let interface = topology.interfaces[number]
        return interface.hasPlainPort && interface.port == port
            && topology.interface(at: interface.address, inVPC: interface.vpc) == number ? number : nil
    }

    private mutating func reportPort(_ port: DeviceKey, _ placement: Placement, first: Int) {
        let other = topology.interfaces[first].name
        report(
            "port-name-collision",
            "its device on host \(topology.hosts[placement.host].metadata.name) would be named \(port.device),"
                + " as that of interface \(other) is",
            hint: "rename one of them", at: interfaces[placement.index].reference, ["metadata", "name"],
            related: Diagnostic.Related(
                "the other interface is here", at: ResourceReference(.networkInterface, other), ["metadata", "name"]))
    }
}

extension Topology {
    /// The interface whose MAC address is derived and is this one.
    fileprivate func interface(deriving station: TopologyIndex.Station) -> Int? {
        // It says whose it is; one that is derived of an IPv6 address is in the index.
        let address = IPAddress(v4: UInt32(truncatingIfNeeded: station.mac.rawValue))
        guard let number = interface(at: address, inVPC: station.vpc), !interfaces[number].hasOwnMAC else { return nil }
        return interfaces[number].mac == station.mac ? number : nil
    }
}

extension ResolvedSubnet {
    /// Whether an interface may have an address.
    fileprivate func isUsable(_ address: IPAddress) -> Bool {
        cidr.contains(address) && address != cidr.address && address != cidr.broadcast && address != gateway
    }
}

extension ResolvedInterface: TopologyElement {
    @usableFromInline package var resourceName: String { name }

    @usableFromInline package func isBefore(_ other: ResolvedInterface, _ vpcs: Slots<ResolvedVPC>) -> Bool {
        vpc == other.vpc ? address < other.address : vpcs[vpc].isBefore(vpcs[other.vpc])
    }
}
