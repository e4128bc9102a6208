import VPCTopology

/// Load balancers of the VPCs that are here, and what changes of them concern.
extension HostCompiler {
    func noteBalancers(_ change: TopologyChange, in concerned: inout Concerned) {
        let (own, groups) = (change.loadBalancers, change.targetGroups)
        concerned.balancers.formUnion(own.added + Array(own.changed.keys) + Array(own.removed.keys))
        let turned = groups.added + Array(groups.changed.keys) + Array(groups.removed.keys)
        concerned.balancers.formUnion(
            balancers(of: Set(turned).union(targetGroups(with: Set(change.interfaces.changed.keys)))))
    }

    /// Targets that have recovered or fallen ill.
    func noteTargets(_ former: Set<WatchedTarget>?, _ now: Set<WatchedTarget>?, in concerned: inout Concerned) {
        if former == now { return }
        let turned = Set((former ?? []).symmetricDifference(now ?? []).map(\.group))
        // Whether anybody asks concerns all.
        let isKnown = former != nil && now != nil
        let groups = topology.targetGroups.numbered.filter {
            $0.element.healthCheck != nil && (!isKnown || turned.contains($0.element.name))
        }
        concerned.balancers.formUnion(balancers(of: Set(groups.map(\.number))))
    }

    /// Finds out which are here, and whose targets' ports have come or gone.
    mutating func findBalancers(_ concerned: inout Concerned) {
        let all = topology.loadBalancers
        if all.isEmpty, balancers.isEmpty { return }
        let now = Set(
            all.indices.filter {
                all[$0].inside != nil && contexts[Context.Key(vpc: all[$0].vpc, routeTable: nil)] != nil
            })
        concerned.balancers.formUnion(now.symmetricDifference(balancers))
        var places: [Int: Set<Context.Key>] = [:]
        for vpc in Set(now.map { all[$0].vpc }) {
            places[vpc] = Set(contexts.keys.filter { $0.vpc == vpc && $0.natGateway == nil })
            if places[vpc] != contextsOfBalancers[vpc] {
                concerned.balancers.formUnion(now.filter { all[$0].vpc == vpc })
            }
        }
        contextsOfBalancers = places
        concerned.balancers.formUnion(balancers(of: targetGroups(with: concerned.interfaces)))
        balancers = now
    }

    /// In the order of their tables.
    func contexts(withBalancersOf vpc: Int) -> [Context] {
        (contextsOfBalancers[vpc] ?? []).compactMap { contexts[$0] }.sorted { $0.table < $1.table }
    }

    var sharings: Set<Sharing> {
        let all = topology.loadBalancers
        return Set(balancers.flatMap { topology.sharings(of: all[$0]) })
    }

    mutating func bringBalancers(_ numbers: Set<Int>) {
        for number in numbers.sorted() {
            if balancers.contains(number) {
                madeBalancers.insert(number)
                bring(.balancer(number))
            } else if madeBalancers.remove(number) != nil {
                drop(.balancer(number))
            }
        }
    }

    private func targetGroups(with interfaces: Set<Int>) -> Set<Int> {
        if interfaces.isEmpty { return [] }
        return Set(
            topology.targetGroups.numbered.filter { group in
                group.element.targets.contains { interfaces.contains($0.interface) }
            }.map(\.number))
    }

    private func balancers(of groups: Set<Int>) -> Set<Int> {
        if groups.isEmpty { return [] }
        return Set(
            topology.loadBalancers.numbered.filter { !$0.element.targetGroups.isDisjoint(with: groups) }.map(\.number))
    }
}
