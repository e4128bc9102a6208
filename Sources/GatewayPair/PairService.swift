internal import CTraffic
internal import GatewayControl
internal import Glibc
internal import IPAddressing
internal import KernelDriver
internal import Liveness
internal import Netlink
internal import Traffic
internal import VPCCompiler

/// How much something that is logged matters: the numbers of syslog(3).
public enum LogLevel: Int, Sendable {
    case error = 3
    case warning = 4
    case notice = 5
}

/// All of a host's pairs of gateways, on one thread that only sends, hears, and gives and takes addresses: who is late is held
/// for dead.
public final class PairService {
    typealias Instant = ContinuousClock.Instant

    /// UDP for who is active, TCP for connections, on the underlay addresses of both.
    public static let port: UInt16 = 14785

    public struct Configuration: Sendable {
        /// See ``PairKey``.
        public var key: [UInt8]
        /// Path of the ``ControlSocket``.
        public var control: String
        public var log: @Sendable (LogLevel, String) -> Void

        public init(key: [UInt8], control: String, log: @escaping @Sendable (LogLevel, String) -> Void) {
            (self.key, self.control, self.log) = (key, control, log)
        }
    }

    private let configuration: Configuration
    private let seal: FactSeal
    private let underlay = NetworkNamespace.current
    private let control: ControlSocket
    private var place: Place?
    private var runners: [PairRunner] = []
    /// By underlay address of this host.
    private var sockets: [IPAddress: Socket] = [:]
    private let sync: StateSync
    private var nextScan = Instant.now
    private var complaint: String?
    /// What was told last, without counts, and its number.
    private var told: (pairs: [PairStatus], error: String?, number: UInt64) = ([], nil, .random(in: 1 ... .max / 2))
    /// Names of those that are to be handed over on somebody's request, and by when.
    private var failovers: [String: Instant] = [:]
    private var polls = PollSet()

    private static let scanInterval = Duration.seconds(1)
    /// Whoever waits for something new is told of counts this often.
    private static let watchInterval = Duration.seconds(5)
    /// Between two rounds: whoever sends without end gets no more of the processor than that.
    private static let shortestRound = Duration.milliseconds(1)

    /// Where the VPCs are, and what tells of changes of devices there and outside.
    fileprivate final class Place {
        let name: String
        let namespace: NetworkNamespace
        let identity: UInt64
        private var inside: NetlinkMonitor
        private var outside: NetlinkMonitor

        init(_ name: String, underlay: NetworkNamespace) throws(NetlinkError) {
            (self.name, namespace) = (name, .named(name))
            identity = try namespace.identity()
            inside = try NetlinkMonitor(groups: [.link], in: namespace)
            outside = try NetlinkMonitor(groups: [.link], in: underlay)
        }

        var descriptors: [Int32] { [inside.fileDescriptor, outside.fileDescriptor] }

        /// Whether something has happened to a device.
        func hasNews() -> Bool {
            let outside = Self.drain(&self.outside)
            return Self.drain(&inside) || outside
        }

        private static func drain(_ monitor: inout NetlinkMonitor) -> Bool {
            var hasNews = false
            while let outcome = try? monitor.receive(timeout: .zero, each: { _ in }), outcome != .timedOut {
                hasNews = true
            }
            return hasNews
        }
    }

    public init(_ configuration: Configuration) throws {
        guard let seal = FactSeal(key: configuration.key) else { throw PairError("the key is too short") }
        (self.configuration, self.seal) = (configuration, seal)
        control = try ControlSocket(configuration.control)
        sync = try StateSync(key: configuration.key, log: configuration.log)
    }

    /// Works until it is to end, and then hands over what it is active for.
    /// - Parameters:
    ///   - descriptor: Readable when it may be time to end.
    ///   - isOver: Whether it is.
    public func run(until descriptor: Int32, _ isOver: () -> Bool) {
        // A busy machine must not look like a dead gateway. The unit allows no more (LimitNICE).
        setpriority(Int32(PRIO_PROCESS.rawValue), 0, -10)
        var isLeaving = false
        while true {
            let now = Instant.now
            if place?.hasNews() ?? false { nextScan = min(nextScan, now) }
            if nextScan <= now { scan(at: now) }
            if isOver(), !isLeaving {
                isLeaving = true
                for runner in runners { runner.leave(sync, at: now) }
            }
            receive(at: now)
            advance(to: .now)
            control.receive(at: now)
            control.answer { answer($0, since: $1, at: now) }
            if isLeaving, runners.allSatisfy({ $0.machine.hasLeft || $0.machine.role == .unfit }) { break }
            wait(isLeaving ? nil : descriptor)
        }
        for runner in runners { end(runner) }
        sync.stop()
    }

    private func wait(_ descriptor: Int32?) {
        polls.removeAll()
        if let descriptor { polls.add(descriptor, POLLIN) }
        sync.news.hush()
        polls.add(sync.news.descriptor, POLLIN)
        let others = (place?.descriptors ?? []) + runners.flatMap(\.descriptors) + control.descriptors
        for other in others + sockets.values.map(\.descriptor) { polls.add(other, POLLIN) }
        let deadline = ([nextScan] + runners.map(\.deadline)).min() ?? nextScan
        polls.wait(until: max(deadline, .now + Self.shortestRound))
    }

    // MARK: What there is

    private func scan(at now: Instant) {
        nextScan = now + Self.scanInterval
        do throws(NetlinkError) {
            try findPlace()
            let found: [PairObservation]
            if let place {
                found = try KernelDriver.pairs(
                    underlay: underlay, in: place.namespace, owner: Conventions.ownership)
            } else {
                found = []
            }
            try follow(found, at: now)
            complaint = nil
        } catch {
            // The namespace is going away, perhaps: what was known of it is looked at again in a moment.
            complain("\(error)")
            if place?.isGone ?? false { try? follow([], at: now) }
        }
    }

    private func findPlace() throws(NetlinkError) {
        if let place, !place.isGone { return }
        let name = try KernelDriver(namespace: underlay).ownNamespace(of: Conventions.ownership)
        if place != nil {
            for runner in runners { end(runner) }
            runners = []
        }
        place = nil
        if let name { place = try Place(name.rawValue, underlay: underlay) }
    }

    private func follow(_ found: [PairObservation], at now: Instant) throws(NetlinkError) {
        for index in runners.indices.reversed() where !found.contains(where: runners[index].continues(with:)) {
            end(runners[index])
            runners.remove(at: index)
        }
        for observation in found {
            if let runner = runners.first(where: { $0.continues(with: observation) }) {
                runner.follow(observation, at: now)
            } else if let place {
                let log = configuration.log
                let runner = try PairRunner(
                    observation, underlay: underlay, in: place.namespace, at: now, log: log)
                log(.notice, "\(observation.network): one of two gateways, with \(observation.note.peer)")
                runners.append(runner)
            }
        }
        let own = Set(runners.map(\.note.own))
        for address in sockets.keys where !own.contains(address) { sockets[address] = nil }
        for address in own where sockets[address] == nil {
            let socket = try Socket(datagramsTo: SocketAddress(address, Self.port))
            // Network control (RFC 4594).
            try socket.set(Int32(IPPROTO_IP), IP_TOS, 0xC0)
            sockets[address] = socket
        }
    }

    /// Says farewell and takes away what it has given.
    private func end(_ runner: PairRunner) {
        if let farewell = runner.farewell(at: .now) { send(farewell, of: runner) }
        do {
            try runner.release()
        } catch {
            // With the device its addresses have gone.
            if ![ENODEV, EADDRNOTAVAIL].contains(error.errno) { configuration.log(.error, "\(error)") }
        }
    }

    private func complain(_ text: String) {
        if complaint != text { configuration.log(.error, text) }
        complaint = text
    }

    // MARK: What is said

    private func receive(at now: Instant) {
        for (own, socket) in sockets {
            // So many, then it is another's turn.
            for _ in 0..<64 {
                guard let (datagram, from) = socket.receive() else { break }
                guard let bytes = seal.opened(datagram, from: from.address, to: own),
                    let message = PairMessage(bytes),
                    let runner = runners.first(where: {
                        $0.endpoint == message.pair && $0.note.own == own && $0.note.peer == from.address
                    })
                else { continue }
                if let answer = runner.take(message, at: now) { send(answer, of: runner) }
            }
        }
    }

    private func advance(to now: Instant) {
        for runner in runners {
            if let message = runner.advance(to: now, sync) { send(message, of: runner) }
        }
        sync.follow(
            runners.map(\.plan), in: place.map { .init(namespace: $0.namespace, identity: $0.identity) })
    }

    private func send(_ message: PairMessage, of runner: PairRunner) {
        let (own, peer) = (runner.note.own, runner.note.peer)
        _ = sockets[own]?.send(seal.sealed(message.bytes, from: own, to: peer), to: SocketAddress(peer, Self.port))
    }

    // MARK: What is asked

    private func answer(_ request: ControlRequest, since came: Instant, at now: Instant) -> ControlAnswer? {
        switch request {
        case .status: return status(at: now)
        case .watch(let number):
            let status = status(at: now)
            return status.number != number || came + Self.watchInterval <= now ? status : nil
        case .failover(let name, let isForced): return failOver(name, isForced: isForced, at: now)
        }
    }

    private func status(at now: Instant) -> ControlAnswer {
        let pairs = runners.map { $0.status(sync, at: now) }
        let uncounted = pairs.map { pair in
            var pair = pair
            pair.connections = 0
            return pair
        }
        if uncounted != told.pairs || complaint != told.error {
            told = (uncounted, complaint, told.number + 1)
        }
        return ControlAnswer(pairs: pairs, number: told.number, error: complaint)
    }

    /// - Returns: nil as long as it is on the way.
    private func failOver(_ name: String, isForced: Bool, at now: Instant) -> ControlAnswer? {
        guard let runner = runners.first(where: { $0.isCalled(name) }) else {
            return ControlAnswer(error: "this host is no gateway of a pair that is called \(name)")
        }
        if let latest = failovers[name] {
            if !runner.isSettled(at: now) {
                if latest > now { return nil }
                failovers[name] = nil
                return ControlAnswer(
                    pairs: [runner.status(sync, at: now)], error: "\(runner.note.peer) has not taken over")
            }
            failovers[name] = nil
            return ControlAnswer(pairs: [runner.status(sync, at: now)])
        }
        if let reason = runner.failOver(sync, isForced: isForced, at: now) { return ControlAnswer(error: reason) }
        failovers[name] = now + .seconds(5)
        return nil
    }
}

extension PairService.Place {
    /// Whether it is no more, or another one has its name.
    fileprivate var isGone: Bool { (try? namespace.identity()) != identity }
}
