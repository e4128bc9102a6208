public import KernelModel
public import KernelNames
public import Reconciler
public import VPCCompiler
public import VPCManifest
public import VPCModel

/// A plan for people and for programs.
public struct PlanPresentation: Sendable {
    public let plan: HostPlan
    /// Nil for a removal.
    public let manifests: ResolvedManifests?
    /// The name of the Host, where that is known.
    public let host: String?

    public init(_ plan: HostPlan, _ manifests: ResolvedManifests?, host: String?) {
        self.plan = plan
        self.manifests = manifests
        self.host = host
    }

    public func resource(_ origin: Origin) -> ResourceReference? {
        origin == .none ? nil : manifests?.topology.resource(of: origin)
    }

    public func presented(_ operation: Operation) -> PresentedOperation {
        PresentedOperation(operation, resource: resource(operation.origin)?.description)
    }

    /// What stands in the way, a line each.
    public var obstacles: [String] {
        let conflicts = plan.changes.conflicts.map { conflict in
            place(resource(conflict.origin)) + ": " + conflict.object + ": " + conflict.reason
        }
        let absent = plan.unattached.compactMap { unattached in
            manifests.map { manifests in
                let name = manifests.topology.interfaces[unattached.interface].name
                return place(ResourceReference(.networkInterface, name).declared) + ": \(unattached.reason)"
            }
        }
        return conflicts + absent
    }

    /// What is not as it might be and keeps nothing from being done, a line each.
    public var warnings: [String] {
        let networks = plan.disconnected.compactMap { index in
            manifests.map { manifests in
                let name = manifests.topology.externalNetworks[index].name
                return place(ResourceReference(.externalNetwork, name)) + ": " + HostPlan.disconnectedReason
            }
        }
        return networks
            + plan.unreachable.compactMap { index in
                manifests.map { manifests in
                    let remote = manifests.topology.hosts[index]
                    return place(ResourceReference(.host, remote.metadata.name)) + ": "
                        + HostPlan.unreachableReason(remote.underlayAddress)
                }
            }
    }

    /// Whether a part of it is not to be had until somebody changes the manifest or the machine.
    public var isRefused: Bool { plan.unattached.contains { $0.reason.isRefusal } }

    private func place(_ resource: ResourceReference?) -> String {
        guard let resource else { return "object without resource" }
        return manifests?.place(of: resource) ?? resource.description
    }

    /// `web.yaml:3:1: VPC/blue: create link vpc-v1000001: kernel said …`.
    public func describe(_ failure: CommitReport.Failure) -> String {
        let operation = failure.operation
        let owner = resource(operation.origin).map { place($0) + ": " } ?? ""
        let what = "\(operation.action.rawValue) \(operation.object)\(operation.place.suffix)"
        return "\(owner)\(what): \(failure.reason)" + remedy(failure)
    }

    /// What to do about the failures that have one cause.
    private func remedy(_ failure: CommitReport.Failure) -> String {
        guard case .refused(let code, _, _) = failure.reason else { return "" }
        if failure.operation.kind == .sysctl, ["EROFS", "EACCES"].contains(code) {
            return "; /proc/sys/net cannot be written here, as in many containers: write the value from outside"
        }
        guard code == "EOPNOTSUPP", failure.operation.kind == .link else { return "" }
        return "; the kernel lacks a module (vrf, ip_gre or veth): 'vpcctl doctor' names it"
    }

    /// As a value, every operation included.
    public var presented: PresentedPlan {
        PresentedPlan(
            host: host, counts: plan.changes.counts, obstacles: obstacles, warnings: warnings,
            operations: plan.changes.operations.map { presented($0) }, aggregation: plan.aggregation,
            isRefused: isRefused)
    }
}

/// One operation of a plan, with its resource by name.
public struct PresentedOperation: Sendable, Hashable {
    public var action: Operation.Action
    public var kind: ObjectKind
    /// In which of the host's namespaces, see ``Place/word``.
    public var place: String
    /// The guest's; nil: none of a guest's.
    public var namespace: String?
    /// The object as ip(8) would be told.
    public var object: String
    /// What was there before a change.
    public var previous: String?
    /// `VPC/blue`.
    public var resource: String?

    init(_ operation: Operation, resource: String?) {
        action = operation.action
        kind = operation.kind
        place = operation.place.word
        namespace = operation.place.guest?.rawValue
        object = operation.object
        previous = operation.previous
        self.resource = resource
    }

    public var structured: StructuredValue {
        [
            "action": .string(action.rawValue), "kind": .string(kind.rawValue),
            "place": .string(place), "namespace": .string(orNull: namespace), "object": .string(object),
            "previous": .string(orNull: previous), "resource": .string(orNull: resource),
        ]
    }

    public init?(_ value: StructuredValue) {
        guard let action = value["action"]?.text.flatMap({ Operation.Action(rawValue: $0) }),
            let kind = value["kind"]?.text.flatMap({ ObjectKind(rawValue: $0) }), let object = value["object"]?.text,
            let place = value["place"]?.text
        else { return nil }
        self.action = action
        self.kind = kind
        self.object = object
        self.place = place
        namespace = value["namespace"]?.text
        previous = value["previous"]?.text
        resource = value["resource"]?.text
    }
}

/// A plan as it travels: the same from `vpcctl plan -o json` and from the agent.
public struct PresentedPlan: Sendable, Hashable {
    public var host: String?
    public var counts: ChangePlan.Counts
    public var obstacles: [String]
    public var warnings: [String]
    public var operations: [PresentedOperation]
    /// Nil where routes are not aggregated.
    public var aggregation: RouteAggregation?
    /// Whether a part of it is not to be had until somebody changes the manifest or the machine.
    public var isRefused: Bool

    public init(
        host: String?, counts: ChangePlan.Counts, obstacles: [String], warnings: [String],
        operations: [PresentedOperation], aggregation: RouteAggregation?, isRefused: Bool = false
    ) {
        self.host = host
        self.counts = counts
        self.obstacles = obstacles
        self.warnings = warnings
        self.operations = operations
        self.aggregation = aggregation
        self.isRefused = isRefused
    }

    /// Whether there is something to do, or something in the way of it.
    public var isPending: Bool { counts.total > 0 || !obstacles.isEmpty }

    public var structured: StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "ChangePlan", "host": .string(orNull: host),
            "summary": counts.structured, "routeAggregation": aggregation?.structured ?? .null,
            "obstacles": .list(obstacles.map { .string($0) }), "warnings": .list(warnings.map { .string($0) }),
            "refused": .boolean(isRefused),
            "operations": .list(operations.map(\.structured)),
        ]
    }

    public init?(_ value: StructuredValue) {
        guard value["kind"]?.text == "ChangePlan", let counts = value["summary"].flatMap({ ChangePlan.Counts($0) })
        else { return nil }
        let operations = value["operations"]?.elements ?? []
        self.init(
            host: value["host"]?.text, counts: counts, obstacles: value["obstacles"]?.texts ?? [],
            warnings: value["warnings"]?.texts ?? [], operations: operations.compactMap { PresentedOperation($0) },
            aggregation: value["routeAggregation"].flatMap { RouteAggregation($0) },
            isRefused: value["refused"]?.flag ?? false)
        if self.operations.count != operations.count { return nil }
    }
}

extension RouteAggregation {
    public var structured: StructuredValue {
        ["routes": .integer(routes), "withoutAggregation": .integer(withoutAggregation)]
    }

    init?(_ value: StructuredValue) {
        guard let routes = value["routes"]?.number, let others = value["withoutAggregation"]?.number else { return nil }
        self.init(routes: routes, withoutAggregation: others)
    }
}
