internal import IPAddressing
internal import VPCModel

/// Builds a topology step by step, or takes changes in. A resource that breaks a rule is reported and, where others depend
/// on it, left out of what they are checked against, so that one mistake gives one error.
struct Resolver {
    /// What is to be resolved: all there is, or what has changed and what refers to that.
    var model: Model {
        didSet { interfaces = model.interfaces }
    }
    var topology: Topology
    var index: TopologyIndex
    private(set) var diagnostics: [Diagnostic] = []

    /// Those of the model: there are so many that finding them each time would count.
    private(set) var interfaces: [NetworkInterface]
    /// Where they have their places, in the order of the model.
    var placements: [Placement] = []
    /// Positions in `placements`, by VPC, then address.
    var orderOfPlacements: [Int] = []
    /// Numbers in the topology, positions in the model.
    var placedRouteTables: [(number: Int, position: Int)] = []
    /// Those that may have no subnet.
    var suspectRouteTables: Set<Int> = []

    /// By kind, names of resources that exist but cannot be used.
    private var broken = [Set<String>](repeating: [], count: ResourceKind.allCases.count)
    /// By kind and name, the numbers that resources had before.
    private var former: [[String: Int]] = []

    /// What was done so far; nil where all is resolved.
    var change: TopologyChange?
    /// What was taken out and has not come back yet.
    var withdrawn: Set<NumberedResource> = []
    /// Whether something may be worth a complaint that only resolving all would give.
    var isInDoubt = false

    let limits: TrafficLimits
    /// Steps that finding out what policies come to took so far, all there are together.
    var policyEffort = 0

    /// How many dangling references still get a suggestion: each costs a pass over all names.
    private var suggestions = 20

    /// Of interfaces that leave their addresses out; nil where nobody would keep what is chosen, so that all are stated.
    let kept: KeptAddresses?

    /// For resolving everything.
    init(_ declared: Model, numbering former: Topology?, keeping kept: KeptAddresses?, limits: TrafficLimits) {
        let model = declared.withInstances()
        self.model = model
        self.kept = kept
        topology = former.map { Topology(reserving: $0) } ?? Topology()
        index = TopologyIndex()
        self.former = former.map { former in Self.kinds.map { $0.numbers(in: former) } } ?? []
        interfaces = model.interfaces
        index.names[NetworkInterface.kind.ordinal].reserveCapacity(interfaces.count)
        index.devices.reserveCapacity(interfaces.count)
        self.limits = limits
    }

    /// For changes, which `topology` and `index` are to be moved into.
    init(limits: TrafficLimits) {
        model = Model()
        topology = Topology()
        index = TopologyIndex()
        interfaces = []
        change = TopologyChange()
        kept = nil
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

    /// Gives a resource its place in the topology, under the number that it had before.
    ///
    /// Names of manifests were checked when these were read; a model may also be made by hand.
    mutating func place<Kind: ResolvableResource>(_: Kind.Type, _ name: String, _ resolved: Kind.Resolved) -> Int {
        let (hash, ordinal) = (name.hashValue, Kind.kind.ordinal)
        if let known = number(Kind.self, name, hash) {
            if withdrawn.remove(NumberedResource(kind: Kind.kind, number: known)) != nil {
                Kind.elements(&topology) { $0[known] = resolved }
                return known
            }
            reportDuplicate(Kind.self, name)
        }
        let reserved = former.isEmpty ? nil : former[ordinal][name]
        let number = Kind.elements(&topology) { $0.add(resolved, at: reserved) }
        index.names[ordinal].insert(number, hash)
        if change != nil { Kind.record(&change) { $0.added.append(number) } }
        return number
    }

    /// Notes that a resource exists but cannot be used.
    mutating func giveUp<Kind: ResolvableResource>(_ resource: Kind) {
        let name = resource.metadata.name
        let isNew = broken[Kind.kind.ordinal].insert(name).inserted
        if !isNew || number(Kind.self, name, name.hashValue) != nil { reportDuplicate(Kind.self, name) }
    }

    private mutating func reportDuplicate<Kind: ResolvableResource>(_: Kind.Type, _ name: String) {
        report(
            "duplicate-name", "there is another \(Kind.names.name) of this name",
            at: ResourceReference(Kind.kind, name), ["metadata", "name"])
    }

    private mutating func number<Kind: ResolvableResource>(_: Kind.Type, _ name: String, _ hash: Int) -> Int? {
        index.names[Kind.kind.ordinal].first(hash) { number in
            Kind.elements(&topology) { $0[number].resourceName == name }
        }
    }

    /// The number of the named resource; nil where there is none or where it is itself broken.
    mutating func number<Kind: ResolvableResource>(_: Kind.Type, _ name: String) -> Int? {
        number(Kind.self, name, name.hashValue)
    }

    /// The number of the named resource; nil where there is none, which is reported, or where it is itself broken.
    mutating func number<Kind: ResolvableResource>(
        of type: Kind.Type, _ name: String, for resource: @autoclosure () -> ResourceReference,
        _ path: @autoclosure () -> FieldPath
    ) -> Int? {
        let kind = Kind.kind
        if let number = number(Kind.self, name, name.hashValue) { return number }
        if broken[kind.ordinal].contains(name) { return nil }
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
        tables = former.tables.reserving
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
        tables.release()
    }
}
