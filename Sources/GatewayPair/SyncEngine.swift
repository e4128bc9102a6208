internal import CTraffic
internal import Glibc
internal import IPAddressing
internal import Netlink
internal import Traffic

/// The work of ``StateSync``, all of it on its thread.
final class SyncEngine {
    typealias Instant = ContinuousClock.Instant

    private unowned let shared: StateSync
    private let context: TLSLink.Context
    private let receiveBuffer: Int
    private let log: @Sendable (LogLevel, String) -> Void
    private var namespace: StateSync.Place?
    private var sessions: [IPAddress: SyncSession] = [:]
    private var listeners: [IPAddress: Socket] = [:]
    /// Accepted, and nobody knows yet for which pair.
    private var strangers: [(link: TLSLink, peer: IPAddress, until: Instant)] = []
    private var kernel: SyncKernel?
    private var polls = PollSet()

    /// Until then news of the kernel gather: a round for each would take more than all that is in it.
    private var gathersUntil = Instant.now

    private static let mostStrangers = 8
    private static let gathering = Duration.milliseconds(10)

    init(
        _ shared: StateSync, _ context: TLSLink.Context, receiveBuffer: Int,
        _ log: @escaping @Sendable (LogLevel, String) -> Void
    ) { (self.shared, self.context, self.receiveBuffer, self.log) = (shared, context, receiveBuffer, log) }

    func run() {
        while takePlans() {
            let now = Instant.now
            accept(at: now)
            readKernel(at: now)
            turn(at: now)
            publish()
            wait()
        }
    }

    // MARK: Plans

    /// - Returns: false: it is over.
    private func takePlans() -> Bool {
        shared.bell.hush()
        let (plans, namespace, flushes, isEnding) = shared.state.withLock {
            ($0.plans, $0.namespace, $0.flushes, $0.isEnding)
        }
        if isEnding { return false }
        if namespace != self.namespace || kernel == nil {
            self.namespace = namespace
            kernel = nil
            do throws(NetlinkError) {
                if let namespace {
                    kernel = try SyncKernel(in: namespace.namespace, receiveBuffer: receiveBuffer)
                }
            } catch {
                log(.error, "connections cannot be read: \(error)")
            }
        }
        for pair in sessions.keys where !plans.contains(where: { $0.pair == pair }) { sessions[pair] = nil }
        for plan in plans {
            if let session = sessions[plan.pair] {
                session.follow(plan, kernel)
            } else {
                sessions[plan.pair] = SyncSession(plan)
            }
            if let number = flushes[plan.pair] { sessions[plan.pair]?.flush(number, kernel) }
        }
        listen(plans)
        return true
    }

    /// The one with the greater address waits for the other one.
    private func listen(_ plans: [StateSync.Plan]) {
        let wanted = Set(plans.filter { $0.own > $0.peer }.map(\.own))
        for address in listeners.keys where !wanted.contains(address) { listeners[address] = nil }
        for address in wanted where listeners[address] == nil {
            guard let socket = try? Socket(AF_INET, SOCK_STREAM) else { continue }
            try? socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
            guard (try? socket.bind(SocketAddress(address, PairService.port))) != nil,
                Glibc.listen(socket.descriptor, 4) == 0
            else { continue }
            listeners[address] = socket
        }
    }

    // MARK: Links

    private func accept(at now: Instant) {
        for (own, listener) in listeners {
            while true {
                var address = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let descriptor = withUnsafeMutablePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        Glibc.accept(listener.descriptor, $0, &length)
                    }
                }
                if descriptor < 0 { break }
                let (socket, peer) = (Socket(owning: descriptor), SocketAddress(address).address)
                // Nobody else is spoken with, and who only connects takes nobody's place.
                guard sessions.values.contains(where: { $0.plan.own == own && $0.plan.peer == peer }),
                    strangers.count < Self.mostStrangers,
                    let link = try? TLSLink(socket, isServer: true, context)
                else { continue }
                SyncSession.tune(socket)
                strangers.append((link, peer, now + .seconds(5)))
            }
        }
        for index in strangers.indices.reversed() {
            let (link, peer, until) = strangers[index]
            let bytes = link.turn()
            if bytes.isEmpty {
                if case .closed = link.state {
                    strangers.remove(at: index)
                } else if until <= now {
                    strangers.remove(at: index)
                }
                continue
            }
            strangers.remove(at: index)
            guard bytes.count >= SyncRecord.size, case .hello(let pair) = SyncRecord(bytes[..<SyncRecord.size]),
                let session = sessions[pair], session.plan.peer == peer
            else { continue }
            session.adopt(link, having: Array(bytes[SyncRecord.size...]), kernel)
        }
    }

    private func turn(at now: Instant) {
        for session in sessions.values {
            session.connect(context, at: now)
            session.turn(kernel)
        }
    }

    // MARK: The kernel

    private func readKernel(at now: Instant) {
        guard gathersUntil <= now else { return }
        let sessions = sessions.values.filter { $0.plan.isActive || $0.isStillSending }
        var hasNews = false
        kernel?.readEvents { event in
            hasNews = true
            for session in sessions { session.tell(event) }
        }
        if hasNews, kernel?.hasMore == false { gathersUntil = now + Self.gathering }
        guard kernel?.takeLoss() ?? false else { return }
        log(.warning, "the kernel has thrown away news of connections: all are compared")
        for session in sessions { session.compareAll(kernel) }
    }

    // MARK: Waiting

    private func wait() {
        polls.removeAll()
        polls.add(shared.bell.descriptor, POLLIN)
        let isGathering = gathersUntil > .now
        if let kernel, !isGathering { polls.add(kernel.descriptor, POLLIN) }
        for listener in listeners.values { polls.add(listener.descriptor, POLLIN) }
        for link in strangers.map(\.link) + sessions.values.compactMap(\.link) {
            polls.add(link.socket.descriptor, link.events)
        }
        let isBusy = kernel?.hasMore ?? false || sessions.values.contains { $0.link?.hasPending ?? false }
        let isApart = !strangers.isEmpty || sessions.values.contains { $0.link == nil }
        var deadline = isBusy ? .now : Instant.now + (isApart ? .milliseconds(200) : .seconds(30))
        if isGathering { deadline = min(deadline, gathersUntil) }
        polls.wait(until: deadline)
    }

    private func publish() {
        let reports = sessions.mapValues(\.report)
        let isNew = shared.state.withLock { state in
            defer { state.reports = reports }
            // Counts are there for whoever asks.
            return state.reports.mapValues(\.uncounted) != reports.mapValues(\.uncounted)
        }
        if isNew { shared.news.ring() }
    }
}

/// The connections of a namespace.
final class SyncKernel {
    private var monitor: ConntrackMonitor
    private var socket: ConntrackCopySocket
    /// Whether not all news have been taken.
    private(set) var hasMore = false
    /// Whether the kernel has thrown news away.
    private var hasLost = false

    init(in namespace: NetworkNamespace, receiveBuffer: Int) throws(NetlinkError) {
        // First, so that nothing is missed that happens while everything is read.
        monitor = try ConntrackMonitor(in: namespace, receiveBuffer: receiveBuffer)
        socket = try ConntrackCopySocket(in: namespace)
    }

    var descriptor: Int32 { monitor.fileDescriptor }

    func readEvents(_ each: (ConntrackMonitor.Event) -> Void) {
        // Some at a time: the link has to go on as well.
        guard let (isOverrun, isEmpty) = try? monitor.receive(limit: 4096, each) else { return }
        hasMore = !isEmpty
        hasLost = hasLost || isOverrun
    }

    /// Whether news were thrown away since this was asked last.
    func takeLoss() -> Bool {
        defer { hasLost = false }
        return hasLost
    }

    func all(_ each: (ConntrackCopy) -> Void) throws(NetlinkError) { try socket.forEach(each) }
    func create(_ copies: [ConntrackCopy]) throws(NetlinkError) -> (made: Int, error: NetlinkError?) {
        try socket.create(copies)
    }
    func delete(_ copies: [ConntrackCopy]) throws(NetlinkError) -> Int { try socket.delete(copies) }
    func setTimeouts(_ copies: [ConntrackCopy]) throws(NetlinkError) -> Int { try socket.setTimeouts(copies) }
}
