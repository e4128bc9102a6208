import TestSupport
import Testing
import VPCCompiler
import VPCModel
import VPCTopology

@testable import VPCTrace

/// What follows from what was seen; the sightings are those of hosts that do, or do not do, what the trace says.
@Suite(.timeLimit(minutes: 10)) struct ComparisonTests {
    private typealias Exit = Sighting.Exit

    /// A sighting of a packet that came into its sender's host.
    private func seen(
        leavingBy exits: Set<Sighting.Exit> = [], answer: Sighting.Answer? = nil, answerCameIn: Bool? = nil,
        counting counters: [FirewallName] = []
    ) -> Sighting {
        var sighting = Sighting()
        sighting.hasLeftGuest = true
        sighting.hasEnteredHost = true
        sighting.exits = exits
        sighting.answer = answer
        sighting.hasAnswerEnteredHost = answerCameIn ?? (answer == .reply || answer == .refused)
        sighting.counted = Dictionary(counters.map { ($0, 1) }, uniquingKeysWith: { first, _ in first })
        return sighting
    }

    private func verdict(
        _ scene: Scene, _ trace: Trace, _ sighting: Sighting, _ words: String? = nil
    ) -> Comparison.Verdict {
        let comparison = Comparison(of: trace, with: sighting, scene.topology)
        if let words {
            #expect(comparison.findings.contains { $0.contains(words) }, "\(comparison.findings)")
        }
        return comparison.verdict
    }

    // MARK: Delivered

    @Test func deliveredOnTheSameHost() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "db3")
        try #require(trace.isAnswered)
        let port = Exit.port(try scene.eni("db3"))
        #expect(verdict(scene, trace, seen(leavingBy: [port], answer: .reply), "by the port of db3") == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [port], answer: .refused)) == .agrees)
        #expect(verdict(scene, trace, seen(), "should leave by the port of db3") == .differs)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel]), "left h1 by the tunnel") == .differs)
        #expect(verdict(scene, trace, seen(leavingBy: [.other("eth9")]), "device eth9") == .differs)
        // It had it: whether it could have answered is not known.
        #expect(verdict(scene, trace, seen(leavingBy: [port]), "db3 had it and said nothing") == .cannotTell)
        #expect(
            verdict(scene, trace, seen(leavingBy: [port], answerCameIn: true), "did not reach web1") == .differs)
    }

    @Test func deliveredOnAnotherHost() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "db1")
        try #require(trace.isAnswered)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel], answer: .reply)) == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel]), "h2 dropped it, or db1 said nothing") == .cannotTell)
        #expect(
            verdict(scene, trace, seen(answer: .error("host unreachable")), "was told: host unreachable") == .differs)
    }

    @Test func thePacketMayNeverHaveLeft() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "db1")
        var sighting = Sighting()
        #expect(verdict(scene, trace, sighting, "look at the routes in web1's namespace") == .cannotTell)
        sighting.failure = "send: Network is unreachable"
        #expect(verdict(scene, trace, sighting, "was not sent: send: Network") == .cannotTell)
        // The host answers ARP for all that it delivers.
        let neighbor = try scene.trace("web1", "web2")
        sighting = Sighting()
        sighting.isNeighborSought = true
        #expect(verdict(scene, neighbor, sighting, "h1 should answer it") == .differs)
    }

    // MARK: Denied

    @Test func deniedOnTheSendersHost() throws {
        var scene = try Scene()
        try scene.addGroup("shut", members: ["web1"])
        let trace = try scene.trace("web1", "db1")
        try #require(trace.forward.verdict == .dropped)
        #expect(verdict(scene, trace, seen(counting: [RuleCounter.deniedByGroup]), "did not leave it") == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel]), "it should end there") == .differs)
        #expect(
            verdict(scene, trace, seen(answer: .reply, counting: [RuleCounter.deniedByGroup]), "no answer should come")
                == .differs)
        // Something else has dropped it.
        #expect(verdict(scene, trace, seen(), "denied_by_group has counted nothing") == .differs)
        // A packet of a known connection counts nothing.
        var known = seen()
        known.isNewConnection = false
        #expect(verdict(scene, trace, known) == .agrees)
    }

    @Test func deniedOnTheReceiversHost() throws {
        var scene = try Scene()
        try scene.addGroup("shut", members: ["db1"])
        let trace = try scene.trace("web1", "db1")
        try #require(trace.forward.verdict == .dropped)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel]), "was not answered") == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel], answer: .refused)) == .differs)
        #expect(verdict(scene, trace, seen(), "should leave by the tunnel") == .differs)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel], answerCameIn: true)) == .differs)
    }

    @Test func theAnswerIsDenied() throws {
        var scene = try Scene()
        let all = ACLRule(priority: 1, action: .allow, traffic: TrafficMatch(), cidr: .defaultIPv4)
        try scene.addACL("one-way", ingress: [], egress: [all], to: "web")
        let trace = try scene.trace("web1", "db1")
        try #require(trace.isDelivered && !trace.isAnswered)
        let line = RuleCounter.ofACL("one-way", .egress, priority: 1)
        let counted = [line, RuleCounter.deniedByACL]
        #expect(
            verdict(
                scene, trace, seen(leavingBy: [.tunnel], answerCameIn: true, counting: counted),
                "the answer came back to h1 and did not leave it") == .agrees)
        // Nothing came that could have been dropped.
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel], counting: counted)) == .cannotTell)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel], answer: .reply, counting: counted)) == .differs)
        // Of the answer, too, the line that decides has to count.
        #expect(
            verdict(
                scene, trace, seen(leavingBy: [.tunnel], answerCameIn: true, counting: [line]),
                "denied_by_acl has counted nothing") == .differs)
        // ICMP is another answer than the one that was traced.
        let datagram = try scene.trace("web1", "db1", .udp(sourcePort: 50000, destinationPort: 53))
        #expect(
            verdict(scene, datagram, seen(leavingBy: [.tunnel], answer: .portUnreachable, counting: counted))
                == .cannotTell)
    }

    @Test func nobodyHasTheAddress() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "10.0.1.99")
        try #require(trace.forward.verdict == .unreachable)
        var sighting = Sighting()
        sighting.isNeighborSought = true
        #expect(verdict(scene, trace, sighting, "got no answer") == .agrees)
        #expect(verdict(scene, trace, seen()) == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel])) == .differs)
    }

    @Test func aForgedSource() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "db1", source: "10.0.1.77")
        #expect(verdict(scene, trace, seen(counting: [RuleCounter.spoofed])) == .agrees)
        #expect(verdict(scene, trace, seen(leavingBy: [.tunnel])) == .differs)
        #expect(verdict(scene, trace, seen(), "spoofed has counted nothing") == .differs)
    }

    // MARK: Hosts and gateways

    @Test func theHostAnswersItself() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "10.0.1.1", Packet.echoRequest)
        try #require(trace.forward.verdict == .answeredByHost(0))
        #expect(verdict(scene, trace, seen(answer: .reply, answerCameIn: false)) == .agrees)
        #expect(verdict(scene, trace, seen(), "was not answered: h1 should") == .differs)
    }

    @Test func aGatewayDecides() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "8.8.8.8")
        guard case .deliveredToGateways(let gateways) = trace.forward.verdict else {
            Issue.record("\(trace.forward.verdict)")
            return
        }
        let sender = scene.topology.interfaces[try #require(trace.from)]
        let here = gateways.filter { scene.topology.interfaces[$0].host == sender.host }
        let exits = gateways.map { here.contains($0) ? Exit.port($0) : .tunnel }
        for exit in exits {
            #expect(verdict(scene, trace, seen(leavingBy: [exit], answer: .reply)) == .agrees)
        }
        #expect(verdict(scene, trace, seen()) == .differs)
        #expect(exits.contains(.tunnel))
        #expect(
            verdict(scene, trace, seen(leavingBy: [.tunnel]), "a gateway decides what becomes of it") == .cannotTell)
    }

    @Test func whatStaysInTheGuest() throws {
        let scene = try Scene()
        let trace = try scene.trace("web1", "web1", Packet.echoRequest)
        var sighting = Sighting()
        sighting.answer = .reply
        #expect(verdict(scene, trace, sighting) == .agrees)
        sighting.hasEnteredHost = true
        #expect(verdict(scene, trace, sighting, "should not leave the guest") == .differs)
    }
}
