import Foundation
import IPAddressing
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

/// Packets to load balancers.
@Suite(.timeLimit(minutes: 10)) struct LoadBalancerTraceTests {
    private static let example = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "../../Examples/load-balancer.yaml"
    ).path()
    private static let address = IPAddress(v4: 0x0A00_0950)

    private func trace(
        _ from: String, _ content: Packet.Content, changing change: (inout Model) -> Void = { _ in }
    ) throws -> Trace {
        var model = ManifestSet.load(paths: [Self.example]).model
        change(&model)
        let topology = try #require(Topology.resolve(model).topology)
        let index = try #require(topology.interfaces.firstIndex { $0.name == from })
        return topology.traced(from: index, to: Self.address, content, model: model)
    }

    @Test func targetsAreNamedWithTheirPlaces() throws {
        var seen: Set<String> = []
        for port in UInt16(50000)..<50030 {
            let trace = try trace("web1", .tcp(sourcePort: port, destinationPort: 80))
            #expect(trace.isAnswered)
            #expect(trace.forward.packet.destination == Self.address)
            seen.insert("\(trace.forward.arrival.destination)")
            #expect("\(trace.forward.arrival.source)" == "10.0.1.11")
            let step = try #require(trace.forward.steps.first { $0.stage == .translation })
            #expect(step.text.contains(" of 509 of load balancer logic, chosen by the source address and port"))
            #expect(step.resource == ResourceReference(.loadBalancer, "logic"))
            #expect(step.path.description == "spec.listeners[0]")
            #expect(trace.returns.first?.arrival.source == Self.address)
        }
        #expect(seen == ["10.0.2.21", "10.0.2.22", "10.0.2.23"])
    }

    @Test func policiesSeeTheTarget() throws {
        let trace = try trace("stranger", .tcp(sourcePort: 50000, destinationPort: 80))
        #expect(trace.forward.verdict == .dropped)
        let denial = try #require(trace.forward.steps.last)
        #expect(denial.stage == .groupIngress)
        #expect(denial.text.contains("tcp 80 from 10.0.1.13"))
        let allowed = try self.trace("web1", .tcp(sourcePort: 50000, destinationPort: 80))
        #expect(
            allowed.forward.steps.contains {
                $0.text == "group web: egress[0] allows tcp 80 from load balancer logic"
                    || $0.text == "group web: egress[0] allows tcp 80 to load balancer logic"
            })
    }

    @Test func whoAsksHimselfSeesTheBalancer() throws {
        let traces = try (UInt16(50000)..<50030).map { try trace("logic1", .tcp(sourcePort: $0, destinationPort: 80)) }
        #expect(traces.allSatisfy { $0.isAnswered })
        let own = traces.filter { "\($0.forward.arrival.destination)" == "10.0.2.21" }
        #expect(!own.isEmpty)
        #expect(own.allSatisfy { $0.forward.arrival.source == Self.address })
    }

    @Test func whatNobodyTakesIsRefused() throws {
        let other = try trace("stranger", .tcp(sourcePort: 50000, destinationPort: 8080))
        #expect(other.forward.verdict == .dropped)
        #expect(other.forward.steps.last?.text == "load balancer logic does not listen to tcp 8080")
        let empty = try trace("stranger", .tcp(sourcePort: 50000, destinationPort: 80)) { model in
            for index in model.interfaces.indices { model.interfaces[index].metadata.labels = [:] }
        }
        #expect(empty.forward.steps.last?.text == "load balancer logic has no target for tcp 80")
        let ping = try trace("stranger", Packet.echoRequest)
        #expect(ping.isAnswered)
        let own = try trace("web1", Packet.echoRequest)
        #expect(own.isAnswered)
    }
}
