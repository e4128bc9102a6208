import IPAddressing
import KernelNames
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler
@testable import NFTables

/// The sets and rules that long lists come to.
@Suite(.timeLimit(minutes: 10)) struct PolicySetsTests {
    private func filter(_ policies: String, acl: String = "", groups: String = "") throws -> NFTableIntent {
        let text =
            ManifestHead.subnet(more: acl) + """
                ---
                kind: NetworkInterface
                metadata: {name: i}
                spec: {subnet: s, host: h1, address: 10.0.0.5, attachment: {netns: n, device: eth0}\(groups)}
                ---

                """ + policies
        let set = ManifestSet(text: text)
        try #require(set.isValid)
        let topology = try #require(Topology.resolve(set.model).topology)
        let compilation = topology.compiled(
            for: 0, facts: HostFacts(underlayDevice: try #require(InterfaceName("u0")), underlayMTU: 1500))
        return try #require(compilation.intent.host.firewall.first)
    }

    /// The sets whose names begin with `prefix`, with their sizes.
    private func sets(_ table: NFTableIntent, _ prefix: String) -> [String] {
        table.sets.filter { $0.name.hasPrefix(prefix) }.map { "\($0.name) \($0.elements.count)" }
    }

    /// What the rules of a chain look up, in their order, of sets whose names begin with `prefix`.
    private func lookups(_ table: NFTableIntent, _ chain: String, _ prefix: String) throws -> [[String]] {
        let chain = try #require(table.chains.first { $0.name == chain })
        return chain.rules.map { $0.expressions.compactMap(\.set).filter { $0.hasPrefix(prefix) } }
            .filter { !$0.isEmpty }
    }

    /// Each family has sets of its own: an IPv6 address takes 16 bytes of a key.
    @Test func keysAreAsLongAsTheFamilysAddresses() throws {
        let blocks = try (0..<1500).map { try #require(IPPrefix("2001:db8:\(String($0 * 2, radix: 16))::/48")) }
        let traffic = TrafficMatch(ipProtocol: .tcp, ports: [80...80, 443...443, 8000...8100])
        let lines = [TrafficLine(traffic, from: blocks + [try #require(IPPrefix("10.0.0.0/8"))])]
        let name = FirewallName(.group, "web", direction: .ingress)
        func expect<Bits: AddressBits>(
            _: Bits.Type, _ type: NFType, bytes: Int, entries: Int, classes: Int
        ) throws {
            let stages = TrafficStages<Bits>(lines)
            let lookup = try #require(stages.lookups(name).first)
            #expect(lookup.entries.count == entries)
            for entry in lookup.entries {
                let services = entry.box.services
                let key = NFKey(entry.box.addressKey, services.protocolKey, services.selectorKey)
                #expect(key.bytes.count == bytes + 8)
            }
            let maps = stages.classMaps(name, origin: .none)
            #expect(maps.map(\.elements.count) == (classes == 0 ? [] : [classes]))
            for map in maps {
                #expect(map.shape.keyCode == NFType.code(of: [type, .internetProtocol]))
                #expect(map.shape.keyLength == bytes + 4)
            }
        }
        try expect(IPv4Bits.self, .ipv4Address, bytes: 4, entries: 3, classes: 0)
        try expect(IPv6Bits.self, .ipv6Address, bytes: 16, entries: 3, classes: 1500)
    }

    @Test func aPublishedListIsLookedUpByClass() throws {
        let blocks = (0..<1500).map { "{cidr: 11.\($0 >> 7).\($0 % 128 * 2).0/24}" }.joined(separator: ", ")
        let group = """
            kind: SecurityGroup
            metadata: {name: web}
            spec:
              vpc: v
              ingress:
                - {protocol: tcp, ports: [80, 443, 8000-8100], from: [\(blocks)]}
                - {protocol: icmp, icmpType: 8, from: [{cidr: 11.0.0.0/8}]}
                - {protocol: tcp, ports: [22], from: [{securityGroup: web}]}
            """
        let table = try filter(group, groups: ", securityGroups: [web]")
        // The second rule would cut the addresses between the blocks out as a class of their own, 1,500 times.
        #expect(
            sets(table, "sg_web_in") == [
                "sg_web_in_class 1500", "sg_web_in_from_web 1", "sg_web_in_icmp_2 1", "sg_web_in_map 3",
            ])
        #expect(
            try lookups(table, "sg_web_in", "sg_web_in") == [
                ["sg_web_in_class", "sg_web_in_map"], ["sg_web_in_icmp_2"], ["sg_web_in_from_web"],
            ])
        #expect(table.counters.count { $0.name.hasPrefix("sg_web_in_") } == 3)
    }

    private func line(_ priority: Int, _ action: String, _ rest: String) -> String {
        "{priority: \(priority), action: \(action), protocol: tcp, \(rest)}"
    }

    @Test func portsAndThenAddressesAreTwoStages() throws {
        let lines =
            (0..<100).map { line($0 + 1, "deny", "ports: [\(2 * $0 + 1)], cidr: 0.0.0.0/0") }
            + (0..<100).map { line($0 + 500, "allow", "cidr: 11.0.0.\(2 * $0)/32") }
        let acl = """
            kind: NetworkACL
            metadata: {name: edge}
            spec: {vpc: v, ingress: [\(lines.joined(separator: ", "))]}
            """
        let table = try filter(acl, acl: ", acl: edge")
        #expect(
            sets(table, "acl_edge_in") == [
                "acl_edge_in_map 100", "acl_edge_in_map_2 100", "acl_edge_in_map_2_count 100",
                "acl_edge_in_map_count 100",
            ])
        #expect(
            try lookups(table, "acl_edge_in", "acl_edge_in") == [
                ["acl_edge_in_map_count"], ["acl_edge_in_map"], ["acl_edge_in_map_2_count"], ["acl_edge_in_map_2"],
            ])
        // Another line of either kind is its counter and an element of each set of its stage.
        let more = acl.replacing("}]}", with: "}, \(line(900, "allow", "cidr: 11.1.0.0/32"))]}")
        let grown = try filter(more, acl: ", acl: edge")
        #expect(
            sets(grown, "acl_edge_in") == [
                "acl_edge_in_map 100", "acl_edge_in_map_2 101", "acl_edge_in_map_2_count 101",
                "acl_edge_in_map_count 100",
            ])
    }
}
