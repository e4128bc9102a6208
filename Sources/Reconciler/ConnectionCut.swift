import KernelModel
import VPCCompiler

extension ChangePlan {
    /// Whether the firewall may forbid what it allowed: something is taken from it, or an interface gets groups.
    ///
    /// A first load forbids nothing that this firewall ever judged.
    var mayTightenPolicy: Bool {
        steps.contains { step in
            guard case .firewall(let tables, _) = step.work else { return false }
            return tables.contains { table in
                !table.operations.contains(where: \.isTableCreation)
                    && table.operations.contains(where: \.mayTightenPolicy)
            }
        }
    }

    /// The same plan, with `connections` forgotten as soon as the new policy is in.
    func cutting(_ connections: [Connection]) -> ChangePlan {
        guard !connections.isEmpty,
            let position = steps.firstIndex(where: { if case .firewall = $0.work { true } else { false } })
        else { return self }
        var plan = self
        plan.steps.insert(Step(.connections(connections)), at: position + 1)
        return plan
    }
}

extension NFOperation {
    fileprivate var mayTightenPolicy: Bool {
        switch self {
        case .removeElements(let set, _, _), .addElements(let set, _, _):
            // An interface that gets its first group is an added element of these.
            set == "sg_in" || set == "sg_out" || (isRemoval && (set.hasPrefix("sg_") || set.hasPrefix("members_")))
        case .deleteRule(let chain, _, _), .flushChain(let chain): chain.hasPrefix("sg")
        case .deleteSet(let name), .flushSet(let name): name.hasPrefix("sg_") || name.hasPrefix("members_")
        default: false
        }
    }

    private var isRemoval: Bool { action == .delete }

    fileprivate var isTableCreation: Bool { if case .createTable = self { true } else { false } }
}
