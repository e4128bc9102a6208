import IPAddressing
import KernelModel
import TestSupport
import Testing
import VPCCompiler
import VPCModel
import VPCTopology

/// No two things of a table have one name, whatever resources are called.
@Suite(.timeLimit(minutes: 10)) struct FirewallNameTests {
    /// Words that our own names are made of, and more of the same.
    private static let words = [
        "a", "acl", "b", "by", "count", "db", "default", "deny", "from", "full", "group", "host", "icmp", "in", "log",
        "map", "members", "out", "port", "sg", "sgs", "spoofed", "stray", "subnet", "to", "zone", "0", "1", "100",
    ]

    /// As many different labels as asked for: some as long as a label can be, many the beginning of others.
    private static func names(_ count: Int, _ random: inout SystemRandomNumberGenerator) -> [String] {
        var names = ["a"]
        while names.count < count {
            let word = words.randomElement(using: &random) ?? ""
            var name = (names.randomElement(using: &random) ?? "") + "-" + word
            if Int.random(in: 0..<10, using: &random) == 0 {
                name = String((name + "-" + String(repeating: "in-from-", count: 8)).prefix(62)) + "x"
            }
            if name.utf8.count <= 63, !names.contains(name) { names.append(name) }
        }
        return names
    }

    private static func topology() throws -> Topology {
        var random = SystemRandomNumberGenerator()
        var model = Model()
        model.hosts = [Host(metadata: Metadata(name: "h"), underlayAddress: IPAddress("172.31.0.1")!)]
        let names = names(40, &random)
        let everywhere = IPPrefix.defaultIPv4
        let traffic = [
            TrafficMatch(ipProtocol: .tcp, ports: [80...80]), TrafficMatch(ipProtocol: .icmp, icmpType: 8),
            TrafficMatch(),
        ]
        for (index, vpc) in names.prefix(2).enumerated() {
            model.vpcs.append(
                VPC(
                    metadata: Metadata(name: vpc), id: VPCID(UInt32(index + 1))!, cidrs: [IPPrefix("10.0.0.0/8")!],
                    denialLog: DenialLog(group: 5)))
        }
        for (index, name) in names.enumerated() {
            let vpc = names[index % 2]
            let peers = names.indices.filter { $0 % 2 == index % 2 }.map { names[$0] }
            let rules = traffic.map { traffic in
                SecurityRule(
                    traffic: traffic,
                    peers: [.cidr(everywhere)]
                        + (0..<4).compactMap { _ in peers.randomElement(using: &random) }
                        .map { .securityGroup($0) })
            }
            model.securityGroups.append(
                SecurityGroup(metadata: Metadata(name: name), vpc: vpc, ingress: rules, egress: rules))
            let lines = traffic.enumerated().map { line, traffic in
                ACLRule(
                    priority: 100 * (line + 1), action: line == 2 ? .allow : .deny, traffic: traffic, cidr: everywhere)
            }
            model.acls.append(NetworkACL(metadata: Metadata(name: name), vpc: vpc, ingress: lines, egress: lines))
            model.subnets.append(
                Subnet(
                    metadata: Metadata(name: name), vpc: vpc, cidr: IPPrefix("10.0.\(index).0/24")!, acl: name))
            model.interfaces.append(
                NetworkInterface(
                    metadata: Metadata(name: name), subnet: name, host: "h", address: IPAddress("10.0.\(index).9")!,
                    securityGroups: Array(peers.shuffled(using: &random).prefix(Int.random(in: 1...5, using: &random))),
                    attachment: .namespace("n\(index)", device: "eth0")))
        }
        let resolution = Topology.resolve(model)
        return try #require(resolution.topology, "\(resolution.diagnostics.filter { $0.severity == .error })")
    }

    @Test(arguments: 0..<5) func setsAndNamesFit(_: Int) throws {
        let topology = try Self.topology()
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        for table in topology.compiled(for: 0, facts: facts).intent.host.firewall {
            // A hash set without a size grows in the background, and is not listed whole meanwhile.
            // One with a time is not listed at all.
            #expect(
                table.sets.allSatisfy {
                    $0.grows || $0.shape.size != nil || $0.shape.isInterval || $0.shape.timeout != nil
                })
            for names in [table.chains.map(\.name), table.sets.map(\.name), table.counters.map(\.name)] {
                let twice = Dictionary(grouping: names) { $0 }.filter { $0.value.count > 1 }.keys
                #expect(twice.isEmpty, "\(twice)")
                for name in names {
                    // The kernel takes 255 bytes, and a set may be called `name.1` some day.
                    #expect(name.utf8.count <= 245)
                    #expect(name.wholeMatch(of: /[a-z][a-z0-9_.-]*/) != nil, "nft(8) reads no such name: \(name)")
                }
            }
        }
    }

    /// The resource that a name is read as is the one it was made for.
    @Test func namesTellTheResource() throws {
        let topology = try Self.topology()
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        var known = 0
        for table in topology.compiled(for: 0, facts: facts).intent.host.firewall {
            let objects =
                table.chains.map { ($0.name, $0.origin) } + table.counters.map { ($0.name, $0.origin) }
                + table.sets.flatMap { [($0.name, $0.origin), ($0.name + ".1", $0.origin)] }
            for (name, origin) in objects {
                let expected = topology.resource(of: origin).flatMap { $0.kind == .host ? nil : $0 }
                // A chain of several groups comes from the first of them, and belongs to none. Of long names it has a digest.
                let isList = name.contains(".") || name.hasPrefix("sgs_") || name.hasPrefix("deny_sgs_")
                if isList, table.chains.contains(where: { $0.name == name }) {
                    #expect(FirewallTables.resource(ofObjectNamed: name) == nil)
                } else {
                    #expect(FirewallTables.resource(ofObjectNamed: name) == expected, "\(name)")
                    known += expected == nil ? 0 : 1
                }
            }
        }
        #expect(known > 500)
    }
}
