import Foundation
import IPAddressing
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

/// Packets between VPCs.
@Suite(.timeLimit(minutes: 10)) struct PeeringTraceTests {
    private static let example = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "../../Examples/peering.yaml"
    ).path()

    private func trace(
        _ from: String, _ to: String, _ port: UInt16 = 5432, changing change: (inout Model) -> Void = { _ in }
    ) throws -> Trace {
        var model = ManifestSet.load(paths: [Self.example]).model
        // What they expect is not what is asked here.
        model.probes = []
        change(&model)
        let topology = try #require(Topology.resolve(model).topology)
        let index = { (name: String) in try #require(topology.interfaces.firstIndex { $0.name == name }) }
        let target = try index(to)
        return topology.traced(
            from: try index(from), to: topology.interfaces[target].address, toInterface: target,
            .tcp(sourcePort: 50000, destinationPort: port), model: model)
    }

    @Test(arguments: ["db1", "db2"]) func peersReachEachOther(_ name: String) throws {
        let trace = try trace("web1", name)
        #expect(trace.isAnswered)
        #expect(!trace.isOtherVPC)
        let texts = trace.forward.steps.map(\.text)
        #expect(texts.contains("route table shop-routes: 10.2.0.0/16 goes to VPC data, by the peering shop-data"))
        #expect(texts.contains("group db: ingress[0] allows tcp 5432 from group web"))
        #expect(texts.contains { $0.hasSuffix("key 102 (VPC data)") })
    }

    @Test func theRestIsNotReached() throws {
        let group = try trace("batch", "db1")
        #expect(group.forward.steps.last?.text == "no ingress rule of group db allows tcp 5432 from 10.1.1.13")
        let prefix = try trace("batch", "backup")
        #expect(prefix.forward.verdict == .unreachable)
        #expect(prefix.forward.steps.last?.text == "10.2.2.31 is not what VPC data lets reach: 10.2.1.0/24")
        let third = try trace("partner1", "backup")
        #expect(third.isOtherVPC)
        #expect(!third.isDelivered)
    }

    /// Either side ends it.
    @Test func bothSidesDecide() throws {
        let pending = try trace("web1", "partner1") { $0.peeringAcceptances = [] }
        #expect(pending.forward.verdict == .unreachable)
        #expect(
            pending.forward.steps.last?.text
                == "route table shop-routes: 10.3.0.0/16 goes to the peering shop-partner, which is not accepted")
        let silent = try trace("web1", "db1") { model in
            for index in model.routeTables.indices where model.routeTables[index].vpc == "data" {
                model.routeTables[index].routes = []
            }
        }
        #expect(silent.isDelivered)
        #expect(!silent.isAnswered)
    }
}
