import KernelModel
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// Following an exchange of interfaces gives what compiling anew gives.
@Suite struct ExchangeTests {
    private static let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)

    /// Two VPCs, one with custom routes inside of its block, groups, and a gateway on another host.
    private static func text(hostOf host: [Int], groups: [Int], aggregating: Bool) -> String {
        var text = "apiVersion: vpcctl.dev/v1\n"
        func add(_ kind: String, _ name: String, _ spec: String) {
            text += "---\nkind: \(kind)\nmetadata: {name: \(name)}\nspec: {\(spec)}\n"
        }
        text += "kind: SecurityGroup\nmetadata: {name: g0}\n"
        text += "spec: {vpc: v0, ingress: [{protocol: all, from: [{securityGroup: g0}]}]}\n"
        for number in 0..<5 {
            add("Host", "h\(number)", "underlay: {address: 172.31.0.\(number + 1)}, aggregateRoutes: \(aggregating)")
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
        add("RouteTable", "t2", "vpc: v2, routes: [{destination: 10.0.0.16/28, blackhole: true}]")
        add(
            "NetworkInterface", "gateway",
            "subnet: s1, host: h1, address: 10.0.0.6, attachment: {device: tap0}")
        for (index, host) in host.enumerated() {
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

    private static func topology(_ text: String) throws -> Topology {
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics.prefix(2))")
        return try #require(Topology.resolve(set.model).topology)
    }

    /// A host that aggregates routes is compiled anew: there one address may mean several routes.
    @Test(arguments: [false, true]) func followingGivesWhatCompilingGives(aggregating: Bool) throws {
        var random = SystemRandomNumberGenerator()
        var hosts = (0..<24).map { _ in Int.random(in: 0..<5, using: &random) }
        var groups = hosts.map { _ in Int.random(in: 0..<3, using: &random) }
        var text = Self.text(hostOf: hosts, groups: groups, aggregating: aggregating)
        var topology = try Self.topology(text)
        var index = InterfaceIndex(of: topology)
        var compilation = topology.compiled(for: 0, facts: Self.facts)
        var followed = 0
        for _ in 0..<300 {
            let former = text
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let moved = Int.random(in: 0..<hosts.count, using: &random)
                hosts[moved] = Int.random(
                    in: Int.random(in: 0..<8, using: &random) == 0 ? 0..<5 : 1..<5, using: &random)
                if Int.random(in: 0..<8, using: &random) == 0 { groups[moved] = (groups[moved] + 1) % 3 }
            }
            text = Self.text(hostOf: hosts, groups: groups, aggregating: aggregating)
            var changes = ResourceChanges()
            var budget = Int.max
            try #require(changes.add(from: Array(former.utf8), to: Array(text.utf8), budget: &budget))
            changes.cancel()
            let exchange = try #require(index.exchange(changes, in: topology))
            index.apply(exchange, to: &topology)
            let resolved = try Self.topology(text)
            try #require(topology == resolved)

            let kernel = CompilerTests.snapshot(of: compilation.intent)
            let anew = topology.compiled(for: 0, facts: Self.facts, numbering: Numbering(from: kernel.host))
            compilation.releaseTopology()
            let before = compilation.intent.host.routes
            if let moved = compilation.follow(exchange, in: topology, host: 0) {
                followed += 1
                try #require(compilation.intent == anew.intent)
                let different = zip(before, anew.intent.host.routes).filter { $0 != $1 }.map(\.0.object.key)
                #expect(Set(different).isSubset(of: moved))
                #expect(compilation.unattached == anew.unattached)
                #expect(compilation.tables == anew.tables)
                #expect(compilation.policy.topology == anew.policy.topology)
                #expect(compilation.policy.vpcOfZone == anew.policy.vpcOfZone)
                #expect(compilation.policy.interfaces == anew.policy.interfaces)
                #expect(compilation.policy.members == anew.policy.members)
            }
            compilation = anew
        }
        #expect(aggregating ? followed == 0 : (60..<280).contains(followed), "\(followed)")
    }
}
