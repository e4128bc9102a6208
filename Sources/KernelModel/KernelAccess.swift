public import IPAddressing
public import KernelNames
public import NFTables

/// What to read of a kernel.
public struct ObservationRequest: Sendable, Hashable {
    public var owner: Ownership
    /// Parameters of the host's namespace, below /proc/sys.
    public var sysctls: [String]
    /// Guests' namespaces to read where they exist, beside those that the aliases of our veths name.
    public var guests: [NamespaceName]
    /// What of the guests' namespaces.
    public var guestScope: GuestScope
    /// Tables of nf_tables in the host's namespace.
    public var firewall: [NFTable]
    /// Tables of nf_tables where the packets of tunnels travel; only where the host has a namespace of its own.
    public var underlayFirewall: [NFTable] = []
    /// Whether what is in the tables of the host's namespace, or only which of them exist.
    public var readsFirewall: Bool
    /// Which ways to others; nil: none.
    public var paths: PathRequest?
    /// How many routes of the owner there may be. A wrong guess costs nothing but the time to make room for them.
    public var likelyRoutes = 0

    /// What of guests' namespaces is read: each is another set of sockets and listings.
    public enum GuestScope: Hashable, Sendable {
        case nothing
        /// What stays in them when their devices go.
        case rules
        case everything
    }

    public init(
        owner: Ownership, sysctls: [String] = [], guests: [NamespaceName] = [], guestScope: GuestScope = .everything,
        firewall: [NFTable] = [], readsFirewall: Bool = true
    ) {
        self.owner = owner
        self.sysctls = sysctls
        self.guests = guests
        self.guestScope = guestScope
        self.firewall = firewall
        self.readsFirewall = readsFirewall
    }
}

/// What became of a plan.
public struct CommitReport: Sendable, Hashable {
    public var applied = ChangePlan.Counts()
    /// In the order of execution.
    public var failures: [Failure] = []
    /// Messages and file writes that can modify the kernel's state; 0 when nothing was asked of it.
    public var writes = 0

    public init() {}

    public struct Failure: Sendable, Hashable {
        public var operation: Operation
        public var reason: Reason

        public init(_ operation: Operation, _ reason: Reason) {
            self.operation = operation
            self.reason = reason
        }
    }

    public enum Reason: Sendable, Hashable {
        /// The kernel refused: `code` is its errno by name, `message` its own words (extended acknowledgement) or
        /// strerror's, `attribute` the attribute that it pointed at.
        case refused(code: String, message: String, attribute: String?)
        /// What it depends on failed or is not there.
        case dependency(String)
        /// Not operational in time.
        case timedOut
        /// Somebody changed nf_tables between the observation and the commit: plan again.
        case stale
    }
}

extension CommitReport.Reason {
    /// Whether somebody may have taken away, set down or made in the meantime what the plan took for granted: another plan
    /// may then succeed at once, where any other refusal needs something to change first.
    public var isInterference: Bool {
        switch self {
        case .dependency, .stale: true
        case .refused(let code, let message, _):
            Self.absences.contains(code) || code == "EINVAL" && Self.absentReferences.contains(message)
        case .timedOut: false
        }
    }

    private static let absences: Set = ["ENOENT", "ENODEV", "ENXIO", "ESRCH", "EEXIST", "ENETDOWN"]
    /// What the kernel says with EINVAL of an id that nothing has: a route's nexthop (net/ipv4/fib_semantics.c), a
    /// group's, a nexthop's device (net/ipv4/nexthop.c).
    private static let absentReferences: Set = [
        "Nexthop id does not exist", "Invalid nexthop id", "Invalid device index",
    ]
}

extension CommitReport.Reason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let code, let message, let attribute):
            "kernel said \"\(message)\" (\(code)\(attribute.map { ", \($0)" } ?? ""))"
        case .dependency(let name): "not tried: it needs \(name), which is not there"
        case .timedOut: "not operational in time"
        case .stale: "nf_tables was changed by somebody else in the meantime"
        }
    }
}

/// Reads and changes a kernel: `KernelDriver` with a real one.
public protocol KernelAccess: Sendable {
    /// The same for a host that has a namespace of its own of that name; while there is none it is as a new one.
    func serving(_ namespace: NamespaceName, of owner: Ownership) -> any KernelAccess
    /// - Throws: when the state cannot be read (permission, a dump that never completes).
    func observe(_ request: ObservationRequest) throws -> KernelSnapshot
    /// Carries out what can be; what cannot is in the report, with the rest done all the same.
    func commit(_ plan: ChangePlan, owner: Ownership) -> CommitReport
    /// Listens to the kernel, and then reads everything that the request names.
    /// - Throws: as ``observe(_:)``.
    func mirror(_ request: ObservationRequest) throws -> any KernelMirroring
    /// Those of `tables` in which there are routes or rules of anybody.
    func occupied(_ tables: [TableID]) throws -> Set<TableID>
    /// Of these devices that the host may adopt those by which routes or nexthop objects of others than the owner and the
    /// kernel leave: one of them, as ip(8) would show it.
    func foreignRoutes(by devices: [InterfaceName], owner: Ownership) throws -> [InterfaceName: String]
    /// The named counters of a table in the host's namespace, by name; none where there is no such table.
    func counters(of table: NFTable) throws -> [NFObservedObject]
    /// What tables hold, without their elements and rules; those that exist.
    func listings(of tables: [NFTable], in place: Place) throws -> [NFListing]
    /// The filters where the packets of tunnels travel, and the devices there.
    /// - Parameter table: That which is read with its sets.
    func filters(readingSetsOf table: NFTable) throws -> PresentFilters
    /// What a set of those tables has for the key that these bytes begin with; a byte that is not known is nil.
    func lookUp(_ key: [UInt8?], in set: String, of table: NFTable) throws -> NFLookup
    /// The tracked connections of the host's namespace, in the zones that packets of VPCs are in (all but 0), those of
    /// packets that are just being judged included.
    func connections() throws -> [Connection]
    /// How full the table of tracked connections is that the host's namespace has; nil where there is no such namespace, or
    /// nothing is tracked.
    func trackingTable() throws -> TrackingTable?
    /// How many connections the host's namespace tracks in each zone.
    /// - Parameter sample: Only about so many are looked at, by chance; nil: all, in time that grows with their number.
    func connectionCounts(sample: Int?) throws -> [UInt16: Int]
    /// Connections of the host's namespace whose place in the table was taken when they were to be entered: no port was left
    /// to translate them to, or somebody else had got it at the same moment.
    func unplacedConnections() throws -> Int
    /// What every device of the host's namespace has counted.
    func traffic() throws -> [InterfaceName: LinkTraffic]
    /// Why connections cannot pass by flowtables into tunnels without a far end of their own, in words; nil where they can.
    /// It is the same as long as the kernel runs.
    func offloadObstacle() -> String?
    /// The host's addresses.
    func localAddresses() throws -> Set<IPAddress>
    /// Sets the loopback device up, sends a datagram by it, and says whether that made a tracked connection: in a namespace
    /// in which nobody has asked for connection tracking, something in the kernel asks for it everywhere.
    func tracksLoopback() throws -> Bool
}

/// What a set of nf_tables has for a key.
public enum NFLookup: Hashable, Sendable {
    /// Of a verdict map with what it decides.
    case found(NFVerdict?)
    case absent
    /// Not all of the key is known, or it cannot be asked for.
    case unknown
}

/// The filters that packets of IPv4 meet in a namespace, whoever made them.
public struct PresentFilters: Sendable {
    /// With their chains and rules, without sets.
    public var tables: [NFObservedTable] = []
    public var devices: [Device] = []

    public struct Device: Hashable, Sendable {
        public var name: InterfaceName
        public var index: UInt32
        public var group: UInt32

        public init(name: InterfaceName, index: UInt32, group: UInt32) {
            self.name = name
            self.index = index
            self.group = group
        }
    }

    public init() {}
}
