internal import IPAddressing
internal import VPCModel

/// Builds a topology step by step. A resource that breaks a rule is reported and, where others depend on it, left out
/// of what they are checked against, so that one mistake gives one error.
struct Resolver {
    let model: Model
    var topology = Topology()
    private(set) var diagnostics: [Diagnostic] = []

    /// Those of the model: there are so many that finding them each time would count.
    let interfaces: [NetworkInterface]

    /// By kind and name, the index in the topology; `broken` for a resource that exists but cannot be used.
    private var positions = [[String: Int]](repeating: [:], count: ResourceKind.allCases.count)

    /// By index in the topology, the index in the model.
    var interfaceOrder: [Int] = []
    var routeTableOrder: [Int] = []
    var securityGroupOrder: [Int] = []

    let limits: TrafficStages.Limits
    /// Elements that the policies take, of both directions.
    var policyElements: [ResourceReference: Int] = [:]
    /// Steps that finding out took so far.
    var policyEffort = 0

    /// How many dangling references still get a suggestion: each costs a pass over all names.
    private var suggestions = 20

    static let broken = -1

    init(_ model: Model, limits: TrafficStages.Limits = TrafficStages.Limits()) {
        self.model = model
        interfaces = model.interfaces
        positions[NetworkInterface.kind.ordinal].reserveCapacity(interfaces.count)
        self.limits = limits
    }

    // MARK: Diagnostics

    mutating func report(
        _ rule: String, _ text: String, hint: String? = nil, at resource: ResourceReference, _ path: FieldPath,
        related: Diagnostic.Related? = nil
    ) {
        append(.error, rule, text, hint, resource, path, related)
    }

    mutating func warn(
        _ rule: String, _ text: String, hint: String? = nil, at resource: ResourceReference, _ path: FieldPath,
        related: Diagnostic.Related? = nil
    ) {
        append(.warning, rule, text, hint, resource, path, related)
    }

    private mutating func append(
        _ severity: Diagnostic.Severity, _ rule: String, _ text: String, _ hint: String?, _ resource: ResourceReference,
        _ path: FieldPath, _ related: Diagnostic.Related?
    ) {
        diagnostics.append(
            Diagnostic(
                severity, rule: rule, "\(resource.kind.rawValue) \(resource.name): \(text)", hint: hint, at: resource,
                path,
                related: related))
    }

    // MARK: Names

    /// Enters a name. Names of manifests were checked when these were read; a model may also be made by hand.
    mutating func enter<Kind: ResourceType>(_ resource: Kind, _ position: Int) {
        let name = resource.metadata.name
        guard positions[Kind.kind.ordinal].updateValue(position, forKey: name) != nil else { return }
        report(
            "duplicate-name", "there is another \(Kind.names.name) of this name", at: resource.reference,
            ["metadata", "name"])
    }

    /// The index of the named resource; nil where there is none or where it is itself broken.
    func entered<Kind: ResourceType>(_: Kind.Type, _ name: String) -> Int? {
        let position = positions[Kind.kind.ordinal][name]
        return position == Self.broken ? nil : position
    }

    /// The index of the named resource; nil where there is none, which is reported, or where it is itself broken.
    mutating func position<Kind: ResourceType>(
        of type: Kind.Type, _ name: String, for resource: @autoclosure () -> ResourceReference,
        _ path: @autoclosure () -> FieldPath
    ) -> Int? {
        let kind = Kind.kind
        if let position = positions[kind.ordinal][name] { return position == Self.broken ? nil : position }
        let missing = ResourceReference(kind, name)
        guard !model.gaps.mayHold(missing) else { return nil }
        var hint: String?
        if suggestions > 0 {
            suggestions -= 1
            // In the documents' order, for the answer must not depend on how the dictionary is seeded.
            let names = model.names(of: kind) + model.gaps.resources.filter { $0.kind == kind }.map(\.name).sorted()
            hint =
                Spelling.nearest(to: name, among: names).map { "did you mean \($0)?" }
                ?? (names.isEmpty ? "the manifests hold no \(kind.rawValue)" : nil)
        }
        report(
            "dangling-reference", "there is no \(kind.rawValue) named \"\(name)\"", hint: hint, at: resource(), path())
        return nil
    }
}

extension IPPrefix {
    /// The ranges that no host or guest can have as its own.
    static let reserved: [(block: IPPrefix, use: String)] = [
        (IPPrefix(containing: IPAddress(v4: 0x0000_0000), length: 8), "\"this network\""),
        (IPPrefix(containing: IPAddress(v4: 0x7F00_0000), length: 8), "loopback"),
        (IPPrefix(containing: IPAddress(v4: 0xE000_0000), length: 4), "multicast"),
        (IPPrefix(containing: IPAddress(v4: 0xF000_0000), length: 4), "reserved"),
    ]
}
