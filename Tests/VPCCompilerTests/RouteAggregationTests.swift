import IPAddressing
import KernelModel
import KernelNames
import TestSupport
import Testing
import VPCManifest
import VPCTopology

@testable import VPCCompiler

/// Fewer routes, the same ways.
@Suite(.timeLimit(minutes: 10)) struct RouteAggregationTests {
    private typealias Target = RouteAggregator.Target
    private typealias Leaf = RouteAggregator.Leaf

    // MARK: The algorithm

    /// Blocks of which 64 parts are looked at: single addresses, and larger ones up to where there are no bits left.
    private static let blocks = [
        "10.1.2.64/26", "0.0.0.0/0", "2001:db8:1:1::40/122", "2001:db8:0:8::/61", "::/0", "2001:db8:1:40::/58",
    ].map { IPPrefix($0)! }
    private static let block = blocks[0]
    private static let addresses = parts(of: block).map(\.address)

    private static func parts(of block: IPPrefix) -> [IPPrefix] {
        var parts = [block]
        for _ in 0..<6 { parts = parts.compactMap(\.halves).flatMap { [$0, $1] } }
        return parts
    }

    /// Parts of one to four hosts, here and there a prefix that is somebody else's; dense or thin.
    private func drawnLeaves(
        _ dice: inout Dice, _ parts: [IPPrefix] = parts(of: block)
    ) -> (leaves: [Leaf], hosts: Int) {
        let hosts = Int.random(in: 1...4, using: &dice)
        let (density, run) = (Int.random(in: 0...100, using: &dice), Int.random(in: 0...100, using: &dice))
        var leaves: [Leaf] = []
        var host = 0
        var next = 0
        while next < 64 {
            let part = parts[next]
            let size = 1 << Int.random(in: 0...4, using: &dice)
            if Int.random(in: 0..<40, using: &dice) == 0, next % size == 0 {
                leaves.append(
                    Leaf(
                        prefix: IPPrefix(
                            containing: part.address, length: Int(part.length) - size.trailingZeroBitCount),
                        target: nil))
                next += size
                continue
            }
            if Int.random(in: 0..<100, using: &dice) >= run { host = Int.random(in: 0..<hosts, using: &dice) }
            if Int.random(in: 0..<100, using: &dice) < density {
                leaves.append(Leaf(prefix: part, target: .host(host)))
            }
            next += 1
        }
        return (leaves, hosts)
    }

    /// Where each part leads, nil where that does not matter.
    private func wanted(_ leaves: [Leaf], _ parts: [IPPrefix]) -> [Target?] {
        parts.map { part in
            guard let leaf = leaves.first(where: { $0.prefix.contains(part) }) else { return .unreachable }
            return leaf.target
        }
    }

    @Test(arguments: blocks) func everyAddressLeadsWhereItLed(block: IPPrefix) throws {
        var dice = Dice(seed: 11)
        let parts = Self.parts(of: block)
        for _ in 0..<500 {
            let (leaves, hosts) = drawnLeaves(&dice, parts)
            let aggregates = RouteAggregator.aggregates(of: block, leaves: leaves, hosts: hosts)
            #expect(aggregates.first?.prefix == block)
            #expect(aggregates.map(\.prefix) == Set(aggregates.map(\.prefix)).sorted())
            for (part, target) in zip(parts, wanted(leaves, parts)) {
                guard let target else { continue }
                let match = aggregates.last { $0.prefix.contains(part) }
                try #require(match?.target == target, "\(part) of \(leaves) in \(aggregates)")
            }
            for aggregate in aggregates {
                guard let leaf = aggregate.leaf else { continue }
                #expect(leaves[leaf].prefix == aggregate.prefix && leaves[leaf].target == aggregate.target)
            }
        }
    }

    /// None of the smaller sets of routes would do, as trying them all shows.
    @Test(arguments: blocks) func thereAreNoFewer(block: IPPrefix) throws {
        var dice = Dice(seed: 12)
        let parts = Self.parts(of: block)
        for _ in 0..<200 {
            let (leaves, hosts) = drawnLeaves(&dice, parts)
            let count = RouteAggregator.aggregates(of: block, leaves: leaves, hosts: hosts).count
            let targets = [Target.unreachable] + (0..<hosts).map { Target.host($0) }
            let wanted = wanted(leaves, parts)
            /// The fewest routes inside a range, by what is inherited there.
            func fewest(_ range: Range<Int>) -> [Int] {
                if range.count == 1 {
                    return targets.map { wanted[range.lowerBound] == nil || wanted[range.lowerBound] == $0 ? 0 : 1 }
                }
                let middle = range.lowerBound + range.count / 2
                let below = zip(fewest(range.lowerBound..<middle), fewest(middle..<range.upperBound)).map { $0 + $1 }
                let best = below.min() ?? 0
                return below.map { min($0, best + 1) }
            }
            let halves = zip(fewest(0..<32), fewest(32..<64)).map { $0 + $1 }
            #expect(count == 1 + (halves.min() ?? 0), "\(leaves)")
        }
    }

    // MARK: The tables

    /// Two CIDRs, a route table with routes inside and outside of them, interfaces in clusters.
    private func manifest(hosts: Int, aggregating: Bool, _ placement: [Int?]) -> String {
        var text = ""
        for host in 0..<hosts {
            text += """
                ---
                {apiVersion: vpcctl.dev/v1, kind: Host, metadata: {name: h\(host)},
                 spec: {underlay: {address: 172.31.0.\(host + 1)}, aggregateRoutes: \(aggregating)}}

                """
        }
        text += """
            ---
            {apiVersion: vpcctl.dev/v1, kind: VPC, metadata: {name: v}, spec: {id: 5, cidrs: [10.0.0.0/24, 10.9.0.0/25]}}
            ---
            {apiVersion: vpcctl.dev/v1, kind: Subnet, metadata: {name: a},
             spec: {vpc: v, cidr: 10.0.0.0/24, routeTable: t}}
            ---
            {apiVersion: vpcctl.dev/v1, kind: Subnet, metadata: {name: b}, spec: {vpc: v, cidr: 10.9.0.0/25}}
            ---
            {apiVersion: vpcctl.dev/v1, kind: RouteTable, metadata: {name: t}, spec: {vpc: v, routes: [
              {destination: 10.0.0.64/27, nextHops: [{interface: i7}]}, {destination: 10.0.0.80/30, blackhole: true},
              {destination: 10.0.0.100/30, blackhole: true}, {destination: 10.0.0.128/30, nextHops: [{interface: i7}]},
              {destination: 10.0.0.8/32, nextHops: [{interface: i7}, {interface: i9}]},
              {destination: 0.0.0.0/0, nextHops: [{interface: i9}]}, {destination: 10.0.0.0/8, blackhole: true}]}}

            """
        for (index, host) in placement.enumerated() {
            guard let host else { continue }
            let subnet = index < 250 ? "a" : "b"
            let address = IPAddress(v4: index < 250 ? 0x0A00_0002 + UInt32(index) : 0x0A09_0002 + UInt32(index - 250))
            text += """
                ---
                {apiVersion: vpcctl.dev/v1, kind: NetworkInterface, metadata: {name: i\(index)},
                 spec: {subnet: \(subnet), host: h\(host), address: \(address), sourceDestCheck: false\(further(index)),
                        attachment: {netns: n\(index), device: eth0}}}

                """
        }
        return text
    }

    /// Blocks that some have where no addresses are, with custom routes inside, around and beside them.
    private func further(_ index: Int) -> String {
        let blocks = ["10.0.0.96/27", "10.0.0.80/28", "10.0.0.128/28, 10.0.0.152/32", "10.9.0.64/27"]
        let place = [30, 31, 32, 250].firstIndex(of: index)
        return place.map { ", prefixes: [\(blocks[$0])]" + ($0 == 2 ? ", addresses: [10.0.0.154, 10.0.0.150]" : "") }
            ?? ""
    }

    /// What those have is nobody's address.
    private func isFree(_ index: Int) -> Bool {
        !(78..<158).contains(index) && !(312..<344).contains(index)
    }

    private func placement(_ dice: inout Dice, hosts: Int) -> [Int?] {
        var host = 0
        return (0..<350).map { index in
            if !isFree(index) { return nil }
            if index % Int.random(in: 1...16, using: &dice) == 0 { host = Int.random(in: 0..<hosts, using: &dice) }
            return index == 7 || index == 9 || Int.random(in: 0..<100, using: &dice) < 70 ? host : nil
        }
    }

    private func topology(_ text: String) throws -> Topology {
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics)")
        let resolution = Topology.resolve(set.model)
        return try #require(resolution.topology, "\(resolution.diagnostics)")
    }

    /// Where a table leads an address: the longest prefix, of equal ones the lowest metric.
    private static func way(of address: IPAddress, _ routes: [Route]) -> Route? {
        routes.filter { $0.key.destination.contains(address) }.min {
            ($1.key.destination.length, $0.key.metric) < ($0.key.destination.length, $1.key.metric)
        }
    }

    /// As it is meant, whatever the numbers are.
    private static func meaning(_ route: Route?, _ intent: KernelIntent) -> String {
        guard let route else { return "none" }
        let bodies = Dictionary(uniqueKeysWithValues: intent.host.nexthops.map { ($0.object.id, $0.object.body) })
        guard case .group(let group)? = bodies[route.nexthop] else {
            return "\(route.kind) \(route.device) \(bodies[route.nexthop].map { "\($0)" } ?? "")"
        }
        return group.members.compactMap { bodies[$0.id].map { "\($0)" } }.sorted().joined(separator: ", ")
    }

    @Test func tablesForwardAlike() throws {
        var dice = Dice(seed: 13)
        let underlay = try #require(InterfaceName("u0"))
        var saved = 0
        for round in 0..<12 {
            let hosts = 1 + round % 3
            let placement = placement(&dice, hosts: hosts)
            let single = try topology(manifest(hosts: hosts, aggregating: false, placement))
            let aggregating = try topology(manifest(hosts: hosts, aggregating: true, placement))
            for host in 0..<hosts {
                var facts = HostFacts(underlayDevice: underlay, underlayMTU: 1500)
                facts.missingNamespaces = [NamespaceName("n12"), NamespaceName("n9"), NamespaceName("n200")]
                let (long, short) = (
                    single.compiled(for: host, facts: facts), aggregating.compiled(for: host, facts: facts)
                )
                #expect(long.tables == short.tables)
                let counts = try #require(short.aggregation)
                #expect(
                    counts.withoutAggregation == long.intent.host.routes.count - long.tables.count + long.contextCount)
                #expect(counts.routes <= counts.withoutAggregation)
                #expect(
                    short.intent.host.routes.count - counts.routes == long.intent.host.routes.count
                        - counts.withoutAggregation)
                #expect(long.aggregation == nil)
                saved += counts.withoutAggregation - counts.routes
                let keys = short.intent.host.routes.map(\.object.key)
                #expect(keys == Array(Set(keys)).sorted())
                for table in long.tables {
                    let one = long.intent.host.routes.map(\.object).filter { $0.key.table == table }
                    let other = short.intent.host.routes.map(\.object).filter { $0.key.table == table }
                    // The same when the kernel has dropped the routes of a device.
                    let (bare, alsoBare) = (one.filter { $0.device.isNone }, other.filter { $0.device.isNone })
                    for address in Self.interesting {
                        try #require(
                            Self.meaning(Self.way(of: address, bare), long.intent)
                                == Self.meaning(Self.way(of: address, alsoBare), short.intent))
                        try #require(
                            Self.meaning(Self.way(of: address, one), long.intent)
                                == Self.meaning(Self.way(of: address, other), short.intent),
                            "\(address) in table \(table) of host \(host), round \(round)")
                    }
                }
            }
        }
        #expect(saved > 1000)
    }

    /// All of both CIDRs, and around them.
    private static let interesting =
        (0x09FF_FFF0...0x0A00_0110).map { IPAddress(v4: $0) } + (0x0A08_FFF0...0x0A09_0090).map { IPAddress(v4: $0) }
        + [IPAddress(v4: 0), IPAddress(v4: 0xC000_0201), IPAddress(v4: 0x0A63_0000)]

    // MARK: The way from one to the other

    /// Between two tables, after each single change, every address goes its former way or its new one.
    @Test func noAddressGoesAThirdWay() throws {
        var dice = Dice(seed: 15)
        let table = TableID(77)
        func routes() -> [Route] {
            let (leaves, hosts) = drawnLeaves(&dice)
            return RouteAggregator.aggregates(of: Self.block, leaves: leaves, hosts: hosts).map { aggregate in
                let key = Route.Key(table: table, destination: aggregate.prefix)
                guard case .host(let host) = aggregate.target else { return .unreachable(key) }
                return .via(NexthopID(UInt32(host) + 1), key)
            }
        }
        var longest = 0
        for _ in 0..<300 {
            let (former, new) = (routes(), routes())
            var snapshot = KernelSnapshot()
            snapshot.host.routes = former
            var intent = KernelIntent()
            intent.host.routes = new.map { Attributed($0, from: .none) }
            var present = Dictionary(uniqueKeysWithValues: former.map { ($0.key, $0) })
            func expectNoThirdWay() throws {
                let now = Array(present.values)
                for address in Self.addresses {
                    let way = Self.way(of: address, now)
                    let allowed = [Self.way(of: address, former), Self.way(of: address, new)]
                    try #require(
                        allowed.contains { $0?.kind == way?.kind && $0?.nexthop == way?.nexthop }, "\(address): \(now)")
                }
            }
            for step in intent.changes(from: snapshot, owner: Conventions.ownership).steps {
                guard case .routes(let changes) = step.work else { continue }
                for route in changes.deletions {
                    present[route.key] = nil
                    try expectNoThirdWay()
                }
                for route in changes.creations.map(\.object) + changes.replacements.map(\.new) {
                    present[route.key] = route
                    try expectNoThirdWay()
                }
                longest = max(longest, changes.counts.total)
            }
            #expect(present.values.sorted { $0.key < $1.key } == new)
        }
        #expect(longest > 4)
    }
}

extension Compilation {
    /// Tables of contexts, not of gateways: those have one route each.
    fileprivate var contextCount: Int { compiler.contexts.count }
}
