import Console
import KernelModel
import Reconciler
import VPCManifest
import VPCModel
import VPCTopology

/// A plan for people and for programs.
struct PlanPresentation {
    let plan: HostPlan
    /// Nil for a removal.
    let manifests: Manifests?

    func resource(_ origin: Origin) -> ResourceReference? {
        origin == .none ? nil : manifests?.topology.resource(of: origin)
    }

    /// `+ link vpc-v1000001 type vrf table 1000001  (VPC/blue)`.
    func line(_ operation: Operation, style: Style) -> String {
        let place = operation.namespace.map { "[\($0)] " } ?? ""
        let was = operation.action == .change && operation.kind == .sysctl ? operation.previous : nil
        var text = place + operation.object
        if let value = was?.split(separator: "=", maxSplits: 1).last { text += " (was \(value))" }
        let owner = resource(operation.origin).map { style.dim("  (\($0))") } ?? ""
        return switch operation.action {
        case .create: style.green("+ " + text) + owner
        case .change: style.yellow("~ " + text) + owner
        case .delete: style.red("- " + text) + owner
        case .wait: style.dim("  wait: " + text)
        }
    }

    /// What stands in the way, a line each.
    var obstacles: [String] {
        let conflicts = plan.changes.conflicts.map { conflict in
            place(resource(conflict.origin)) + ": " + conflict.object + ": " + conflict.reason
        }
        let absent = plan.unattached.compactMap { unattached in
            manifests.map { manifests in
                let name = manifests.topology.interfaces[unattached.interface].name
                return place(ResourceReference(.networkInterface, name)) + ": \(unattached.reason)"
            }
        }
        return conflicts + absent
    }

    func place(_ resource: ResourceReference?) -> String {
        guard let resource else { return "object without resource" }
        return manifests?.place(of: resource) ?? resource.description
    }

    func structured(host: String?) -> StructuredValue {
        let operations = plan.changes.operations.map { operation -> StructuredValue in
            [
                "action": .string(operation.action.rawValue), "kind": .string(operation.kind.rawValue),
                "namespace": .string(orNull: operation.namespace?.rawValue), "object": .string(operation.object),
                "previous": .string(orNull: operation.previous),
                "resource": .string(orNull: resource(operation.origin)?.description),
            ]
        }
        return [
            "apiVersion": "vpcctl.dev/v1", "kind": "ChangePlan", "host": .string(orNull: host),
            "summary": plan.changes.counts.structured, "obstacles": .list(obstacles.map { .string($0) }),
            "operations": .list(operations),
        ]
    }
}

extension ChangePlan.Counts {
    var structured: StructuredValue {
        ["created": .integer(created), "changed": .integer(changed), "deleted": .integer(deleted)]
    }
}

extension StructuredValue {
    static func string(orNull text: String?) -> StructuredValue { text.map { .string($0) } ?? .null }
}
