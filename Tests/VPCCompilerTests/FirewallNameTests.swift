import Foundation
import IPAddressing
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// No two things of a table have one name, whatever resources are called.
@Suite(.timeLimit(minutes: 10)) struct FirewallNameTests {
    /// Words that our own names are made of, and more of the same.
    private static let words = [
        "a", "acl", "b", "by", "count", "db", "default", "deny", "from", "full", "group", "host", "icmp", "in", "log",
        "map", "members", "out", "port", "sg", "sgs", "spoofed", "stray", "subnet", "to", "zone", "0", "1", "100",
    ]

    /// As many different labels as asked for: some as long as a label can be, many the beginning of others.
    private static func names(_ count: Int, _ random: inout Dice) -> [String] {
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

    private static func topology(_ seed: UInt64) throws -> Topology {
        var random = Dice(seed: seed)
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
        // A list that is too long for its names, and a gateway.
        let long = (1...5).map { String(repeating: "g", count: 61) + "-\($0)" }
        model.securityGroups += long.map { SecurityGroup(metadata: Metadata(name: $0), vpc: names[0]) }
        model.interfaces[0].securityGroups = long
        model.interfaces[0].sourceDestCheck = false
        let resolution = Topology.resolve(model)
        return try #require(resolution.topology, "\(resolution.diagnostics.filter { $0.severity == .error })")
    }

    @Test(arguments: Seeds.fresh(with: 1, 2, 3, 4)) func setsAndNamesFit(_ seed: UInt64) throws {
        let topology = try Self.topology(seed)
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        for table in topology.compiled(for: 0, facts: facts).intent.host.firewall {
            // A hash set without a size grows in the background, and is not listed whole meanwhile.
            // One with a time is not listed at all.
            #expect(
                table.sets.allSatisfy {
                    $0.grows || $0.shape.size != nil || $0.shape.isInterval || $0.shape.timeout != nil
                })
            for names in [
                table.chains.map(\.name), table.sets.map(\.name), table.counters.map(\.name), table.objects.map(\.name),
                table.flowtables.map(\.name),
            ] {
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

    /// A name is read as what it was made from, by one family and no other, also where the kernel has numbered the set.
    @Test(arguments: Seeds.fresh(with: 1, 2, 3, 4)) func namesAreReadAsTheyAreMade(_ seed: UInt64) throws {
        let topology = try Self.topology(seed)
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        let tables = topology.compiled(for: 0, facts: facts).intent.host.firewall
        #expect(try Self.check(tables) > 1000)
    }

    /// The same of every object of every golden example; and no family is declared that nobody makes.
    @Test func everyObjectIsOfAFamily() throws {
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        var names: Set<String> = []
        for name in GoldenTests.cases {
            let set = ManifestSet.load(paths: [GoldenTests.folder.appending(path: "\(name)/manifest.yaml").path()])
            let topology = try #require(Topology.resolve(set.model).topology)
            for host in topology.hosts.indices {
                let intent = topology.compiled(for: host, facts: facts).intent
                let tables = intent.host.firewall + intent.underlay.firewall
                _ = try Self.check(tables)
                names.formUnion(Self.names(tables))
            }
        }
        names.formUnion(Self.names(try Self.topology(1).compiled(for: 0, facts: facts).intent.host.firewall))
        var families = FirewallFamily.all
        for name in names {
            let words = name.split(separator: "_")[...]
            families.removeAll { FirewallName(words, in: $0) != nil }
        }
        #expect(families.isEmpty)
    }

    @Test(arguments: [
        "web", "sg", "sg_web", "sg_web_in_maps", "sg_web_in_map_x", "sg_web_up_map", "sg__in", "members", "members_a.b",
        "members_a_b", "acl_web_in_stray", "deny_sg_web_in_unknown", "Ports", "ports_1", "ports.", "",
    ])
    func whatNobodyMakesIsNoName(_ text: String) {
        #expect(FirewallName(text) == nil)
    }

    /// Taking something out of what groups decide by may cut connections, and so may an interface that gets groups; what
    /// is not known to be harmless may, too.
    @Test func whatIsTakenAwayTightens() throws {
        let topology = try Self.topology(1)
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        for table in topology.compiled(for: 0, facts: facts).intent.host.firewall {
            for set in table.sets {
                let isOfGroups = set.name.hasPrefix("sg_") || set.name.hasPrefix("members_")
                for name in [set.name, set.name + ".3"] {
                    let removals: [NFOperation] = [
                        .removeElements(set: name, set.shape, set.elements), .flushSet(name: name),
                        .deleteSet(name: name),
                    ]
                    #expect(removals.allSatisfy { $0.mayTightenPolicy == isOfGroups }, "\(name)")
                    let addition = NFOperation.addElements(set: name, set.shape, set.elements)
                    #expect(addition.mayTightenPolicy == ["sg_in", "sg_out"].contains(set.name), "\(name)")
                }
            }
            for chain in table.chains {
                let isOfGroups = chain.name.hasPrefix("sg_") || chain.name.hasPrefix("sgs_")
                #expect(NFOperation.flushChain(name: chain.name).mayTightenPolicy == isOfGroups, "\(chain.name)")
                for rule in chain.rules {
                    let removal = NFOperation.deleteRule(chain: chain.name, handle: 1, rule)
                    #expect(removal.mayTightenPolicy == isOfGroups, "\(chain.name)")
                }
            }
        }
        #expect(NFOperation.flushSet(name: "gs_web_in_map").mayTightenPolicy)
        #expect(NFOperation.flushChain(name: "web").mayTightenPolicy)
        #expect(NFOperation.wakeTable.mayTightenPolicy)
        #expect(!NFOperation.deleteTable.mayTightenPolicy)
    }

    private static func names(_ tables: [NFTableIntent]) -> [String] {
        tables.flatMap { table -> [String] in
            let objects = table.counters.map(\.name) + table.objects.map(\.name)
            return table.chains.map(\.name) + table.sets.map(\.name) + objects + table.flowtables.map(\.name)
        }
    }

    private static func check(_ tables: [NFTableIntent]) throws -> Int {
        for text in names(tables) {
            let name = try #require(FirewallName(text), "\(text) is of no family")
            #expect(name.description == text)
            let words = text.split(separator: "_")[...]
            #expect(FirewallFamily.all.compactMap { FirewallName(words, in: $0) } == [name])
        }
        for set in tables.flatMap(\.sets) { #expect(FirewallName(set.name + ".12")?.description == set.name) }
        return names(tables).count
    }

    /// The resource that a name is read as is the one it was made for.
    @Test func namesTellTheResource() throws {
        let topology = try Self.topology(1)
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        var known = 0
        for table in topology.compiled(for: 0, facts: facts).intent.host.firewall {
            var objects = table.chains.map { ($0.name, $0.origin) }
            objects += table.counters.map { ($0.name, $0.origin) }
            objects += table.objects.map { ($0.name, $0.origin) }
            objects += table.sets.flatMap { [($0.name, $0.origin), ($0.name + ".1", $0.origin)] }
            for (name, origin) in objects {
                let expected = topology.resource(of: origin).flatMap { $0.kind == .host ? nil : $0 }
                // A chain of several groups comes from the first of them, and belongs to none. Of long names it has a digest.
                let isList = name.contains(".") || name.hasPrefix("sgs_") || name.hasPrefix("deny_sgs_")
                if isList, table.chains.contains(where: { $0.name == name }) {
                    #expect(FirewallName(name)?.resource == nil)
                } else {
                    #expect(FirewallName(name)?.resource == expected, "\(name)")
                    known += expected == nil ? 0 : 1
                }
            }
        }
        #expect(known > 500)
    }
}
