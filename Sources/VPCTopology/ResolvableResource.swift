package import VPCModel

/// What resolving has to know of a kind.
protocol ResolvableResource: ResourceType {
    /// What is to be done with its resources, and when.
    static var resolution: [ResolutionStep] { get }

    associatedtype Resolved: TopologyElement

    /// What its resources are resolved to.
    static func elements(of topology: Topology) -> Slots<Resolved>
    static func elements<Result>(_ topology: inout Topology, _ body: (inout Slots<Resolved>) -> Result) -> Result
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<Resolved>) -> Result
    ) -> Result

    // MARK: Changes

    /// Whether a change of one is taken in by resolving everything: of kinds that change seldom, and matter to much.
    static var changesEverything: Bool { get }

    /// Whether others come and go with it that nobody has declared: a change of it is taken in by resolving everything.
    var bringsOthers: Bool { get }

    /// What is noted of a resource that changes.
    static func noted(_ former: Resolved) -> Resolved
    /// What is put back where a change is taken back.
    static func restored(_ former: Resolved, _ now: Resolved) -> Resolved

    /// What a manifest would say.
    init(_ resolved: Resolved, in topology: Topology)

    /// Enters a resource where it is found by others. It may be there in part.
    static func enter(_ number: Int, _ resolver: inout Resolver)
    /// Takes a resource out of where it is found by others. It may be there in part.
    static func leave(_ number: Int, _ resolver: inout Resolver)

    /// Who refers to a resource.
    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource]
    /// What has to be resolved anew with a resource that is to say something else, beside itself; nil: everything.
    func concerned(by new: Self, _ number: Int, _ resolver: Resolver) -> [NumberedResource]?
}

extension ResolvableResource {
    static var changesEverything: Bool { false }
    var bringsOthers: Bool { false }

    static func noted(_ former: Resolved) -> Resolved { former }
    static func restored(_ former: Resolved, _ now: Resolved) -> Resolved { former }

    /// The name of the resource with a number; nil where there is none.
    static func name(at number: Int, in topology: Topology) -> String? {
        let elements = elements(of: topology)
        return elements.contains(number: number) ? elements[number].resourceName : nil
    }

    /// By name, the numbers of all resources.
    static func numbers(in topology: Topology) -> [String: Int] {
        Dictionary(
            elements(of: topology).numbered.map { ($0.element.resourceName, $0.number) },
            uniquingKeysWith: { first, _ in first })
    }

    static func record(_ change: inout TopologyChange?, _ body: (inout TopologyChange.Part<Resolved>) -> Void) {
        guard var present = change.take() else { return }
        part(of: &present, body)
        change = present
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
    /// Resolves everything, phase by phase.
    mutating func resolve(while isWanted: (borrowing Resolver) -> Bool = { _ in true }) {
        for phase in ResolutionStep.Phase.allCases where isWanted(self) {
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
