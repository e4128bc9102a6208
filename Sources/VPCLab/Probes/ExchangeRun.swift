import Glibc
import Netlink
import Traffic

/// How long probes wait.
public struct ProbeTiming: Sendable, Hashable {
    /// For an answer that is expected.
    public var patience = Duration.seconds(5)
    /// For one that is not: at least this…
    public var minimumSilence = Duration.seconds(1)
    /// … and so many times the slowest answer of the same run.
    public var silenceFactor = 5

    public init() {}
}

/// Runs many exchanges at once, from one thread, in as many namespaces as it takes.
struct ExchangeRun {
    private(set) var exchanges: [Exchange]
    private let timing: ProbeTiming
    private var identifiers = IdentifierSource()
    /// Whose packets these are.
    private var owners: [Flow: Int] = [:]
    private var captures: [NetworkNamespace: Capture] = [:]

    init(_ exchanges: [Exchange], timing: ProbeTiming) throws {
        self.exchanges = exchanges
        self.timing = timing
        for exchange in exchanges {
            for namespace in [exchange.sender.namespace] + exchange.witnesses.values where captures[namespace] == nil {
                captures[namespace] = try Capture(in: namespace)
            }
        }
    }

    /// When an exchange without an expected answer may be given up.
    private var silence: Duration {
        let slowest = exchanges.lazy.filter(\.isAwaited).compactMap(\.answer?.delay).max() ?? .zero
        return max(timing.minimumSilence, slowest * timing.silenceFactor)
    }

    mutating func run() throws {
        let watched = captures.sorted { ($0.key.path ?? "") < ($1.key.path ?? "") }
        var polls = PollSet()
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            try Interruption.check()
            sendDue()
            guard let deadline = nextDeadline() else { return }
            polls.removeAll()
            for (_, capture) in watched { polls.add(capture.socket.descriptor, POLLIN) }
            for exchange in exchanges { exchange.addSockets(to: &polls) }
            polls.wait(until: deadline)

            var position = watched.count
            for index in exchanges.indices {
                let count = exchanges[index].socketCount
                // From the last: one that is closed is taken out.
                for socket in (0..<count).reversed() where polls.isReady(position + socket) {
                    exchanges[index].receive(socket)
                }
                position += count
            }
            for (position, (namespace, capture)) in watched.enumerated() where polls.isReady(position) {
                look(at: capture, in: namespace, &buffer)
            }
            for index in exchanges.indices { exchanges[index].settle() }
        }
    }

    private mutating func sendDue() {
        let now = ContinuousClock.now
        for index in exchanges.indices {
            let exchange = exchanges[index]
            if exchange.isAnswered { continue }
            if exchange.firstSent != nil {
                guard let due = exchange.nextSend, due <= now else { continue }
            }
            let next = now + interval(after: exchange.attempts, isAwaited: exchange.isAwaited)
            let isLast = exchange.attempts >= (exchange.isAwaited ? 4 : 2)
            for identifier in exchanges[index].send(&identifiers, next: isLast ? nil : next) {
                for flow in exchanges[index].flows(identifier) { owners[flow] = index }
            }
        }
    }

    /// A question that is expected to stay without an answer is asked three times, each with half the time left.
    private func interval(after attempts: Int, isAwaited: Bool) -> Duration {
        isAwaited ? .milliseconds(400) * (1 << attempts) : silence / 4
    }

    /// The next time at which something is due; nil when all is over.
    private func nextDeadline() -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        var deadlines: [ContinuousClock.Instant] = []
        var isWaiting = false
        for exchange in exchanges where exchange.isAwaited && !exchange.isAnswered {
            let end = (exchange.firstSent ?? now) + timing.patience
            if end <= now { continue }
            isWaiting = true
            deadlines.append(min(end, exchange.nextSend ?? end))
        }
        let silence = silence
        for exchange in exchanges where !exchange.isAwaited && !exchange.isAnswered {
            let end = (exchange.firstSent ?? now) + silence
            if end > now || isWaiting { deadlines.append(max(now, min(end, exchange.nextSend ?? end))) }
            if end <= now, isWaiting { deadlines.removeLast() }
        }
        return deadlines.min()
    }

    private mutating func look(at capture: Capture, in namespace: NetworkNamespace, _ buffer: inout [UInt8]) {
        while let sight = capture.next(&buffer) {
            switch sight {
            case .packet(let packet, .leaving, _): sent(packet, from: namespace)
            case .packet(let packet, .entering, _): arrived(packet, in: namespace)
            case .question(let neighbor):
                for index in exchanges.indices
                where exchanges[index].destination == neighbor && exchanges[index].sender.namespace == namespace {
                    exchanges[index].isNeighborSought = true
                }
            }
        }
    }

    private mutating func sent(_ packet: IPv4Packet, from namespace: NetworkNamespace) {
        guard let flow = packet.flow, let index = owners[flow], exchanges[index].sender.namespace == namespace else {
            return
        }
        exchanges[index].hasLeft = true
    }

    private mutating func arrived(_ packet: IPv4Packet, in namespace: NetworkNamespace) {
        if let flow = packet.flow, let index = owners[flow] {
            let names = exchanges[index].witnesses.filter { $0.value == namespace }.keys
            exchanges[index].arrivedAt.formUnion(names)
        }
        if let error = packet.icmpError, let flow = error.about, let index = owners[flow],
            exchanges[index].sender.namespace == namespace
        {
            exchanges[index].take(error)
        }
    }
}
