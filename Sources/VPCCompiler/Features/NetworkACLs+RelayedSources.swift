import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let relays = FirewallFamily("relayed", tightens: [])
    /// What gateways in a subnet send with addresses of other subnets.
    static let relayed = FirewallFamily("relayed", of: .one(.subnet), roles: ["", "map"], tightens: [])
}

/// What stays inside a subnet is not its ACL's: a source inside the subnet is enough to know, because guests speak for
/// themselves only. A guest that may use any address is not of the subnet whose address it uses.
///
/// Where it is, is known on its own host alone: to others a packet of the tunnel is a packet of the tunnel. So its host
/// asks the ACL, in place of the receiver's, for what it sends into a subnet with a source inside that subnet.
extension HostCompiler {
    static let relays = verdictMap("relayed")

    func contributeRelays(_ piece: Piece, to part: inout Part) {
        switch piece {
        case .port(let number):
            let interface = topology.interfaces[number]
            guard !interface.sourceDestCheck, relaysAsk(interface.subnet) else { return }
            let chain = relayName(interface.subnet).description
            part.rows(of: Self.relays) { $0.add(portName(number), verdict: .jump(chain), origin: piece.origin) }
        case .relay(let subnet):
            guard relaysAsk(subnet) else { return }
            let map = relayedSources(from: subnet).map
            part.filter.sets.append(map)
            part.filter.chain(relayName(subnet).description, origin: piece.origin) { chain in
                chain.rule(.vmap(.ipSource, .ipDestination, map: map.name))
            }
        default: break
        }
    }

    /// Whether any ACL is asked for what guests of that subnet send with addresses of others.
    private func relaysAsk(_ subnet: Int) -> Bool { askedByRelay[subnet].map { !$0.isEmpty } ?? false }

    private func relayName(_ subnet: Int) -> FirewallName { FirewallName(.relayed, topology.subnets[subnet].name) }

    /// Source inside a subnet, destination by that subnet: its ACL.
    /// - Returns: also the ACLs whose ingress is asked.
    func relayedSources(from subnet: Int) -> (map: NFSet, asked: Set<Int>) {
        let origin = Origin(.subnet, subnet)
        var asked: Set<Int> = []
        var map = NFSet(
            relayName(subnet).with(role: "map").description, of: .ipv4Address, .ipv4Address, to: .verdict,
            isInterval: true,
            origin: origin)
        let ways: [SubnetWay<IPv4Bits>] = topology.waysFrom(subnet)
        for way in ways {
            for index in way.subnets where index != subnet {
                guard let acl = topology.subnets[index].acl else { continue }
                asked.insert(acl)
                map.add(
                    topology.subnets[index].cidr, ClosedRange(bits: way.destinations),
                    verdict: .goto(aclName(acl, .ingress).description), origin: origin)
            }
        }
        return (map, asked)
    }
}

/// Destinations, and the subnets where what is for them is delivered.
struct SubnetWay<Bits: AddressBits>: Equatable {
    var destinations: ClosedRange<Bits>
    var subnets: [Int]
}

extension Topology {
    /// Into which subnets the routes of an interface lead: to that of a guest, or to those of a route's next hops.
    /// Ascending and disjoint; what leads nowhere is left out.
    func subnetsBehind(_ interface: ResolvedInterface) -> [SubnetWay<IPv4Bits>] { waysFrom(interface.subnet) }

    /// The same of whatever interface of a subnet.
    func waysFrom<Bits: AddressBits>(_ own: Int) -> [SubnetWay<Bits>] {
        let (number, table) = (subnets[own].vpc, subnets[own].routeTable)
        let vpc = vpcs[number]
        var blocks: [RoutedBlock<Bits>] = []
        func add(_ block: IPPrefix, _ kind: RoutedBlock<Bits>.Kind) {
            if block.family == Bits.family { blocks.append(RoutedBlock(range: block.range(), kind: kind)) }
        }
        for cidr in vpc.cidrs { add(cidr, .nobody) }
        for (index, subnet) in subnets.numbered where subnet.vpc == number {
            add(subnet.cidr, .subnet(index))
        }
        for route in table.map({ routeTables[$0].routes }) ?? [] {
            let interfaces = route.nextHops.compactMap(\.interface)
            let behind = inOrder(Set(interfaces.map { self.interfaces[$0].subnet }), of: \.subnets)
            let isInside = vpc.cidrs.contains { $0.contains(route.destination) }
            add(route.destination, .route(behind, isInside: isInside))
        }
        return RoutedBlock.ways(blocks)
    }
}

/// A block of destinations. Of two blocks one is inside the other, or they have nothing in common.
private struct RoutedBlock<Bits: AddressBits> {
    enum Kind {
        /// Inside the VPC, and no subnet's.
        case nobody
        case subnet(Int)
        /// A custom route; inside the VPC it is the longer match, whoever has the address.
        case route([Int], isInside: Bool)
    }

    var range: ClosedRange<Bits>
    var kind: Kind

    /// Of blocks with one range the later decides.
    private var rank: Int {
        switch kind {
        case .route(_, isInside: false): 0
        case .nobody: 1
        case .subnet: 2
        case .route(_, isInside: true): 3
        }
    }

    private var subnets: [Int] {
        switch kind {
        case .nobody: []
        case .subnet(let index): [index]
        case .route(let subnets, _): subnets
        }
    }

    private var isInsideRoute: Bool { if case .route(_, isInside: true) = kind { true } else { false } }
    private var isSubnet: Bool { if case .subnet = kind { true } else { false } }

    /// From the lowest address up, the innermost block of each.
    static func ways(_ blocks: [RoutedBlock]) -> [SubnetWay<Bits>] {
        let sorted = blocks.sorted { left, right in
            (left.range.lowerBound, Bits.max - left.range.upperBound, left.rank)
                < (right.range.lowerBound, Bits.max - right.range.upperBound, right.rank)
        }
        var ways: [SubnetWay<Bits>] = []
        var open: [RoutedBlock] = []
        /// Nil: behind all addresses.
        var next: Bits? = 0
        func close(before address: Bits) {
            while let block = open.last, block.range.upperBound < address {
                emit(through: block.range.upperBound, block)
                open.removeLast()
            }
            if let block = open.last, address > 0 { emit(through: address - 1, block) }
            next = next.map { max($0, address) }
        }
        func emit(through last: Bits, _ block: RoutedBlock) {
            guard let lower = next, lower <= last else { return }
            if !block.subnets.isEmpty { ways.append(SubnetWay(destinations: lower...last, subnets: block.subnets)) }
            next = last == .max ? nil : last + 1
        }
        for block in sorted {
            close(before: block.range.lowerBound)
            // A route inside the VPC hides the subnets inside of it.
            if block.isSubnet, open.contains(where: \.isInsideRoute) { continue }
            open.append(block)
        }
        while let block = open.popLast() { emit(through: block.range.upperBound, block) }
        return ways
    }
}
