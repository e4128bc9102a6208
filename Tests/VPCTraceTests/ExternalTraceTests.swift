import IPAddressing
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

/// Packets that come from outside, and those that leave, by NAT gateways and elastic IPs.
@Suite(.timeLimit(minutes: 10)) struct ExternalTraceTests {
    private static let outside = "198.51.100.7"

    private static let text = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: gw}
        spec: {underlay: {address: 172.31.0.11}}
        ---
        apiVersion: vpcctl.dev/v1
        kind: ExternalNetwork
        metadata: {name: internet}
        spec:
          pools: [203.0.113.0/24]
          nextHop: 192.0.2.1
          gateways: [{host: gw, device: wan0}]
          uplinkAddress: 192.0.2.100
        ---
        \(tenant("blue", 101, "203.0.113.10"))
        ---
        \(tenant("green", 102, "203.0.113.20"))
        ---
        apiVersion: vpcctl.dev/v1
        kind: SecurityGroup
        metadata: {name: web}
        spec:
          vpc: blue
          ingress: [{protocol: tcp, ports: [443], from: [{cidr: 0.0.0.0/0}]}]
          egress: [{protocol: all, to: [{cidr: 0.0.0.0/0}]}]
        ---
        \(eni("blue1", "blue-web", "h1", "10.0.1.11"))
        ---
        \(eni("blue2", "blue-web", "gw", "10.0.1.12", "securityGroups: [web]"))
        ---
        \(eni("blue3", "blue-web", "h1", "10.0.1.13"))
        ---
        \(eni("blue4", "blue-web", "h1", "10.0.1.14"))
        ---
        \(eni("green1", "green-web", "h1", "10.0.1.11"))
        ---
        \(elastic("public", "203.0.113.50", "interface: blue2"))
        ---
        \(elastic("fast", "203.0.113.60", "interface: blue3, mode: stateless"))
        ---
        \(elastic("own", "203.0.113.61", "interface: blue4, mode: passThrough"))
        ---
        \(elastic("spare", "203.0.113.70", "mode: nat"))
        """

    private static func tenant(_ name: String, _ id: Int, _ address: String) -> String {
        """
        apiVersion: vpcctl.dev/v1
        kind: VPC
        metadata: {name: \(name)}
        spec: {id: \(id), cidrs: [10.0.0.0/16]}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: \(name)-web}
        spec: {vpc: \(name), cidr: 10.0.1.0/24, routeTable: \(name)-out}
        ---
        apiVersion: vpcctl.dev/v1
        kind: RouteTable
        metadata: {name: \(name)-out}
        spec: {vpc: \(name), routes: [{destination: 0.0.0.0/0, nextHops: [{natGateway: \(name)-nat}]}]}
        ---
        apiVersion: vpcctl.dev/v1
        kind: NATGateway
        metadata: {name: \(name)-nat}
        spec: {subnet: \(name)-web, address: 10.0.1.250, externalNetwork: internet, addresses: [\(address)]}
        """
    }

    private static func eni(
        _ name: String, _ subnet: String, _ host: String, _ address: String, _ more: String = "mtu: 1400"
    ) -> String {
        """
        apiVersion: vpcctl.dev/v1
        kind: NetworkInterface
        metadata: {name: \(name)}
        spec: {subnet: \(subnet), host: \(host), address: \(address), \(more), attachment: {netns: \(name), device: eth0}}
        """
    }

    private static func elastic(_ name: String, _ address: String, _ more: String) -> String {
        """
        apiVersion: vpcctl.dev/v1
        kind: ElasticIP
        metadata: {name: \(name)}
        spec: {externalNetwork: internet, address: \(address), \(more)}
        """
    }

    private static let loaded: (topology: Topology?, model: Model, complaints: String) = {
        let set = ManifestSet(text: text)
        let resolution = Topology.resolve(set.model)
        return (resolution.topology, set.model, "\(set.diagnostics) \(resolution.diagnostics)")
    }()

    private func topology() throws -> Topology { try #require(Self.loaded.topology, "\(Self.loaded.complaints)") }

    private static func tcp(_ port: UInt16) -> Packet.Content { .tcp(sourcePort: 50000, destinationPort: port) }

    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    private func inwards(_ to: String, _ content: Packet.Content = tcp(443)) throws -> Trace {
        let (topology, to) = (try topology(), try address(to))
        let network = try #require(topology.network(ofPublic: to))
        return topology.traced(
            fromOutside: try address(Self.outside), by: network, to: to, content, model: Self.loaded.model)
    }

    private func outwards(
        _ from: String, _ to: String, _ content: Packet.Content = tcp(443), source: String? = nil
    ) throws -> Trace {
        let topology = try topology()
        let from = try #require(topology.interfaces.firstIndex { $0.name == from })
        return topology.traced(
            from: from, to: try address(to), content, source: try source.map(address), model: Self.loaded.model)
    }

    private func ends(_ journey: Journey?) -> String? {
        journey.map { "\($0.arrival.source) → \($0.arrival.destination)" }
    }

    private func receiver(_ trace: Trace) throws -> String? {
        guard case .delivered(let index) = trace.forward.verdict else { return nil }
        return try topology().interfaces[index].name
    }

    @Test(arguments: [
        ("203.0.113.50", "blue2", "198.51.100.7 → 10.0.1.12"), ("203.0.113.60", "blue3", "198.51.100.7 → 10.0.1.13"),
        ("203.0.113.61", "blue4", "198.51.100.7 → 203.0.113.61"),
    ])
    func everyModeIsReachedAndAnswers(_ address: String, _ name: String, _ arrival: String) throws {
        let trace = try inwards(address)
        #expect(try receiver(trace) == name)
        #expect(ends(trace.forward) == arrival)
        #expect(ends(trace.returns.first) == "\(address) → 198.51.100.7")
        #expect(trace.isAnswered)
    }

    @Test func groupsOfTheGuestDecide() throws {
        let trace = try inwards("203.0.113.50", Self.tcp(22))
        #expect(trace.forward.verdict == .dropped)
        let last = try #require(trace.forward.steps.last)
        #expect(last.stage == .groupIngress)
        #expect(last.text == "no ingress rule of group web allows tcp 22 from 198.51.100.7")
        #expect(trace.returns.isEmpty)
    }

    @Test(arguments: [
        ("203.0.113.70", "elastic IP spare is reserved: no interface has it"),
        ("203.0.113.99", "nobody has 203.0.113.99 of external network internet"),
        ("203.0.113.10", "203.0.113.10 is of NAT gateway blue-nat: only answers come in"),
        ("192.0.2.100", "192.0.2.100 is the uplink's own: of what is for it, it takes pings only"),
    ])
    func othersAreNotReached(_ address: String, _ complaint: String) throws {
        let trace = try inwards(address)
        #expect(!trace.isDelivered)
        #expect(trace.forward.steps.last?.text == complaint)
    }

    /// Rules that name a group or a block of the VPC are for those inside.
    @Test(arguments: ["203.0.113.10", "203.0.113.50", "203.0.113.60", "203.0.113.61"])
    func nobodyOutsideIsTakenForAGuest(_ address: String) throws {
        let trace = try topology().traced(
            fromOutside: try self.address("10.0.1.13"), by: 0, to: try self.address(address), Self.tcp(443))
        #expect(trace.forward.verdict == .dropped)
        let last = try #require(trace.forward.steps.last)
        #expect(last.stage == .sourceCheck)
        #expect(last.counter?.description == "inside_source")
    }

    @Test func theUplinkAnswersPings() throws {
        let trace = try inwards("192.0.2.100", Packet.echoRequest)
        #expect(trace.isAnswered)
        #expect(trace.returns.first?.verdict == .sentOut(0))
    }

    @Test func theUplinkAnswersItsSegment() throws {
        let topology = try topology()
        var translating = topology
        for index in topology.elasticIPs.indices { translating.elasticIPs[index].mode = .nat }
        for address in ["192.0.2.1", "198.51.100.7"] {
            let source = try self.address(address)
            let trace = { (topology: Topology) throws in
                topology.traced(
                    fromOutside: source, by: 0, to: try self.address("192.0.2.100"), Packet.echoRequest)
            }
            #expect(try trace(topology).isAnswered)
            #expect(try trace(translating).isAnswered == (address == "192.0.2.1"))
        }
    }

    @Test func whatLeavesIsNamedInBothDirections() throws {
        for (from, source) in [("blue1", "203.0.113.10"), ("blue2", "203.0.113.50"), ("blue3", "203.0.113.60")] {
            let trace = try outwards(from, Self.outside)
            #expect(trace.forward.verdict == .sentOut(0))
            #expect(ends(trace.forward) == "\(source) → 198.51.100.7")
            #expect(trace.isAnswered, "\(from)")
            let step = try #require(trace.forward.steps.first { $0.translated != nil })
            #expect(step.translated == trace.forward.arrival)
        }
        let own = try outwards("blue4", Self.outside, source: "203.0.113.61")
        #expect(ends(own.forward) == "203.0.113.61 → 198.51.100.7")
        #expect(own.isAnswered)
    }

    /// From the VPC, at the gateway itself.
    @Test(arguments: [
        ("blue1", "203.0.113.10 → 10.0.1.12"), ("blue2", "203.0.113.50 → 10.0.1.12"),
        // By the provider's router: what has no connection is turned nowhere.
        ("blue3", "203.0.113.60 → 10.0.1.12"), ("blue4", "203.0.113.10 → 10.0.1.12"),
        ("green1", "203.0.113.20 → 10.0.1.12"),
    ])
    func hairpins(_ from: String, _ arrival: String) throws {
        let trace = try outwards(from, "203.0.113.50")
        #expect(try receiver(trace) == "blue2")
        #expect(ends(trace.forward) == arrival)
        #expect(trace.isAnswered)
        let isByRouter = trace.forward.steps.contains { $0.text.hasSuffix("the router sends it back") }
        #expect(isByRouter == (from == "blue3" || from == "green1"))
    }

    @Test func elasticIPsReachEachOther() throws {
        for (address, arrival) in [
            ("203.0.113.60", "203.0.113.20 → 10.0.1.13"), ("203.0.113.61", "203.0.113.20 → 203.0.113.61"),
        ] {
            let trace = try outwards("green1", address)
            #expect(ends(trace.forward) == arrival)
            #expect(trace.isAnswered, "\(address)")
        }
        // In its own VPC the address is the guest's.
        let inside = try outwards("blue1", "203.0.113.61")
        #expect(ends(inside.forward) == "10.0.1.11 → 203.0.113.61")
        let itself = try outwards("blue4", "203.0.113.61")
        #expect(itself.forward.verdict == .staysInGuest)
    }

    @Test func whatBeginsNothingDoesNotLeave() throws {
        let trace = try outwards("blue1", Self.outside, Packet.echoReply)
        #expect(trace.forward.verdict == .dropped)
        #expect(trace.forward.steps.last?.counter?.description == "external_invalid")
        let tracked = try outwards("blue3", Self.outside, Packet.echoReply)
        #expect(tracked.forward.verdict == .sentOut(0), "nobody remembers connections of a stateless one")
    }
}
