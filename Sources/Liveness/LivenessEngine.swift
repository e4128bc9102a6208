import Glibc
import IPAddressing
import Netlink
import Traffic

/// The work of ``LivenessService``, all of it on its thread.
struct LivenessEngine {
    typealias Instant = ContinuousClock.Instant

    private let shared: LivenessService.Shared
    private let underlay: NetworkNamespace
    private let seal: FactSeal?
    private var luck = SystemRandomNumberGenerator()
    private var plan = LivenessPlan()
    private var watches: [FactKey: WatchState] = [:]
    private var owner = FactOwner<IPAddress>(epoch: .random(in: 1 ... .max))
    private var reader = FactReader<IPAddress>()
    private var judge: LivenessJudge
    private var hosts: [IPAddress: HostEcho] = [:]
    private var owners: Set<IPAddress> = []
    private var refusals: [IPAddress: String] = [:]
    private var facts: FactSocket?
    private var hostEcho: EchoSocket?
    private var nextOpening = Instant.now
    private var report = LivenessReport()
    /// As others were told last, and when.
    private var told = LivenessReport()
    private var lastNews = Instant.now - LivenessEngine.shortestNews
    private var owesNews = false
    private var polls = PollSet()

    /// So many datagrams of a socket, then it is another's turn.
    private static let turn = 32
    /// Between two rounds. Whoever sends without end gets no more of the processor than that.
    private static let shortestRound = Duration.milliseconds(2)
    private static let shortestNews = Duration.seconds(1)
    private static let openingInterval = Duration.seconds(1)

    init(
        _ shared: LivenessService.Shared, _ underlay: NetworkNamespace, _ seal: FactSeal?,
        _ remembered: [FactKey: Bool]
    ) {
        (self.shared, self.underlay, self.seal) = (shared, underlay, seal)
        judge = LivenessJudge(remembered: remembered)
    }

    mutating func run() {
        var last = Instant.now - Self.shortestRound
        while takePlan() {
            rest(until: last + Self.shortestRound)
            let now = Instant.now
            last = now
            open(at: now)
            advance(to: now)
            decide(at: now)
            wait(until: deadline(after: now))
            receive(at: .now)
        }
        for key in watches.keys { watches[key]?.end() }
    }

    private func rest(until instant: Instant) {
        let left = Instant.now.duration(to: instant)
        if left > .zero { usleep(UInt32(left / .microseconds(1)) + 1) }
    }

    // MARK: The plan

    /// - Returns: false where the end has come.
    private mutating func takePlan() -> Bool {
        let (new, isEnding) = shared.state.withLock { ($0.plan, $0.isEnding) }
        if isEnding { return false }
        if new == plan { return true }
        let now = Instant.now
        if new.address != plan.address { (facts, hostEcho, nextOpening) = (nil, nil, now) }
        plan = new
        let wanted = Dictionary(plan.watches.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
        for (key, state) in watches where wanted[key] != state.watch {
            watches[key]?.end()
            watches[key] = nil
            if wanted[key] == nil { owner.set(key, to: nil, at: now) }
        }
        for (key, watch) in wanted where watches[key] == nil {
            watches[key] = WatchState(watch, at: now, using: &luck)
        }
        owners = plan.owners
        owner.setReaders(plan.readers, at: now)
        reader.setOwners(owners, at: now, using: &luck)
        refusals = refusals.filter { plan.readers.contains($0.key) || owners.contains($0.key) }
        for address in hosts.keys where !owners.contains(address) { hosts[address] = nil }
        for address in owners where hosts[address] == nil { hosts[address] = HostEcho(at: now, using: &luck) }
        judge.forget(allBut: Set(wanted.keys).union(plan.remote.keys))
        return true
    }

    /// Opens what could not be opened yet.
    private mutating func open(at now: Instant) {
        for key in watches.keys { watches[key]?.open(at: now) }
        guard nextOpening <= now, let address = plan.address, !(plan.readers.isEmpty && plan.remote.isEmpty) else {
            return
        }
        if facts != nil, hostEcho != nil { return }
        nextOpening = now + Self.openingInterval
        do {
            let seal = seal
            facts = try facts ?? underlay.enter { () throws(NetlinkError) in try FactSocket(at: address, seal) }
            hostEcho =
                try hostEcho ?? underlay.enter { () throws(NetlinkError) in try EchoSocket(from: address, by: nil) }
            report.complaint = nil
        } catch {
            report.complaint = "hosts cannot be told nor heard: \(error)"
        }
    }

    // MARK: Time

    private mutating func advance(to now: Instant) {
        for key in watches.keys {
            guard let evidence = watches[key]?.advance(to: now, using: &luck) else { continue }
            guard let value = evidence.value(at: now) else { continue }
            // Only turns are told: why it is down may be said in other words as often as the guest likes.
            if owner.value(of: key)?.first != value.first { owner.set(key, to: value, at: now) }
        }
        if let facts {
            for (address, message) in owner.advance(to: now) { facts.send(message, to: address) }
            for (address, message) in reader.advance(to: now) { facts.send(message, to: address) }
        }
        guard let hostEcho else { return }
        for address in hosts.keys {
            let silence = reader.silence(of: address, at: now)
            if let request = hosts[address]?.advance(to: now, silence) {
                _ = hostEcho.request(request, hosts[address]?.identifier ?? 0, of: address)
            }
        }
    }

    private func deadline(after now: Instant) -> Instant {
        var deadlines = watches.values.map { $0.deadline(after: now) } + hosts.values.map(\.deadline)
        if facts != nil { deadlines += [owner.deadline, reader.deadline].compactMap(\.self) }
        let isClosed = plan.address != nil && (facts == nil || hostEcho == nil)
        if isClosed { deadlines.append(nextOpening) }
        if owesNews { deadlines.append(lastNews + Self.shortestNews) }
        // A thread that has nothing to do looks now and then whether that is so.
        return max(deadlines.reduce(now + .seconds(60), min), now)
    }

    // MARK: What comes

    private mutating func wait(until deadline: Instant) {
        polls.removeAll()
        polls.add(shared.bell.descriptor, POLLIN)
        for descriptor in [facts?.descriptor, hostEcho?.descriptor] {
            if let descriptor { polls.add(descriptor, POLLIN) }
        }
        for watch in watches.values {
            if let descriptor = watch.descriptor { polls.add(descriptor, watch.events) }
        }
        polls.wait(until: deadline)
        if polls.isReady(0) { shared.bell.hush() }
    }

    private mutating func receive(at now: Instant) {
        for key in watches.keys { watches[key]?.receive(at: now, atMost: Self.turn) }
        for _ in 0..<Self.turn {
            guard let arrival = facts?.receive() else { break }
            take(arrival, at: now)
        }
        for _ in 0..<Self.turn {
            guard let (reply, from) = hostEcho?.receive() else { break }
            hosts[from]?.take(reply, at: now)
        }
    }

    private mutating func take(_ arrival: FactSocket.Arrival, at now: Instant) {
        switch arrival {
        case .message(let message, let from):
            refusals[from] = nil
            owner.take(message, from: from, at: now)
            _ = reader.take(message, from: from, at: now, using: &luck)
        case .refused(let reason, let from):
            // Of others nothing is remembered.
            if plan.readers.contains(from) || owners.contains(from) { refusals[from] = reason }
        }
    }

    // MARK: Verdicts

    private mutating func decide(at now: Instant) {
        var next = report
        next.verdicts = [:]
        next.sessions = [:]
        for (key, state) in watches {
            next.verdicts[key] = judge.judge(key, state.evidence(at: now), at: now)
            next.sessions[key] = state.session
        }
        for (key, address) in plan.remote {
            next.verdicts[key] = judge.judge(key, evidence(key, address, now), at: now)
        }
        next.silentHosts = Set(hosts.filter { $0.value.isOwnerSilent }.keys)
        next.refusals = refusals
        if next != report {
            report = next
            shared.state.withLock { $0.report = next }
        }
        tell(at: now)
    }

    /// Tells of turns at once, and of other words now and then.
    private mutating func tell(at now: Instant) {
        let isSame = report.verdicts == told.verdicts && report.exchangeComplaint == told.exchangeComplaint
        let isTurn = report.verdicts.mapValues(\.isAlive) != told.verdicts.mapValues(\.isAlive)
        owesNews = !isSame && !isTurn && now < lastNews + Self.shortestNews
        if isSame || owesNews { return }
        (told, lastNews) = (report, now)
        shared.whenChanged(report)
    }

    private func evidence(_ key: FactKey, _ address: IPAddress, _ now: Instant) -> LivenessJudge.Evidence {
        guard let host = hosts[address], facts != nil else { return .untold }
        if host.isOwnerSilent { return .silent(hostAnswers: host.answers(at: now)) }
        guard let value = reader.value(of: key, by: address) else { return .untold }
        return LivenessJudge.Evidence(value)
    }
}

/// One that is watched here, and the sockets for it.
private struct WatchState {
    typealias Instant = ContinuousClock.Instant

    let watch: LivenessPlan.Watch
    private var probe: Probe
    private let begin: Instant
    /// Whether it has been up.
    private var wasUp = false
    private var damping = FlapDamping()
    private var failures = 0
    private var complaint: String?
    private var nextOpening: Instant

    private enum Probe {
        case bfd(BFDSession, BFDSocket?)
        case echo(EchoSession, EchoSocket?)
        /// With the question that is under way.
        case check(HealthSession, HealthProbe?)
    }

    init(_ watch: LivenessPlan.Watch, at now: Instant, using luck: inout some RandomNumberGenerator) {
        self.watch = watch
        (begin, nextOpening) = (now, now)
        if let check = watch.check {
            probe = .check(HealthSession(check, at: now), nil)
        } else if watch.key.kind == .echo {
            probe = .echo(EchoSession(identifier: .random(in: 1 ... .max, using: &luck), at: now), nil)
        } else {
            probe = .bfd(BFDSession(discriminator: .random(in: 1 ... .max, using: &luck), at: now), nil)
        }
    }

    private var isOpen: Bool {
        switch probe {
        case .bfd(_, let socket): socket != nil
        case .echo(_, let socket): socket != nil
        // Each question opens its own.
        case .check: true
        }
    }

    var descriptor: Int32? {
        switch probe {
        case .bfd(_, let socket): socket?.descriptor
        case .echo(_, let socket): socket?.descriptor
        case .check(_, let question): question?.descriptor
        }
    }

    /// What to wait for (poll(2)).
    var events: Int32 {
        if case .check(_, let question?) = probe { question.events } else { POLLIN }
    }

    var isUp: Bool {
        switch probe {
        case .bfd(let session, _): session.state == .up
        case .echo(let session, _): session.isUp
        case .check(let session, _): session.isUp
        }
    }

    func deadline(after now: Instant) -> Instant {
        var deadline: Instant
        switch probe {
        case .bfd(let session, _): deadline = session.deadline
        case .echo(let session, _): deadline = session.deadline
        case .check(let session, _): deadline = session.deadline
        }
        if !isOpen { deadline = min(max(deadline, now + .milliseconds(10)), nextOpening) }
        if let trusted = damping.trustedFrom, trusted > now { deadline = min(deadline, trusted) }
        // That is when it is held for dead.
        return wasUp || begin + LivenessJudge.grace <= now ? deadline : min(deadline, begin + LivenessJudge.grace)
    }

    /// Opens its sockets, where there is the device by now.
    mutating func open(at now: Instant) {
        guard !isOpen, nextOpening <= now else { return }
        nextOpening = now + .seconds(1)
        let namespace = watch.namespace.map { NetworkNamespace.named($0) } ?? .current
        do {
            let watch = watch
            switch probe {
            case .bfd(let session, _):
                let socket = try namespace.enter { () throws(NetlinkError) in
                    try BFDSocket(from: watch.source, to: watch.destination, by: watch.device)
                }
                probe = .bfd(session, socket)
            case .echo(let session, _):
                let socket = try namespace.enter { () throws(NetlinkError) in
                    try EchoSocket(from: watch.source, by: watch.device)
                }
                probe = .echo(session, socket)
            case .check: break
            }
            complaint = nil
        } catch {
            complaint = "\(error)"
        }
    }

    /// Lets time pass, and sends what is due.
    mutating func advance(to now: Instant, using luck: inout some RandomNumberGenerator) -> LivenessJudge.Evidence {
        var failure: Int32 = 0
        switch probe {
        case .bfd(var session, let socket):
            for packet in session.advance(to: now, using: &luck) {
                if let socket { failure = socket.send(packet) }
            }
            probe = .bfd(session, socket)
        case .echo(var session, let socket):
            if let request = session.advance(to: now), let socket {
                failure = socket.request(request, session.identifier, of: watch.destination)
            }
            probe = .echo(session, socket)
        case .check(var session, var question):
            if session.advance(to: now) {
                do {
                    question = try ask(session.check)
                } catch {
                    question = nil
                    session.take(HealthProbe.words(error.errno))
                }
            } else if !session.isAsking {
                question = nil
            }
            probe = .check(session, question)
        }
        note(failure, at: now)
        noteState(at: now)
        return evidence(at: now)
    }

    private func ask(_ check: HealthCheck) throws(NetlinkError) -> HealthProbe {
        let watch = watch
        return try (watch.namespace.map { NetworkNamespace.named($0) } ?? .current).enter { () throws(NetlinkError) in
            try HealthProbe(check, of: watch.destination, from: watch.source, by: watch.device)
        }
    }

    /// A socket stays bound to a device that is gone, though another one has its name by now.
    private mutating func note(_ failure: Int32, at now: Instant) {
        guard [ENODEV, ENXIO, EADDRNOTAVAIL, ENETUNREACH, EINVAL].contains(failure) else { return }
        close()
        nextOpening = min(nextOpening, now + .milliseconds(100))
        complaint = "send: \(String(cString: strerror(failure)))"
    }

    private mutating func close() {
        switch probe {
        case .bfd(let session, _): probe = .bfd(session, nil)
        case .echo(let session, _): probe = .echo(session, nil)
        case .check(let session, _): probe = .check(session, nil)
        }
    }

    mutating func receive(at now: Instant, atMost count: Int) {
        switch probe {
        case .bfd(var session, let socket):
            for _ in 0..<count {
                guard let arrival = socket?.receive() else { break }
                switch arrival {
                case .success(let packet): if session.take(packet, at: now) { complaint = nil }
                case .failure(let flaw): complaint = flaw.description
                }
            }
            probe = .bfd(session, socket)
        case .echo(var session, let socket):
            for _ in 0..<count {
                guard let (reply, from) = socket?.receive() else { break }
                if from == watch.destination, reply.identifier == session.identifier {
                    session.take(reply.sequence, at: now)
                }
            }
            probe = .echo(session, socket)
        case .check(var session, let question?):
            guard case .ended(let flaw) = question.advance() else { break }
            session.take(flaw)
            probe = .check(session, nil)
        case .check: break
        }
        noteState(at: now)
    }

    private mutating func noteState(at now: Instant) {
        if !isUp, damping.trustedFrom != nil { failures += 1 }
        damping.note(isUp: isUp, at: now)
        if isUp { wasUp = true }
    }

    func evidence(at now: Instant) -> LivenessJudge.Evidence {
        if let trusted = damping.trustedFrom {
            return trusted <= now ? .up : .down("it comes and goes, and has to stay for a while first")
        }
        if case .check(let session, _) = probe { return session.isKnown ? .down(whyDown) : .untold }
        return wasUp ? .down(whyDown) : .unanswered(since: begin, whyDown)
    }

    private var whyDown: String {
        if let complaint { return complaint }
        switch probe {
        case .bfd(let session, _):
            if session.remoteState == .adminDown { return "it is administratively down" }
            return wasUp ? session.diagnostic.description : "its BFD has never answered"
        case .check(let session, _): return session.flaw ?? "not enough good answers in a row yet"
        case .echo: return wasUp ? "it does not answer echo requests any more" : "it has never answered echo requests"
        }
    }

    var session: LivenessReport.Session {
        let detection: Duration?
        switch probe {
        case .bfd(let session, _): detection = session.detectionTime
        case .echo(let session, _): detection = session.detectionTime
        case .check(let session, _): detection = session.detectionTime
        }
        return LivenessReport.Session(
            isUp: isUp, detectionTime: detection, complaint: isUp ? nil : whyDown, failures: failures)
    }

    /// Says goodbye.
    mutating func end() {
        if case .bfd(var session, let socket?) = probe { _ = socket.send(session.end()) }
        close()
    }
}

/// Whether the kernel of a host answers whose daemon says nothing.
private struct HostEcho {
    typealias Instant = ContinuousClock.Instant

    let identifier: UInt16
    private let begin: Instant
    private var sequence: UInt16 = 0
    private var nextRequest: Instant
    private var lastAnswer: Instant?
    private(set) var isOwnerSilent = false
    private var interval = HostEcho.shortest

    private static let shortest = Duration.milliseconds(100)
    private static let longest = Duration.seconds(1)
    /// Silence of the daemon's after which its host is asked.
    private static let patience = Duration.milliseconds(300)

    init(at now: Instant, using luck: inout some RandomNumberGenerator) {
        identifier = .random(in: 1 ... .max, using: &luck)
        (begin, nextRequest) = (now, now + Self.patience)
    }

    var deadline: Instant { nextRequest }

    /// - Returns: the number of the request to be sent now.
    mutating func advance(to now: Instant, _ silence: Duration?) -> UInt16? {
        let silence = silence ?? (now - begin)
        isOwnerSilent = silence >= FactTiming.silence
        guard nextRequest <= now else { return nil }
        if silence < Self.patience {
            (interval, nextRequest) = (Self.shortest, now + (Self.patience - silence))
            return nil
        }
        // A daemon that is away for long is not asked for so often.
        if silence > .seconds(10) { interval = min(interval * 2, Self.longest) }
        nextRequest = now + interval
        sequence &+= 1
        return sequence
    }

    mutating func take(_ reply: EchoReply, at now: Instant) {
        if reply.identifier == identifier, sequence &- reply.sequence < 4 { lastAnswer = now }
    }

    func answers(at now: Instant) -> Bool { lastAnswer.map { now - $0 < interval * 3 + .milliseconds(100) } ?? false }
}
