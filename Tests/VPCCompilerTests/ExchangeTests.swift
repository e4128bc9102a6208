import KernelModel
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology
import KernelNames

@testable import VPCCompiler

/// Following an exchange of interfaces gives what compiling anew gives.
@Suite(.timeLimit(minutes: 10)) struct ExchangeTests {
    private static let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)

    enum Variant { case plain, customRouteInside, aggregating }

    /// Three VPCs, two with custom routes, groups, and a gateway on another host.
    private static func text(hostOf host: [Int?], groups: [Int], _ variant: Variant) -> String {
        var text = "apiVersion: vpcctl.dev/v1\n"
        func add(_ kind: String, _ name: String, _ spec: String) {
            text += "---\nkind: \(kind)\nmetadata: {name: \(name)}\nspec: {\(spec)}\n"
        }
        text += "kind: SecurityGroup\nmetadata: {name: g0}\n"
        text += "spec: {vpc: v0, ingress: [{protocol: all, from: [{securityGroup: g0}]}]}\n"
        for number in 0..<5 {
            add(
                "Host", "h\(number)",
                "underlay: {address: 172.31.0.\(number + 1)}, aggregateRoutes: \(variant == .aggregating)")
        }
        for number in 0..<3 {
            add("VPC", "v\(number)", "id: \(number + 1), cidrs: [10.0.0.0/16]")
            let table = number == 0 ? "" : ", routeTable: t\(number)"
            add("Subnet", "s\(number)", "vpc: v\(number), cidr: 10.0.0.0/24\(table)")
            add(
                "NetworkInterface", "here\(number)",
                "subnet: s\(number), host: h0, address: 10.0.0.5, attachment: {netns: g\(number), device: eth0}"
                    + (number == 0 ? ", securityGroups: [g0]" : ""))
        }
        add("RouteTable", "t1", "vpc: v1, routes: [{destination: 0.0.0.0/0, nextHops: [{interface: gateway}]}]")
        let inside = variant == .customRouteInside ? "10.0.0.16/28" : "10.1.0.16/28"
        add("RouteTable", "t2", "vpc: v2, routes: [{destination: \(inside), blackhole: true}]")
        add(
            "NetworkInterface", "gateway",
            "subnet: s1, host: h1, address: 10.0.0.6, attachment: {device: tap0}")
        for (index, host) in host.enumerated() {
            guard let host else { continue }
            let (vpc, place) = (index % 3, index / 3)
            add(
                "NetworkInterface", "i\(index)",
                "subnet: s\(vpc), host: h\(host), address: 10.0.0.\(place + 10), "
                    + "attachment: {netns: n\(index), device: eth0}"
                    + (vpc == 0 && groups[index] == 0 ? ", securityGroups: [g0]" : "")
                    + (index < 6 && groups[index] == 2 ? ", sourceDestCheck: false" : ""))
        }
        return text
    }

    private static func resolved(_ text: String) throws -> (topology: Topology, index: TopologyIndex) {
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics.prefix(2))")
        let resolution = Topology.resolve(set.model)
        return (try #require(resolution.topology), resolution.index)
    }

    /// Moves between other hosts alone are the cheapest; what comes or goes costs more, what routes to it cost does not. A
    /// host that aggregates routes is compiled anew: there one address may mean several routes.
    @Test(arguments: [Variant.plain, .customRouteInside, .aggregating], Seeds.fresh())
    func followingGivesWhatCompilingGives(_ variant: Variant, seed: UInt64) throws {
        var random = Dice(seed: seed)
        func someHost() -> Int { Int.random(in: Int.random(in: 0..<8, using: &random) == 0 ? 0..<5 : 1..<5) }
        var hosts: [Int?] = (0..<24).map { _ in Int.random(in: 0..<5, using: &random) }
        var groups = hosts.map { _ in Int.random(in: 0..<3, using: &random) }
        var text = Self.text(hostOf: hosts, groups: groups, variant)
        var (topology, index) = try Self.resolved(text)
        var compilation = topology.compiled(for: 0, facts: Self.facts)
        var (moved, followed) = (0, 0)
        for round in 0..<400 {
            let former = text
            let movesOnly = round % 2 == 0
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let changed = Int.random(in: 0..<hosts.count, using: &random)
                if movesOnly, hosts[changed] == nil { continue }
                hosts[changed] = !movesOnly && Int.random(in: 0..<3, using: &random) == 0 ? nil : someHost()
                if Int.random(in: 0..<8, using: &random) == 0 { groups[changed] = (groups[changed] + 1) % 3 }
            }
            text = Self.text(hostOf: hosts, groups: groups, variant)
            var changes = ResourceChanges()
            var budget = Int.max
            try #require(changes.add(from: Array(former.utf8), to: Array(text.utf8), budget: &budget))
            changes.cancel()
            let taken = index.apply(changes, to: &topology)
            let change = try #require(taken)
            let resolved = try Self.resolved(text).topology
            try #require(topology == resolved)

            let kernel = CompilerTests.snapshot(of: compilation.intent)
            let numbering = Numbering(from: kernel.host)
            let anew = topology.compiled(for: 0, facts: Self.facts, numbering: numbering)
            if round.isMultiple(of: 8) {
                // Numbers of resources do not count.
                let other = resolved.compiled(for: 0, facts: Self.facts, numbering: numbering)
                try #require(
                    VPCCompilerTests.text(of: anew.intent, topology)
                        == VPCCompilerTests.text(of: other.intent, resolved))
            }
            compilation.releaseTopology()
            let before = Dictionary(
                uniqueKeysWithValues: compilation.intent.host.routes.map { ($0.object.key, $0.object) })
            if let keys = compilation.follow(change, in: topology, host: 0) {
                moved += 1
                try expect(compilation, equals: anew, before, keys)
            } else if let (compilation, keys) = topology.compiled(
                for: 0, facts: Self.facts, numbering: numbering, following: compilation, change)
            {
                followed += 1
                try expect(compilation, equals: anew, before, keys)
            }
            compilation = anew
        }
        #expect(variant == .aggregating ? moved == 0 : (40..<200).contains(moved), "\(moved)")
        #expect(variant == .plain ? (150..<360).contains(followed) : followed == 0, "\(followed)")
    }

    /// - Parameter changed: Where alone routes may be others than before.
    private func expect(
        _ compilation: Compilation, equals anew: Compilation, _ before: [Route.Key: Route], _ changed: [Route.Key]
    ) throws {
        try #require(compilation.intent == anew.intent)
        #expect(compilation.unattached == anew.unattached)
        #expect(compilation.tables == anew.tables)
        #expect(compilation.policy.topology == anew.policy.topology)
        #expect(compilation.policy.vpcOfZone == anew.policy.vpcOfZone)
        #expect(compilation.policy.interfaces == anew.policy.interfaces)
        let after = Dictionary(uniqueKeysWithValues: anew.intent.host.routes.map { ($0.object.key, $0.object) })
        let keys = Set(before.keys).union(after.keys)
        #expect(keys.filter { before[$0] != after[$0] }.isSubset(of: changed))
    }

    /// A nexthop that the kernel has lost gets another number, and so do all routes by it.
    @Test func whatTheKernelHasLostIsNotFollowed() throws {
        var hosts: [Int?] = (0..<24).map { 1 + $0 % 4 }
        let groups = hosts.map { _ in 1 }
        let text = Self.text(hostOf: hosts, groups: groups, .plain)
        hosts[5] = nil
        var changes = ResourceChanges()
        var budget = Int.max
        let new = Self.text(hostOf: hosts, groups: groups, .plain)
        try #require(changes.add(from: Array(text.utf8), to: Array(new.utf8), budget: &budget))
        changes.cancel()
        var (topology, index) = try Self.resolved(text)
        let former = topology.compiled(for: 0, facts: Self.facts)
        let taken = index.apply(changes, to: &topology)
        let change = try #require(taken)

        func isFollowed(_ kernel: KernelSnapshot) -> Bool {
            topology.compiled(
                for: 0, facts: Self.facts, numbering: Numbering(from: kernel.host), following: former, change) != nil
        }
        var kernel = CompilerTests.snapshot(of: former.intent)
        #expect(isFollowed(kernel))
        let lost = try #require(
            kernel.host.nexthops.firstIndex { if case .encapsulate = $0.body { true } else { false } })
        // Somebody else has its number now.
        kernel.host.foreignNexthops.append(kernel.host.nexthops.remove(at: lost).id)
        #expect(!isFollowed(kernel))
    }
}
