import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

/// Two hosts, a VPC with every feature, and one whose addresses are the same.
struct Scene {
    var topology: Topology
    var model: Model

    init() throws {
        let set = ManifestSet(text: Self.text)
        try #require(set.isValid, "\(set.diagnostics)")
        model = set.model
        topology = try #require(Topology.resolve(set.model).topology)
    }

    func eni(_ name: String) throws -> Int { try #require(topology.interfaces.firstIndex { $0.name == name }) }
    func subnet(_ name: String) throws -> Int { try #require(topology.subnets.firstIndex { $0.name == name }) }

    /// Adds a group to its members; groups are to be added by name.
    mutating func addGroup(
        _ name: String, ingress: [ResolvedSecurityRule] = [], egress: [ResolvedSecurityRule] = [], members: [String]
    ) throws {
        let indexes = try members.map(eni).sorted()
        for member in indexes { topology.interfaces[member].securityGroups.append(topology.securityGroups.count) }
        topology.securityGroups.add(
            ResolvedSecurityGroup(name: name, vpc: 0, ingress: ingress, egress: egress, members: indexes))
    }

    mutating func addACL(_ name: String, ingress: [ACLRule], egress: [ACLRule], to subnet: String) throws {
        topology.subnets[try self.subnet(subnet)].acl = topology.acls.count
        topology.acls.add(ResolvedACL(name: name, vpc: 0, ingress: ingress, egress: egress))
        // In a manifest the lines may stand in any order.
        model.acls.append(
            NetworkACL(
                metadata: Metadata(name: name), vpc: "blue", ingress: ingress.reversed(), egress: egress.reversed()))
    }

    func trace(
        _ from: String, _ to: String, _ content: Packet.Content = .tcp(sourcePort: 50000, destinationPort: 80),
        source: String? = nil
    ) throws -> Trace {
        let address = IPAddress(to)
        let target = address == nil ? try eni(to) : nil
        return topology.traced(
            from: try eni(from), to: try #require(address ?? target.map { topology.interfaces[$0].address }),
            toInterface: target, content, source: source.flatMap { IPAddress($0) }, model: model)
    }

    static let text = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h2}
        spec: {underlay: {address: 172.31.0.2}}
        ---
        apiVersion: vpcctl.dev/v1
        kind: VPC
        metadata: {name: blue}
        spec: {id: 7, cidrs: [10.0.0.0/16, 10.1.0.0/16]}
        ---
        apiVersion: vpcctl.dev/v1
        kind: VPC
        metadata: {name: green}
        spec: {id: 8, cidrs: [10.0.0.0/16]}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: web}
        spec: {vpc: blue, cidr: 10.0.1.0/24, routeTable: egress}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: db}
        spec: {vpc: blue, cidr: 10.0.2.0/24}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: edge}
        spec: {vpc: blue, cidr: 10.0.9.0/24}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: far}
        spec: {vpc: blue, cidr: 10.1.1.0/24}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: green-net}
        spec: {vpc: green, cidr: 10.0.2.0/24}
        ---
        apiVersion: vpcctl.dev/v1
        kind: RouteTable
        metadata: {name: egress}
        spec:
          vpc: blue
          routes:
          - {destination: 203.0.113.0/24, blackhole: true}
          - destination: 0.0.0.0/0
            nextHops: [{interface: fw-a, weight: 3}, {interface: fw-b}]
          - destination: 10.1.1.0/24
            nextHops: [{interface: fw-b}]
          - destination: 198.18.0.0/15
            nextHops: [{interface: web1}]
          - destination: 10.0.1.128/25
            nextHops: [{interface: web1}]
        ---
        \(eni("web1", "web", "h1", "10.0.1.10"))
        ---
        \(eni("web2", "web", "h2", "10.0.1.11"))
        ---
        \(eni("db1", "db", "h2", "10.0.2.10"))
        ---
        \(eni("db2", "db", "h1", "10.0.2.11", guest: "web1", device: "eth1"))
        ---
        \(eni("db3", "db", "h1", "10.0.2.12"))
        ---
        \(eni("fw-a", "edge", "h1", "10.0.9.5", "sourceDestCheck: false"))
        ---
        \(eni("fw-b", "edge", "h2", "10.0.9.6", "sourceDestCheck: false"))
        ---
        \(eni("far1", "far", "h1", "10.1.1.10"))
        ---
        \(eni("green1", "green-net", "h1", "10.0.2.10"))
        """

    private static func eni(
        _ name: String, _ subnet: String, _ host: String, _ address: String, _ more: String = "mtu: 1400",
        guest: String? = nil, device: String = "eth0"
    ) -> String {
        "apiVersion: vpcctl.dev/v1\nkind: NetworkInterface\nmetadata: {name: \(name)}\n"
            + "spec: {subnet: \(subnet), host: \(host), address: \(address), \(more),"
            + " attachment: {netns: \(guest ?? name), device: \(device)}}"
    }
}

extension Journey {
    /// `h1 route allow`, a step each, but for remarks.
    var decisions: [TraceStep.Stage] { steps.filter { $0.verdict != .note }.map(\.stage) }
    var denial: TraceStep? { steps.last { $0.verdict == .deny } }
}

private func cidr(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }
private func tcp(_ ports: ClosedRange<UInt16>...) -> TrafficMatch { TrafficMatch(ipProtocol: .tcp, ports: ports) }
private let everything = TrafficMatch()

private func allow(_ priority: Int, _ traffic: TrafficMatch, _ block: String = "0.0.0.0/0") throws -> ACLRule {
    ACLRule(priority: priority, action: .allow, traffic: traffic, cidr: try cidr(block))
}
private func deny(_ priority: Int, _ traffic: TrafficMatch, _ block: String = "0.0.0.0/0") throws -> ACLRule {
    ACLRule(priority: priority, action: .deny, traffic: traffic, cidr: try cidr(block))
}
private func rule(_ traffic: TrafficMatch, _ blocks: String..., groups: [Int] = []) throws -> ResolvedSecurityRule {
    ResolvedSecurityRule(traffic: traffic, cidrs: try blocks.map(cidr), groups: groups)
}

@Suite(.timeLimit(minutes: 10)) struct RoutingTraceTests {
    let scene: Scene
    init() throws { scene = try Scene() }

    @Test func betweenHosts() throws {
        let trace = try scene.trace("web1", "db1")
        #expect(trace.forward.verdict == .delivered(try scene.eni("db1")))
        #expect(
            trace.forward.steps.map(\.stage) == [
                .interface, .sourceCheck, .route, .aclEgress, .groupEgress, .tunnel, .aclIngress, .groupIngress,
                .delivery,
            ])
        #expect(trace.forward.steps.map(\.host) == [0, 0, 0, 0, 0, 0, 1, 1, 1])
        let tunnel = try #require(trace.forward.steps.first { $0.stage == .tunnel })
        #expect(tunnel.text == "GRE from 172.31.0.1 to 172.31.0.2 (h2), key 7 (VPC blue)")
        #expect(trace.returns.map(\.verdict) == [.delivered(try scene.eni("web1"))])
        #expect(trace.returns.first?.packet.content == .tcp(sourcePort: 80, destinationPort: 50000))
        #expect(trace.returns.first?.steps.count { $0.stage == .connection } == 2)
        #expect(trace.isDelivered && trace.isAnswered)
    }

    @Test func onOneHostEverythingIsDecidedThere() throws {
        let trace = try scene.trace("web1", "db3", Packet.echoRequest)
        #expect(
            trace.forward.steps.map(\.stage) == [
                .interface, .sourceCheck, .route, .aclEgress, .aclIngress, .groupEgress, .groupIngress, .delivery,
            ])
        #expect(trace.forward.steps.allSatisfy { $0.host == 0 })
        #expect(trace.returns.first?.packet.content == Packet.echoReply)
        #expect(trace.isAnswered)
    }

    @Test func aSpoofedSourceIsDropped() throws {
        let trace = try scene.trace("web1", "db1", source: "10.0.1.11")
        #expect(trace.forward.verdict == .dropped)
        #expect(trace.forward.denial?.stage == .sourceCheck)
        #expect(trace.forward.denial?.path == ["spec", "sourceDestCheck"])
        #expect(trace.returns.isEmpty && !trace.isDelivered && !trace.isAnswered)
    }

    /// A gateway may send for others; the answer goes to the one whose address it used.
    @Test func aGatewayMaySendForOthers() throws {
        let trace = try scene.trace("fw-a", "db1", source: "10.0.1.11")
        #expect(trace.forward.verdict == .delivered(try scene.eni("db1")))
        #expect(trace.returns.map(\.verdict) == [.delivered(try scene.eni("web2"))])
    }

    @Test func anUnusedAddressInsideTheVPCFollowsNoOtherRoute() throws {
        let trace = try scene.trace("web1", "10.0.2.99")
        #expect(trace.forward.verdict == .unreachable)
        #expect(trace.forward.denial?.resource == ResourceReference(.vpc, "blue"))
        #expect(trace.forward.denial?.text.contains("10.0.0.0/16") == true)
    }

    @Test func theMainTableHasNoWayOut() throws {
        let trace = try scene.trace("db1", "8.8.8.8")
        #expect(trace.forward.verdict == .unreachable)
        #expect(trace.forward.denial?.text == "main table of VPC blue: no route to 8.8.8.8")
    }

    @Test(arguments: ["172.31.0.1", "172.31.0.2", "192.0.0.8"]) func hostsAreOutOfReach(_ address: String) throws {
        #expect(try scene.trace("db1", address).forward.verdict == .unreachable)
    }

    @Test(arguments: ["224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.1"])
    func whatIsNotForwarded(_ address: String) throws {
        #expect(try scene.trace("web1", address).forward.verdict == .unreachable)
    }

    @Test func aBlackholeIsNamedWithItsPlace() throws {
        let trace = try scene.trace("web1", "203.0.113.9")
        #expect(trace.forward.verdict == .blackhole)
        #expect(trace.forward.denial?.resource == ResourceReference(.routeTable, "egress"))
        #expect(trace.forward.denial?.path == ["spec", "routes", 0])
    }

    @Test func sharedTrafficIsFollowedToEachGateway() throws {
        let trace = try scene.trace("web1", "8.8.8.8")
        let (a, b) = (try scene.eni("fw-a"), try scene.eni("fw-b"))
        #expect(trace.forward.verdict == .deliveredToGateways([a, b]))
        let route = try #require(trace.forward.steps.first { $0.stage == .route })
        #expect(route.text == "route table egress: 0.0.0.0/0 goes to fw-a on h1 (75 %), fw-b on h2 (25 %)")
        #expect(route.path == ["spec", "routes", 1])
        #expect(
            trace.forward.steps.filter { $0.gateway == a }.map(\.stage) == [
                .aclEgress, .aclIngress, .groupEgress, .groupIngress, .delivery,
            ])
        #expect(
            trace.forward.steps.filter { $0.gateway == b }.map(\.stage) == [
                .aclEgress, .groupEgress, .tunnel, .aclIngress, .groupIngress, .delivery,
            ])
        let key = GatewayKey(interfaceName: "fw-b").rawValue
        #expect(trace.forward.steps.contains { $0.text.contains("key \(key) (gateway fw-b)") })
        #expect(trace.returns.count == 2 && trace.isAnswered)
    }

    @Test func aRouteInsideTheVPCIsMoreSpecificThanTheVPC() throws {
        let trace = try scene.trace("web1", "far1")
        #expect(trace.forward.verdict == .deliveredToGateways([try scene.eni("fw-b")]))
        // Only of that route table.
        #expect(try scene.trace("db1", "far1").forward.verdict == .delivered(try scene.eni("far1")))
    }

    @Test func aGatewayThatChecksSourcesIsRemarked() throws {
        let step = try scene.trace("web2", "198.18.0.1").forward.steps.last
        #expect(step?.text.hasSuffix("it cannot forward it, its sourceDestCheck is on") == true)
    }

    /// Proxy ARP does not answer for what is behind the asking port.
    @Test func aRouteBackToTheSenderOfItsOwnSubnetLeadsNowhere() throws {
        #expect(try scene.trace("web1", "10.0.1.200").forward.verdict == .unreachable)
        #expect(
            try scene.trace("web2", "10.0.1.200").forward.verdict == .deliveredToGateways([try scene.eni("web1")]))
    }

    @Test func theHostAnswersPingsToAGateway() throws {
        let trace = try scene.trace("web1", "10.0.1.1", Packet.echoRequest)
        #expect(trace.forward.verdict == .answeredByHost(0))
        #expect(trace.returns.map(\.sender) == [.host(0)])
        #expect(trace.returns.map(\.verdict) == [.delivered(try scene.eni("web1"))])
        #expect(trace.isAnswered)
        let other = try scene.trace("web1", "10.0.1.1")
        #expect(other.forward.verdict == .dropped)
        #expect(other.forward.denial?.stage == .host)
    }

    /// The address is the host's where the subnet has a guest in the same routing context.
    @Test func anotherSubnetsGatewayIsThereWhereItsGuestsAre() throws {
        #expect(try scene.trace("db3", "10.0.9.1", Packet.echoRequest).forward.verdict == .answeredByHost(0))
        #expect(try scene.trace("db3", "10.1.1.1", Packet.echoRequest).forward.verdict == .answeredByHost(0))
        #expect(try scene.trace("db1", "10.1.1.1", Packet.echoRequest).forward.verdict == .unreachable)
        #expect(try scene.trace("db3", "10.0.1.1", Packet.echoRequest).forward.verdict == .unreachable)
    }

    @Test func aGuestsOwnAddressesStayInIt() throws {
        let trace = try scene.trace("web1", "db2")
        #expect(trace.forward.verdict == .staysInGuest)
        #expect(trace.isAnswered)
    }

    @Test func otherVPCsAreOutOfReach() throws {
        let trace = try scene.trace("web1", "green1")
        // The address is db1's here.
        #expect(trace.forward.verdict == .delivered(try scene.eni("db1")))
        #expect(trace.forward.steps.contains { $0.text.hasPrefix("green1 is in VPC green") })
        #expect(!trace.isDelivered && !trace.isAnswered)
    }
}

@Suite(.timeLimit(minutes: 10)) struct PolicyTraceTests {
    var scene: Scene
    init() throws { scene = try Scene() }

    // MARK: Security groups

    @Test mutating func theRuleThatAllowsIsNamed() throws {
        try scene.addGroup("a", egress: [try rule(everything, "0.0.0.0/0")], members: ["web1"])
        try scene.addGroup(
            "b",
            ingress: [try rule(tcp(443...443), "0.0.0.0/0"), try rule(tcp(80...80), "10.0.9.0/24", "10.0.1.0/24")],
            members: ["db1"])
        let trace = try scene.trace("web1", "db1")
        #expect(trace.isAnswered)
        let ingress = try #require(trace.forward.steps.first { $0.stage == .groupIngress })
        #expect(ingress.text == "group b: ingress[1] allows tcp 80 from 10.0.1.0/24")
        #expect(ingress.resource == ResourceReference(.securityGroup, "b"))
        #expect(ingress.path == ["spec", "ingress", 1])
        let egress = try #require(trace.forward.steps.first { $0.stage == .groupEgress })
        #expect(egress.text == "group a: egress[0] allows all to 0.0.0.0/0")
        #expect(egress.host == 0)
    }

    /// The answer is not judged: neither group allows it.
    @Test mutating func anAnswerPassesTheGroups() throws {
        try scene.addGroup("a", egress: [try rule(everything, "0.0.0.0/0")], members: ["web1"])
        try scene.addGroup("b", ingress: [try rule(everything, "0.0.0.0/0")], members: ["db1"])
        #expect(try scene.trace("web1", "db1").isAnswered)
        let back = try scene.trace("db1", "web1")
        #expect(back.forward.denial?.stage == .groupEgress)
        #expect(
            back.forward.denial?.text == "no egress rule of group b allows tcp 80 to 10.0.1.10")
    }

    @Test mutating func groupsAreAUnion() throws {
        try scene.addGroup("a", ingress: [try rule(tcp(22...22), "0.0.0.0/0")], members: ["db1"])
        try scene.addGroup("b", ingress: [try rule(tcp(80...80), "0.0.0.0/0")], members: ["db1"])
        #expect(try scene.trace("web1", "db1").isAnswered)
        let trace = try scene.trace("web1", "db1", .udp(sourcePort: 50000, destinationPort: 80))
        #expect(trace.forward.verdict == .dropped)
        #expect(trace.forward.denial?.text == "no ingress rule of groups a, b allows udp 80 from 10.0.1.10")
        #expect(trace.forward.denial?.resource == ResourceReference(.networkInterface, "db1"))
        #expect(trace.forward.denial?.host == 1)
    }

    @Test mutating func aGroupMeansItsMembers() throws {
        try scene.addGroup("clients", egress: [try rule(everything, "0.0.0.0/0")], members: ["web1"])
        try scene.addGroup("db", ingress: [try rule(tcp(80...80), groups: [0])], members: ["db1"])
        let trace = try scene.trace("web1", "db1")
        #expect(trace.forward.steps.contains { $0.text == "group db: ingress[0] allows tcp 80 from group clients" })
        #expect(try scene.trace("db3", "db1").forward.verdict == .dropped)
    }

    /// As the kernel counts: rules by address come before rules by group.
    @Test mutating func ofSeveralRulesTheOneThatCountsIsNamed() throws {
        try scene.addGroup("clients", egress: [try rule(everything, "0.0.0.0/0")], members: ["web1"])
        try scene.addGroup(
            "db", ingress: [try rule(everything, groups: [0]), try rule(tcp(80...80), "10.0.0.0/8")], members: ["db1"])
        let trace = try scene.trace("web1", "db1")
        #expect(trace.forward.steps.first { $0.stage == .groupIngress }?.path == ["spec", "ingress", 1])
    }

    @Test mutating func icmpTypesAreTold() throws {
        let echo = TrafficMatch(ipProtocol: .icmp, icmpType: 8)
        let other = TrafficMatch(ipProtocol: .icmp, icmpType: 8, icmpCode: 1)
        try scene.addGroup("a", ingress: [try rule(other, "0.0.0.0/0")], members: ["db1"])
        #expect(try scene.trace("web1", "db1", Packet.echoRequest).forward.verdict == .dropped)
        scene.topology.securityGroups[0].ingress.append(try rule(echo, "0.0.0.0/0"))
        let trace = try scene.trace("web1", "db1", Packet.echoRequest)
        #expect(trace.forward.steps.first { $0.stage == .groupIngress }?.path == ["spec", "ingress", 1])
        #expect(trace.isAnswered)
    }

    // MARK: ACLs

    @Test mutating func theLineThatDecidesIsNamed() throws {
        try scene.addACL(
            "strict", ingress: [try deny(10, tcp(80...80), "10.0.1.0/24"), try allow(20, everything)],
            egress: [try allow(5, everything)], to: "db")
        let trace = try scene.trace("web1", "db1")
        #expect(trace.forward.denial?.stage == .aclIngress)
        #expect(trace.forward.denial?.text == "ACL strict: ingress line 10 denies tcp 80 from 10.0.1.0/24")
        #expect(trace.forward.denial?.resource == ResourceReference(.networkACL, "strict"))
        #expect(trace.forward.denial?.path == ["spec", "ingress", 1])
        #expect(trace.forward.denial?.host == 1)
        #expect(try scene.trace("far1", "db1").isAnswered)
    }

    @Test mutating func withoutALineItIsDenied() throws {
        try scene.addACL("closed", ingress: [try allow(1, everything)], egress: [], to: "web")
        let trace = try scene.trace("web1", "db1")
        #expect(trace.forward.denial?.stage == .aclEgress)
        #expect(trace.forward.denial?.text == "ACL closed: no egress line matches tcp 80 to 10.0.2.10: deny")
    }

    @Test mutating func insideASubnetItsACLIsNotAsked() throws {
        try scene.addACL("closed", ingress: [], egress: [], to: "db")
        #expect(try scene.trace("db3", "db1").isAnswered)
        #expect(try scene.trace("web1", "db1").forward.denial?.stage == .aclIngress)
    }

    /// ACLs have no memory: the answer goes to the client's port.
    @Test mutating func anAnswerIsJudgedByTheACLsOnItsOwn() throws {
        try scene.addACL(
            "web", ingress: [try allow(1, tcp(49152...65535))], egress: [try allow(1, tcp(80...80))], to: "web")
        #expect(try scene.trace("web1", "db1").isAnswered)
        let low = try scene.trace("web1", "db1", .tcp(sourcePort: 1024, destinationPort: 80))
        #expect(low.isDelivered && !low.isAnswered)
        #expect(low.returns.first?.denial?.stage == .aclIngress)
        #expect(low.returns.first?.denial?.host == 0)
        #expect(low.returns.first?.denial?.text == "ACL web: no ingress line matches tcp 1024 from 10.0.2.10: deny")
        let echo = try scene.trace("web1", "db1", Packet.echoRequest)
        #expect(echo.forward.denial?.stage == .aclEgress)
    }

    /// Both ACLs before both groups, where sender and receiver are on one host.
    @Test mutating func theOrderOnOneHost() throws {
        try scene.addGroup("none", members: ["web1", "db3"])
        try scene.addACL("closed", ingress: [], egress: [], to: "db")
        #expect(try scene.trace("web1", "db3").forward.denial?.stage == .aclIngress)
        #expect(try scene.trace("web1", "db1").forward.denial?.stage == .groupEgress)
    }

    // MARK: Gateways

    @Test mutating func aGatewaysOwnPoliciesApplyAtItsPort() throws {
        try scene.addGroup("fw", ingress: [try rule(tcp(443...443), "0.0.0.0/0")], members: ["fw-b"])
        let trace = try scene.trace("web1", "8.8.8.8")
        let (a, b) = (try scene.eni("fw-a"), try scene.eni("fw-b"))
        #expect(trace.forward.verdict == .dependsOnGateway(reaching: [a], dropped: [b]))
        #expect(trace.forward.denial?.gateway == b)
        #expect(trace.forward.denial?.host == 1)
        #expect(!trace.isDelivered)
        try scene.addACL("edge", ingress: [], egress: [], to: "edge")
        #expect(try scene.trace("web1", "8.8.8.8").forward.verdict == .dropped)
    }

    /// What the destination's groups say is not asked: the packet goes to the gateway.
    @Test mutating func theDestinationsPoliciesAreNotTheGateways() throws {
        try scene.addGroup("none", members: ["far1"])
        #expect(try scene.trace("web1", "far1").forward.verdict == .deliveredToGateways([try scene.eni("fw-b")]))
    }

    /// An answer that goes by a gateway meets a host which has not seen the question.
    @Test(arguments: [true, false]) mutating func anAnswerOnAnotherWayBelongsToNoConnection(_ isTCP: Bool) throws {
        try scene.addGroup("fw", ingress: [try rule(everything, "0.0.0.0/0")], members: ["fw-b"])
        // far1 asks db3, both on h1; the answer of db3 goes by fw-b on h2.
        scene.topology.subnets[try scene.subnet("db")].routeTable = 0
        let content: Packet.Content =
            isTCP ? .tcp(sourcePort: 50000, destinationPort: 80) : .udp(sourcePort: 50000, destinationPort: 80)
        let trace = try scene.trace("far1", "db3", content)
        #expect(trace.isDelivered)
        #expect(trace.isAnswered == !isTCP)
        #expect(trace.returns.first?.denial?.stage == (isTCP ? .groupIngress : nil))
    }
}

@Suite(.timeLimit(minutes: 10)) struct TraceWordTests {
    @Test func packetsAndRulesInWords() throws {
        let address = try #require(IPAddress("10.0.0.1"))
        let packet = Packet(from: address, to: address, .udp(sourcePort: 1, destinationPort: 53))
        #expect(packet.description == "10.0.0.1 → 10.0.0.1, udp 53 (from port 1)")
        #expect(Packet(from: address, to: address, .icmp(type: 3, code: 4)).traffic == "icmp type 3 code 4")
        #expect(TrafficMatch().text == "all")
        #expect(tcp(80...80, 8000...8999).text == "tcp 80, 8000-8999")
        #expect(TrafficMatch(ipProtocol: .icmp, icmpType: 3, icmpCode: 4).text == "icmp type 3 code 4")
        #expect(TrafficMatch(ipProtocol: IPProtocol(99)).text == "99")
    }
}
