import VPCModel
public import VPCTopology

/// What was seen of a packet, held against what the trace says of it.
public struct Comparison: Sendable, Hashable {
    public enum Verdict: String, Sendable, Hashable {
        /// Everything that can be seen from the sender's host is as the trace says.
        case agrees
        /// The kernel does something else than the trace says.
        case differs
        /// What was seen leaves open whether it does.
        case cannotTell
    }

    public var verdict: Verdict { isDifferent ? .differs : isOpen ? .cannotTell : .agrees }
    /// What the verdict follows from, a phrase each.
    public private(set) var findings: [String] = []
    private var isDifferent = false
    private var isOpen = false

    /// - Parameter topology: The one that was traced.
    public init(of trace: Trace, with sighting: Sighting, _ topology: Topology) {
        guard let from = trace.from else {
            leaveOpen("what comes from outside is sent by nobody here")
            return
        }
        let judge = Judge(trace: trace, from: from, sighting: sighting, topology: topology)
        judge.forward(&self)
        judge.answer(&self)
        judge.counters(&self)
    }

    fileprivate mutating func agree(_ finding: String) { findings.append(finding) }

    fileprivate mutating func differ(_ finding: String) {
        isDifferent = true
        findings.append(finding)
    }

    fileprivate mutating func leaveOpen(_ finding: String) {
        isOpen = true
        findings.append(finding)
    }
}

private struct Judge {
    let trace: Trace
    /// The sender, a number of `topology.interfaces`.
    let from: Int
    let sighting: Sighting
    let topology: Topology

    private var sender: ResolvedInterface { topology.interfaces[from] }
    private var host: Int { sender.host }
    private var hostName: String { topology.hosts[host].metadata.name }

    // MARK: The packet

    /// How it may leave the sender's host, and whether it may end there.
    private var expected: (exits: Set<Sighting.Exit>, mayEndHere: Bool) {
        let denials = trace.forward.steps.filter { $0.verdict == .deny }
        switch trace.forward.verdict {
        case .delivered(let target): return ([exit(to: target)], false)
        case .deliveredToGateways(let gateways): return (Set(gateways.map(exit)), false)
        case .dependsOnGateway(let reaching, _):
            let isDroppedElsewhere = denials.contains { $0.host != host }
            return (
                Set(reaching.map(exit)).union(isDroppedElsewhere ? [.tunnel] : []), denials.contains { $0.host == host }
            )
        case .dropped:
            return (denials.contains { $0.host != host } ? [.tunnel] : [], denials.contains { $0.host == host })
        case .answeredByHost(let place) where place != host: return ([.tunnel], false)
        case .sentOut: return ([.tunnel], false)
        case .answeredByHost, .staysInGuest, .unreachable, .blackhole: return ([], true)
        }
    }

    private func exit(to target: Int) -> Sighting.Exit {
        topology.interfaces[target].host == host ? .port(target) : .tunnel
    }

    func forward(_ comparison: inout Comparison) {
        let (exits, mayEndHere) = expected
        if case .staysInGuest = trace.forward.verdict {
            if sighting.hasEnteredHost { comparison.differ("came into \(hostName): it should not leave the guest") }
            return
        }
        if !sighting.exits.isEmpty {
            let unexpected = sighting.exits.subtracting(exits)
            guard unexpected.isEmpty else {
                let ways = unexpected.sorted().map(words).joined(separator: " and ")
                let wanted = exits.isEmpty ? "it should end there" : "it should leave " + list(exits)
                return comparison.differ("left \(hostName) \(ways): \(wanted)")
            }
            return comparison.agree("left \(hostName) \(list(sighting.exits))")
        }
        if sighting.hasEnteredHost {
            return mayEndHere
                ? comparison.agree("came into \(hostName) and did not leave it")
                : comparison.differ("came into \(hostName) and did not leave it: it should leave \(list(exits))")
        }
        judgeUnseen(mayEndHere, &comparison)
    }

    /// The host has not seen it at all.
    private func judgeUnseen(_ mayEndHere: Bool, _ comparison: inout Comparison) {
        if let failure = sighting.failure { return comparison.leaveOpen("was not sent: \(failure)") }
        guard sighting.isNeighborSought else {
            return comparison.leaveOpen(
                "did not come into \(hostName): look at the routes in \(sender.name)'s namespace")
        }
        let finding = "\(sender.name) asked for \(trace.forward.packet.destination) by ARP and got no answer"
        switch trace.forward.verdict {
        case .unreachable, .blackhole: comparison.agree(finding)
        default:
            if mayEndHere {
                comparison.leaveOpen(finding + ": the packet met no policy")
            } else {
                comparison.differ(finding + ": \(hostName) should answer it")
            }
        }
    }

    // MARK: The answer

    private enum ExpectedAnswer {
        case comes
        /// Not, because the packet does not arrive; or because the answer is dropped on the way back, on that host.
        case doesNotCome(droppedOn: Int?)
        /// It is a gateway's decision, or not for the sender.
        case unknown(String)
    }

    private var expectedAnswer: ExpectedAnswer {
        switch trace.forward.verdict {
        case .dropped, .unreachable, .blackhole: return .doesNotCome(droppedOn: nil)
        case .deliveredToGateways, .dependsOnGateway: return .unknown("a gateway decides what becomes of it")
        case .staysInGuest: return .comes
        case .sentOut: return .unknown("whoever is out there decides what becomes of it")
        case .delivered, .answeredByHost: break
        }
        if !sender.has(trace.forward.packet.source) {
            return .unknown("the answer goes to \(trace.forward.packet.source), not to \(sender.name)")
        }
        guard let answer = trace.returns.first else { return .comes }
        switch answer.verdict {
        case .delivered, .staysInGuest: return .comes
        case .deliveredToGateways, .dependsOnGateway: return .unknown("a gateway decides what becomes of the answer")
        case .answeredByHost, .sentOut, .dropped, .unreachable, .blackhole:
            return .doesNotCome(droppedOn: answer.steps.last { $0.verdict == .deny }?.host)
        }
    }

    func answer(_ comparison: inout Comparison) {
        if case .error(let text) = sighting.answer { comparison.agree("was told: \(text)") }
        switch (expectedAnswer, sighting.isAnswered) {
        case (.comes, true), (.unknown, true): comparison.agree("was answered" + manner)
        case (.doesNotCome(droppedOn: .some), true) where sighting.answer == .portUnreachable:
            comparison.leaveOpen("was told that nobody listens there: an answer of somebody who does should be dropped")
        case (.doesNotCome, true): comparison.differ("was answered: no answer should come")
        case (.comes, false): missingAnswer(&comparison)
        case (.unknown(let reason), false):
            // What this host does with it has been compared; whether it arrives has not been seen.
            if !sighting.exits.contains(where: isPort) { comparison.leaveOpen("no answer came: \(reason)") }
        case (.doesNotCome(droppedOn: let place?), false):
            if place == host, !sighting.hasAnswerEnteredHost {
                comparison.leaveOpen("no answer came back to \(hostName), where it should be dropped")
            } else if place == host {
                comparison.agree("the answer came back to \(hostName) and did not leave it")
            } else if sighting.hasAnswerEnteredHost {
                comparison.differ(
                    "the answer came back to \(hostName): \(topology.hosts[place].metadata.name) should drop it")
            } else {
                comparison.agree("was not answered")
            }
        case (.doesNotCome(droppedOn: nil), false):
            if sighting.hasAnswerEnteredHost {
                comparison.differ("an answer came back to \(hostName): the packet should not arrive")
            } else {
                comparison.agree("was not answered")
            }
        }
    }

    private var manner: String {
        switch sighting.answer {
        case .refused: ": refused, nobody listens there"
        case .portUnreachable: " by ICMP: nobody listens there"
        case .reply, .error, nil: ""
        }
    }

    private func missingAnswer(_ comparison: inout Comparison) {
        if case .answeredByHost = trace.forward.verdict {
            // One that never got there has been judged.
            if sighting.hasEnteredHost { comparison.differ("was not answered: \(hostName) should") }
        } else if sighting.hasAnswerEnteredHost {
            comparison.differ("the answer came back to \(hostName) and did not reach \(sender.name)")
        } else if case .delivered(let target) = trace.forward.verdict {
            let name = topology.interfaces[target].name
            if sighting.exits.contains(.port(target)) {
                comparison.leaveOpen("\(name) had it and said nothing")
            } else if sighting.exits.contains(.tunnel) {
                let far = topology.hosts[topology.interfaces[target].host].metadata.name
                comparison.leaveOpen("no answer came: \(far) dropped it, or \(name) said nothing")
            }
        } else {
            comparison.leaveOpen("no answer came")
        }
    }

    // MARK: Counters

    /// Whoever is said to decide has counted. Only of what was certainly passed, and not where a connection was known
    /// before: that is counted once.
    func counters(_ comparison: inout Comparison) {
        guard sighting.isNewConnection, sighting.hasEnteredHost, comparison.verdict != .differs else { return }
        var steps = trace.forward.steps
        if sighting.hasAnswerEnteredHost { steps += trace.returns.first?.steps ?? [] }
        for step in steps where step.host == host && step.gateway == nil {
            guard let counter = step.counter, sighting.counted[counter] == nil else { continue }
            comparison.differ("\(counter) has counted nothing: it was not decided by what the trace names")
        }
    }

    // MARK: Words

    private func isPort(_ exit: Sighting.Exit) -> Bool { if case .port = exit { true } else { false } }

    private func list(_ exits: Set<Sighting.Exit>) -> String { exits.sorted().map(words).joined(separator: " or ") }

    private func words(_ exit: Sighting.Exit) -> String {
        switch exit {
        case .port(let index): "by the port of \(topology.interfaces[index].name)"
        case .tunnel: "by the tunnel"
        case .other(let device): "by device \(device)"
        }
    }
}
