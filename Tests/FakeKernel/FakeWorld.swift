package import KernelModel
package import KernelNames
import NFTables

/// A host's namespace and those of its guests, and what a plan does to them.
package struct FakeWorld: Sendable {
    package var host: FakeNamespace
    package var guests: [NamespaceName: FakeNamespace] = [:]
    package var connections: [Connection] = []

    package init(owner: Ownership) { host = FakeNamespace(owner: owner) }

    /// What the request names of it.
    package func observed(_ request: ObservationRequest) -> KernelSnapshot {
        var snapshot = KernelSnapshot()
        snapshot.host = host.state
        snapshot.host.sysctls.removeAll { !request.sysctls.contains($0.path) }
        let tables = request.firewall
        snapshot.host.firewall.tables.removeAll { !tables.contains($0.table) }
        if !request.readsFirewall {
            for index in snapshot.host.firewall.tables.indices {
                snapshot.host.firewall.tables[index] = NFObservedTable(snapshot.host.firewall.tables[index].table)
            }
        }
        let destinations = request.paths?.destinations ?? []
        snapshot.host.paths.removeAll { !destinations.contains($0.destination) }
        if request.guestScope == .nothing { return snapshot }
        var names = Set(request.guests)
        for seen in host.state.links where seen.isOwned {
            if case .veth(let peer) = seen.link.kind { names.insert(peer.namespace) }
        }
        for name in names {
            guard let guest = guests[name]?.state else { continue }
            if request.guestScope == .rules {
                snapshot.guests[name, default: NamespaceSnapshot()].rules = guest.rules
            } else {
                snapshot.guests[name] = guest
            }
        }
        return snapshot
    }

    /// Deletes a device of a namespace, whoever's it is, and the other end of a pair.
    package mutating func remove(_ device: InterfaceName, in place: Place = .host) {
        let gone = with(place) { $0.remove(device) }
        guard let gone = gone ?? nil, gone.isPeerElsewhere else { return }
        removeEnd(of: gone)
    }

    private mutating func removeEnd(of gone: ObservedLink) {
        func isOther(_ link: ObservedLink) -> Bool { link.index == gone.peerIndex && link.peerIndex == gone.index }
        if let other = host.state.links.first(where: isOther) { host.remove(other.link.name) }
        for name in guests.keys {
            if let other = guests[name]?.state.links.first(where: isOther) { guests[name]?.remove(other.link.name) }
        }
    }

    /// Changes a namespace; nil where there is none of that name.
    package mutating func with<Result>(_ place: Place, _ body: (inout FakeNamespace) -> Result) -> Result? {
        guard case .guest(let name) = place else { return body(&host) }
        guard var namespace = guests[name] else { return nil }
        defer { guests[name] = namespace }
        return body(&namespace)
    }

    // MARK: - Links

    fileprivate mutating func create(_ link: Link, in place: Place) -> CommitReport.Reason? {
        guard case .veth(let peer) = link.kind else {
            return with(place) { $0.create(link) } ?? .dependency("namespace \(place.guest?.rawValue ?? "-")")
        }
        guard let guest = guests[peer.namespace] else { return .dependency("namespace \(peer.namespace)") }
        if guest.state.link(named: peer.name) != nil { return FakeNamespace.refused("EEXIST", "File exists") }
        if let reason = host.create(link) { return reason }
        let end = Link(
            name: peer.name, kind: .adopted, mtu: peer.mtu, hardwareAddress: peer.hardwareAddress, isUp: false)
        let far = guests[peer.namespace]?.add(end) ?? 0
        host.connect(link.name, to: far)
        guests[peer.namespace]?.connect(peer.name, to: host.state.link(named: link.name)?.index ?? 0)
        return nil
    }

    fileprivate mutating func delete(_ link: Link, in place: Place) {
        let gone = with(place) { $0.delete(link) } ?? nil
        if let gone, gone.isPeerElsewhere { removeEnd(of: gone) }
    }
}

/// Carries out one plan as `Committer` does with a real kernel.
struct FakeCommit {
    var world: FakeWorld
    private(set) var report = CommitReport()
    private let refusal: ((Operation) -> CommitReport.Reason?)?
    private var hasNoFirewall = false
    /// Devices that could not be made, and those of others that have a name of ours.
    private var unusable: [Place: Set<InterfaceName>]

    init(_ world: FakeWorld, _ plan: ChangePlan, _ refusal: ((Operation) -> CommitReport.Reason?)?) {
        self.world = world
        self.refusal = refusal
        unusable = [.host: Set(plan.conflicts.map(\.device))]
        for step in plan.steps { perform(step) }
    }

    private mutating func perform(_ step: ChangePlan.Step) {
        let place = step.place
        switch step.work {
        case .firewall(let tables, let generation): commit(tables, generation, step)
        case .awaitOperational, .namespaces, .judgeAnew: break
        case .connections(let connections, let end): self.end(connections, end, step)
        case .sysctls(let changes):
            each(changes, place) { world, change in world.with(place) { $0.write(change.new) } ?? nil }
        case .rules(let changes):
            each(changes, place) { world, change in
                world.with(place) { namespace in
                    if change.isDeletion { namespace.state.rules.removeAll { $0 == change.new } }
                    return change.isDeletion ? nil : namespace.create(change.new)
                } ?? nil
            }
        case .links(let changes): perform(changes, place)
        case .addresses(let changes):
            each(changes, place, device: { $0.device }) { world, change in
                world.with(place) { namespace in
                    if change.isDeletion { namespace.delete(change.new) }
                    return change.isDeletion ? nil : namespace.create(change.new)
                } ?? nil
            }
        case .neighbors(let changes):
            each(changes, place, device: { $0.device }) { world, change in
                world.with(place) { namespace in
                    if change.isDeletion { namespace.state.neighbors.removeAll { $0.key == change.new.key } }
                    return change.isDeletion ? nil : namespace.create(change.new)
                } ?? nil
            }
        case .nexthops(let changes):
            each(changes, place, device: { $0.device }) { world, change in
                world.with(place) { namespace in
                    if change.isDeletion { namespace.delete(change.new) }
                    return change.isDeletion ? nil : namespace.put(change.new, isExclusive: change.isCreation)
                } ?? nil
            }
        case .routes(let changes):
            each(changes, place, device: { $0.device.isNone ? nil : $0.device }) { world, change in
                world.with(place) { namespace in
                    if change.isDeletion { namespace.state.routes.removeAll { $0.key == change.new.key } }
                    return change.isDeletion ? nil : namespace.put(change.new, isExclusive: change.isCreation)
                } ?? nil
            }
        }
    }

    private mutating func perform(_ changes: ChangeSet<Link>, _ place: Place) {
        var lost: [Link] = []
        each(changes, place) { world, change in
            if change.isDeletion {
                world.delete(change.new, in: place)
                return nil
            }
            if let old = change.old { return world.with(place) { $0.replace(old, with: change.new) } ?? nil }
            return world.create(change.new, in: place)
        } failed: { change in
            if change.isCreation { lost.append(change.new) }
        }
        for link in lost {
            unusable[.host, default: []].insert(link.name)
            if case .veth(let peer) = link.kind { unusable[.guest(peer.namespace), default: []].insert(peer.name) }
        }
    }

    // MARK: - One change after the other

    private struct Change<Object: KernelObject> {
        var old: Object?
        var new: Object
        var isDeletion = false

        var isCreation: Bool { !isDeletion && old == nil }
    }

    /// Deletions, creations, replacements.
    private mutating func each<Object: KernelObject>(
        _ changes: ChangeSet<Object>, _ place: Place, device: (Object) -> InterfaceName? = { _ in nil },
        _ body: (inout FakeWorld, Change<Object>) -> CommitReport.Reason?,
        failed: (Change<Object>) -> Void = { _ in }
    ) {
        let all =
            changes.deletions.map { (Change(new: $0, isDeletion: true), Origin.none) }
            + changes.creations.map { (Change(new: $0.object), $0.origin) }
            + changes.replacements.map { (Change(old: $0.old, new: $0.new), $0.origin) }
        for (change, origin) in all {
            let operation = Operation(
                in: place, action: change.isDeletion ? .delete : change.old == nil ? .create : .change,
                kind: Object.kind, object: change.new.description, previous: change.old?.description, origin: origin)
            let needed = change.isDeletion ? nil : device(change.new)
            var reason: CommitReport.Reason?
            if hasNoFirewall {
                reason = .dependency("the firewall")
            } else if let guest = place.guest, world.guests[guest] == nil {
                reason = .dependency("namespace \(guest)")
            } else if let needed, unusable[place]?.contains(needed) ?? false {
                reason = .dependency("link \(needed)")
            } else {
                report.writes += 1
                reason = refusal?(operation) ?? body(&world, change)
            }
            if let reason {
                report.failures.append(.init(operation, reason))
                failed(change)
            } else {
                count(operation.action)
            }
        }
    }

    private mutating func count(_ action: Operation.Action, _ number: Int = 1) {
        switch action {
        case .create: report.applied.created += number
        case .change: report.applied.changed += number
        case .delete: report.applied.deleted += number
        case .wait: break
        }
    }

    // MARK: - nf_tables and connections

    private mutating func commit(_ tables: [NFChangeSet], _ generation: UInt32?, _ step: ChangePlan.Step) {
        var refused: CommitReport.Reason?
        var plan = ChangePlan()
        plan.steps = [step]
        if hasNoFirewall {
            refused = .dependency("the firewall")
        } else if let generation, generation != world.host.state.firewall.generation {
            refused = .stale
        } else if let reason = plan.operations.compactMap({ refusal?($0) }).first {
            refused = reason
        } else if let next = world.host.state.firewall.committing(tables) {
            world.host.state.firewall = next
        } else {
            refused = FakeNamespace.refused("ENOENT", "No such file or directory")
        }
        report.writes += 1
        guard let refused else {
            for table in tables {
                count(.create, table.counts.created)
                count(.change, table.counts.changed)
                count(.delete, table.counts.deleted)
            }
            return
        }
        hasNoFirewall = true
        for table in tables {
            let operation = Operation(
                in: step.place, action: .change, kind: .firewall, object: "table \(table.table)",
                origin: .none)
            report.failures.append(.init(operation, refused))
        }
    }

    private mutating func end(_ connections: [Connection], _ end: ConnectionEnd, _ step: ChangePlan.Step) {
        for connection in connections {
            guard !hasNoFirewall else { continue }
            report.writes += 1
            count(.delete)
            switch end {
            case .forgotten: world.connections.removeAll { $0.id == connection.id }
            case .marked(let mark, _):
                for index in world.connections.indices where world.connections[index].id == connection.id {
                    world.connections[index].mark = mark
                }
            }
        }
    }
}
