import CLinux
import Glibc
import KernelModel
import KernelNames
import Netlink

/// Carries out one plan, step by step, and notes what became of each change.
struct Committer {
    private(set) var report = CommitReport()
    let owner: Ownership
    let operationalTimeout: Duration
    let driver: KernelDriver
    /// Of the host's namespace as it is found by its mark; looked for at the first use.
    private var hostNamespace: NetworkNamespace?
    private let refusal: InjectedRefusal?
    private var host: Session?
    private var underlay: Session?
    /// The firewall could not be had: what comes after it stays undone.
    private var hasNoFirewall = false
    private var hasNoNamespace = false
    /// The guest of the last step: the steps of one guest follow each other.
    private var guest: (name: NamespaceName, session: Session)?
    /// Devices that could not be made as they shall be, by namespace. They are not used, even if one of that name is
    /// there: it may be somebody else's, or lack what protects it.
    private(set) var unusable: [Place: Set<InterfaceName>]
    /// Namespaces in which a rule could not be made: what it is to take the place of stays.
    var placesWithoutRule: Set<Place> = []
    /// Guests in which a rule could not be deleted: they stay connected, because that is how they are found again.
    var guestsWithRules: Set<NamespaceName> = []

    /// - Parameter conflicts: devices of somebody else that have a name of ours.
    init(_ driver: KernelDriver, owner: Ownership, conflicts: [ChangePlan.Conflict] = []) {
        self.driver = driver
        refusal = driver.refusal
        operationalTimeout = driver.operationalTimeout
        hostNamespace = driver.own == nil ? driver.underlay : nil
        unusable = [.host: Set(conflicts.map(\.device))]
        self.owner = owner
    }

    mutating func perform(_ step: ChangePlan.Step) {
        if let missing = whatIsMissing(for: step) { return failAll(step, missing) }
        if case .namespaces(let changes) = step.work { return perform(changes) }
        if case .firewall(let tables, let generation) = step.work { return perform(tables, generation, step.place) }
        if case .connections(let connections, let how) = step.work { return end(connections, how, step.place) }
        let session: Session
        do throws(NetlinkError) {
            session = try self.session(step.place)
        } catch {
            let reason: CommitReport.Reason =
                step.place.guest.map { error.isAbsence ? .dependency("namespace \($0)") : error.reason } ?? error.reason
            failAll(step, reason)
            return
        }
        let before = session.socket.modificationCount
        switch step.work {
        case .sysctls(let changes): write(changes, step, session)
        case .links(let changes):
            // Guests' ends of pairs come and go with ours.
            if step.place == .host { guest = nil }
            perform(changes, step, session)
        case .awaitOperational(let names): awaitOperational(names, step, session)
        case .judgeAnew: judgeAnew(step, session)
        case .firewall, .connections, .namespaces: break  // Have sockets of their own.
        case .rules(let changes): perform(changes, step, session)
        case .addresses(let changes):
            let owner = self.owner
            batch(changes, step, session) { _, address in
                address.device
            } encode: { change, address, index, writer in
                switch change {
                case .create, .replace:
                    address.encode(
                        MessageType(RTM_NEWADDR), change.flags, index: index, owner, into: &writer)
                case .delete:
                    address.encode(MessageType(RTM_DELADDR), [], index: index, owner, into: &writer)
                }
            }
        case .neighbors(let changes):
            let owner = self.owner
            batch(changes, step, session) { _, neighbor in
                neighbor.device
            } encode: { change, neighbor, index, writer in
                switch change {
                case .create, .replace:
                    // Also over what the kernel has learned about the guest in the meantime.
                    neighbor.encode(
                        MessageType(RTM_NEWNEIGH), [.create, .replace], index: index, owner, into: &writer)
                case .delete:
                    neighbor.encode(MessageType(RTM_DELNEIGH), [], index: index, owner, into: &writer)
                }
            }
        case .nexthops(let changes):
            let owner = self.owner
            batch(changes, step, session) { change, nexthop in
                change == .delete ? nil : nexthop.device
            } encode: { change, nexthop, index, writer in
                if change == .delete { return nexthop.encodeDeletion(into: &writer) }
                nexthop.encode(change.flags, index: index, owner, into: &writer)
            }
        case .routes(let changes):
            let owner = self.owner
            let routeProtocol = owner.routeProtocol
            batch(changes, step, session) { change, route in
                change == .delete || route.device.isNone ? nil : route.device
            } encode: { change, route, index, writer in
                if change == .delete { return route.encodeDeletion(routeProtocol, into: &writer) }
                let isPrivate = owner.privateTables.contains(route.key.table.rawValue)
                let flags = isPrivate ? [.create, .replace] : change.flags
                route.encode(flags, index: index, routeProtocol, into: &writer)
            }
        }
        report.writes += session.socket.modificationCount - before
    }

    private func whatIsMissing(for step: ChangePlan.Step) -> CommitReport.Reason? {
        if hasNoFirewall { return .dependency("the firewall") }
        return hasNoNamespace && step.place != .underlay ? .dependency("the host's network namespace") : nil
    }

    mutating func session(_ place: Place) throws(NetlinkError) -> Session {
        switch place {
        case .host: if let host { return host }
        case .underlay: if let underlay { return underlay }
        case .guest(let name): if let guest, guest.name == name { return guest.session }
        }
        let session = try Session(namespace(of: place), owner: owner, without: unusable[place] ?? [], refusal)
        switch place {
        case .host: host = session
        case .underlay: underlay = session
        case .guest(let name): guest = (name, session)
        }
        return session
    }

    mutating func namespace(of place: Place) throws(NetlinkError) -> NetworkNamespace {
        switch place {
        case .underlay: return driver.underlay
        case .guest(let name): return .named(name.rawValue)
        case .host:
            if let hostNamespace { return hostNamespace }
            let found = try ownNamespace()
            hostNamespace = found
            return found
        }
    }

    private func ownNamespace() throws(NetlinkError) -> NetworkNamespace {
        guard let namespace = try driver.namespace else {
            throw NetlinkError(errno: ENOENT, operation: "find the host's network namespace")
        }
        return namespace
    }

    // MARK: Namespaces

    /// The host's own. What fails leaves nothing to do anything in.
    private mutating func perform(_ changes: ChangeSet<OwnNamespace>) {
        var outcome = StepOutcome()
        do throws(NetlinkError) {
            let cookie = try driver.underlay.cookie()
            for namespace in changes.deletions {
                try NetworkNamespace.remove(named: namespace.name.rawValue)
                driver.hold.namespace = nil
            }
            for creation in changes.creations {
                // The one that the plan was made from. Marked before it has a name.
                let new = try driver.hold.takeNew()
                try HostMark(alias: creation.object.alias, underlay: cookie).write(in: new.namespace)
                hostNamespace = try new.namespace.named(also: creation.object.name.rawValue)
            }
            for change in changes.replacements {
                hostNamespace = try rename(change)
                try HostMark(alias: change.new.alias, underlay: cookie).write(in: namespace(of: .host))
            }
        } catch {
            hasNoNamespace = true
            for index in 0..<changes.counts.total { outcome.fail(index, error.reason) }
        }
        report.writes += changes.counts.total
        host = nil
        note(outcome, of: changes, in: .host)
    }

    /// The new name first: without any the namespace would be gone.
    private func rename(_ change: Replacement<OwnNamespace>) throws(NetlinkError) -> NetworkNamespace {
        let (old, new) = (change.old, change.new)
        if old.isNamed, old.name == new.name { return .named(new.name.rawValue) }
        guard let namespace = old.isNamed ? .named(old.name.rawValue) : driver.hold.namespace?.namespace else {
            throw NetlinkError(errno: ENOENT, operation: "name the host's network namespace")
        }
        if !old.isNamed, NetworkNamespace.isNameInUse(new.name.rawValue) {
            // What is left of a name that nothing is mounted on any more.
            try NetworkNamespace.remove(named: new.name.rawValue)
        }
        let renamed = try namespace.named(also: new.name.rawValue)
        if old.isNamed { try NetworkNamespace.remove(named: old.name.rawValue) }
        return renamed
    }

    /// Keeps everything else of the plan from using a device that could not be made, and its other end: what has that
    /// name in the guest's namespace is the guest's own.
    mutating func rule(out link: Link, _ session: Session) {
        unusable[.host, default: []].insert(link.name)
        session.rule(out: link.name)
        if case .veth(let peer) = link.kind { unusable[.guest(peer.namespace), default: []].insert(peer.name) }
    }

    // MARK: Batches

    enum Change {
        case create
        case replace
        case delete

        /// A creation never takes the place of what somebody else put there in the meantime.
        var flags: MessageFlags { self == .create ? [.create, .exclusive] : [.create, .replace] }
    }

    /// Sends one kind's changes: deletions, creations, replacements.
    ///
    /// - Parameters:
    ///   - device: The device whose number the messages of a change need.
    ///   - encode: Writes the messages of one change, given that number, or 0 where none is needed.
    mutating func batch<Object: KernelObject>(
        _ changes: ChangeSet<Object>, _ step: ChangePlan.Step, _ session: Session,
        device: (Change, Object) -> InterfaceName?,
        encode: (Change, Object, UInt32, inout MessageWriter) -> Void
    ) {
        let deletions = changes.deletions.count
        let creations = deletions + changes.creations.count
        let all = creations + changes.replacements.count
        var outcome = StepOutcome()
        do throws(NetlinkError) {
            let devices = try session.devices(named: Self.names(in: changes, device))
            // Two lists: both closures would else modify one variable.
            var unencoded: [(Int, CommitReport.Reason)] = []
            var last: (name: InterfaceName, index: UInt32)?
            let sent = try session.socket.commit(all) { index, writer in
                let (change, object): (Change, Object) =
                    if index < deletions {
                        (.delete, changes.deletions[index])
                    } else if index < creations {
                        (.create, changes.creations[index - deletions].object)
                    } else {
                        (.replace, changes.replacements[index - creations].new)
                    }
                guard let name = device(change, object) else { return encode(change, object, 0, &writer) }
                if let last, last.name == name { return encode(change, object, last.index, &writer) }
                guard let found = devices[name] else {
                    unencoded.append((index, .dependency("link \(name)")))
                    return
                }
                last = (name, found.index)
                encode(change, object, found.index, &writer)
            } failed: { index, error in
                if index < deletions, error.isAbsence { return }
                outcome.fail(index, error.reason)
            }
            for (index, reason) in unencoded where !(index < deletions && reason.isDependency) {
                outcome.fail(index, reason)
            }
            if sent.repliesLost, outcome.failures.isEmpty {
                // More may have failed than was heard of: let nobody believe that all is well.
                outcome.fail(all - 1, NetlinkError(errno: ENOBUFS, operation: "receive replies").reason)
            }
        } catch {
            // The socket failed: nothing is known of what was sent last, and the rest was not sent.
            for index in 0..<all { outcome.fail(index, error.reason) }
        }
        note(outcome, of: changes, in: step.place)
    }

    /// The devices that changes need; where they are too many to ask for each, some of them.
    private static func names<Object: KernelObject>(
        in changes: ChangeSet<Object>, _ device: (Change, Object) -> InterfaceName?
    ) -> Set<InterfaceName> {
        var names: Set<InterfaceName> = []
        // Neighbouring changes mostly need the same one.
        var last: InterfaceName?
        func add(_ name: InterfaceName?) -> Bool {
            guard let name, name != last else { return true }
            last = name
            names.insert(name)
            return names.count <= Session.singleQuestions
        }
        _ =
            changes.deletions.allSatisfy { add(device(.delete, $0)) }
            && changes.creations.allSatisfy { add(device(.create, $0.object)) }
            && changes.replacements.allSatisfy { add(device(.replace, $0.new)) }
        return names
    }

    /// Adds a step's outcome to the report.
    mutating func note<Object: KernelObject>(
        _ outcome: StepOutcome, of changes: ChangeSet<Object>, in place: Place
    ) {
        let deletions = changes.deletions.count
        let creations = deletions + changes.creations.count
        var done = changes.counts
        for (index, reason) in outcome.failures.sorted(by: { $0.key < $1.key }) {
            let operation: Operation
            if index < deletions {
                done.deleted -= 1
                operation = Operation(
                    in: place, action: .delete, kind: Object.kind,
                    object: changes.deletions[index].description, origin: .none)
            } else if index < creations {
                done.created -= 1
                let creation = changes.creations[index - deletions]
                operation = Operation(
                    in: place, action: .create, kind: Object.kind, object: creation.object.description,
                    origin: creation.origin)
            } else {
                done.changed -= 1
                let replacement = changes.replacements[index - creations]
                operation = Operation(
                    in: place, action: .change, kind: Object.kind, object: replacement.new.description,
                    previous: replacement.old.description, origin: replacement.origin)
            }
            report.failures.append(.init(operation, reason))
        }
        report.applied.deleted += done.deleted
        report.applied.created += done.created
        report.applied.changed += done.changed
    }

    mutating func noteWait(_ name: InterfaceName, _ reason: CommitReport.Reason, in place: Place) {
        let operation = Operation(
            in: place, action: .wait, kind: .link, object: "link \(name) operational", origin: .none)
        report.failures.append(.init(operation, reason))
    }

    mutating func noteJudging(_ reason: CommitReport.Reason, in place: Place) {
        let operation = Operation(
            in: place, action: .wait, kind: .connection, object: ChangePlan.judgeAnew, origin: .none)
        report.failures.append(.init(operation, reason))
    }

    /// What comes after it stays undone.
    mutating func giveUpFirewall() { hasNoFirewall = true }

    mutating func countWrites(_ count: Int) { report.writes += count }

    mutating func failAll(_ step: ChangePlan.Step, _ reason: CommitReport.Reason) {
        var outcome = StepOutcome()
        for index in 0..<step.work.counts.total { outcome.fail(index, reason) }
        switch step.work {
        case .namespaces(let changes): note(outcome, of: changes, in: step.place)
        case .sysctls(let changes): note(outcome, of: changes, in: step.place)
        case .rules(let changes): note(outcome, of: changes, in: step.place)
        case .links(let changes): note(outcome, of: changes, in: step.place)
        case .addresses(let changes): note(outcome, of: changes, in: step.place)
        case .neighbors(let changes): note(outcome, of: changes, in: step.place)
        case .nexthops(let changes): note(outcome, of: changes, in: step.place)
        case .routes(let changes): note(outcome, of: changes, in: step.place)
        case .awaitOperational(let names):
            for name in names { noteWait(name, reason, in: step.place) }
        case .firewall(let tables, _): noteFirewall(tables, reason, in: step.place)
        case .judgeAnew: noteJudging(reason, in: step.place)
        case .connections(let connections, _):
            for connection in connections { note(connection, reason, in: step.place) }
        }
    }

    // MARK: Firewall

    /// One transaction. Where it is refused nothing else is done: a port would be open to all.
    private mutating func perform(_ tables: [NFChangeSet], _ generation: UInt32?, _ place: Place) {
        do throws(NetlinkError) {
            try refusal?.refuse("nf_tables")
            var driver = try FirewallDriver(in: namespace(of: place))
            let outcome = try driver.commit(tables, generation: generation)
            report.writes += driver.writes
            switch outcome {
            case .committed:
                for table in tables {
                    report.applied.created += table.counts.created
                    report.applied.changed += table.counts.changed
                    report.applied.deleted += table.counts.deleted
                }
            case .stale:
                noteFirewall(tables, .stale, in: place)
            case .refused(let failures):
                hasNoFirewall = true
                for failure in failures { note(failure, in: place) }
            }
        } catch {
            hasNoFirewall = true
            noteFirewall(tables, error.reason, in: place)
        }
        if report.failures.contains(where: { $0.reason == .stale }) { hasNoFirewall = true }
    }

    // MARK: Connections

    private mutating func end(_ connections: [Connection], _ how: ConnectionEnd, _ place: Place) {
        var failures: [(Int, NetlinkError)] = []
        do throws(NetlinkError) {
            var socket = try ConntrackSocket(in: namespace(of: place))
            // One that has ended by itself in the meantime is as good as ended by us.
            let failed = { (index: Int, error: NetlinkError) in failures.append((index, error)) }
            switch how {
            case .forgotten: _ = try socket.delete(connections.map(\.flow), failed: failed)
            case .marked(let mark, let seconds):
                _ = try socket.condemn(connections.map(\.flow), mark: mark, seconds: seconds, failed: failed)
            }
            report.writes += socket.modificationCount
            report.applied.deleted += connections.count - failures.count
            for (index, error) in failures { note(connections[index], error.reason, in: place) }
        } catch {
            for connection in connections { note(connection, error.reason, in: place) }
        }
    }

    private mutating func note(
        _ connection: Connection, _ reason: CommitReport.Reason, in place: Place
    ) {
        let operation = Operation(
            in: place, action: .delete, kind: .connection, object: connection.description, origin: .none)
        report.failures.append(.init(operation, reason))
    }

    private mutating func noteFirewall(
        _ tables: [NFChangeSet], _ reason: CommitReport.Reason, in place: Place
    ) {
        for table in tables {
            let operation = Operation(
                in: place, action: .change, kind: .firewall, object: "table \(table.table)", origin: .none)
            report.failures.append(.init(operation, reason))
        }
    }

    private mutating func note(_ failure: NFFailure, in place: Place) {
        let object = failure.operation.map { $0.text(in: failure.table) } ?? "table \(failure.table)"
        let operation = Operation(
            in: place, action: failure.operation?.action ?? .change, kind: .firewall, object: object,
            origin: failure.origin)
        report.failures.append(.init(operation, failure.reason))
    }

    // MARK: Parameters

    private mutating func write(_ changes: ChangeSet<Sysctl>, _ step: ChangePlan.Step, _ session: Session) {
        var outcome = StepOutcome()
        let wanted = changes.creations.map(\.object) + changes.replacements.map(\.new)
        do throws(NetlinkError) {
            try session.namespace.enter { () throws(NetlinkError) in
                for (index, sysctl) in wanted.enumerated() {
                    do throws(NetlinkError) {
                        try session.write(sysctl.path, sysctl.value)
                    } catch {
                        outcome.fail(changes.deletions.count + index, error.reason)
                    }
                }
            }
            report.writes += wanted.count
        } catch {
            for index in 0..<changes.counts.total { outcome.fail(index, error.reason) }
        }
        note(outcome, of: changes, in: step.place)
    }
}

/// What failed of one step, by position: deletions, then creations, then replacements.
struct StepOutcome {
    /// The first reason of each.
    private(set) var failures: [Int: CommitReport.Reason] = [:]
    mutating func fail(_ index: Int, _ reason: CommitReport.Reason) {
        if failures[index] == nil { failures[index] = reason }
    }
}

extension CommitReport.Reason {
    var isDependency: Bool {
        if case .dependency = self { true } else { false }
    }
}
