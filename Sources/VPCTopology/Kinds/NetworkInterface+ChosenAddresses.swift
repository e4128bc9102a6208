internal import IPAddressing
internal import VPCModel

/// Addresses of interfaces whose manifests leave them out.
extension Resolver {
    /// Chooses: what an interface has had in its subnet, else the lowest that is free, for one after the other by name. So
    /// that depends on what there is and on what is kept, and never on the order of the documents.
    ///
    /// What is kept is in use: who states it elsewhere is refused.
    /// - Parameter positions: Those of the interfaces in `placements`.
    mutating func chooseAddresses(at positions: [Int]) {
        if positions.isEmpty { return }
        let kept = kept?.byInterface ?? [:]
        var undecided: [Int] = []
        for position in positions {
            guard let address = formerAddress(of: placements[position], kept) else {
                undecided.append(position)
                continue
            }
            placements[position].address = address
            let subnet = topology.subnets[placements[position].subnet]
            if address == subnet.gateway { reportGateway(of: subnet, at: name(at: position)) }
        }
        if !undecided.isEmpty { chooseFree(at: undecided) }
    }

    /// The address that an interface has had, if it may still have it.
    private mutating func formerAddress(of placement: Placement, _ kept: [String: ChosenAddress]) -> IPAddress? {
        let name = interfaces[placement.index].metadata.name
        var former: IPAddress?
        if change == nil {
            if let kept = kept[name], kept.subnet == topology.subnets[placement.subnet].name { former = kept.address }
        } else if let number = number(NetworkInterface.self, name),
            topology.interfaces[number].subnet == placement.subnet
        {
            // What was there last.
            former = topology.interfaces[number].address
        }
        return former.flatMap { topology.subnets[placement.subnet].cidr.hasPlace(for: $0) ? $0 : nil }
    }

    private mutating func chooseFree(at undecided: [Int]) {
        var free = freeAddresses(for: undecided)
        var homeless: Set<Int> = []
        for position in undecided.sorted(by: { name(at: $0) < name(at: $1) }) {
            let placement = placements[position]
            let interface = interfaces[placement.index]
            guard let address = free[placement.subnet]?.take(topology) else {
                homeless.insert(position)
                reportFull(topology.subnets[placement.subnet], for: interface)
                continue
            }
            placements[position].address = address
            if change == nil, kept == nil { reportUnstated(address, of: interface) }
        }
        for position in homeless { giveUp(interfaces[placements[position].index]) }
        placements = placements.indices.filter { !homeless.contains($0) }.map { placements[$0] }
    }

    private func name(at position: Int) -> String { interfaces[placements[position].index].metadata.name }

    /// By subnet, for those subnets in which some are to be chosen.
    private mutating func freeAddresses(for undecided: [Int]) -> [Int: FreeAddresses] {
        var used: [Int: [ClosedRange<IPAddress>]] = [:]
        for position in undecided { used[placements[position].subnet] = [] }
        let undecided = Set(undecided)
        for (position, placement) in placements.enumerated() where used[placement.subnet] != nil {
            let further = interfaces[placement.index].further.map { $0.prefix.address...$0.prefix.last }
            let own = undecided.contains(position) ? [] : [placement.address...placement.address]
            used[placement.subnet]?.append(contentsOf: own + further)
        }
        for gateway in model.natGateways {
            guard let subnet = number(Subnet.self, gateway.subnet) else { continue }
            used[subnet]?.append(gateway.address...gateway.address)
        }
        for gateway in topology.natGateways { used[gateway.subnet]?.append(gateway.address...gateway.address) }
        for balancer in model.loadBalancers {
            guard let inside = balancer.inside, let subnet = number(Subnet.self, inside.subnet) else { continue }
            used[subnet]?.append(inside.address...inside.address)
        }
        for inside in topology.loadBalancers.compactMap(\.inside) {
            used[inside.subnet]?.append(inside.address...inside.address)
        }
        return Dictionary(
            uniqueKeysWithValues: used.map { ($0.key, FreeAddresses(topology.subnets[$0.key], without: $0.value)) })
    }

    // MARK: Complaints

    private mutating func reportUnstated(_ address: IPAddress, of interface: NetworkInterface) {
        report(
            "missing-address", "it states no address, and nothing here would remember one that is chosen for it",
            hint: "add \"address: \(address)\", the lowest that is free, or have vpcd choose and keep it",
            at: interface.reference, ["spec"])
    }

    private mutating func reportGateway(of subnet: ResolvedSubnet, at keeper: String) {
        report(
            "gateway-not-usable", "its gateway \(subnet.gateway) is the address of interface \(keeper)",
            hint: Self.keeps(keeper), at: ResourceReference(.subnet, subnet.name), ["spec", "gateway"],
            related: Diagnostic.Related("the interface is here", at: ResourceReference(.networkInterface, keeper), []))
    }

    private mutating func reportFull(_ subnet: ResolvedSubnet, for interface: NetworkInterface) {
        report(
            "subnet-full", "no address of subnet \(subnet.name) (\(subnet.cidr)) is free for it",
            hint: "delete an interface or a prefix of the subnet, or use another one", at: interface.reference,
            ["spec", "subnet"],
            related: Diagnostic.Related(
                "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"]))
    }

    /// What to do where somebody wants an address that was chosen for an interface.
    static func keeps(_ interface: String) -> String {
        "it was chosen for \(interface), which keeps it: take another one, or give \(interface) one with spec.address"
    }
}

/// The free addresses of a subnet, ascending, each taken once.
private struct FreeAddresses {
    private let subnet: ResolvedSubnet
    /// What interfaces have that are being resolved: ascending, disjoint, none beside another.
    private let used: [ClosedRange<IPAddress>]
    private var next: IPAddress?

    init(_ subnet: ResolvedSubnet, without used: [ClosedRange<IPAddress>]) {
        self.subnet = subnet
        next = subnet.cidr.firstUsable
        var merged: [ClosedRange<IPAddress>] = []
        for range in used.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, last.upperBound.next.map({ range.lowerBound <= $0 }) ?? true {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.used = merged
    }

    mutating func take(_ topology: Topology) -> IPAddress? {
        while let address = next, address <= subnet.cidr.lastUsable {
            guard let end = endOfUse(at: address, topology) else {
                next = address.next
                return address
            }
            next = end.next
        }
        return nil
    }

    /// The last address of those, one after the other, that are in use from this one on; nil where it is free.
    private func endOfUse(at address: IPAddress, _ topology: Topology) -> IPAddress? {
        if address == subnet.gateway { return address }
        let place = used.partitionPoint { $0.upperBound < address }
        if place < used.count, used[place].contains(address) { return used[place].upperBound }
        return topology.endOfUse(at: address, inVPC: subnet.vpc)
    }
}

extension Topology {
    /// The last address of those, one after the other, that are in use from this one on; nil where nobody has it.
    ///
    /// Takes time in proportion to the logarithm of the interfaces, however many lie close together.
    fileprivate func endOfUse(at address: IPAddress, inVPC vpc: Int) -> IPAddress? {
        let own = interfacesOfVPC[vpc]
        let place = own.partitionPoint { interfaces[$0].address < address }
        guard place < own.count, interfaces[own[place]].address == address else {
            return further(around: address, inVPC: vpc)?.prefix.last
        }
        // They are different and ascend: as long as none is left out, the distance is that of the places.
        let count = (place..<own.count).partitionPoint {
            interfaces[own[$0]].address == address.advanced(by: UInt64($0 - place))
        }
        return interfaces[own[count - 1]].address
    }
}

extension IPAddress {
    fileprivate var next: IPAddress? { advanced(by: 1) }
}

extension IPPrefix {
    /// Whether an interface of a subnet with this block can have an address, unless somebody else has it.
    func hasPlace(for address: IPAddress) -> Bool {
        contains(address) && address != self.address && address != last
    }
}
