package import VPCModel

/// What resolving has to know of a kind.
protocol ResolvableResource: ResourceType {
    /// What is to be done with its resources, and when.
    static var resolution: [ResolutionStep] { get }

    associatedtype Resolved: TopologyElement

    /// What its resources are resolved to.
    static var elements: KeyPath<Topology, Slots<Resolved>> { get }
}

extension ResolvableResource {
    /// The name of the resource with a number; nil where there is none.
    static func name(at number: Int, in topology: Topology) -> String? {
        let elements = topology[keyPath: elements]
        return elements.contains(number: number) ? elements[number].resourceName : nil
    }

    /// By name, the numbers of all resources.
    static func numbers(in topology: Topology) -> [String: Int] {
        Dictionary(
            topology[keyPath: elements].numbered.map { ($0.element.resourceName, $0.number) },
            uniquingKeysWith: { first, _ in first })
    }
}

/// What is done with the resources of a kind in one phase.
struct ResolutionStep: Sendable {
    let phase: Phase
    let body: @Sendable (inout Resolver) -> Void

    init(_ phase: Phase, _ body: @escaping @Sendable (inout Resolver) -> Void) {
        self.phase = phase
        self.body = body
    }

    /// When something is done: named by the kinds that get their places then, or by what is said of those that have them.
    /// Within a phase the order is that of the kinds. What refers to a resource comes in a later phase than its place.
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

    static let kinds = DeclaredKinds.resolvable
}

extension KindList where repeat each Kind: ResolvableResource {
    fileprivate static var resolvable: [any ResolvableResource.Type] {
        var kinds: [any ResolvableResource.Type] = []
        repeat kinds.append((each Kind).self)
        return kinds
    }
}

extension Topology {
    /// The name of the resource of a kind with a number; nil where there is none.
    package func name(of kind: ResourceKind, at number: Int) -> String? {
        Resolver.kinds[kind.ordinal].name(at: number, in: self)
    }
}
