import IPAddressing
import Testing
import VPCManifest
import VPCTopology

/// Whose blocks of ports are whose, in few lines.
@Suite(.timeLimit(minutes: 10)) struct PortBlockRunTests {
    private static func topology(_ cidrs: [String], _ pool: String, size: Int) throws -> Topology {
        let subnets = cidrs.enumerated().map { number, cidr in
            """
            {"kind": "Subnet", "metadata": {"name": "s\(number)"},
             "spec": {"vpc": "v", "cidr": "\(cidr)", "routeTable": "out"}}
            """
        }
        let text = """
            {"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": [
            {"kind": "Host", "metadata": {"name": "h"}, "spec": {"underlay": {"address": "172.31.0.1"}}},
            {"kind": "VPC", "metadata": {"name": "v"}, "spec": {"id": 1, "cidrs": ["10.0.0.0/8"]}},
            {"kind": "RouteTable", "metadata": {"name": "out"}, "spec": {"vpc": "v", "routes": [
             {"destination": "0.0.0.0/0", "nextHops": [{"natGateway": "nat"}]}]}},
            {"kind": "Subnet", "metadata": {"name": "edge"}, "spec": {"vpc": "v", "cidr": "10.255.0.0/24"}},
            {"kind": "ExternalNetwork", "metadata": {"name": "net"}, "spec": {"pools": ["203.0.113.0/24"],
             "nextHop": "192.0.2.1", "uplinkAddress": "192.0.2.2", "gateways": [{"host": "h", "device": "x0"}]}},
            {"kind": "NATGateway", "metadata": {"name": "nat"}, "spec": {"subnet": "edge", "address": "10.255.0.11",
             "externalNetwork": "net", \(pool), "portsPerInterface": \(size)}},
            \(subnets.joined(separator: ",\n"))
            ]}
            """
        let set = ManifestSet([ManifestSource(name: "blocks.json", text: text)])
        let resolution = Topology.resolve(set.model)
        return try #require(resolution.topology, "\(set.diagnostics) \(resolution.diagnostics)")
    }

    @Test(arguments: [
        (["10.0.1.0/26"], "\"addresses\": [\"203.0.113.10\"]", 1024, 1),
        // More than one address has ports for, in the middle of a subnet.
        (["10.0.1.0/25"], "\"addresses\": [\"203.0.113.10\", \"203.0.113.11\", \"203.0.113.12\"]", 1024, 2),
        (["10.0.1.0/28", "10.0.3.0/28", "10.0.2.0/28"], "\"addresses\": [\"203.0.113.10\"]", 1000, 3),
        (
            ["10.0.1.0/29", "10.0.2.0/29"], "\"shared\": {\"address\": \"203.0.113.30\", \"ports\": \"2048-4095\"}",
            100, 2
        ),
    ])
    func aLineSaysWhatEachAddressHas(cidrs: [String], pool: String, size: Int, count: Int) throws {
        let topology = try Self.topology(cidrs, pool, size: size)
        let runs = topology.portBlockRuns(ofNATGateway: 0)
        #expect(runs.count == count, "\(runs)")
        var said: [IPAddress: PublicPortsOfOne] = [:]
        for run in runs {
            #expect(run.size == size)
            for (place, inside) in (run.inside.lowerBound.v4...run.inside.upperBound.v4).enumerated() {
                let first = Int(run.ports.ports.lowerBound) + place * size
                said[IPAddress(v4: inside)] = PublicPortsOfOne(address: run.ports.address, first: first)
            }
            #expect(run.ports.ports.count == (Int(run.inside.upperBound.v4 - run.inside.lowerBound.v4) + 1) * size)
        }
        let real = topology.portBlocks(ofNATGateway: 0)
        #expect(said.count == real.count && real.count > 10)
        for (inside, ports) in real {
            #expect(said[inside] == PublicPortsOfOne(address: ports.address, first: Int(ports.ports.lowerBound)))
        }
    }

    private struct PublicPortsOfOne: Equatable {
        var address: IPAddress
        var first: Int
    }
}
