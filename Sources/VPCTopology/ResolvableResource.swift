package import VPCModel

/// What resolving has to know of a kind.
protocol ResolvableResource: ResourceType {
    /// What is to be done with its resources, and when.
    static var resolution: [ResolutionStep] { get }

    /// The name of the resource at a position of the topology, of those that intended objects are compiled from.
    static func name(at position: Int, in topology: Topology) -> String?
}

/// What is done with the resources of a kind in one phase.
struct ResolutionStep: Sendable {
    let phase: Phase
    let body: @Sendable (inout Resolver) -> Void

    init(_ phase: Phase, _ body: @escaping @Sendable (inout Resolver) -> Void) {
        self.phase = phase
        self.body = body
    }

    /// When something is done: named by the kinds that get their places then, or by what is said of those that have
    /// them. Within a phase the order is that of the kinds. What refers to a resource comes in a later phase than its place.
    enum Phase: Int, CaseIterable {
        case hostsAndVPCs
        case routeTables
        case subnets
        case interfaces
        /// What refers to interfaces, and what refers to that.
        case routes
        case policiesOfSubnets
        case policiesOfInterfaces
        case sizes
        case expectations
    }
}

extension Resolver {
    /// Resolves everything.
    mutating func resolve() {
        for phase in ResolutionStep.Phase.allCases {
            for kind in Self.kinds { for step in kind.resolution where step.phase == phase { step.body(&self) } }
        }
    }

    fileprivate static let kinds = DeclaredKinds.resolvable
}

extension KindList where repeat each Kind: ResolvableResource {
    fileprivate static var resolvable: [any ResolvableResource.Type] {
        var kinds: [any ResolvableResource.Type] = []
        repeat kinds.append((each Kind).self)
        return kinds
    }
}

extension Topology {
    /// The name of the resource at that position of a kind; nil where objects are never compiled from that kind.
    package func name(of kind: ResourceKind, at position: Int) -> String? {
        Resolver.kinds[kind.ordinal].name(at: position, in: self)
    }
}
