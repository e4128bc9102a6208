import KernelModel
import VPCCompiler

extension ChangePlan {
    /// Whether the firewall may forbid what it allowed: something is taken from it, an interface gets groups, or it was
    /// gone and nobody knows what was allowed before.
    var mayTightenPolicy: Bool {
        steps.contains { step in
            guard case .firewall(let tables, _) = step.work else { return false }
            return tables.contains { $0.operations.contains(where: \.mayTightenPolicy) }
        }
    }

    /// The same plan, with `connections` forgotten as soon as the new policy is in.
    func cutting(_ connections: [Connection]) -> ChangePlan {
        guard !connections.isEmpty, let position = steps.lastIndex(where: \.changesPolicy) else { return self }
        var plan = self
        plan.steps.insert(Step(.connections(connections)), at: position + 1)
        return plan
    }
}

extension ChangePlan.Step {
    fileprivate var changesPolicy: Bool {
        guard case .firewall(let tables, _) = work else { return false }
        return tables.contains { !$0.turn.isEmpty }
    }
}

extension NFOperation {
    fileprivate var mayTightenPolicy: Bool {
        switch self {
        case .createTable: true
        // An interface that gets its first group is an added element.
        case .addElements(let set, _, _): ["sg_in", "sg_out"].contains(set.prefix { $0 != "." })
        case .removeElements(let set, _, _), .deleteSet(let set), .flushSet(let set):
            set.hasPrefix("sg_") || set.hasPrefix("members_")
        case .deleteRule(let chain, _, _), .flushChain(let chain): chain.hasPrefix("sg")
        default: false
        }
    }
}
