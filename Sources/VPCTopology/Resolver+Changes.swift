public import VPCModel

extension Resolver {
    /// Takes changes in: what has changed and what refers to it in a way that matters is resolved anew, by what resolves
    /// everything.
    /// - Returns: nil, with nothing changed, where something may be worth a complaint.
    mutating func take(_ changes: ResourceChanges) -> TopologyChange? {
        guard let batch = batch(of: changes) else { return nil }
        for resource in batch.gone { withdraw(resource, isGone: true) }
        for resource in batch.replaced { withdraw(resource, isGone: false) }
        policyEffort = index.policyEffort
        model = batch.model
        resolve { resolver in resolver.diagnostics.isEmpty && !resolver.isInDoubt }
        guard var done = change, diagnostics.isEmpty, !isInDoubt else {
            if let change { revert(change) }
            return nil
        }
        for kind in Self.kinds { kind.settle(&done, &topology) }
        return done
    }

    // MARK: What is concerned

    private struct Batch {
        /// What is to be resolved.
        var model = Model()
        /// What is to be resolved anew.
        var replaced: Set<NumberedResource> = []
        var gone: Set<NumberedResource> = []
    }

    /// - Returns: nil where everything has to be resolved.
    private mutating func batch(of changes: ResourceChanges) -> Batch? {
        var batch = Batch()
        var concerned: Set<NumberedResource> = []
        for (reference, old) in changes.removed {
            let kind = Self.kinds[reference.kind.ordinal]
            if kind.changesEverything || kind.bringsOthers(old.value) { return nil }
            guard let number = kind.number(of: reference.name, &self) else { return nil }
            let resource = NumberedResource(kind: reference.kind, number: number)
            if let new = changes.added[reference] {
                batch.replaced.insert(resource)
                guard let others = kind.concerned(old.value, by: new.value, number, self) else { return nil }
                concerned.formUnion(others)
            } else {
                batch.gone.insert(resource)
                // Who still names it is reported.
                for referrer in kind.referrers(to: number, self)
                where changes.removed[self.reference(of: referrer)] == nil { return nil }
            }
        }
        for (reference, new) in changes.added {
            let isKnown = Self.kinds[reference.kind.ordinal].number(of: reference.name, &self) != nil
            guard isKnown == (changes.removed[reference] != nil) else { return nil }
            let kind = Self.kinds[reference.kind.ordinal]
            if kind.changesEverything || kind.bringsOthers(new.value) { return nil }
            batch.model.append(new)
        }
        if concerned.contains(where: { Self.kinds[$0.kind.ordinal].changesEverything }) { return nil }
        let touched = concerned.union(batch.replaced)
        concerned.formUnion(edge(with: touched))
        concerned.formUnion(balancing(with: touched.union(batch.gone), changes))
        concerned.formUnion(policies(naming: concerned.union(batch.replaced).union(batch.gone)))
        let hasOtherWays = (Set(changes.added.keys.map(\.kind)).union(changes.removed.keys.map(\.kind))).union(
            touched.map(\.kind))
        if hasOtherWays.contains(.subnet) || hasOtherWays.contains(.routeTable) {
            // Which inside addresses there are depends on who leads to them.
            for number in index.natGatewaysWithBlocks {
                concerned.insert(NumberedResource(kind: .natGateway, number: number))
            }
        }
        for resource in concerned where !batch.gone.contains(resource) && batch.replaced.insert(resource).inserted {
            batch.model.append(Self.kinds[resource.kind.ordinal].resource(resource.number, in: topology))
        }
        return batch
    }

    /// Elastic IPs and port forwards whose interface, or whose way out, may be another one.
    private func edge(with resources: Set<NumberedResource>) -> [NumberedResource] {
        if topology.elasticIPs.isEmpty, index.natGatewaysOfInterface.targets.isEmpty { return [] }
        var interfaces: Set<Int> = []
        for resource in resources {
            switch resource.kind {
            case .networkInterface: interfaces.insert(resource.number)
            case .subnet: interfaces.formUnion(index.interfaces(of: resource.number, in: topology))
            case .routeTable:
                for subnet in index.subnetsOfRouteTable[resource.number] {
                    interfaces.formUnion(index.interfaces(of: subnet, in: topology))
                }
            default: break
            }
        }
        return interfaces.flatMap { interface in
            index.elasticIPsOfInterface[interface].map { NumberedResource(kind: .elasticIP, number: $0) }
                + index.natGatewaysOfInterface[interface].map { NumberedResource(kind: .natGateway, number: $0) }
        }
    }

    private func reference(of resource: NumberedResource) -> ResourceReference {
        ResourceReference(resource.kind, topology.name(of: resource.kind, at: resource.number) ?? "")
    }

    // MARK: Out and back

    func isWithdrawn(_ kind: ResourceKind, _ number: Int) -> Bool {
        !withdrawn.isEmpty && withdrawn.contains(NumberedResource(kind: kind, number: number))
    }

    private mutating func withdraw(_ resource: NumberedResource, isGone: Bool) {
        Self.kinds[resource.kind.ordinal].withdraw(resource.number, isGone: isGone, &self)
        withdrawn.insert(resource)
    }

    /// Leaves everything as it was before a change, be it taken in as a whole or in part.
    mutating func revert(_ done: TopologyChange) {
        change = nil
        for kind in Self.kinds { kind.leaveNew(done, &self) }
        for kind in Self.kinds { kind.putBack(done, &self) }
        for kind in Self.kinds { kind.enterFormer(done, &self) }
        withdrawn = []
    }
}

extension TopologyIndex {
    /// Takes changes of resources into the topology of this index. Takes time in proportion to what has changed and to what
    /// refers to that.
    ///
    /// - Returns: nil, with nothing changed, where all has to be resolved: something may be worth a complaint.
    public mutating func apply(_ changes: ResourceChanges, to topology: inout Topology) -> TopologyChange? {
        apply(changes, to: &topology, limits: TrafficLimits())
    }

    mutating func apply(
        _ changes: ResourceChanges, to topology: inout Topology, limits: TrafficLimits
    ) -> TopologyChange? {
        resolving(&topology, limits) { $0.take(changes) }
    }

    /// Takes the last change back.
    public mutating func revert(_ change: TopologyChange, in topology: inout Topology) {
        resolving(&topology, TrafficLimits()) { $0.revert(change) }
    }

    private mutating func resolving<Result>(
        _ topology: inout Topology, _ limits: TrafficLimits, _ body: (inout Resolver) -> Result
    ) -> Result {
        var resolver = Resolver(limits: limits)
        // Moved, so that nothing is copied.
        swap(&resolver.topology, &topology)
        swap(&resolver.index, &self)
        defer {
            swap(&resolver.topology, &topology)
            swap(&resolver.index, &self)
        }
        return body(&resolver)
    }
}

// What is done with resources of any kind.
extension ResolvableResource {
    fileprivate static func number(of name: String, _ resolver: inout Resolver) -> Int? {
        resolver.number(Self.self, name)
    }

    fileprivate static func resource(_ number: Int, in topology: Topology) -> Resource {
        Resource(Self(elements(of: topology)[number], in: topology))
    }

    fileprivate static func bringsOthers(_ resource: any ResourceType) -> Bool {
        (resource as? Self)?.bringsOthers ?? false
    }

    fileprivate static func concerned(
        _ old: any ResourceType, by new: any ResourceType, _ number: Int, _ resolver: Resolver
    ) -> [NumberedResource]? {
        guard let old = old as? Self, let new = new as? Self else { return nil }
        return old.concerned(by: new, number, resolver)
    }

    fileprivate static func withdraw(_ number: Int, isGone: Bool, _ resolver: inout Resolver) {
        let former = noted(elements(of: resolver.topology)[number])
        leave(number, &resolver)
        if isGone { resolver.index.names[kind.ordinal].remove(number, former.resourceName.hashValue) }
        record(&resolver.change) { part in
            // A target of routes is noted when the first table goes.
            let former = part.changed.removeValue(forKey: number) ?? former
            if isGone { part.removed[number] = former } else { part.changed[number] = former }
        }
    }

    /// Gives the numbers of what is gone away, and forgets what is as it was.
    fileprivate static func settle(_ change: inout TopologyChange, _ topology: inout Topology) {
        part(of: &change) { part in
            part.added.sort()
            for number in part.removed.keys { elements(&topology) { $0.remove(at: number) } }
            let now = elements(of: topology)
            part.changed = part.changed.filter { noted(now[$0.key]) != $0.value }
        }
    }

    fileprivate static func leaveNew(_ change: TopologyChange, _ resolver: inout Resolver) {
        let part = copy(of: change)
        for number in part.added + part.changed.keys where !resolver.isWithdrawn(kind, number) {
            leave(number, &resolver)
        }
    }

    fileprivate static func putBack(_ change: TopologyChange, _ resolver: inout Resolver) {
        let part = copy(of: change)
        for number in part.added {
            let name = elements(of: resolver.topology)[number].resourceName
            resolver.index.names[kind.ordinal].remove(number, name.hashValue)
            elements(&resolver.topology) { $0.remove(at: number) }
        }
        for (number, former) in part.changed {
            elements(&resolver.topology) { $0[number] = restored(former, $0[number]) }
        }
        for (number, former) in part.removed {
            elements(&resolver.topology) { elements in
                let now = elements.contains(number: number) ? elements[number] : former
                elements.restore(restored(former, now), at: number)
            }
            resolver.index.names[kind.ordinal].insert(number, former.resourceName.hashValue)
        }
    }

    fileprivate static func enterFormer(_ change: TopologyChange, _ resolver: inout Resolver) {
        let part = copy(of: change)
        for number in Array(part.changed.keys) + Array(part.removed.keys) { enter(number, &resolver) }
    }

    private static func copy(of change: TopologyChange) -> TopologyChange.Part<Resolved> {
        var change = change
        return part(of: &change) { $0 }
    }
}
