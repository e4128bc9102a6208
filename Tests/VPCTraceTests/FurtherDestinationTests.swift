import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

/// Packets from and to what interfaces have beside their addresses.
@Suite(.timeLimit(minutes: 10)) struct FurtherDestinationTests {
    private static let text =
        ManifestHead.subnet("10.0.1.0/24", of: "10.0.0.0/16") + """
            ---
            kind: SecurityGroup
            metadata: {name: pods}
            spec: {vpc: v, egress: [{protocol: all, to: [{cidr: 0.0.0.0/0}]}], ingress: [{protocol: all, from: [{cidr: 0.0.0.0/0}]}]}
            ---
            kind: SecurityGroup
            metadata: {name: web}
            spec: {vpc: v, ingress: [{protocol: tcp, ports: [80], from: [{securityGroup: pods}]}]}
            ---
            kind: NetworkInterface
            metadata: {name: pods}
            spec:
              subnet: s
              host: h1
              address: 10.0.1.10
              addresses: [10.0.1.11]
              prefixes: [10.0.1.32/28]
              securityGroups: [pods]
              attachment: {netns: pods, device: eth0}
            ---
            kind: NetworkInterface
            metadata: {name: web}
            spec: {subnet: s, host: h1, address: 10.0.1.20, securityGroups: [web], attachment: {netns: web, device: eth0}}
            ---
            kind: NetworkInterface
            metadata: {name: other}
            spec: {subnet: s, host: h1, address: 10.0.1.21, attachment: {netns: other, device: eth0}}

            """

    private func trace(_ from: String, _ to: String, source: String? = nil) throws -> (Trace, Topology) {
        let set = ManifestSet(text: Self.text)
        try #require(set.isValid, "\(set.diagnostics)")
        let topology = try #require(Topology.resolve(set.model).topology)
        let sender = try #require(topology.interfaces.firstIndex { $0.name == from })
        let trace = topology.traced(
            from: sender, to: try #require(IPAddress(to)), .tcp(sourcePort: 50000, destinationPort: 80),
            source: source.flatMap { IPAddress($0) }, model: set.model)
        return (trace, topology)
    }

    @Test(arguments: [
        ("10.0.1.11", "main table of VPC v: 10.0.1.11 is pods on h1"),
        ("10.0.1.32", "main table of VPC v: 10.0.1.32 is in 10.0.1.32/28 of pods on h1"),
        ("10.0.1.47", "main table of VPC v: 10.0.1.47 is in 10.0.1.32/28 of pods on h1"),
    ])
    func theyAreReached(_ address: String, _ step: String) throws {
        let (trace, topology) = try trace("other", address)
        #expect(trace.isAnswered)
        #expect(trace.forward.steps.contains { $0.text == step }, "\(trace.forward.steps.map(\.text))")
        guard case .delivered(let interface) = trace.forward.verdict else {
            Issue.record("\(trace.forward.verdict)")
            return
        }
        #expect(topology.interfaces[interface].name == "pods")
    }

    @Test(arguments: ["10.0.1.48", "10.0.1.31"]) func whatIsBesideThemIsNobodys(_ address: String) throws {
        #expect(try trace("other", address).0.forward.verdict == .unreachable)
    }

    /// Groups take all of a member's addresses for the member's.
    @Test(arguments: ["10.0.1.10", "10.0.1.11", "10.0.1.40"]) func aMemberMaySendFromThem(_ source: String) throws {
        let (trace, _) = try trace("pods", "10.0.1.20", source: source)
        #expect(trace.isAnswered, "\(trace.forward.steps.map(\.text))")
    }

    @Test(arguments: ["10.0.1.11", "10.0.1.40", "10.0.1.48"]) func nobodyElseMay(_ source: String) throws {
        let (trace, _) = try trace("other", "10.0.1.20", source: source)
        #expect(trace.forward.verdict == .dropped)
        #expect(trace.forward.steps.last?.stage == .sourceCheck)
    }

    @Test func theRefusalNamesWhatIsAllowed() throws {
        let (trace, _) = try trace("pods", "10.0.1.20", source: "10.0.1.48")
        #expect(
            trace.forward.steps.last?.text
                == "10.0.1.48 is not an address of pods (10.0.1.10, 10.0.1.11, 10.0.1.32/28), and its sourceDestCheck is on"
        )
    }

    @Test func ofItsOwnTheDeviceHasAddressesAndNoBlocks() throws {
        #expect(try trace("pods", "10.0.1.11").0.forward.verdict == .staysInGuest)
        #expect(try trace("pods", "10.0.1.40").0.forward.verdict == .unreachable)
    }
}
