import KernelNames
import TestSupport
import Testing
import VPCManifest
import VPCTopology

@testable import VPCCompiler

/// Whatever validation lets pass has names that the kernel takes.
@Suite(.timeLimit(minutes: 10)) struct LimitTests {
    private static func name(_ word: String) -> String { word + String(repeating: "x", count: 63 - word.utf8.count) }

    /// Everything that has a name, as long as that may be.
    static var longest: String {
        let groups = (1...5).map { name("group\($0)") }
        let group = { (group: String) in
            """
            {"kind": "SecurityGroup", "metadata": {"name": "\(group)"}, "spec": {"vpc": "\(name("vpc"))", "ingress": [
            {"protocol": "tcp", "ports": [80], "from": [{"securityGroup": "\(groups[1])"}]}]}}
            """
        }
        return """
            {"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": [
            {"kind": "Host", "metadata": {"name": "\(name("host"))"}, "spec": {"underlay": {"address": "172.31.0.1"}}},
            {"kind": "VPC", "metadata": {"name": "\(name("vpc"))"}, "spec": {"id": 2147483647, "cidrs": ["10.0.0.0/8"],
             "logDenied": {"nflogGroup": 65535, "rate": 10000}}},
            {"kind": "Subnet", "metadata": {"name": "\(name("subnet"))"}, "spec": {"vpc": "\(name("vpc"))",
             "cidr": "10.0.0.0/16", "routeTable": "\(name("table"))", "acl": "\(name("acl"))"}},
            {"kind": "RouteTable", "metadata": {"name": "\(name("table"))"}, "spec": {"vpc": "\(name("vpc"))", "routes": [
             {"destination": "0.0.0.0/0", "nextHops": [{"interface": "\(name("nic"))", "weight": 256}]}]}},
            {"kind": "NetworkACL", "metadata": {"name": "\(name("acl"))"}, "spec": {"vpc": "\(name("vpc"))", "ingress": [
             {"priority": 32766, "action": "deny", "protocol": "all", "cidr": "0.0.0.0/0"}]}},
            {"kind": "NetworkInterface", "metadata": {"name": "\(name("nic"))"}, "spec": {"subnet": "\(name("subnet"))",
             "host": "\(name("host"))", "address": "10.0.0.10", "mtu": 65535, "sourceDestCheck": false,
             "securityGroups": [\(groups.map { "\"\($0)\"" }.joined(separator: ", "))],
             "attachment": {"netns": "\(String(repeating: "n", count: 128))", "device": "abcdefghijklmno"}}},
            \(groups.map(group).joined(separator: ",\n"))
            ]}
            """
    }

    @Test func namesFit() throws {
        let set = ManifestSet([ManifestSource(name: "longest.json", text: Self.longest)])
        #expect(set.diagnostics.isEmpty, "\(set.diagnostics)")
        let topology = try #require(Topology.resolve(set.model).topology)
        let underlay = try #require(InterfaceName("u0"))
        let intent = topology.compiled(for: 0, facts: HostFacts(underlayDevice: underlay, underlayMTU: 1500)).intent

        // IFALIASZ, linux/if.h: 256 with the zero at the end.
        let aliases = intent.host.links.map(\.object.alias)
        #expect(aliases.allSatisfy { $0.utf8.count <= 255 })
        #expect(aliases.contains { $0.utf8.count > 230 }, "the longest mark is not in here")
        // NFT_NAME_MAXLEN: 256 with the zero at the end.
        let names = intent.host.firewall.flatMap { table in
            table.sets.map(\.name) + table.chains.map(\.name) + table.counters.map(\.name)
        }
        #expect(names.allSatisfy { $0.utf8.count <= 255 })
        #expect(names.contains { $0.utf8.count > 70 })
        #expect(topology.loggedDenials.keys.allSatisfy { $0.utf8.count <= 127 })
        // A set that is made anew beside its predecessor is numbered: `.4294967295`.
        #expect(intent.host.firewall.flatMap(\.sets).allSatisfy { $0.name.utf8.count <= 255 - 11 })
    }

    @Test func aRouteHasSoManyNextHops() throws {
        for (count, rules) in [(256, []), (257, ["too-many-next-hops"])] {
            let interfaces = (0..<count).map { number in
                """
                {"kind": "NetworkInterface", "metadata": {"name": "gw\(number)"}, "spec": {"subnet": "s", "host": "h",
                 "address": "10.0.\(number / 200).\(number % 200 + 10)", "sourceDestCheck": false,
                 "attachment": {"netns": "n\(number)", "device": "eth0"}}}
                """
            }
            let hops = (0..<count).map { "{\"interface\": \"gw\($0)\"}" }.joined(separator: ", ")
            let text = """
                {"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": [
                {"kind": "Host", "metadata": {"name": "h"}, "spec": {"underlay": {"address": "172.31.0.1"}}},
                {"kind": "VPC", "metadata": {"name": "v"}, "spec": {"id": 1, "cidrs": ["10.0.0.0/8"]}},
                {"kind": "Subnet", "metadata": {"name": "s"}, "spec": {"vpc": "v", "cidr": "10.0.0.0/16", "routeTable": "t"}},
                {"kind": "RouteTable", "metadata": {"name": "t"}, "spec": {"vpc": "v", "routes": [
                 {"destination": "0.0.0.0/0", "nextHops": [\(hops)]}]}},
                \(interfaces.joined(separator: ",\n"))
                ]}
                """
            let set = ManifestSet([ManifestSource(name: "hops.json", text: text)])
            let errors = Topology.resolve(set.model).diagnostics.map(\.rule)
            #expect(set.diagnostics.isEmpty && errors == rules, "\(count)")
        }
    }
}
