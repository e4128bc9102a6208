internal import IPAddressing
internal import VPCModel

extension NetworkInterface {
    var hasFurther: Bool { !addresses.isEmpty || !prefixes.isEmpty }

    /// Its further addresses and its prefixes, in order.
    var further: [FurtherDestination] {
        if !hasFurther { return [] }
        let all =
            addresses.map { FurtherDestination(IPPrefix($0), isDelegated: false) }
            + prefixes.map { FurtherDestination($0, isDelegated: true) }
        return all.sorted { $0.prefix < $1.prefix }
    }

    /// Where it says that something is its own: the last place, of a thing that it says twice.
    fileprivate func path(of destination: Destination) -> FieldPath {
        if destination.isDelegated, let position = prefixes.lastIndex(of: destination.prefix) {
            return ["spec", "prefixes", .index(position)]
        }
        if !destination.isDelegated, let position = addresses.lastIndex(of: destination.prefix.address) {
            return ["spec", "addresses", .index(position)]
        }
        return ["spec", "address"]
    }
}

/// What is routed to interfaces beside their addresses.
extension Resolver {
    /// - Parameter number: Of the subnet.
    mutating func checkFurther(_ interface: NetworkInterface, _ number: Int) {
        let subnet = topology.subnets[number]
        for (position, address) in interface.addresses.enumerated() {
            check(address, of: interface, number, ["spec", "addresses", .index(position)])
        }
        for (position, prefix) in interface.prefixes.enumerated() {
            check(prefix, of: interface, subnet, ["spec", "prefixes", .index(position)])
        }
    }

    private mutating func check(
        _ prefix: IPPrefix, of interface: NetworkInterface, _ subnet: ResolvedSubnet, _ path: FieldPath
    ) {
        let cidr = subnet.cidr
        let related = Diagnostic.Related(
            "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"])
        guard cidr.contains(prefix) else {
            report(
                "prefix-outside-subnet", "the prefix \(prefix) is not in \(cidr) of subnet \(subnet.name)",
                hint: "delegate a block of the interface's subnet", at: interface.reference, path, related: related)
            return
        }
        var uses = [(cidr.address, "network"), (subnet.gateway, "gateway")]
        if let broadcast = cidr.broadcast { uses.insert((broadcast, "broadcast"), at: 1) }
        guard let (address, use) = uses.first(where: { prefix.contains($0.0) }) else { return }
        report(
            "prefix-not-usable",
            "the prefix \(prefix) holds \(address), the \(use) address of subnet \(subnet.name) (\(cidr))",
            hint: "delegate a block without it", at: interface.reference, path, related: related)
    }

    /// Enters what interfaces have beside their addresses, which have been entered.
    mutating func enterFurther() {
        for position in orderOfPlacements {
            let placement = placements[position]
            for further in topology.interfaces[placement.number].further {
                let own = Destination(further.prefix, isDelegated: further.isDelegated, of: placement.number)
                if let other = topology.enter(own) { reportOverlap(own, other, placement) }
                // A probe for somebody of another VPC may be answered here from now on.
                if index.probesAbroad.hasPlace(in: further.prefix, ofVPC: placement.vpc) { isInDoubt = true }
            }
        }
    }

    private mutating func reportOverlap(_ own: Destination, _ other: Destination, _ placement: Placement) {
        let interface = interfaces[placement.index]
        let name = topology.interfaces[other.interface].name
        let reference = ResourceReference(.networkInterface, name)
        let isSame = own.interface == other.interface
        let source = isSame ? interface : interfaces.first { $0.metadata.name == name }
        let related = Diagnostic.Related(
            isSame ? "it is here, too" : "the other interface is here", at: reference,
            source?.firstPath(of: other) ?? ["spec", "address"])
        let path = interface.path(of: own)
        let whose = isSame ? "" : " of interface \(name)"
        let first = topology.interfaces[other.interface]
        let keeper = first.hasChosenAddress && other.prefix == IPPrefix(first.address) ? Self.keeps(name) : nil
        if own.isDelegated || other.isDelegated {
            report(
                "prefix-overlap",
                "the \(own.noun) overlaps the \(other.noun)\(whose)",
                hint: keeper ?? "what is delegated to a guest is nobody's address", at: interface.reference, path,
                related: related)
        } else {
            report(
                "duplicate-address",
                "the address \(own.prefix.address) is " + (isSame ? "given twice" : "that\(whose)"),
                hint: keeper ?? Self.uniqueAddresses, at: interface.reference, path, related: related)
        }
    }
}

extension Destination {
    fileprivate var noun: String { isDelegated ? "prefix \(prefix)" : "address \(prefix.address)" }
}

extension NetworkInterface {
    /// Where it says first that something is its own.
    fileprivate func firstPath(of destination: Destination) -> FieldPath {
        if destination.isDelegated, let position = prefixes.firstIndex(of: destination.prefix) {
            return ["spec", "prefixes", .index(position)]
        }
        if destination.prefix.address != address,
            let position = addresses.firstIndex(of: destination.prefix.address)
        {
            return ["spec", "addresses", .index(position)]
        }
        return ["spec", "address"]
    }
}

extension Referrers<TopologyIndex.Place> {
    /// Whether somebody refers to an address of a block.
    func hasPlace(in prefix: IPPrefix, ofVPC vpc: Int) -> Bool {
        targets.contains { $0.vpc == vpc && prefix.contains($0.address) }
    }
}
