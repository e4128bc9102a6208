import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import Agent
@testable import AgentServer

/// What is told of next hops that have to answer.
@Suite(.timeLimit(minutes: 10)) struct GatewayStatusTests {
    private static var status: AgentStatus {
        var status = AgentStatus()
        (status.examinedRevision, status.desiredRevision, status.resourceCount) = (3, 3, 2)
        status.gateways = [
            .init(
                interface: "fw-a", liveness: .bfd, host: "h1", isUp: false, reason: "detection time expired",
                detectionTime: .milliseconds(600), failures: 2),
            .init(
                interface: "fw-b", liveness: .ping, host: "h2", isUp: true, reason: "up", detectionTime: nil,
                failures: nil),
        ]
        status.notes = [ResourceReference(.routeTable, "t"): "0.0.0.0/0: without fw-a"]
        return status
    }

    @Test func statusHasAllOfThem() {
        let gateways = Self.status.structured["gateways"]?.elements ?? []
        let words = gateways.map { gateway in
            ["interface", "liveness", "host", "up", "reason", "detectionMilliseconds", "failures"].map {
                gateway[$0]?.compactJSON ?? "?"
            }.joined(separator: " ")
        }
        #expect(
            words == [
                #""fw-a" "bfd" "h1" false "detection time expired" 600 2"#, #""fw-b" "ping" "h2" true "up" null null"#,
            ])
    }

    /// A resource that is all right may have something to be said of it.
    @Test func aNoteIsNoProblem() {
        let table = Self.status.status(of: ResourceReference(.routeTable, "t"), in: 3)
        #expect(table.phase == .ready && table.reason == "0.0.0.0/0: without fw-a")
        #expect(Self.status.status(of: ResourceReference(.routeTable, "other"), in: 3).reason == nil)
        #expect(Self.status.resourceCounts.ready == 2)
    }
}
