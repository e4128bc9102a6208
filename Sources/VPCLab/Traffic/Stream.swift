import CTraffic
import Glibc
public import IPAddressing
import Netlink
import Synchronization
import Traffic

/// Numbered UDP requests at a fixed interval, from a thread of its own, and how many were answered by whom: what shows
/// whether a change of the network loses packets.
public final class Stream: Sendable {
    private let state = Mutex(State())
    /// When to stop waiting for answers; nil while it goes on.
    private let end = Mutex<ContinuousClock.Instant?>(nil)
    private let thread = Mutex<BackgroundThread?>(nil)

    private struct State {
        var sent: [ContinuousClock.Instant] = []
        var answers: [Int: (name: String, delay: Duration)] = [:]
    }

    /// What a stream came to.
    public struct Report: Sendable, Hashable {
        public var sent = 0
        /// The numbers of the requests without an answer.
        public var lost: [Int] = []
        /// How many were answered by whom.
        public var answeredBy: [String: Int] = [:]
        public var longestDelay = Duration.zero
    }

    /// Starts at once.
    /// - Parameter sourcePort: 0: any.
    public init(
        from station: Station, to destination: IPAddress, port: UInt16 = Station.udpPort, sourcePort: UInt16 = 0,
        every interval: Duration = .milliseconds(20)
    ) throws {
        let socket = try station.namespace.run {
            let socket = try Socket(AF_INET, SOCK_DGRAM)
            if station.source != nil || sourcePort != 0 {
                try socket.bind(SocketAddress(station.source ?? .anyIPv4, sourcePort))
            }
            return socket
        }
        let target = SocketAddress(destination, port)
        let thread = try BackgroundThread { [self] in run(socket, target, interval) }
        self.thread.withLock { $0 = thread }
    }

    private func run(_ socket: Socket, _ target: SocketAddress, _ interval: Duration) {
        var next = ContinuousClock.now
        var polls = PollSet()
        while true {
            let end = end.withLock(\.self)
            if let end {
                if ContinuousClock.now >= end || state.withLock({ $0.answers.count == $0.sent.count }) { return }
            } else if ContinuousClock.now >= next {
                let number = state.withLock { state in
                    state.sent.append(.now)
                    return state.sent.count - 1
                }
                // A failure counts as a loss.
                _ = socket.send(Array("\(number)".utf8), to: target)
                // After a stall go on from here instead of catching up in a burst.
                next = max(next + interval, .now)
            }
            polls.removeAll()
            polls.add(socket.descriptor, POLLIN)
            polls.wait(until: end ?? next)
            while let (bytes, _) = socket.receive() { take(bytes) }
        }
    }

    private func take(_ bytes: [UInt8]) {
        guard let answer = Answer(bytes, delay: .zero), let number = Int(answer.text) else { return }
        state.withLock { state in
            guard number < state.sent.count else { return }
            state.answers[number] = (answer.name, state.sent[number].duration(to: .now))
        }
    }

    /// How many answers have come so far: to wait until a stream flows.
    public var answerCount: Int { state.withLock { $0.answers.count } }

    /// Waits until so many more answers have come than now.
    /// - Returns: Whether they did in time.
    public func waitForAnswers(_ count: Int, timeout: Duration = .seconds(10)) -> Bool {
        let wanted = answerCount + count
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            if answerCount >= wanted { return true }
            poll(nil, 0, 5)
        }
        return false
    }

    /// Ends the stream.
    /// - Parameter patience: How long to wait for answers that are still on their way.
    public func finish(patience: Duration = .seconds(5)) -> Report {
        end.withLock { $0 = .now + patience }
        let ending = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        ending?.join()
        return state.withLock { state in
            var report = Report(sent: state.sent.count)
            report.lost = state.sent.indices.filter { state.answers[$0] == nil }
            for answer in state.answers.values {
                report.answeredBy[answer.name, default: 0] += 1
                report.longestDelay = max(report.longestDelay, answer.delay)
            }
            return report
        }
    }
}
