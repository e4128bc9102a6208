internal import CTraffic
internal import Glibc
internal import IPAddressing
internal import Netlink
internal import Traffic

/// The connections of one pair, sent or received.
///
/// A copy lasts for ``lifetime`` as long as nothing comes: packets keep it alive on the active gateway only, and the end of
/// the connection is told. By that it is known for a copy until its first packet.
final class SyncSession {
    typealias Instant = ContinuousClock.Instant

    private(set) var plan: StateSync.Plan
    private(set) var report = StateSync.Report()
    private(set) var link: TLSLink?
    private var isConnecting = false
    private var nextAttempt = Instant.now
    private var inbox: [UInt8] = []
    private var gatewaysByZone: [UInt16: UInt32] = [:]
    /// Between ``SyncRecord/begin`` and ``SyncRecord/end``: what has come.
    private var named: Set<ConntrackCopy.Name>?
    private var puts: [ConntrackCopy] = []
    private var deletions: [ConntrackCopy] = []
    private var wasActiveAlone = false
    private var lastFlush: UInt64 = 0
    /// A little longer than it is active: until the other one has taken over, packets come here.
    private var sendsUntil: Instant?

    /// Seconds. Longer than anything that the kernel itself gives a connection (five days).
    private static let lifetime: UInt32 = 1_000_000
    private static let untouched: UInt32 = 500_000
    /// Of connections that saw no packet since they were taken over: seconds.
    private static let leftovers: (tcp: UInt32, other: UInt32) = (1800, 180)
    private static let batch = 256
    /// More than that is not kept for one that does not read.
    private static let mostBacklog = 256 << 20

    init(_ plan: StateSync.Plan) {
        self.plan = plan
        noteZones()
    }

    private func noteZones() {
        gatewaysByZone = Dictionary(plan.zones.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    var isStillSending: Bool { sendsUntil.map { $0 > .now } ?? false }

    // MARK: Plans

    func follow(_ new: StateSync.Plan, _ kernel: SyncKernel?) {
        let former = plan
        if former == new { return }
        plan = new
        noteZones()
        if new.isActive != former.isActive { named = nil }
        if new.isActive, !former.isActive { takeOver(kernel) }
        if !new.isActive, former.isActive {
            report.isSynchronized = false
            sendsUntil = .now + .seconds(2)
            sendOwn(kernel)
        }
        if new.zones != former.zones, isOpen {
            if new.isActive { sendAll(kernel) } else { send(.again) }
        }
    }

    /// What was never touched here is idle: it is given the time that an idle connection has.
    private func takeOver(_ kernel: SyncKernel?) {
        sendsUntil = nil
        apply(kernel)
        named = nil
        if !isOpen { wasActiveAlone = true }
        var idle: [ConntrackCopy] = []
        try? kernel?.all { copy in
            guard gatewaysByZone[copy.zone] != nil, copy.timeout > Self.untouched else { return }
            var changed = copy
            changed.timeout =
                copy.protocol == UInt8(IPPROTO_TCP) ? Self.leftovers.tcp : Self.leftovers.other
            idle.append(changed)
        }
        _ = try? kernel?.setTimeouts(idle)
        sendAll(kernel)
    }

    // MARK: Links

    private var isOpen: Bool { link?.isOpen ?? false }

    /// Signs of life, so that one whose host has vanished is noticed.
    static func tune(_ socket: Socket) {
        for (level, option, value) in [
            (Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1)), (SOL_SOCKET, SO_KEEPALIVE, 1),
            (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 1), (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 1),
            (Int32(IPPROTO_TCP), TCP_KEEPCNT, 3), (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 3000),
        ] { try? socket.set(level, option, value) }
    }

    func connect(_ context: TLSLink.Context, at now: Instant) {
        guard link == nil, plan.own < plan.peer, nextAttempt <= now else { return }
        nextAttempt = now + .milliseconds(500)
        guard let socket = try? Socket(AF_INET, SOCK_STREAM),
            (try? socket.bind(SocketAddress(plan.own, 0))) != nil
        else { return }
        Self.tune(socket)
        guard case .success = socket.connect(SocketAddress(plan.peer, PairService.port)),
            let link = try? TLSLink(socket, isServer: false, context)
        else { return }
        (self.link, isConnecting) = (link, true)
    }

    /// The other end has come, and said hello.
    func adopt(_ link: TLSLink, having bytes: [UInt8], _ kernel: SyncKernel?) {
        self.link = link
        begin(kernel)
        inbox = bytes
        read(kernel)
    }

    private func begin(_ kernel: SyncKernel?) {
        inbox = []
        named = nil
        (report.isConnected, report.isSynchronized, report.complaint) = (true, false, nil)
        lastFlush = 0
        report.flushed = 0
        send(.hello(pair: plan.pair))
        if !plan.isActive { sendOwn(kernel) }
    }

    func turn(_ kernel: SyncKernel?) {
        guard let link else { return }
        var bytes = link.turn()
        while true {
            if isConnecting, link.isOpen {
                isConnecting = false
                begin(kernel)
            }
            inbox += bytes
            read(kernel)
            // Before others are waited for.
            apply(kernel)
            // What that has led to goes out at once; and nothing that comes meanwhile waits for something else to come.
            let backlog = link.backlog
            if backlog == 0 { break }
            bytes = link.turn()
            if bytes.isEmpty { break }
        }
        if link.backlog > Self.mostBacklog { link.close("it does not read what it is sent") }
        guard case .closed(let reason) = link.state else { return }
        self.link = nil
        isConnecting = false
        named = nil
        if plan.isActive { wasActiveAlone = true }
        (report.isConnected, report.isSynchronized, report.complaint) = (false, false, reason)
    }

    // MARK: Sending

    private func send(_ record: SyncRecord) {
        var bytes: [UInt8] = []
        record.append(to: &bytes)
        link?.send(bytes)
    }

    func tell(_ event: ConntrackMonitor.Event) {
        guard isOpen, report.isConnected else { return }
        switch event {
        case .assured(let copy):
            guard let key = gatewaysByZone[copy.zone] else { return }
            send(.put(copy, key: key))
            report.connections += 1
        case .ended(let copy):
            guard let key = gatewaysByZone[copy.zone] else { return }
            send(.delete(copy, key: key))
            report.connections = max(report.connections - 1, 0)
        }
    }

    /// Everything, to be compared with.
    func sendAll(_ kernel: SyncKernel?) {
        guard isOpen, report.isConnected, plan.isActive else { return }
        var (bytes, count): ([UInt8], Int) = ([], 0)
        SyncRecord.begin.append(to: &bytes)
        try? kernel?.all { copy in
            guard copy.isAssured, let key = gatewaysByZone[copy.zone] else { return }
            SyncRecord.put(copy, key: key).append(to: &bytes)
            count += 1
        }
        SyncRecord.end.append(to: &bytes)
        report.connections = count
        link?.send(bytes)
    }

    /// The kernel has not told of everything.
    func compareAll(_ kernel: SyncKernel?) {
        report.resyncs += 1
        sendAll(kernel)
    }

    /// From a time when the other one could not know: what has come to be here.
    private func sendOwn(_ kernel: SyncKernel?) {
        guard isOpen, report.isConnected else { return }
        var bytes: [UInt8] = []
        if wasActiveAlone {
            try? kernel?.all { copy in
                guard copy.isAssured, copy.timeout <= Self.untouched, let key = gatewaysByZone[copy.zone] else {
                    return
                }
                SyncRecord.merge(copy, key: key).append(to: &bytes)
            }
        }
        wasActiveAlone = false
        SyncRecord.merged.append(to: &bytes)
        link?.send(bytes)
    }

    /// Everything that is on its way, and what is no connection yet: for the moment at which the other one takes over.
    func flush(_ number: UInt64, _ kernel: SyncKernel?) {
        guard number > lastFlush, isOpen, report.isConnected else { return }
        lastFlush = number
        repeat { kernel?.readEvents { tell($0) } } while kernel?.hasMore ?? false
        var bytes: [UInt8] = []
        var count = 0
        try? kernel?.all { copy in
            guard !copy.isAssured, count < Self.mostBegun, let key = gatewaysByZone[copy.zone] else { return }
            count += 1
            SyncRecord.put(copy, key: key).append(to: &bytes)
        }
        SyncRecord.flush(number).append(to: &bytes)
        link?.send(bytes)
    }

    /// What a scanner has begun is not worth more.
    private static let mostBegun = 50_000

    // MARK: Receiving

    private func read(_ kernel: SyncKernel?) {
        var place = inbox.startIndex
        while inbox.endIndex - place >= SyncRecord.size {
            let bytes = inbox[place..<place + SyncRecord.size]
            place += SyncRecord.size
            guard let record = SyncRecord(bytes) else {
                link?.close("it speaks another version")
                break
            }
            take(record, kernel)
        }
        inbox.removeFirst(place - inbox.startIndex)
    }

    private func take(_ record: SyncRecord, _ kernel: SyncKernel?) {
        switch record {
        case .hello(let pair): if pair != plan.pair { link?.close("it speaks of another pair") }
        case .put(let copy, let key): put(copy, key, kernel)
        case .delete(let copy, let key):
            guard let zone = plan.zones[key], !plan.isActive else { return }
            var copy = copy
            copy.zone = zone
            if !puts.isEmpty { apply(kernel) }
            deletions.append(copy)
            if deletions.count >= Self.batch { apply(kernel) }
        // Between two roles some of them would go past: then it comes again (`merged`).
        case .begin: named = plan.isActive ? nil : []
        case .end: finish(kernel)
        case .merge(var copy, let key):
            guard let zone = plan.zones[key] else { return }
            copy.zone = zone
            puts.append(copy)
            if puts.count >= Self.batch { apply(kernel) }
        case .merged:
            apply(kernel)
            sendAll(kernel)
        case .flush(let number):
            apply(kernel)
            send(.flushed(number))
        case .flushed(let number): report.flushed = max(report.flushed, number)
        case .again: sendAll(kernel)
        }
    }

    private func put(_ given: ConntrackCopy, _ key: UInt32, _ kernel: SyncKernel?) {
        guard let zone = plan.zones[key], !plan.isActive else { return }
        var copy = given
        copy.zone = zone
        if copy.isAssured {
            copy.timeout = Self.lifetime
            named?.insert(copy.name)
        }
        if !deletions.isEmpty { apply(kernel) }
        puts.append(copy)
        if puts.count >= Self.batch { apply(kernel) }
    }

    private func apply(_ kernel: SyncKernel?) {
        do throws(NetlinkError) {
            if !puts.isEmpty, let outcome = try kernel?.create(puts) {
                report.connections += outcome.made
                if let error = outcome.error { report.complaint = "\(error)" }
            }
            if !deletions.isEmpty, let count = try kernel?.delete(deletions) {
                report.connections = max(report.connections - count, 0)
            }
        } catch {
            report.complaint = "\(error)"
        }
        puts.removeAll(keepingCapacity: true)
        deletions.removeAll(keepingCapacity: true)
    }

    /// What is here and was not named is over.
    private func finish(_ kernel: SyncKernel?) {
        apply(kernel)
        guard let named, !plan.isActive else { return }
        self.named = nil
        var (stale, own): ([ConntrackCopy], [ConntrackCopy]) = ([], [])
        var count = 0
        try? kernel?.all { copy in
            guard gatewaysByZone[copy.zone] != nil else { return }
            guard named.contains(copy.name) else {
                if copy.isAssured { stale.append(copy) }
                return
            }
            count += 1
            guard copy.timeout <= Self.untouched else { return }
            // From when this one was active: it is a copy now.
            var changed = copy
            changed.timeout = Self.lifetime
            own.append(changed)
        }
        _ = try? kernel?.delete(stale)
        _ = try? kernel?.setTimeouts(own)
        report.connections = count
        report.isSynchronized = true
    }
}
