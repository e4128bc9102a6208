public import KernelNames

/// The difference between an intent and a snapshot as ordered work. Carrying it out is `KernelDriver`'s business;
/// not carrying it out is a dry run.
public struct ChangePlan: Sendable, Hashable {
    public var steps: [Step] = []
    /// What cannot be had because somebody else is in the way.
    public var conflicts: [Conflict] = []

    public init() {}

    /// One homogeneous piece of work: its changes do not depend on each other and go in one batch.
    public struct Step: Sendable, Hashable {
        public var place: Place
        public var work: Work

        public init(in place: Place = .host, _ work: Work) {
            self.place = place
            self.work = work
        }
    }

    public enum Work: Sendable, Hashable {
        case namespaces(ChangeSet<OwnNamespace>)
        case sysctls(ChangeSet<Sysctl>)
        case rules(ChangeSet<Rule>)
        case links(ChangeSet<Link>)
        case addresses(ChangeSet<Address>)
        case neighbors(ChangeSet<Neighbor>)
        case nexthops(ChangeSet<Nexthop>)
        case routes(ChangeSet<Route>)
        /// One transaction, all or nothing, if nobody else has changed nf_tables since that generation; nil: whoever has.
        case firewall([NFChangeSet], generation: UInt32?)
        /// All connections that pass by flowtables are judged by the rules with their next packet.
        case judgeAnew
        /// Connections to end.
        case connections([Connection], ConnectionEnd)
        /// Wait until these ports are operational: a veth drops what it gets before that.
        case awaitOperational([InterfaceName])
    }

    public struct Conflict: Sendable, Hashable {
        /// The object that was wanted.
        public var object: String
        /// The device that cannot be made; what refers to it cannot be had either.
        public var device: InterfaceName
        public var origin: Origin
        public var reason: String

        public init(object: String, device: InterfaceName, origin: Origin, reason: String) {
            self.object = object
            self.device = device
            self.origin = origin
            self.reason = reason
        }
    }

    /// Created, changed, deleted.
    public struct Counts: Sendable, Hashable {
        public var created = 0
        public var changed = 0
        public var deleted = 0

        public var total: Int { created + changed + deleted }

        public init(created: Int = 0, changed: Int = 0, deleted: Int = 0) {
            self.created = created
            self.changed = changed
            self.deleted = deleted
        }
    }

    public var counts: Counts {
        var counts = Counts()
        for step in steps {
            let one = step.work.counts
            counts.created += one.created
            counts.changed += one.changed
            counts.deleted += one.deleted
        }
        return counts
    }

    public var isEmpty: Bool { counts.total == 0 && conflicts.isEmpty }

    mutating func append<Object>(
        _ changes: ChangeSet<Object>, in place: Place = .host, as work: (ChangeSet<Object>) -> Work
    ) {
        if !changes.isEmpty { steps.append(Step(in: place, work(changes))) }
    }
}

/// Changes of one kind. Carried out in this order: deletions, creations, replacements.
public struct ChangeSet<Object> {
    public var deletions: [Object] = []
    public var creations: [Attributed<Object>] = []
    public var replacements: [Replacement<Object>] = []

    public init(
        deletions: [Object] = [], creations: [Attributed<Object>] = [], replacements: [Replacement<Object>] = []
    ) {
        self.deletions = deletions
        self.creations = creations
        self.replacements = replacements
    }

    public var isEmpty: Bool { deletions.isEmpty && creations.isEmpty && replacements.isEmpty }
    public var counts: ChangePlan.Counts {
        .init(created: creations.count, changed: replacements.count, deleted: deletions.count)
    }
}

extension ChangeSet: Equatable where Object: Equatable {}
extension ChangeSet: Hashable where Object: Hashable {}
extension ChangeSet: Sendable where Object: Sendable {}

/// One object that takes the place of another with the same key.
public struct Replacement<Object> {
    public var old: Object
    public var new: Object
    public var origin: Origin

    public init(old: Object, new: Object, origin: Origin) {
        self.old = old
        self.new = new
        self.origin = origin
    }
}

extension Replacement: Equatable where Object: Equatable {}
extension Replacement: Hashable where Object: Hashable {}
extension Replacement: Sendable where Object: Sendable {}

extension ChangePlan.Work {
    public var kind: ObjectKind {
        switch self {
        case .namespaces: .namespace
        case .sysctls: .sysctl
        case .rules: .rule
        case .links, .awaitOperational: .link
        case .addresses: .address
        case .neighbors: .neighbor
        case .nexthops: .nexthop
        case .routes: .route
        case .firewall: .firewall
        case .connections, .judgeAnew: .connection
        }
    }

    public var counts: ChangePlan.Counts {
        switch self {
        case .namespaces(let changes): changes.counts
        case .sysctls(let changes): changes.counts
        case .rules(let changes): changes.counts
        case .links(let changes): changes.counts
        case .addresses(let changes): changes.counts
        case .neighbors(let changes): changes.counts
        case .nexthops(let changes): changes.counts
        case .routes(let changes): changes.counts
        case .connections(let connections, _): .init(deleted: connections.count)
        case .firewall(let tables, _):
            tables.reduce(into: ChangePlan.Counts()) { sum, table in
                let counts = table.counts
                sum.created += counts.created
                sum.changed += counts.changed
                sum.deleted += counts.deleted
            }
        case .awaitOperational, .judgeAnew: .init()
        }
    }
}
