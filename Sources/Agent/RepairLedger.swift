import KernelModel
import KernelNames

/// Who is repaired how often: an object that somebody else changes back again and again is left alone for a while, so
/// that two programs do not wear out a machine.
struct RepairLedger {
    /// One kernel object, by what ip(8) would be told.
    struct Subject: Hashable {
        var place: Place
        var kind: ObjectKind
        var object: String
    }

    struct Entry {
        /// Repairs in the present run of them.
        var repairs = 0
        var last: ContinuousClock.Instant
        /// Not touched before that.
        var pausedUntil: ContinuousClock.Instant?
        var pause: Duration = .zero
        /// The name of the resource: its number is another one in the next topology.
        var resource: String?
    }

    private(set) var entries: [Subject: Entry] = [:]

    /// Repairs within a minute that count as a fight.
    static let patience = 5
    private static let memory: Duration = .seconds(60)
    private static let longestPause: Duration = .seconds(60)

    /// Takes note of repairs.
    /// - Returns: the objects about which a fight has just begun.
    mutating func note(
        _ operations: [Operation], at now: ContinuousClock.Instant, resource: (Origin) -> String?
    ) -> [Subject] {
        var fights: [Subject] = []
        for operation in operations {
            let subject = Subject(operation)
            var entry = entries[subject] ?? Entry(last: now)
            // A pause does not count as peace.
            if now >= entry.last + Self.memory + entry.pause { entry = Entry(last: now) }
            entry.repairs += 1
            entry.resource = resource(operation.origin)
            entry.last = now
            if entry.repairs >= Self.patience {
                entry.pause = entry.pause == .zero ? .seconds(1) : min(entry.pause * 2, Self.longestPause)
                entry.pausedUntil = now + entry.pause
                if entry.repairs == Self.patience { fights.append(subject) }
            }
            entries[subject] = entry
        }
        return fights
    }

    /// Forgets what has been quiet for a while.
    /// - Returns: the objects about which a fight is over.
    mutating func forget(at now: ContinuousClock.Instant) -> [Subject] {
        var over: [Subject] = []
        for (subject, entry) in entries where now >= entry.last + Self.memory + entry.pause {
            if entry.repairs >= Self.patience { over.append(subject) }
            entries[subject] = nil
        }
        return over.sorted { $0.object < $1.object }
    }

    /// What is not to be touched now.
    func paused(at now: ContinuousClock.Instant) -> Set<Subject> {
        Set(entries.compactMap { subject, entry in entry.pausedUntil.map { $0 > now } ?? false ? subject : nil })
    }

    /// When something has to be looked at next: a pause ends, or a fight may be over.
    func nextDeadline(after now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        entries.values.lazy.filter { $0.repairs >= Self.patience }.map { entry in
            if let until = entry.pausedUntil, until > now { return until }
            return entry.last + Self.memory + entry.pause
        }.min()
    }

    /// What is fought about, by object.
    func alarms(at now: ContinuousClock.Instant) -> [AgentStatus.Alarm] {
        let fights = entries.filter { $0.value.repairs >= Self.patience }.sorted { $0.key.object < $1.key.object }
        return fights.map { subject, entry in
            let pause = entry.pausedUntil.map { max(.zero, now.duration(to: $0)) } ?? .zero
            return AgentStatus.Alarm(
                object: subject.object, kind: subject.kind, resource: entry.resource,
                repairs: entry.repairs, pauseSeconds: Int(pause.components.seconds))
        }
    }

    /// A new desired state is a new beginning.
    mutating func reset() { entries = entries.filter { $0.value.repairs >= Self.patience } }
}

extension RepairLedger.Subject {
    init(_ operation: Operation) {
        self.init(place: operation.place, kind: operation.kind, object: operation.object)
    }
}

extension ChangePlan {
    /// This plan without the operations on some objects. A transaction of nf_tables is left out as a whole.
    func without(_ paused: Set<RepairLedger.Subject>) -> ChangePlan {
        if paused.isEmpty { return self }
        var plan = self
        let isFree = { (operation: Operation) in !paused.contains(.init(operation)) }
        // The transactions of the firewall build on each other.
        let keepsFirewall = !steps.contains { step in
            guard step.work.kind == .firewall || step.work.kind == .connection else { return false }
            var isWhole = true
            ChangePlan(step).forEachOperation { isWhole = isWhole && isFree($0) }
            return !isWhole
        }
        plan.steps = steps.compactMap { step in
            if case .awaitOperational = step.work { return step }
            var work = step.work
            switch step.work {
            case .firewall, .connections:
                if !keepsFirewall { return nil }
            case .judgeAnew: return keepsFirewall ? step : nil
            case .namespaces(let changes): work = .namespaces(changes.filtered(step.place, isFree))
            case .sysctls(let changes): work = .sysctls(changes.filtered(step.place, isFree))
            case .rules(let changes): work = .rules(changes.filtered(step.place, isFree))
            case .links(let changes): work = .links(changes.filtered(step.place, isFree))
            case .addresses(let changes): work = .addresses(changes.filtered(step.place, isFree))
            case .neighbors(let changes): work = .neighbors(changes.filtered(step.place, isFree))
            case .nexthops(let changes): work = .nexthops(changes.filtered(step.place, isFree))
            case .routes(let changes): work = .routes(changes.filtered(step.place, isFree))
            case .awaitOperational: break
            }
            return work.counts.total > 0 ? Step(in: step.place, work) : nil
        }
        return plan
    }

    private init(_ step: Step) {
        self.init()
        steps = [step]
    }
}

extension ChangeSet where Object: KernelObject {
    fileprivate func filtered(_ place: Place, _ isIncluded: (Operation) -> Bool) -> ChangeSet {
        var part = ChangeSet()
        for object in deletions {
            if isIncluded(operation(.delete, object.description, place)) { part.deletions.append(object) }
        }
        for creation in creations {
            if isIncluded(operation(.create, creation.object.description, place)) {
                part.creations.append(creation)
            }
        }
        for replacement in replacements {
            if isIncluded(operation(.change, replacement.summary, place)) {
                part.replacements.append(replacement)
            }
        }
        return part
    }

    private func operation(
        _ action: Operation.Action, _ object: String, _ place: Place
    ) -> Operation {
        Operation(in: place, action: action, kind: Object.kind, object: object, origin: .none)
    }
}
