internal import IPAddressing
internal import VPCModel

/// Builds a topology step by step. A resource that breaks a rule is reported and, where others depend on it, left out
/// of what they are checked against, so that one mistake gives one error.
struct Resolver {
    let model: Model
    var topology: Topology
    /// By name, the numbers that resources had before.
    let former: FormerNumbers
    private(set) var diagnostics: [Diagnostic] = []

    /// By name, the number in the topology; `Index.broken` for a resource that exists but cannot be used.
    var hosts = Index()
    var vpcs = Index()
    var subnets = Index()
    var routeTables = Index()
    var interfaces = Index()
    var securityGroups = Index()
    var acls = Index()

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

    typealias Index = [String: Int]
    static let broken = -1

    init(_ model: Model, numbering former: Topology?, limits: TrafficStages.Limits = TrafficStages.Limits()) {
        self.model = model
        self.limits = limits
        self.former = former.map { FormerNumbers($0) } ?? FormerNumbers()
        topology = former.map { Topology(reserving: $0) } ?? Topology()
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

    /// Enters a name. Names of manifests were checked when these were read; a model may also be made by hand.
    mutating func enter(
        _ name: String, _ number: Int, _ kind: ResourceKind, in index: WritableKeyPath<Resolver, Index>
    ) {
        guard self[keyPath: index].updateValue(number, forKey: name) != nil else { return }
        report(
            "duplicate-name", "there is another \(kind.rawValue) of this name", at: ResourceReference(kind, name),
            ["metadata", "name"])
    }

    /// The number of the named resource; nil where there is none, which is reported, or where it is itself broken.
    mutating func number(
        of kind: ResourceKind, _ name: String, in index: Index, for resource: @autoclosure () -> ResourceReference,
        _ path: @autoclosure () -> FieldPath
    ) -> Int? {
        if let number = index[name] { return number == Self.broken ? nil : number }
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

/// The numbers that resources have in a topology.
struct FormerNumbers {
    var hosts: Resolver.Index = [:]
    var vpcs: Resolver.Index = [:]
    var subnets: Resolver.Index = [:]
    var routeTables: Resolver.Index = [:]
    var interfaces: Resolver.Index = [:]
    var securityGroups: Resolver.Index = [:]
    var acls: Resolver.Index = [:]
    var probes: Resolver.Index = [:]

    init() {}

    init(_ topology: Topology) {
        hosts = topology.hosts.numbers(by: \.metadata.name)
        vpcs = topology.vpcs.numbers(by: \.name)
        subnets = topology.subnets.numbers(by: \.name)
        routeTables = topology.routeTables.numbers(by: \.name)
        interfaces = topology.interfaces.numbers(by: \.name)
        securityGroups = topology.securityGroups.numbers(by: \.name)
        acls = topology.acls.numbers(by: \.name)
        probes = topology.probes.numbers(by: \.name)
    }
}

extension Slots {
    fileprivate func numbers(by name: KeyPath<Element, String>) -> Resolver.Index {
        Dictionary(numbered.map { ($0.element[keyPath: name], $0.number) }, uniquingKeysWith: { first, _ in first })
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

extension Model {
    fileprivate func names(of kind: ResourceKind) -> [String] {
        switch kind {
        case .host: hosts.map(\.metadata.name)
        case .vpc: vpcs.map(\.metadata.name)
        case .subnet: subnets.map(\.metadata.name)
        case .routeTable: routeTables.map(\.metadata.name)
        case .networkInterface: interfaces.map(\.metadata.name)
        case .securityGroup: securityGroups.map(\.metadata.name)
        case .networkACL: acls.map(\.metadata.name)
        case .probe: probes.map(\.metadata.name)
        }
    }
}

// The references of the kinds that complaints are about.
extension Host { var reference: ResourceReference { ResourceReference(.host, metadata.name) } }
extension VPC { var reference: ResourceReference { ResourceReference(.vpc, metadata.name) } }
extension Subnet { var reference: ResourceReference { ResourceReference(.subnet, metadata.name) } }
extension RouteTable { var reference: ResourceReference { ResourceReference(.routeTable, metadata.name) } }
extension NetworkInterface { var reference: ResourceReference { ResourceReference(.networkInterface, metadata.name) } }
extension SecurityGroup { var reference: ResourceReference { ResourceReference(.securityGroup, metadata.name) } }
extension NetworkACL { var reference: ResourceReference { ResourceReference(.networkACL, metadata.name) } }
extension Probe { var reference: ResourceReference { ResourceReference(.probe, metadata.name) } }

extension IPPrefix {
    /// The ranges that no host or guest can have as its own.
    static let reserved: [(block: IPPrefix, use: String)] = [
        (IPPrefix(containing: IPAddress(v4: 0x0000_0000), length: 8), "\"this network\""),
        (IPPrefix(containing: IPAddress(v4: 0x7F00_0000), length: 8), "loopback"),
        (IPPrefix(containing: IPAddress(v4: 0xE000_0000), length: 4), "multicast"),
        (IPPrefix(containing: IPAddress(v4: 0xF000_0000), length: 4), "reserved"),
    ]
}
