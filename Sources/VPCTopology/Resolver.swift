internal import IPAddressing
internal import VPCModel

/// Builds a topology step by step. A resource that breaks a rule is reported and, where others depend on it, left out
/// of what they are checked against, so that one mistake gives one error.
struct Resolver {
    let model: Model
    var topology: Topology
    private(set) var diagnostics: [Diagnostic] = []

    /// Those of the model: there are so many that finding them each time would count.
    let interfaces: [NetworkInterface]

    /// By kind and name, the number in the topology; `broken` for a resource that exists but cannot be used.
    private var numbers = [[String: Int]](repeating: [:], count: ResourceKind.allCases.count)

    /// By kind and name, the numbers that resources had before.
    private var former: [[String: Int]] = []

    /// By number, where VPCs are in their order.
    var ranksOfVPCs: [Int] = []
    /// By number in the topology, the index in the model.
    var sourceOfInterface: [Int] = []
    var sourceOfRouteTable: [Int: Int] = [:]

    let limits: TrafficStages.Limits
    /// Elements that the policies take, of both directions.
    var policyElements: [ResourceReference: Int] = [:]

    /// How many dangling references still get a suggestion: each costs a pass over all names.
    private var suggestions = 20

    static let broken = -1

    init(_ model: Model, numbering former: Topology?, limits: TrafficStages.Limits) {
        self.model = model
        topology = former.map { Topology(reserving: $0) } ?? Topology()
        self.former = former.map { former in Self.kinds.map { $0.numbers(in: former) } } ?? []
        interfaces = model.interfaces
        numbers[NetworkInterface.kind.ordinal].reserveCapacity(interfaces.count)
        self.limits = limits
    }

    func rank(ofVPC vpc: Int) -> Int { ranksOfVPCs[vpc] }

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
    mutating func enter<Kind: ResourceType>(_ resource: Kind, _ number: Int) {
        let name = resource.metadata.name
        guard numbers[Kind.kind.ordinal].updateValue(number, forKey: name) != nil else { return }
        report(
            "duplicate-name", "there is another \(Kind.names.name) of this name", at: resource.reference,
            ["metadata", "name"])
    }

    /// The number of the named resource; nil where there is none or where it is itself broken.
    func entered<Kind: ResourceType>(_: Kind.Type, _ name: String) -> Int? {
        let number = numbers[Kind.kind.ordinal][name]
        return number == Self.broken ? nil : number
    }

    /// The number that a resource had before.
    func formerNumber<Kind: ResourceType>(of resource: Kind) -> Int? {
        former.isEmpty ? nil : former[Kind.kind.ordinal][resource.metadata.name]
    }

    /// The number of the named resource; nil where there is none, which is reported, or where it is itself broken.
    mutating func number<Kind: ResourceType>(
        of type: Kind.Type, _ name: String, for resource: @autoclosure () -> ResourceReference,
        _ path: @autoclosure () -> FieldPath
    ) -> Int? {
        let kind = Kind.kind
        if let number = numbers[kind.ordinal][name] { return number == Self.broken ? nil : number }
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

extension Topology {
    /// Empty, with the numbers of another one set apart.
    fileprivate init(reserving former: Topology) {
        hosts = Slots(reserving: former.hosts)
        vpcs = Slots(reserving: former.vpcs)
        subnets = Slots(reserving: former.subnets)
        routeTables = Slots(reserving: former.routeTables)
        interfaces = Slots(reserving: former.interfaces)
        securityGroups = Slots(reserving: former.securityGroups)
        acls = Slots(reserving: former.acls)
        probes = Slots(reserving: former.probes)
    }

    /// Gives the numbers away that were set apart in vain.
    mutating func release() {
        hosts.release()
        vpcs.release()
        subnets.release()
        routeTables.release()
        interfaces.release()
        securityGroups.release()
        acls.release()
        probes.release()
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
