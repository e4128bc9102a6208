import Glibc
import IPAddressing
import Netlink
import Traffic
import VPCModel
import VPCTopology

/// The Probes of a topology that can be run on one host: those that begin in a guest's namespace here.
///
/// Each sends single packets from the guest, so that nobody has to listen: an answer of any kind that comes from the
/// target, a refusal too, says that packets pass there and back. Silence says that they do not.
struct HostProbes {
    private var trials: [Trial] = []
    private var skipped: [ProbeOutcome] = []
    private let timing: Timing

    struct Timing {
        /// For an answer that is expected.
        var patience = Duration.seconds(3)
        /// For one that is not.
        var silence = Duration.seconds(1)
        var interval = Duration.milliseconds(300)
    }

    /// One packet that is sent until it is answered or the time is over.
    fileprivate struct Trial {
        var name: String
        var namespace: NetworkNamespace
        var expect: Probe.Expectation
        var packet: OutgoingPacket
        /// Source port or ICMP identifier, that no other trial has.
        var identifier: UInt16
        var sender: PacketSender
        var capture: Capture

        var hasLeft = false
        var isNeighborSought = false
        var answer: String?
        var complaint: String?
    }

    init(_ topology: Topology, host: Int, timing: Timing = Timing()) {
        self.timing = timing
        // Not one that a guest's own connection is likely to have.
        var identifier = UInt16.random(in: 20_000...28_000)
        for probe in topology.probes {
            guard let from = probe.from.interface.map({ topology.interfaces[$0] }) else {
                skipped.append(
                    ProbeOutcome(
                        name: probe.name, verdict: .skipped,
                        reason: "it begins outside: only the lab has somebody there (vpclab test)"))
                continue
            }
            guard from.host == host else {
                let name = topology.hosts[from.host].metadata.name
                skipped.append(ProbeOutcome(name: probe.name, verdict: .skipped, reason: "it begins on host \(name)"))
                continue
            }
            guard case .namespace(let guest, _) = from.attachment else {
                skipped.append(
                    ProbeOutcome(
                        name: probe.name, verdict: .skipped,
                        reason: "\(from.name) is a hypervisor's device: nobody can send from its guest"))
                continue
            }
            identifier += 1
            do {
                trials.append(
                    try Trial(
                        name: probe.name, namespace: .named(guest), expect: probe.expect,
                        packet: Self.packet(probe, from: from.address, identifier), identifier: identifier,
                        sender: PacketSender(in: .named(guest), as: from.address),
                        capture: Capture(
                            in: .named(guest), filter: CaptureFilter(between: from.address, and: probe.toAddress))))
            } catch {
                skipped.append(ProbeOutcome(name: probe.name, verdict: .skipped, reason: "\(error)"))
            }
        }
    }

    private static func packet(_ probe: ResolvedProbe, from source: IPAddress, _ identifier: UInt16) -> OutgoingPacket {
        let content: OutgoingPacket.Content =
            switch probe.transport {
            // Type 8 is an echo request (RFC 792).
            case .icmp: .icmp(type: 8, code: 0, identifier: identifier, sequence: 1)
            case .tcp(let port): .tcp(sourcePort: identifier, destinationPort: port, flags: .syn)
            case .udp(let port): .udp(sourcePort: identifier, destinationPort: port, payload: [])
            case .sctp(let port): .sctp(sourcePort: identifier, destinationPort: port, chunk: .initiation)
            }
        return OutgoingPacket(from: source, to: probe.toAddress, content)
    }

    /// Runs all at once; returns in the order of the names.
    mutating func run() -> [ProbeOutcome] {
        let begin = ContinuousClock.now
        var nextSend = begin
        var polls = PollSet()
        var buffer = [UInt8](repeating: 0, count: 2048)
        while let end = deadline(begin), ContinuousClock.now < end {
            if nextSend <= .now {
                for index in trials.indices where trials[index].answer == nil { send(index) }
                nextSend = .now + timing.interval
            }
            polls.removeAll()
            for trial in trials { polls.add(trial.capture.socket.descriptor, POLLIN) }
            polls.wait(until: min(end, nextSend))
            for index in trials.indices where polls.isReady(index) { look(index, &buffer) }
        }
        return (trials.map(\.outcome) + skipped).sorted { $0.name < $1.name }
    }

    /// Nil when nothing is waited for any more.
    private func deadline(_ begin: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        trials.filter { $0.answer == nil }.map { begin + ($0.expect == .allow ? timing.patience : timing.silence) }
            .max()
    }

    private mutating func send(_ index: Int) {
        let failure = trials[index].sender.send(trials[index].packet)
        if failure != 0 {
            trials[index].complaint = NetlinkError(errno: failure, operation: "send").description
        }
    }

    private mutating func look(_ index: Int, _ buffer: inout [UInt8]) {
        while let sight = trials[index].capture.next(&buffer) {
            switch sight {
            case .question(let neighbor):
                if neighbor == trials[index].packet.destination { trials[index].isNeighborSought = true }
            case .packet(let packet, .leaving, _):
                if packet.flow?.sender == trials[index].identifier { trials[index].hasLeft = true }
            case .packet(let packet, .entering, _): trials[index].take(packet)
            }
        }
    }
}

extension HostProbes.Trial {
    /// Takes note of what came in.
    fileprivate mutating func take(_ received: IPv4Packet) {
        if let error = received.icmpError {
            guard error.about?.sender == identifier else { return }
            // Who refuses for himself was reached; everybody else was in the way.
            if error.from == packet.destination {
                answer = answer ?? "\(error)"
            } else {
                complaint = "\(error)"
            }
            return
        }
        guard received.isFirstFragment, packet.isAnswered(by: received) else { return }
        switch packet.content {
        case .icmp: answer = answer ?? "echo reply"
        case .tcp, .sctp: answer = answer ?? (received.isRefusal ? "refused, nobody listens" : "accepted")
        case .udp: answer = answer ?? "answered"
        }
    }

    fileprivate var outcome: ProbeOutcome {
        if let answer {
            return ProbeOutcome(name: name, verdict: expect == .allow ? .passed : .failed, reason: answer)
        }
        guard hasLeft || isNeighborSought else {
            return ProbeOutcome(
                name: name, verdict: expect == .allow ? .failed : .skipped,
                reason: complaint ?? "the packet never left its guest")
        }
        return ProbeOutcome(
            name: name, verdict: expect == .allow ? .failed : .passed, reason: complaint ?? "no answer")
    }
}
