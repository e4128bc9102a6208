import Foundation
import IPAddressing
import KernelModel
import KernelNames
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// Which targets load balancers lead to where these are asked whether they are healthy.
@Suite(.timeLimit(minutes: 5)) struct HealthyTargetTests {
    private func topology(
        _ whenAllUnhealthy: TargetGroup.WhenAllUnhealthy = .refuse, drain: Duration = .seconds(60)
    ) throws -> Topology {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Examples/load-balancer.yaml"
        ).path()
        var topology = try #require(Topology.resolve(ManifestSet.load(paths: [path]).model).topology)
        for number in topology.targetGroups.indices {
            topology.targetGroups[number].healthCheck = .init()
            topology.targetGroups[number].whenAllUnhealthy = whenAllUnhealthy
            topology.targetGroups[number].drain = drain
        }
        return topology
    }

    private func facts(_ topology: Topology, _ healthy: [String]?) -> HostFacts {
        let device = InterfaceName("u0") ?? .none
        let paths = topology.hosts.map(\.underlayAddress).sorted().map {
            Path(destination: $0, devices: [device], mtu: 1500)
        }
        var facts = HostFacts(underlayDevice: device, underlayMTU: 1500, paths: paths)
        facts.liveness.healthyTargets = healthy.map { names in
            Set(names.map { WatchedTarget(group: "logic", interface: $0) })
        }
        return facts
    }

    /// By place of the listener of TCP, who has it.
    private func owners(_ compilation: Compilation) throws -> [String] {
        let filter = try #require(compilation.intent.host.firewall.first { $0.table == FirewallTables.filter })
        let set = filter.sets.first { $0.name == "balanced_509" }
        return (0..<(set?.elements.count ?? 0)).compactMap { index in
            guard let set else { return nil }
            let text = set.shape.text(of: index, in: set.elements)
            return text.split(separator: " : ").last?.split(separator: " ").first.map(String.init)
        }
    }

    @Test func onlyTheHealthyGetConnections() throws {
        let topology = try topology()
        let all = try owners(topology.compiled(for: 0, facts: facts(topology, nil)))
        #expect(Set(all) == ["10.0.2.21", "10.0.2.22", "10.0.2.23"])
        let two = try owners(topology.compiled(for: 0, facts: facts(topology, ["logic1", "logic3"])))
        #expect(Set(two) == ["10.0.2.21", "10.0.2.23"])
        #expect(all.count == 509 && two.count == 509)
        // Hardly anything of those who stay changes hands.
        #expect(zip(all, two).count { $0 != $1 && $0 != "10.0.2.22" } < 50)
        #expect(try owners(topology.compiled(for: 0, facts: facts(topology, []))).isEmpty)
    }

    @Test func allAreUsedWhereTheGroupSaysSo() throws {
        let topology = try topology(.useAll)
        #expect(Set(try owners(topology.compiled(for: 0, facts: facts(topology, [])))).count == 3)
        #expect(Set(try owners(topology.compiled(for: 0, facts: facts(topology, ["logic2"])))) == ["10.0.2.22"])
    }

    /// What is followed gives what compiling anew gives.
    @Test func changesAreFollowed() throws {
        let topology = try topology()
        var compilation = topology.compiled(for: 0, facts: facts(topology, nil))
        for healthy in [["logic1"], ["logic1", "logic2"], [], nil, ["logic3"]] {
            let facts = facts(topology, healthy)
            let suspects = compilation.take(TopologyChange(), in: topology, facts, from: NamespaceSnapshot())
            #expect(suspects != nil)
            #expect(try owners(compilation) == owners(topology.compiled(for: 0, facts: facts)))
        }
    }

    /// Connections to a target that is not healthy end at once; those to one that has left drain.
    @Test func connectionsToTheDeadEnd() throws {
        let topology = try topology()
        let balanced = topology.compiled(for: 0, facts: facts(topology, ["logic1", "logic3"])).balancedConnections
        let zone = try #require(balanced.zones.first)
        func connection(_ target: String, port: UInt16 = 80) -> Connection {
            Connection(
                id: 1, zone: zone, ipProtocol: 6, source: IPAddress(v4: 0x0A00_010B),
                destination: IPAddress(v4: 0x0A00_0950), sourcePort: 40000, destinationPort: port,
                replySource: IPAddress(target), replySourcePort: 80)
        }
        let (healthy, dead, gone) = (
            connection("10.0.2.21"), connection("10.0.2.22"), connection("10.0.2.99")
        )
        let unknown = connection("10.0.2.21", port: 81)
        #expect(balanced.ended([healthy, dead, gone, unknown]) == [dead, unknown])
        #expect(balanced.draining([healthy, dead, gone, unknown]).map(\.connection) == [gone])
        #expect(balanced.draining([gone]).map(\.time) == [.seconds(60)])
        let hasty = try self.topology(drain: .zero)
        let ended = hasty.compiled(for: 0, facts: facts(hasty, nil)).balancedConnections.ended([healthy, gone])
        #expect(ended == [gone])
    }
}
