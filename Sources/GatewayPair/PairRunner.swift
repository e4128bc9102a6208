internal import GatewayControl
internal import Glibc
internal import IPAddressing
internal import KernelDriver
internal import KernelModel
internal import Liveness
internal import Netlink
internal import Traffic
internal import VPCCompiler

/// One gateway of a pair: what ``PairMachine`` decides, done to the kernel.
final class PairRunner {
    typealias Instant = ContinuousClock.Instant

    private(set) var observation: PairObservation
    private(set) var machine: PairMachine
    private let underlay: NetworkNamespace
    private let namespace: NetworkNamespace
    private var outside: NetlinkSocket
    private var inside: NetlinkSocket
    private var underlayWire: ARPWire?
    private var uplinkWire: ARPWire?
    /// What is heard by the uplink itself, where it is said and heard by the machine's device besides.
    private var sharedWire: ARPWire?

    private var isHolding = false
    /// Whether the loan is one that ends soon.
    private var isLastLoan = false
    private var nextLoan: Instant
    private var announcements: [Instant] = []
    private var nextQuestion: Instant
    private var nextRouterQuestion: Instant
    private var routerSeen: Instant?
    private var began: Instant
    private var sinceWallClock = PairRunner.wallClock
    private var lastRole = Election.Role.unfit
    private var reason = "it has just begun"
    private var takeovers = 0
    private(set) var complaint: String?
    private var handOver: HandOver?
    private var lastEvasion: Instant?
    private var target = Election.Role.standby
    private let log: @Sendable (LogLevel, String) -> Void

    /// On the way to giving the place away: first all connections have to be on the other side.
    private struct HandOver {
        var number: UInt64
        var latest: Instant
        var isForGood: Bool
    }

    var note: PairNote { observation.note }
    var endpoint: IPAddress { note.endpoint }

    init(
        _ observation: PairObservation, underlay: NetworkNamespace, in namespace: NetworkNamespace, at now: Instant,
        log: @escaping @Sendable (LogLevel, String) -> Void
    ) throws(NetlinkError) {
        (self.observation, self.underlay, self.namespace, self.log) = (observation, underlay, namespace, log)
        machine = PairMachine(
            observation.note.parameters, epoch: .random(in: 1 ... .max), at: now)
        outside = try NetlinkSocket(in: underlay)
        inside = try NetlinkSocket(in: namespace)
        (nextLoan, nextQuestion, nextRouterQuestion, began) = (now, now, now, now)
        // What one before us has left: nobody speaks before that is away.
        try release()
        try listen()
        follow(observation, at: now)
    }

    private func listen() throws(NetlinkError) {
        underlayWire = try observation.underlay.flatMap { device throws(NetlinkError) in
            try ARPWire(on: device, in: underlay)
        }
        guard observation.isShared else {
            return uplinkWire = try ARPWire(on: observation.uplink, in: namespace)
        }
        // Of what is for the uplink's own addresses the machine's device hears nothing, and the uplink of nothing else.
        var base = observation.uplink
        base.index = observation.base
        uplinkWire = try ARPWire(on: base, in: underlay)
        sharedWire = try ARPWire(on: observation.uplink, in: namespace)
    }

    /// Whether an observation is of the same pair, so that this one can go on.
    func continues(with other: PairObservation) -> Bool {
        other.network == observation.network && other.note == note && other.uplink.index == observation.uplink.index
            && other.uplink.hardwareAddress == observation.uplink.hardwareAddress
            && other.isShared == observation.isShared
            && other.underlay?.index == observation.underlay?.index
    }

    func follow(_ observation: PairObservation, at now: Instant) {
        self.observation = observation
        machine.own.underlayMAC = observation.underlay?.hardwareAddress ?? MACAddress(rawValue: 0)
        machine.own.uplinkMAC = observation.uplink.hardwareAddress ?? MACAddress(rawValue: 0)
        machine.setFit(obstacle == nil, at: now)
    }

    /// What keeps it from serving.
    var obstacle: String? {
        guard let underlay = observation.underlay else { return "the underlay address \(note.own) is not here" }
        if !underlay.hasCarrier { return "\(underlay.name), which leads to the other hosts, is down" }
        if !observation.uplink.hasCarrier { return "the uplink \(observation.uplink.name) is down" }
        return nil
    }

    /// What is to become of its connections.
    var plan: StateSync.Plan {
        let zones = observation.gateways.map { ($0.key, Conventions.zone(of: $0.table)) }
        return StateSync.Plan(
            pair: endpoint, own: note.own, peer: note.peer, isActive: machine.role == .active,
            zones: Dictionary(zones, uniquingKeysWith: { first, _ in first }))
    }

    // MARK: Turns

    var descriptors: [Int32] { [underlayWire, uplinkWire, sharedWire].compactMap { $0?.descriptor } }

    var deadline: Instant {
        var deadlines = [machine.deadline, nextRouterQuestion] + announcements.prefix(1)
        if isHolding { deadlines.append(nextLoan) }
        if machine.asksOnWire(at: .now) { deadlines.append(nextQuestion) }
        if let handOver { deadlines.append(handOver.latest) }
        return deadlines.min() ?? machine.deadline
    }

    func take(_ message: PairMessage, at now: Instant) -> PairMessage? { machine.take(message, at: now) }

    /// Hears the wires, and lets time pass.
    /// - Returns: What is to be said to the other one.
    func advance(to now: Instant, _ sync: StateSync) -> PairMessage? {
        hear(at: now)
        let report = sync.report(of: endpoint)
        let isSynchronized = report?.isSynchronized ?? false
        if machine.own.flags.contains(.isSynchronized) != isSynchronized { machine.speakUp(at: now) }
        machine.own.set(.isSynchronized, isSynchronized)
        machine.own.set(.seesRouter, seesRouter(at: now))
        advanceHandOver(sync, at: now)
        let message = machine.advance(to: now)
        noteRole(at: now)
        do throws(NetlinkError) {
            try settle(at: now)
            complaint = nil
        } catch {
            complain("\(error)")
        }
        ask(at: now)
        evade(sync, at: now)
        return message
    }

    private func hear(at now: Instant) {
        while let (address, hardware) = underlayWire?.receive() {
            if address == endpoint { machine.hears(address, from: hardware, at: now) }
        }
        while let (address, hardware) = uplinkWire?.receive() ?? sharedWire?.receive() {
            if address == note.uplinkAddress { machine.hears(address, from: hardware, at: now) }
            if address == note.router { routerSeen = now }
        }
    }

    // MARK: Addresses

    private var lent: [(isOutside: Bool, LentAddress)] {
        var all: [(isOutside: Bool, LentAddress)] = []
        if let device = observation.underlay {
            all.append((true, LentAddress(device: device.index, address: endpoint, prefixLength: 32)))
        }
        let uplink = LentAddress(
            device: observation.uplink.index, address: note.uplinkAddress, prefixLength: note.prefixLength)
        return all + [(false, uplink)]
    }

    private func settle(at now: Instant) throws(NetlinkError) {
        if machine.holdsAddresses {
            if !isHolding || isLastLoan != machine.isLingering || nextLoan <= now && !isLastLoan { try lend(at: now) }
            if let next = announcements.first, next <= now {
                announcements.removeFirst()
                announce()
            }
        } else if isHolding {
            try release()
        }
    }

    private func lend(at now: Instant) throws(NetlinkError) {
        nextLoan = now + machine.parameters.interval
        // Another one is about to have them: whatever becomes of this process, they are not here for much longer.
        isLastLoan = machine.isLingering
        // Nor are they said to be here any more: packets would come back from the one that has them now.
        if isLastLoan { announcements = [] }
        let patience = machine.patience.milliseconds
        let seconds = UInt32(clamping: isLastLoan ? (patience + 999) / 1000 : patience / 1000 + 2)
        for (isOutside, address) in lent {
            if isOutside { try address.lend(for: seconds, &outside) } else { try address.lend(for: seconds, &inside) }
        }
        if isHolding { return }
        isHolding = true
        try setAnswering(true)
        try setRoutes(true)
        // Those that miss one hear another.
        announcements = [0, 50, 200, 500, 1000, 3000].map { now + .milliseconds($0) }
    }

    func release() throws(NetlinkError) {
        (isHolding, isLastLoan) = (false, false)
        announcements = []
        // All are tried: what is left of one is worse than that one error hides another.
        var first: NetlinkError?
        func attempt(_ body: () throws(NetlinkError) -> Void) {
            do throws(NetlinkError) { try body() } catch { first = first ?? error }
        }
        for (isOutside, address) in lent {
            attempt { () throws(NetlinkError) in
                if isOutside { try address.end(&outside) } else { try address.end(&inside) }
            }
        }
        attempt { () throws(NetlinkError) in
            do throws(NetlinkError) {
                try setAnswering(false)
            } catch {
                if error.errno != ENODEV { throw error }
            }
        }
        attempt { () throws(NetlinkError) in try setRoutes(false) }
        if let first { throw first }
    }

    /// Where the provider is told of routes it asks for single addresses by mistake; a shared uplink has them itself.
    private func setAnswering(_ isOn: Bool) throws(NetlinkError) {
        try LentAddress.setAnswering(
            isOn && (!note.announcesRoutes || observation.isShared), on: observation.uplink.index,
            isShared: observation.isShared, &inside)
    }

    /// Puts what is led here into a table for the user's routing daemon, or takes it out.
    private func setRoutes(_ areWanted: Bool) throws(NetlinkError) {
        guard note.announcesRoutes else { return }
        guard areWanted, let underlay = observation.underlay else {
            return try AnnouncedRoute.removeAll(of: endpoint, &outside)
        }
        let pools = try KernelDriver.announcedAddresses(in: namespace, owner: Conventions.ownership).pools
        try AnnouncedRoute.add(IPPrefix(endpoint), by: underlay.index, via: nil, of: endpoint, &outside)
        for pool in pools {
            try AnnouncedRoute.add(pool, by: observation.base, via: note.uplinkAddress, of: endpoint, &outside)
        }
    }

    private func announce() {
        underlayWire?.announce(endpoint)
        uplinkWire?.announce(note.uplinkAddress)
        if note.announcesRoutes { return }
        let others =
            observation.isShared
            ? try? KernelDriver.addresses(of: observation.uplink, in: namespace)
            : try? KernelDriver.announcedAddresses(in: namespace, owner: Conventions.ownership).addresses
        let said = [note.router, note.uplinkAddress, Conventions.dummyAddress]
        for address in (others ?? []).prefix(4096) where !said.contains(address) { uplinkWire?.announce(address) }
    }

    // MARK: Questions

    private func ask(at now: Instant) {
        if machine.asksOnWire(at: now), nextQuestion <= now {
            nextQuestion = now + machine.parameters.interval / 3
            underlayWire?.ask(for: endpoint)
            uplinkWire?.ask(for: note.uplinkAddress)
        }
        if nextRouterQuestion <= now {
            nextRouterQuestion = now + .seconds(1)
            uplinkWire?.ask(for: note.router, from: isHolding ? note.uplinkAddress : nil)
        }
    }

    /// Silence before anything could be heard says nothing.
    func seesRouter(at now: Instant) -> Bool { (routerSeen ?? began) + Self.routerPatience > now }

    private static let routerPatience = Duration.milliseconds(3500)

    // MARK: Handing over

    /// Begins to give the place to the other one.
    /// - Returns: Why not; nil: it is on the way.
    func beginHandOver(
        _ sync: StateSync, isForGood: Bool = false, isForced: Bool = false, at now: Instant
    ) -> String? {
        guard machine.role == .active else { return "it is not active" }
        guard machine.isHeard(at: now), let peer = machine.peer?.message else {
            return "the other gateway (\(note.peer)) is silent: there is nobody to take over"
        }
        guard peer.role == .standby else { return "the other gateway (\(note.peer)) cannot serve" }
        if !isForced, !isForGood, !peer.flags.contains(.isSynchronized) {
            return "the other gateway (\(note.peer)) does not have all connections yet; wait, or say --force"
        }
        if handOver == nil {
            handOver = HandOver(
                number: sync.flush(endpoint), latest: now + Self.longestFlush, isForGood: isForGood)
        } else if isForGood {
            handOver?.isForGood = true
        }
        return nil
    }

    private static let longestFlush = Duration.seconds(2)

    private func advanceHandOver(_ sync: StateSync, at now: Instant) {
        if machine.isAsked, handOver == nil { _ = beginHandOver(sync, isForced: true, at: now) }
        guard let handOver else { return }
        let isThere = sync.report(of: endpoint).map { $0.flushed >= handOver.number } ?? true
        guard isThere || handOver.latest <= now || machine.role != .active else { return }
        self.handOver = nil
        if handOver.isForGood { machine.leave(at: now) } else { machine.handOver(at: now) }
    }

    /// Whether it is meant by a name on a command line: that of the network, or of a NAT gateway of it.
    func isCalled(_ name: String) -> Bool {
        observation.network == name || observation.gateways.contains { $0.name == name }
    }

    /// Has the other one take over, or this one, whichever is not active.
    /// - Returns: Why not; nil: it is on the way.
    func failOver(_ sync: StateSync, isForced: Bool, at now: Instant) -> String? {
        if machine.role == .active {
            target = .standby
            return beginHandOver(sync, isForced: isForced, at: now)
        }
        if let obstacle { return obstacle }
        guard machine.isHeard(at: now), machine.peer?.message.role == .active else {
            return "nobody is active that could hand over"
        }
        if !isForced, let report = sync.report(of: endpoint), !report.isSynchronized {
            return "this gateway does not have all connections yet; wait, or say --force"
        }
        target = .active
        machine.ask(at: now)
        return nil
    }

    /// Whether what ``failOver(_:isForced:at:)`` has begun is done.
    func isSettled(at now: Instant) -> Bool {
        guard machine.isHeard(at: now), let peer = machine.peer?.message else { return false }
        return machine.role == target && !(machine.holdsAddresses && target == .standby)
            && peer.role == (target == .active ? .standby : .active)
    }

    /// What is said when it ends for whatever reason; nil: it was not active.
    func farewell(at now: Instant) -> PairMessage? {
        machine.setFit(false, at: now)
        return machine.advance(to: now)
    }

    func leave(_ sync: StateSync, at now: Instant) {
        if beginHandOver(sync, isForGood: true, at: now) != nil { machine.leave(at: now) }
    }

    /// Without the provider's router nobody is served; where the other one sees it, that is for it.
    private func evade(_ sync: StateSync, at now: Instant) {
        guard machine.role == .active, !seesRouter(at: now), let peer = machine.peer?.message,
            peer.flags.contains(.seesRouter), lastEvasion.map({ $0 + .seconds(30) <= now }) ?? true
        else { return }
        if beginHandOver(sync, at: now) == nil {
            lastEvasion = now
            log(.warning, "\(observation.network): the router \(note.router) answers the other gateway only")
        }
    }

    // MARK: What is said

    private func noteRole(at now: Instant) {
        guard machine.role != lastRole else { return }
        sinceWallClock = Self.wallClock
        let peer = machine.peer?.message
        let why: String
        switch machine.role {
        case .active:
            takeovers += 1
            let isGiven = machine.isHeard(at: now) && peer?.flags.contains(.leaves) ?? false
            why = isGiven ? "the other gateway hands over" : "nobody else says that he is"
        case .standby: why = peer?.role == .active ? "\(note.peer) is active" : "it can serve"
        case .unfit: why = obstacle ?? "it ends"
        }
        log(.notice, "\(observation.network): \(lastRole) becomes \(machine.role): \(why)")
        (lastRole, reason) = (machine.role, why)
    }

    private func complain(_ text: String) {
        if complaint != text { log(.error, "\(observation.network): \(text)") }
        complaint = text
    }

    private static var wallClock: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    func status(_ sync: StateSync, at now: Instant) -> PairStatus {
        let report = sync.report(of: endpoint)
        let peer = machine.isHeard(at: now) ? machine.peer?.message : nil
        let active =
            machine.role == .active ? "\(note.own)" : peer?.role == .active ? "\(note.peer)" : nil
        let isSynchronized =
            machine.role == .active
            ? peer?.flags.contains(.isSynchronized) ?? false : report?.isSynchronized ?? false
        return PairStatus(
            network: observation.network, gateways: observation.gateways.map(\.name), endpoint: "\(endpoint)",
            own: "\(note.own)", peer: "\(note.peer)", role: "\(machine.role)", reason: reason, active: active,
            since: sinceWallClock, peerRole: peer.map { "\($0.role)" }, isSynchronized: isSynchronized,
            connections: report?.connections ?? 0, takeovers: takeovers, conflicts: machine.conflicts,
            resyncs: report?.resyncs ?? 0, problems: problems(peer, report, at: now))
    }

    private func problems(_ peer: PairMessage?, _ report: StateSync.Report?, at now: Instant) -> [String] {
        var problems: [String] = []
        if let obstacle { problems.append(obstacle) }
        if let complaint { problems.append(complaint) }
        if let stranger = machine.stranger, stranger.heard + .seconds(5) > now {
            let known = [machine.peer?.message.underlayMAC, machine.peer?.message.uplinkMAC]
            problems.append(
                known.contains(stranger.hardware)
                    ? "the other gateway is silent, but still has \(stranger.address): nothing gets from \(note.peer) to"
                        + " \(note.own), UDP port \(PairService.port)"
                    : "\(stranger.address) is taken: \(stranger.hardware) answers for it")
        } else if peer == nil {
            problems.append("the other gateway (\(note.peer)) is silent")
        } else if let report, !report.isConnected {
            problems.append("no connections are exchanged with \(note.peer): \(report.complaint ?? "not connected")")
        }
        if let last = machine.lastConflict, last + .seconds(60) > now { problems.append("both gateways were active") }
        if machine.role != .active, peer?.role != .active { problems.append("nobody is active") }
        if !seesRouter(at: now) { problems.append("the router \(note.router) does not answer ARP") }
        return problems
    }
}

extension PairMessage {
    fileprivate mutating func set(_ flag: Flags, _ isSet: Bool) {
        if isSet { flags.insert(flag) } else { flags.remove(flag) }
    }
}

extension PairNote {
    var parameters: PairMachine.Parameters {
        PairMachine.Parameters(
            endpoint: endpoint, interval: .milliseconds(Int(interval)), multiplier: Int(multiplier), rank: rank,
            number: own.v4)
    }
}
