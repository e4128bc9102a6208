import IPAddressing
import KernelNames
import NFTables

/// Computes one `ChangePlan`.
struct ChangePlanner {
    let intent: KernelIntent
    let snapshot: KernelSnapshot
    let owner: Ownership
    /// Elements of nf_tables per transaction.
    let elementLimit: Int
    /// Where anything may differ.
    let suspects: SuspectObjects
    /// The flowtables whose connections have to be judged anew after something was done to the firewall.
    let renewed: FlowRenewal
    private var plan = ChangePlan()
    /// The generation of nf_tables that the transactions planned so far lead to.
    private var generations: (host: UInt32?, underlay: UInt32?)

    init(
        intent: KernelIntent, snapshot: KernelSnapshot, owner: Ownership, elementLimit: Int, suspects: SuspectObjects,
        renewed: @escaping FlowRenewal
    ) {
        (self.intent, self.snapshot) = intent.lending(snapshot)
        self.owner = owner
        self.elementLimit = elementLimit
        self.renewed = renewed
        self.suspects = suspects.withPorts(of: intent)
        generations = (snapshot.host.firewall.generation, snapshot.underlay.firewall.generation)
    }

    mutating func planned() -> ChangePlan {
        let links = LinkChanges(intent: self.intent, snapshot: snapshot, owner: owner, suspects: suspects.links)
        plan.conflicts = links.conflicts
        let intent = self.intent.without(links.unavailable)
        let isDropping = snapshot.host.loses(links)
        let host = isDropping ? snapshot.host.surviving(links) : snapshot.host
        let wanted = intent.host

        planNamespace()
        planUnderlay()
        let parameters = ParameterChanges(self.intent.host, snapshot.host, owner)
        plan.append(ChangeSet(replacements: parameters.replacements), as: { .sysctls($0) })
        let rules = ruleChanges(wanted.rules, displaced: wanted.displacedRules, observed: snapshot.host.rules)
        plan.append(ChangeSet(creations: rules.creations), as: { .rules($0) })
        plan.append(ChangeSet(deletions: rules.displaced), as: { .rules($0) })

        planAbandonedGuests()
        let (completions, removals) = planFirewall(
            in: .host, links.leavingNames, absent: links.goneAtFirst, ending: Set(links.deletions.map(\.name)))
        planEndOfDeviceChains(links)
        plan.append(ChangeSet(deletions: links.givingWay), as: { .links($0) })
        for rank in 0...3 {
            plan.append(ChangeSet(creations: links.creations.filter { $0.object.rank == rank }), as: { .links($0) })
        }
        plan.append(ChangeSet(replacements: links.replacements), as: { .links($0) })
        planDeviceChains(links)

        // With a device the kernel drops others.
        let isRest = !isDropping && links.unavailable.isEmpty
        let suspects = isRest ? self.suspects : .everything
        let addresses = difference(
            desired: wanted.addresses, observed: host.addresses, at: suspects.addresses)
        let neighbors = difference(
            desired: wanted.neighbors, observed: host.neighbors, at: suspects.neighbors)
        plan.append(addresses.withoutDeletions, as: { .addresses($0) })
        plan.append(neighbors.withoutDeletions, as: { .neighbors($0) })

        for guest in guests(of: intent, suspects.guests, links) { planGuest(guest, links) }
        if !links.portsToAwait.isEmpty { plan.steps.append(.init(.awaitOperational(links.portsToAwait))) }

        let nexthops = difference(desired: wanted.nexthops, observed: host.nexthops, at: suspects.nexthops)
        let routes = difference(desired: wanted.routes, observed: host.routes, at: suspects.routes)
        plan.append(nexthops.withoutDeletions.filtered { !$0.body.isGroup }, as: { .nexthops($0) })
        plan.append(nexthops.withoutDeletions.filtered { $0.body.isGroup }, as: { .nexthops($0) })
        // Whoever is alone in the tables may come in any order.
        let additions = routes.withoutDeletions
        for part in host.routes.isEmpty ? [additions] : additions.longestFirst {
            plan.append(part, as: { .routes($0) })
        }

        plan.append(ChangeSet(deletions: routes.deletionsShortestFirst), as: { .routes($0) })
        plan.append(ChangeSet(deletions: nexthops.deletions.including { $0.body.isGroup }), as: { .nexthops($0) })
        plan.append(ChangeSet(deletions: nexthops.deletions.including { !$0.body.isGroup }), as: { .nexthops($0) })
        // What sits on a device goes with it.
        let remaining = { (device: InterfaceName) in !links.doomed.contains(device) }
        plan.append(
            ChangeSet(deletions: neighbors.deletions.filter { remaining($0.device) }), as: { .neighbors($0) })
        plan.append(
            ChangeSet(deletions: addresses.deletions.filter { remaining($0.device) }), as: { .addresses($0) })
        plan.append(ChangeSet(replacements: parameters.restored), as: { .sysctls($0) })
        plan.append(ChangeSet(replacements: links.releases), as: { .links($0) })
        for rank in (0...3).reversed() {
            plan.append(ChangeSet(deletions: links.deletions.filter { $0.rank == rank }), as: { .links($0) })
        }
        append(removals, in: .host)
        append(completions, in: .host)
        plan.append(ChangeSet(replacements: parameters.forgetting), as: { .links($0) })
        plan.append(ChangeSet(deletions: rules.deletions), as: { .rules($0) })
        planFirewallRemoval(in: .host)
        planNamespaceRemoval()
        planFirewallRemoval(in: .underlay)
        return plan
    }

    // MARK: - Namespaces

    /// First: everything else is in it.
    private mutating func planNamespace() {
        guard let wanted = intent.namespace else { return }
        switch snapshot.standing {
        case .given, .foreign: break
        case .absent: plan.append(ChangeSet(creations: [wanted]), as: { .namespaces($0) })
        case .own(let seen) where seen != wanted.object:
            let change = Replacement(old: seen, new: wanted.object, origin: wanted.origin)
            plan.append(ChangeSet(replacements: [change]), as: { .namespaces($0) })
        case .own: break
        }
    }

    /// When nothing is in it any more.
    private mutating func planNamespaceRemoval() {
        guard intent.namespace == nil, case .own(let seen) = snapshot.standing else { return }
        plan.append(ChangeSet(deletions: [seen]), as: { .namespaces($0) })
    }

    /// Before the tunnels are: what remained of one that was made and not moved, and who may send to them.
    private mutating func planUnderlay() {
        guard snapshot.standing.isApart, suspects.underlay else { return }
        let remains = snapshot.underlay.links.filter(\.isOwned).map(\.link)
        plan.append(ChangeSet(deletions: remains), in: .underlay, as: { .links($0) })
        append(planFirewall(in: .underlay, [], absent: [], ending: []).removals, in: .underlay)
    }

    // MARK: - Firewall

    /// Before any port: nobody is reachable before the policy for it is in.
    /// - Parameters:
    ///   - departing: Devices that go at the end.
    ///   - absent: Those that go at the beginning, and may come again.
    ///   - ending: Those that end before what is to be done when the devices are there.
    /// - Returns: what is to be done when the devices that come are there, and when the departing ones are gone, and the
    ///   packets that were on their way.
    private mutating func planFirewall(
        in place: Place, _ departing: Set<InterfaceName>, absent: Set<InterfaceName>, ending: Set<InterfaceName>
    ) -> (completions: [NFChangeSet], removals: [NFChangeSet]) {
        let observed = place == .underlay ? snapshot.underlay.firewall : snapshot.host.firewall
        // Those of devices come when their devices are there.
        let tables = (place == .underlay ? intent.underlay.firewall : intent.host.firewall).filter {
            $0.table.family != .netdev
        }
        let parts = place == .underlay || !departing.isEmpty ? .any : suspects.firewall
        if parts.isNone, absent.isEmpty, observed.holds(tables) { return ([], []) }
        var judging: [NFChangeSet.Phases] = []
        for table in tables where !table.isPassed(asSeenIn: observed) {
            guard let (wanted, seen) = table.reduced(to: parts, observed.table(table.table)) else { continue }
            judging.append(wanted.changes(from: seen, departing: departing).phases(limit: elementLimit))
        }
        let renewing = renewed(judging.flatMap { $0.turn })
        let leaving = absent.union(ending)
        let isOther = !renewing.isNone || !leaving.isEmpty
        var leadsAgain = false
        var passing: [NFChangeSet.Phases] = []
        for table in tables where table.isPassed(asSeenIn: observed) {
            guard let (wanted, seen) = table.reduced(to: isOther ? .any : parts, observed.table(table.table)) else {
                continue
            }
            let changes = wanted.changes(from: seen, renewing: renewing, absent: leaving)
            leadsAgain = leadsAgain || changes.leadsAgain
            passing.append(changes.phases(limit: elementLimit))
        }
        // Nobody passes by flowtables that are to go.
        let unwanted = observed.tables.filter { seen in
            !seen.flowtables.isEmpty && !tables.contains { $0.table == seen.table }
        }
        if leadsAgain {
            // Whoever passes by the rules meets them again before they change: what they forbid stops with the transaction.
            appendTogether(passing.map(\.preparation), in: place)
            appendTogether(passing.map(\.turn), in: place)
            plan.steps.append(.init(in: place, .judgeAnew))
            appendTogether(judging.map(\.preparation), in: place)
            appendTogether(judging.map(\.turn) + unwanted.map { [$0.removal] }, in: place)
        } else {
            appendTogether((judging + passing).map(\.preparation), in: place)
            appendTogether((judging + passing).map(\.turn) + unwanted.map { [$0.removal] }, in: place)
        }
        let phases = judging + passing
        return (phases.compactMap(\.completion), phases.compactMap(\.removal))
    }

    /// Chains of devices that give way to others: the kernel would remove them in silence.
    private mutating func planEndOfDeviceChains(_ links: LinkChanges) {
        append(
            snapshot.host.firewall.tables.compactMap { table in
                let chains = table.chains.filter { $0.hasDevice(of: links.goneAtFirst) }
                if chains.isEmpty { return nil }
                return NFChangeSet(table.table, chains.flatMap(\.removal))
            }, in: .host)
    }

    /// The tables whose chains are those of devices: these have to be there.
    private mutating func planDeviceChains(_ links: LinkChanges) {
        let isOther = !links.creations.isEmpty || !links.givingWay.isEmpty
        for table in intent.host.firewall where table.table.family == .netdev {
            guard
                case (let wanted, var seen)? = table.reduced(
                    to: isOther ? .any : suspects.firewall, snapshot.host.firewall.table(table.table))
            else { continue }
            seen?.chains.removeAll { $0.hasDevice(of: links.goneAtFirst) }
            for transaction in wanted.changes(from: seen).transactions(limit: elementLimit) {
                append([transaction], in: .host)
            }
        }
    }

    /// The first transactions of all tables as one, then the second ones, and so on.
    private mutating func appendTogether(_ transactions: [[NFChangeSet]], in place: Place) {
        for index in 0..<(transactions.map { $0.count }.max() ?? 0) {
            append(transactions.compactMap { index < $0.count ? $0[index] : nil }, in: place)
        }
    }

    /// Appends one transaction.
    private mutating func append(_ transaction: [NFChangeSet], in place: Place) {
        if transaction.isEmpty { return }
        let generation = place == .underlay ? generations.underlay : generations.host
        plan.steps.append(.init(in: place, .firewall(transaction, generation: generation)))
        let next = generation.map(NFSnapshot.generation(after:))
        if place == .underlay { generations.underlay = next } else { generations.host = next }
    }

    /// Last, when no port is left to protect.
    private mutating func planFirewallRemoval(in place: Place) {
        let (intent, observed) =
            place == .underlay ? (self.intent.underlay, snapshot.underlay) : (self.intent.host, snapshot.host)
        let wanted = Set(intent.firewall.map(\.table))
        let unwanted = observed.firewall.tables.filter { !wanted.contains($0.table) && $0.flowtables.isEmpty }
        append(unwanted.map(\.removal), in: place)
    }

    // MARK: - Rules

    /// A rule that says the same is good whoever made it; only ours are deleted, and the displaced ones.
    private func ruleChanges(
        _ desired: [Attributed<Rule>], displaced: [Rule], observed: [Rule]
    ) -> (creations: [Attributed<Rule>], displaced: [Rule], deletions: [Rule]) {
        let anonymous = { (rule: Rule) -> Rule in
            var rule = rule
            rule.routeProtocol = RouteProtocol(0)
            return rule
        }
        let present = Set(observed.map(anonymous))
        let wanted = Set(desired.map { anonymous($0.object) })
        let unwanted = Set(displaced.map(anonymous))
        return (
            desired.filter { !present.contains(anonymous($0.object)) },
            observed.filter { unwanted.contains(anonymous($0)) },
            observed.filter {
                $0.routeProtocol == owner.routeProtocol && !wanted.contains(anonymous($0))
                    && !unwanted.contains(anonymous($0))
            }
        )
    }

    // MARK: - Guests

    /// Those in which something may differ, or whose devices come or go.
    private func guests(
        of intent: KernelIntent, _ keys: ChangedKeys<NamespaceName>, _ links: LinkChanges
    ) -> [KernelIntent.Guest] {
        guard case .some(let names) = keys else { return intent.guests }
        return names.union(links.arrivals.keys).union(links.lostEnds.keys).sorted().compactMap(intent.guest)
    }

    private mutating func planGuest(_ guest: KernelIntent.Guest, _ links: LinkChanges) {
        let name = guest.namespace
        let observed = (snapshot.guests[name] ?? NamespaceSnapshot()).without(links.lostEnds[name] ?? [])
        let wanted = guest.intent
        var settings: [Replacement<Link>] = []
        for link in wanted.links {
            let seen: Link
            if let arrival = links.arrivals[name]?.first(where: { $0.name == link.object.name }) {
                seen = arrival.asCreated
            } else if let present = observed.link(named: link.object.name) {
                seen = present.link
            } else {
                continue  // Its pair could not be planned; the conflict says why.
            }
            if !link.object.settingsDiffering(from: seen).isEmpty {
                settings.append(Replacement(old: seen, new: link.object, origin: link.origin))
            }
        }
        plan.append(ChangeSet(replacements: settings), in: .guest(name), as: { .links($0) })
        let addresses = difference(desired: wanted.addresses, observed: observed.addresses)
        let rules = ruleChanges(wanted.rules, displaced: [], observed: observed.rules)
        let routes = difference(desired: wanted.routes, observed: observed.routes)
        plan.append(addresses.withoutDeletions, in: .guest(name), as: { .addresses($0) })
        plan.append(routes.withoutDeletions, in: .guest(name), as: { .routes($0) })
        plan.append(ChangeSet(creations: rules.creations), in: .guest(name), as: { .rules($0) })
        plan.append(ChangeSet(deletions: rules.deletions), in: .guest(name), as: { .rules($0) })
        plan.append(ChangeSet(deletions: routes.deletions), in: .guest(name), as: { .routes($0) })
        plan.append(ChangeSet(deletions: addresses.deletions), in: .guest(name), as: { .addresses($0) })
    }

    /// Guests that none of the wanted interfaces is in: their devices go with the veth, their rules do not. As long as
    /// there is a device with their name in its mark, they are known.
    private mutating func planAbandonedGuests() {
        let names: [NamespaceName]
        switch suspects.guests {
        case .some(let keys): names = keys.sorted()
        case .any: names = snapshot.guests.keys.sorted()
        }
        for name in names where intent.guest(in: name) == nil {
            guard let observed = snapshot.guests[name] else { continue }
            let rules = observed.rules.filter { $0.routeProtocol == owner.routeProtocol }
            plan.append(ChangeSet(deletions: rules), in: .guest(name), as: { .rules($0) })
        }
    }
}

extension NFObservedChain {
    fileprivate func hasDevice(of names: Set<InterfaceName>) -> Bool {
        base?.devices.contains(where: names.contains) ?? false
    }

    fileprivate var removal: [NFOperation] {
        (rules.isEmpty ? [] : [.flushChain(name: name)]) + [.deleteChain(name: name)]
    }
}

// MARK: - Links

/// What happens to the devices of a host.
///
/// A device's name is its key, but it may hold other things that exist only once: a name in a guest's namespace, the key
/// of a tunnel, a table. Whoever holds what another one is to get gives way first. A guest's pair that is to have another
/// name is the exception: it is renamed, so that the guest's end stays as it is.
struct LinkChanges {
    var creations: [Attributed<Link>] = []
    /// Of the same name, but for pairs that are renamed.
    var replacements: [Replacement<Link>] = []
    /// Deleted at the beginning: to be made anew, or in the way of what is to be made.
    var givingWay: [Link] = []
    /// Deleted at the end.
    var deletions: [Link] = []
    /// Devices of others that are given back as they were, at the end.
    var releases: [Replacement<Link>] = []
    var conflicts: [ChangePlan.Conflict] = []
    /// Devices that cannot be had: somebody else's have their names or those of their masters.
    var unavailable: Set<InterfaceName> = []
    /// Devices on which the kernel drops neighbours, routes and nexthops: deleted at the beginning, renamed, or moved to
    /// another master.
    var disrupted: Set<InterfaceName> = []
    /// New names of devices, by the old ones.
    var renamed: [InterfaceName: InterfaceName] = [:]
    /// Devices that will be gone.
    var doomed: Set<InterfaceName> = []
    /// The guests' ends of the pairs that are made.
    var arrivals: [NamespaceName: [VethPeer]] = [:]
    /// The guests' ends of the pairs that are deleted at the beginning.
    var lostEnds: [NamespaceName: Set<InterfaceName>] = [:]
    var portsToAwait: [InterfaceName] = []
    /// Devices of others that are ours to set, and those that are given back.
    var planned: Set<InterfaceName> = []
    private let owner: Ownership

    var goneAtFirst: Set<InterfaceName> { Set(givingWay.map(\.name)) }

    /// What goes, and the old names of what is renamed: until then they may have packets on their way.
    var leavingNames: Set<InterfaceName> {
        Set(deletions.map(\.name)).union(renamed.keys).union(givingWay.lazy.map(\.name).filter(doomed.contains))
    }

    /// - Parameter suspects: Which devices may not be as they shall be.
    init(intent: KernelIntent, snapshot: KernelSnapshot, owner: Ownership, suspects: ChangedKeys<InterfaceName>) {
        self.owner = owner
        let wanted = intent.host.links(at: suspects)
        let observed = snapshot.host.links(at: suspects)
        findConflicts(wanted, snapshot)
        let available = wanted.including { !unavailable.contains($0.object.name) }
        let names = Set(wanted.map(\.object.name))
        planned = names.subtracting(unavailable)
        let missing = findWhatGivesWay(available, names, snapshot, observed)
        let gone = goneAtFirst
        for link in available where !missing.contains(link.object.name) { adjust(link, snapshot, gone) }
        for link in available where missing.contains(link.object.name) { create(link) }
        for seen in observed where !names.contains(seen.link.name) {
            let isAdopted = seen.link.master.flatMap(snapshot.host.link(named:))?.isOwned ?? false
            if !seen.isOwned, let former = seen.former(owner) {
                var released = seen.link.released(to: former)
                released.isOutside = snapshot.standing.isApart
                releases.append(Replacement(old: seen.link, new: released, origin: .none))
                planned.insert(seen.link.name)
                continue
            }
            guard seen.isOwned || isAdopted, renamed[seen.link.name] == nil else { continue }
            planned.insert(seen.link.name)
            if seen.isOwned { doomed.insert(seen.link.name) }
            // By whatever name, it goes with the near end, and its number to the one that is made.
            if let end = seen.link.kind.pairEnd, end.isFar, gone.contains(end.peer) { continue }
            if !gone.contains(seen.link.name) { deletions.append(seen.link) }
        }
    }

    private mutating func findConflicts(_ wanted: [Attributed<Link>], _ snapshot: KernelSnapshot) {
        for link in wanted where link.object.kind != .adopted {
            let name = link.object.name
            guard let seen = snapshot.host.link(named: name), !seen.isOwned else { continue }
            if seen.isUnmarkedEnd(link.object, of: snapshot.host) { continue }
            let kind = seen.kindName.isEmpty ? "device" : "\(seen.kindName) device"
            conflicts.append(
                .init(
                    object: link.object.description, device: name, origin: link.origin,
                    reason: "a \(kind) of somebody else has the name \(name)"))
            unavailable.insert(name)
        }
        if conflicts.isEmpty { return }
        // Masters have no masters.
        for link in wanted {
            if let master = link.object.master, unavailable.contains(master) { unavailable.insert(link.object.name) }
        }
    }

    // MARK: Who gives way

    /// Decides which devices are made, which of those that are there give way to them, and which are renamed.
    /// - Returns: the names of those that are made.
    private mutating func findWhatGivesWay(
        _ wanted: [Attributed<Link>], _ names: Set<InterfaceName>, _ snapshot: KernelSnapshot,
        _ observed: [ObservedLink]
    ) -> Set<InterfaceName> {
        var missing: [Attributed<Link>] = []
        for link in wanted {
            guard let seen = snapshot.present(link.object) else {
                missing.append(link)
                continue
            }
            let isUsable = link.object.canReuse(seen.link) || seen.isUnmarkedEnd(link.object, of: snapshot.host)
            let isLost =
                link.object.kind.pairEnd.map { end in missing.contains { $0.object.name == end.peer } } ?? false
            if isUsable, !isLost, isConnected(link.object, seen, snapshot) { continue }
            missing.append(link)
            giveWay(seen, snapshot)
        }
        if missing.isEmpty { return [] }
        // Of ours that nobody wants by their names.
        let leaving = observed.filter { $0.isOwned && !names.contains($0.link.name) }
        var holders: [Link.Holding: ObservedLink] = [:]
        for seen in leaving {
            if let holding = holding(of: seen, snapshot) { holders[holding] = seen }
        }
        var made: Set<InterfaceName> = []
        var renames: [(old: Link, new: Attributed<Link>)] = []
        for link in missing {
            guard let holder = link.object.holding.flatMap({ holders[$0] }) else {
                made.insert(link.object.name)
                continue
            }
            if case .veth = link.object.kind, snapshot.host.link(named: link.object.name) == nil {
                renames.append((holder.link, link))
            } else {
                made.insert(link.object.name)
                giveWay(holder, snapshot)
            }
        }
        let gone = goneAtFirst
        for (old, new) in renames { rename(old.without(masters: gone), to: new) }
        return made
    }

    private mutating func giveWay(_ seen: ObservedLink, _ snapshot: KernelSnapshot) {
        givingWay.append(seen.link)
        disrupted.insert(seen.link.name)
        guard case .veth(let peer) = seen.link.kind else { return }
        lostEnds[peer.namespace, default: []].insert(Self.farEnd(of: seen, peer, snapshot)?.link.name ?? peer.name)
    }

    private mutating func rename(_ old: Link, to link: Attributed<Link>) {
        renamed[old.name] = link.object.name
        disrupted.insert(old.name)
        replacements.append(Replacement(old: old, new: link.object, origin: link.origin))
        portsToAwait.append(link.object.name)
    }

    /// What a device of ours has that no other can have; of a pair where its other end really is.
    private func holding(of seen: ObservedLink, _ snapshot: KernelSnapshot) -> Link.Holding? {
        guard case .veth(let peer) = seen.link.kind else { return seen.link.holding }
        return Self.farEnd(of: seen, peer, snapshot).map { .end($0.link.name, peer.namespace) }
    }

    /// The other end of a pair of ours, by whatever name.
    private static func farEnd(of seen: ObservedLink, _ peer: VethPeer, _ snapshot: KernelSnapshot) -> ObservedLink? {
        snapshot.guests[peer.namespace]?.links.first { $0.index == seen.peerIndex && $0.peerIndex == seen.index }
    }

    // MARK: What is done

    private mutating func adjust(_ link: Attributed<Link>, _ snapshot: KernelSnapshot, _ gone: Set<InterfaceName>) {
        let name = link.object.name
        guard let present = snapshot.present(link.object) else { return }
        let seen = present.link.without(masters: gone)
        var wanted = link.object
        wanted.notes = notes(of: wanted, present, snapshot.host)
        let different = wanted.settingsDiffering(from: seen)
        if different.isEmpty { return }
        replacements.append(Replacement(old: seen, new: wanted, origin: link.origin))
        if different.contains(.master) { disrupted.insert(name) }
        if different.contains(.master) || different.contains(.isUp), case .veth = link.object.kind {
            portsToAwait.append(name)
        }
    }

    /// What a device of somebody else was is noted before it is taken, and as long as we have it.
    private func notes(of link: Link, _ seen: ObservedLink, _ host: NamespaceSnapshot) -> [String]? {
        guard link.kind == .adopted, link.master != nil, !seen.isOwned else { return nil }
        // One that an earlier version took is ours already, and what it was is lost.
        let isTaken = seen.link.master.flatMap(host.link(named:))?.isOwned ?? false
        if isTaken || seen.former(owner) != nil { return seen.link.notes }
        return [FormerSettings(of: seen.link).note(owner, index: seen.index)]
    }

    private mutating func create(_ link: Attributed<Link>) {
        if link.object.kind.pairEnd?.isFar == true {
            // It is made with the near end.
            replacements.append(Replacement(old: link.object.asFarEnd, new: link.object, origin: link.origin))
            return
        }
        creations.append(link)
        guard case .veth(let peer) = link.object.kind else { return }
        arrivals[peer.namespace, default: []].append(peer)
        portsToAwait.append(link.object.name)
    }

    /// Whether a veth's other end is where it belongs.
    private func isConnected(_ link: Link, _ seen: ObservedLink, _ snapshot: KernelSnapshot) -> Bool {
        guard case .veth(let peer) = link.kind else { return true }
        guard let far = snapshot.guests[peer.namespace]?.link(named: peer.name) else { return false }
        return far.index == seen.peerIndex && far.peerIndex == seen.index
    }
}

extension Link {
    /// This link when those are gone: with its master it loses it.
    fileprivate func without(masters gone: Set<InterfaceName>) -> Link {
        guard let master, gone.contains(master) else { return self }
        var released = self
        released.master = nil
        return released
    }

    /// What only one device can have, beside its name.
    fileprivate enum Holding: Hashable {
        /// A name in a guest's namespace.
        case end(InterfaceName, NamespaceName)
        /// A tunnel is found by these (ip_tunnel_find of net/ipv4/ip_tunnel.c).
        case tunnel(local: IPAddress, key: UInt32, underlay: InterfaceName)
        /// One per namespace.
        case externalTunnel
        /// That of a far end.
        case number(UInt32)
        /// Only one where the namespace's VRFs are in strict mode (net.vrf.strict_mode).
        case table(TableID)
    }

    fileprivate var holding: Holding? {
        switch kind {
        case .vrf(let table): .table(table)
        case .gre(let tunnel): .tunnel(local: tunnel.local, key: tunnel.key, underlay: tunnel.underlay)
        case .greExternal: .externalTunnel
        case .veth(let peer): .end(peer.name, peer.namespace)
        case .pair(let end): end.isFar ? nil : .number(end.farIndex)
        case .macvlan, .ipvlan, .bridge, .dummy, .adopted: nil
        }
    }
}

extension KernelSnapshot {
    /// The device where it is, or where one of somebody else is to come from.
    fileprivate func present(_ link: Link) -> ObservedLink? {
        if let seen = host.link(named: link.name) { return seen }
        guard link.kind == .adopted, standing.isApart, var seen = underlay.link(named: link.name), !seen.isOwned else {
            return nil
        }
        seen.link.isOutside = true
        return seen
    }
}

extension Link {
    /// A far end just after its pair was made: down, and nothing of it set.
    fileprivate var asFarEnd: Link { Link(name: name, kind: .adopted, isUp: false) }
}

extension ObservedLink {
    /// Whether it is the far end of a pair of ours that has not got its mark yet.
    fileprivate func isUnmarkedEnd(_ wanted: Link, of host: NamespaceSnapshot) -> Bool {
        guard !isOwned, let end = wanted.kind.pairEnd, end.isFar, index == end.farIndex,
            let near = host.link(named: end.peer)
        else { return false }
        return near.isOwned && near.peerIndex == index && near.index == peerIndex
    }
}

extension VethPeer {
    /// The far end just after the pair was made: down, with the MAC address and MTU that were asked for.
    fileprivate var asCreated: Link {
        Link(name: name, kind: .adopted, mtu: mtu, hardwareAddress: hardwareAddress, isUp: false)
    }
}

// MARK: - What the kernel will have dropped

extension NamespaceSnapshot {
    /// Whether the kernel drops anything when `changes` disrupt devices. Mostly it does not: a guest's device that is about
    /// to become a port has nothing yet.
    fileprivate func loses(_ changes: LinkChanges) -> Bool {
        if changes.disrupted.isEmpty { return false }
        let names = Array(changes.disrupted)
        for name in names {
            if holds(addresses, name, { $0.device }) || holds(neighbors, name, { $0.device }) { return true }
        }
        return nexthops.contains { nexthop in nexthop.device.map(names.contains) ?? false }
            || routes.contains { route in !route.device.isNone && names.contains(route.device) }
    }

    /// - Parameter list: By device.
    private func holds<Object>(
        _ list: [Object], _ name: InterfaceName, _ device: (Object) -> InterfaceName
    ) -> Bool {
        let place = list.partitionPoint { device($0) < name }
        return place < list.count && device(list[place]) == name
    }

    /// This snapshot without what the kernel drops when `changes` disrupt devices: neighbours, the routes and nexthops
    /// of those devices, their membership in groups, and the routes that are left without a nexthop. Addresses go with
    /// their device, and stay with one that is renamed.
    fileprivate func surviving(_ changes: LinkChanges) -> NamespaceSnapshot {
        var rest = self
        let gone = changes.goneAtFirst
        rest.addresses.removeAll { gone.contains($0.device) }
        if !changes.renamed.isEmpty {
            for index in rest.addresses.indices {
                if let name = changes.renamed[rest.addresses[index].device] { rest.addresses[index].device = name }
            }
            rest.addresses.sort { $0.key < $1.key }
        }
        rest.neighbors.removeAll { changes.disrupted.contains($0.device) }
        let lost = Set(nexthops.filter { $0.device.map(changes.disrupted.contains) ?? false }.map(\.id))
        var lostNexthops = lost
        rest.nexthops = nexthops.compactMap { nexthop in
            if lost.contains(nexthop.id) { return nil }
            guard case .group(var group) = nexthop.body else { return nexthop }
            group.members.removeAll { lost.contains($0.id) }
            if group.members.isEmpty {
                lostNexthops.insert(nexthop.id)
                return nil
            }
            return Nexthop(id: nexthop.id, body: .group(group))
        }
        rest.routes.removeAll { changes.disrupted.contains($0.device) || lostNexthops.contains($0.nexthop) }
        return rest
    }

    /// This snapshot without what sat on devices that are gone.
    fileprivate func without(_ devices: Set<InterfaceName>) -> NamespaceSnapshot {
        if devices.isEmpty { return self }
        var rest = self
        rest.addresses.removeAll { devices.contains($0.device) }
        rest.routes.removeAll { devices.contains($0.device) }
        return rest
    }
}

extension ChangeSet {
    fileprivate var withoutDeletions: ChangeSet { ChangeSet(creations: creations, replacements: replacements) }

    fileprivate func filtered(_ isIncluded: (Object) -> Bool) -> ChangeSet {
        ChangeSet(
            deletions: deletions.including(isIncluded), creations: creations.including { isIncluded($0.object) },
            replacements: replacements.including { isIncluded($0.new) })
    }
}

extension Array {
    /// `filter`, without a copy where everything is included.
    fileprivate func including(_ isIncluded: (Element) -> Bool) -> [Element] {
        allSatisfy(isIncluded) ? self : filter(isIncluded)
    }
}

/// While routes change one by one, every address follows either its former route or its new one, and no third: a new one
/// is never there before the longer ones that are to have a part of it, and what a former one covered is not uncovered
/// before it goes.
extension ChangeSet<Route> {
    fileprivate var longestFirst: [ChangeSet] {
        let lengths = Set(creations.map(\.object.length)).union(replacements.map(\.new.length))
        if lengths.count < 2 { return [self] }
        return lengths.sorted(by: >).map { length in filtered { $0.length == length } }
    }

    fileprivate var deletionsShortestFirst: [Route] {
        guard let first = deletions.first, deletions.contains(where: { $0.length != first.length }) else {
            return deletions
        }
        let lengths = Set(deletions.map(\.length)).sorted()
        return lengths.flatMap { length in deletions.filter { $0.length == length } }
    }
}

extension Route {
    fileprivate var length: UInt8 { key.destination.length }
}

extension NFSnapshot {
    /// Whether these tables are there, and awake.
    fileprivate func holds(_ tables: [NFTableIntent]) -> Bool {
        tables.allSatisfy { wanted in table(wanted.table).map { !$0.isDormant } ?? false }
    }
}
