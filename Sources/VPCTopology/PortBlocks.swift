public import IPAddressing
public import VPCModel

// A fixed block of public ports for each inside address (deterministic NAT, RFC 7422): who had a port at some time is known
// without a record of each connection.
//
// Inside addresses are those that hosts can have in the subnets whose route tables lead to the gateway, by subnet, ascending.
// The first one has the first block of the first public address, and so on. So a block depends on the subnets, the public
// addresses and the size alone: interfaces come and go, and none gets another's block.

extension PublicPool {
    /// All its ports, in the order in which blocks are given away.
    public var ports: [PublicPorts] {
        switch self {
        case .addresses(let addresses): addresses.map { PublicPorts(address: $0, ports: PublicPorts.usable) }
        case .shared(let shared): [shared]
        }
    }

    /// - Parameter size: Ports of a block.
    func blockCount(ofSize size: Int) -> Int { ports.reduce(0) { $0 + $1.ports.count / size } }

    /// A block by its number; nil where there are not so many. None lies in two addresses.
    func block(_ number: Int, ofSize size: Int) -> PublicPorts? {
        var rest = number
        for part in ports {
            let count = part.ports.count / size
            if rest < count {
                let first = part.ports.lowerBound + UInt16(rest * size)
                return PublicPorts(address: part.address, ports: first...(first + UInt16(size - 1)))
            }
            rest -= count
        }
        return nil
    }
}

extension Topology {
    /// The blocks of subnets whose route tables lead to a NAT gateway, ascending.
    public func insideBlocks(ofNATGateway number: Int) -> [IPPrefix] {
        let target = ResolvedNextHop.Target.natGateway(number)
        let tables = Set(
            routeTables.numbered.filter { $0.element.routes.contains { $0.nextHops.contains { $0.target == target } } }
                .map(\.number))
        return subnets.filter { $0.routeTable.map(tables.contains) ?? false }.map(\.cidr).sorted()
    }

    /// The block of ports of an inside address; nil where it has none.
    public func portBlock(of inside: IPAddress, byNATGateway number: Int) -> PublicPorts? {
        guard let size = natGateways[number].portsPerInterface else { return nil }
        var first = 0
        for block in insideBlocks(ofNATGateway: number) {
            if block.hasPlace(for: inside) {
                let place = first + Int(inside.v4 - block.firstUsable.v4)
                return natGateways[number].pool.block(place, ofSize: size)
            }
            first += block.placeCount
        }
        return nil
    }

    /// Every inside address with its block of ports; empty where ports are whichever are free.
    package func portBlocks(ofNATGateway number: Int) -> [(inside: IPAddress, ports: PublicPorts)] {
        guard let size = natGateways[number].portsPerInterface else { return [] }
        let pool = natGateways[number].pool
        let places = insideBlocks(ofNATGateway: number).flatMap { $0.firstUsable.v4...$0.lastUsable.v4 }
        return places.enumerated().compactMap { place, inside in
            pool.block(place, ofSize: size).map { (IPAddress(v4: inside), $0) }
        }
    }
}

/// Inside addresses in a row, with blocks of ports in a row of one public address.
public struct PortBlockRun: Hashable, Sendable {
    /// With the last one.
    public var inside: ClosedRange<IPAddress>
    /// Of all of them together.
    public var ports: PublicPorts
    /// Ports of each.
    public var size: Int
}

extension Topology {
    /// Whose ports are whose, in as few lines as that takes; empty where ports are whichever are free.
    public func portBlockRuns(ofNATGateway number: Int) -> [PortBlockRun] {
        guard let size = natGateways[number].portsPerInterface else { return [] }
        var places = insideBlocks(ofNATGateway: number).map { $0.firstUsable.v4...$0.lastUsable.v4 }[...]
        var runs: [PortBlockRun] = []
        for part in natGateways[number].pool.ports {
            var (port, left) = (Int(part.ports.lowerBound), part.ports.count / size)
            while left > 0, let inside = places.first {
                let count = min(inside.count, left)
                let last = inside.lowerBound + UInt32(count - 1)
                let ports = UInt16(port)...UInt16(port + count * size - 1)
                runs.append(
                    PortBlockRun(
                        inside: IPAddress(v4: inside.lowerBound)...IPAddress(v4: last),
                        ports: PublicPorts(address: part.address, ports: ports), size: size))
                (port, left) = (port + count * size, left - count)
                places.removeFirst()
                if last < inside.upperBound { places = [(last + 1)...inside.upperBound] + places }
            }
        }
        return runs
    }
}

extension IPPrefix {
    /// Addresses that hosts can have.
    var placeCount: Int { Int(lastUsable.v4 - firstUsable.v4) + 1 }
}

extension Resolver {
    /// Whether there is a block of ports for each address that a guest behind a gateway can have.
    mutating func checkPortBlocks() {
        for gateway in model.natGateways.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            guard let size = gateway.portsPerInterface, let number = number(NATGateway.self, gateway.metadata.name)
            else { continue }
            let blocks = topology.natGateways[number].pool.blockCount(ofSize: size)
            let inside = topology.insideBlocks(ofNATGateway: number)
            let places = inside.reduce(0) { $0 + $1.placeCount }
            if places <= blocks { continue }
            report(
                "too-few-ports",
                "the subnets whose route tables lead to it (\(listed(inside.map(\.description)))) have \(places) addresses,"
                    + " and its public addresses \(blocks) blocks of \(size) ports",
                hint: "give it more public ports, each inside address fewer, or the guests that leave by it smaller"
                    + " subnets", at: gateway.reference, ["spec", "portsPerInterface"])
        }
    }
}
