internal import IPAddressing
public import VPCModel

/// Interfaces to take out of a topology and others to put in, see ``InterfaceIndex/exchange(_:in:)``.
public struct InterfaceExchange: Sendable {
    /// By name, the numbers of those to take out.
    var removed: [String: Int] = [:]
    /// By name.
    var added: [String: ResolvedInterface] = [:]
}

/// What has to be known of a sound topology to exchange some of its interfaces without resolving all of them again.
///
/// Names and devices are kept as hashes. What has the hash of something else is taken for it: then all is resolved.
public struct InterfaceIndex: Sendable {
    private var names: Set<Int> = []
    /// Guests' devices and hosts' devices that could meet, see `Resolver.checkAttachments`.
    private var devices: Set<Int> = []
    /// Those that are not derived.
    private var macs: Set<Station> = []
    private let subnets: [String: Int]
    private let hosts: [String: Int]
    private let securityGroups: [String: Int]
    /// Names of interfaces that routes and probes refer to.
    private let referenced: Set<String>
    /// Addresses that a probe of another VPC is meant for.
    private let foreignTargets: Set<Place>
    private var isUsable: Bool

    struct Place: Hashable {
        var vpc: Int
        var address: IPAddress
    }

    struct Station: Hashable {
        var vpc: Int
        var mac: MACAddress
    }

    public init(of topology: Topology) {
        subnets = Dictionary(uniqueKeysWithValues: topology.subnets.numbered.map { ($1.name, $0) })
        hosts = Dictionary(uniqueKeysWithValues: topology.hosts.numbered.map { ($1.metadata.name, $0) })
        securityGroups = Dictionary(uniqueKeysWithValues: topology.securityGroups.numbered.map { ($1.name, $0) })
        let probed = topology.probes.flatMap { [$0.from] + ($0.toInterface.map { [$0] } ?? []) }
        let hops = topology.routeTables.flatMap { $0.routes.flatMap { $0.nextHops.map(\.interface) } }
        referenced = Set((probed + hops).map { topology.interfaces[$0].name })
        foreignTargets = Set(
            topology.probes.compactMap { probe in
                guard let target = probe.toInterface else { return nil }
                let vpc = topology.interfaces[probe.from].vpc
                return topology.interfaces[target].vpc == vpc ? nil : Place(vpc: vpc, address: probe.toAddress)
            })
        isUsable = !topology.hosts.contains { $0.underlayDevice?.hasPrefix(PortName.prefix) == true }
        // Else an interface may bring a host more policies than it can hold.
        isUsable = isUsable && topology.policyElements <= TrafficStages.Limits().elementsOfHost
        guard isUsable else { return }
        names.reserveCapacity(topology.interfaces.count)
        devices.reserveCapacity(topology.interfaces.count)
        for interface in topology.interfaces {
            let keys = DeviceKeys(interface)
            isUsable = names.insert(interface.name.hashValue).inserted && devices.isDisjoint(with: keys.own) && isUsable
            devices.formUnion(keys.own)
            if interface.mac != topology.derivedMAC(vpc: interface.vpc, interface.address) {
                macs.insert(Station(vpc: interface.vpc, mac: interface.mac))
            }
        }
    }

    /// What has to be exchanged in the topology that the index was made of for it to be that of the changed manifests.
    ///
    /// - Returns: nil where all has to be resolved: something else has changed, a rule may be broken, or something may be
    ///   worth a warning.
    public func exchange(_ changes: ResourceChanges, in topology: Topology) -> InterfaceExchange? {
        guard isUsable else { return nil }
        var exchange = InterfaceExchange()
        for resource in changes.removed.values {
            guard let interface = resource.value as? NetworkInterface, !referenced.contains(interface.metadata.name),
                let number = number(of: interface, in: topology)
            else { return nil }
            exchange.removed[interface.metadata.name] = number
        }
        for resource in changes.added.values {
            guard let interface = resource.value as? NetworkInterface, !referenced.contains(interface.metadata.name),
                let resolved = resolved(interface, topology)
            else { return nil }
            exchange.added[interface.metadata.name] = resolved
        }
        let all = exchange.removed.values.map { topology.interfaces[$0] } + exchange.added.values
        guard !all.contains(where: { foreignTargets.contains(Place(vpc: $0.vpc, address: $0.address)) }),
            isUnique(exchange, topology)
        else { return nil }
        return exchange
    }

    /// Exchanges the interfaces, and follows. Takes time in proportion to their number.
    public mutating func apply(_ exchange: InterfaceExchange, to topology: inout Topology) -> TopologyChange {
        var change = TopologyChange()
        for (name, number) in exchange.removed {
            let former = topology.interfaces[number]
            names.remove(former.name.hashValue)
            devices.subtract(DeviceKeys(former).own)
            macs.remove(Station(vpc: former.vpc, mac: former.mac))
            topology.leave(number)
            if exchange.added[name] == nil {
                change.interfaces.removed[number] = former
            } else {
                change.interfaces.changed[number] = former
            }
        }
        for (name, interface) in exchange.added {
            names.insert(interface.name.hashValue)
            devices.formUnion(DeviceKeys(interface).own)
            if interface.mac != topology.derivedMAC(vpc: interface.vpc, interface.address) {
                macs.insert(Station(vpc: interface.vpc, mac: interface.mac))
            }
            if let number = exchange.removed[name] {
                topology.interfaces[number] = interface
                topology.join(number)
            } else {
                let number = topology.interfaces.add(interface)
                topology.join(number)
                change.interfaces.added.append(number)
            }
        }
        // Now, so that nothing has come under a number that something went from.
        for number in change.interfaces.removed.keys { topology.interfaces.remove(at: number) }
        change.interfaces.added.sort()
        return change
    }

    // MARK: Rules

    private func number(of interface: NetworkInterface, in topology: Topology) -> Int? {
        guard let subnet = subnets[interface.subnet],
            let number = topology.interface(at: interface.address, inVPC: topology.subnets[subnet].vpc),
            topology.interfaces[number].name == interface.metadata.name
        else { return nil }
        return number
    }

    /// The interface as `Resolver` has it; nil where it breaks a rule on its own.
    private func resolved(_ interface: NetworkInterface, _ topology: Topology) -> ResolvedInterface? {
        guard let subnet = subnets[interface.subnet], let host = hosts[interface.host] else { return nil }
        let (place, address) = (topology.subnets[subnet], interface.address)
        guard place.cidr.contains(address), address != place.cidr.address, address != place.cidr.last,
            address != place.gateway, interface.mac != .gateway
        else { return nil }
        if case .device(let device) = interface.attachment {
            // It could meet the name of a device that is made.
            if device.hasPrefix(PortName.prefix) || device == topology.hosts[host].underlayDevice { return nil }
        }
        let names = interface.securityGroups
        let groups = names.compactMap { securityGroups[$0] }
        guard groups.count == names.count, Set(groups).count == groups.count,
            groups.count <= SecurityGroup.maximumPerInterface,
            groups.allSatisfy({ topology.securityGroups[$0].vpc == place.vpc })
        else { return nil }
        return ResolvedInterface(
            name: interface.metadata.name, vpc: place.vpc, subnet: subnet, host: host, address: address,
            mac: interface.mac ?? topology.derivedMAC(vpc: place.vpc, address),
            sourceDestCheck: interface.sourceDestCheck, attachment: interface.attachment,
            mtu: interface.mtu ?? NetworkInterface.defaultMTU, gatewayKey: nil,
            securityGroups: topology.inOrder(groups, of: \.securityGroups))
    }

    /// Whether nothing that is added has what another interface has.
    private func isUnique(_ exchange: InterfaceExchange, _ topology: Topology) -> Bool {
        let gone = Set(exchange.removed.values)
        let removed = gone.map { topology.interfaces[$0] }
        let goneNames = Set(exchange.removed.keys.map(\.hashValue))
        let goneDevices = Set(removed.flatMap { DeviceKeys($0).own })
        var (newNames, newPlaces, newDevices): (Set<Int>, Set<Place>, Set<Int>) = ([], [], [])
        var newMACs: Set<Station> = []
        for interface in exchange.added.values {
            let (name, keys) = (interface.name.hashValue, DeviceKeys(interface))
            guard newNames.insert(name).inserted, !names.contains(name) || goneNames.contains(name) else {
                return false
            }
            let others = devices.intersection(keys.own + keys.adopted)
            guard others.isSubset(of: goneDevices), newDevices.isDisjoint(with: keys.own + keys.adopted) else {
                return false
            }
            newDevices.formUnion(keys.own)
            let isFree =
                topology.interface(at: interface.address, inVPC: interface.vpc).map(gone.contains) ?? true
            guard isFree, newPlaces.insert(Place(vpc: interface.vpc, address: interface.address)).inserted else {
                return false
            }
            let station = Station(vpc: interface.vpc, mac: interface.mac)
            guard newMACs.insert(station).inserted, !has(station, topology, except: removed, gone) else {
                return false
            }
        }
        return true
    }

    /// Whether an interface that stays has this MAC address.
    private func has(
        _ station: Station, _ topology: Topology, except removed: [ResolvedInterface], _ gone: Set<Int>
    ) -> Bool {
        if macs.contains(station), !removed.contains(where: { $0.vpc == station.vpc && $0.mac == station.mac }) {
            return true
        }
        // A derived one says whose it is.
        let address = IPAddress(v4: UInt32(truncatingIfNeeded: station.mac.rawValue))
        guard topology.derivedMAC(vpc: station.vpc, address) == station.mac,
            let number = topology.interface(at: address, inVPC: station.vpc), !gone.contains(number)
        else { return false }
        return topology.interfaces[number].mac == station.mac
    }
}

/// Hashes of the devices of an interface that no other one may have.
private struct DeviceKeys {
    /// In the guest, and on the host where the name could be that of another device.
    var own: [Int]
    /// A device that somebody else adopts would have this name.
    var adopted: [Int] = []

    init(_ interface: ResolvedInterface) {
        func key(_ namespace: String?, _ device: String, isPort: Bool) -> Int {
            var hasher = Hasher()
            hasher.combine(isPort)
            hasher.combine(interface.host)
            hasher.combine(namespace)
            hasher.combine(device)
            return hasher.finalize()
        }
        let port = key(nil, interface.portName.rawValue, isPort: true)
        switch interface.attachment {
        case .device(let device): own = [key(nil, device, isPort: false), port]
        case .namespace(let namespace, let device):
            own = [key(namespace, device, isPort: false)]
            if PortName.isPlain(interface.name) { adopted = [port] } else { own.append(port) }
        }
    }
}

extension Topology {
    func derivedMAC(vpc: Int, _ address: IPAddress) -> MACAddress { MACAddress(vpc: vpcs[vpc].id, address: address) }
}
