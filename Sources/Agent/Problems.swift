import KernelModel
import KernelNames
import Reconciler
import VPCModel
import VPCTopology

/// What keeps a host from being as it shall be, by resource.
struct Problems {
    private(set) var byResource: [ResourceReference: ResourceProblem] = [:]
    /// One sentence each.
    private(set) var failures: [String] = []
    private var pendingInterfaces = 0

    init(_ result: HostPass.Result, _ topology: Topology) {
        for unattached in result.plan.unattached {
            let interface = ResourceReference(.networkInterface, topology.interfaces[unattached.interface].name)
                .declared
            if unattached.reason.isRefusal {
                add(interface, "\(unattached.reason)")
                continue
            }
            byResource[interface] = ResourceProblem(
                phase: .pending, reason: "\(unattached.reason)")
            pendingInterfaces += 1
        }
        for index in result.plan.unreachable {
            let remote = topology.hosts[index]
            byResource[ResourceReference(.host, remote.metadata.name)] = ResourceProblem(
                phase: .pending, reason: HostPlan.unreachableReason(remote.underlayAddress))
        }
        for index in result.plan.disconnected {
            byResource[ResourceReference(.externalNetwork, topology.externalNetworks[index].name)] = ResourceProblem(
                phase: .pending, reason: HostPlan.disconnectedReason)
        }
        for conflict in result.plan.changes.conflicts {
            add(conflict.origin, "\(conflict.object): \(conflict.reason)", topology)
        }
        for failure in result.outcome.report.failures {
            let operation = failure.operation
            add(
                operation.origin,
                "\(operation.action.rawValue) \(operation.object)\(operation.place.suffix): \(failure.reason)",
                topology)
        }
        if failures.isEmpty {
            result.outcome.remaining.forEachOperation { operation in
                guard operation.action != .wait, failures.count < Self.limit else { return }
                add(
                    operation.origin, "still to do after all: \(operation.action.rawValue) \(operation.object)",
                    topology)
            }
        }
    }

    /// Of a kernel that refuses everything a few sentences are enough.
    private static let limit = 100

    private mutating func add(_ origin: Origin, _ reason: String, _ topology: Topology) {
        add(origin == .none ? nil : topology.resource(of: origin), reason)
    }

    private mutating func add(_ resource: ResourceReference?, _ reason: String) {
        if failures.count < Self.limit { failures.append((resource.map { "\($0): " } ?? "") + reason) }
        if let resource, byResource[resource]?.phase != .failed {
            byResource[resource] = ResourceProblem(phase: .failed, reason: reason)
        }
    }

    var summary: (AgentStatus.Phase, String?) {
        if let first = failures.first { return (.failed, first) }
        if pendingInterfaces > 0 {
            let count = pendingInterfaces
            return (.pending, "\(count) network interface\(count == 1 ? "" : "s") without a guest")
        }
        return (.ready, nil)
    }
}

extension AgentMetrics {
    /// Adds up a pass.
    mutating func note(_ result: HostPass.Result) {
        passes.add(result.duration)
        notifications += result.update.notifications
        if result.update.wasOverrun { overruns += 1 }
        if !result.repaired.isEmpty { repairs.add(result.duration) }
        for operation in result.repaired { self.repaired[operation.kind, default: 0] += 1 }
        if result.plan.changes.counts.total > 0 {
            for step in result.plan.changes.steps { count(step) }
            for failure in result.outcome.report.failures { count(failure) }
        }
        let intent = result.plan.intent.host
        desiredObjects = [
            .sysctl: intent.sysctls.count, .rule: intent.rules.count, .link: intent.links.count,
            .address: intent.addresses.count, .neighbor: intent.neighbors.count, .nexthop: intent.nexthops.count,
            .route: intent.routes.count, .firewall: intent.firewall.count,
        ]
        // Nothing is counted anew: what reading back found to be missing or too much is the whole difference.
        actualObjects = desiredObjects
        for step in result.outcome.remaining.steps where step.place == .host && desiredObjects[step.work.kind] != nil {
            let counts = step.work.counts
            actualObjects[step.work.kind, default: 0] += counts.deleted - counts.created
        }
    }

    private mutating func count(_ step: ChangePlan.Step) {
        let counts = step.work.counts
        for (action, number) in [("create", counts.created), ("change", counts.changed), ("delete", counts.deleted)]
        where number > 0 {
            operations[Operation(kind: step.work.kind, action: action, isDone: true), default: 0] += number
        }
    }

    /// One that was counted as done, and is not.
    private mutating func count(_ failure: CommitReport.Failure) {
        let action = failure.operation.action.rawValue
        operations[Operation(kind: failure.operation.kind, action: action, isDone: false), default: 0] += 1
        operations[Operation(kind: failure.operation.kind, action: action, isDone: true), default: 1] -= 1
        if case .refused(let code, _, _) = failure.reason { netlinkErrors[code, default: 0] += 1 }
    }
}
