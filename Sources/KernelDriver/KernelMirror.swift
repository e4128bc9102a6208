public import KernelModel
public import Netlink
import CLinux
import Glibc

/// What is known of a host's namespace and those of its guests, kept equal to the kernel by its notifications.
///
/// What the kernel drops without a word, because a device goes down or another master takes it, is read again when the
/// device's own notification comes.
public struct KernelMirror: ~Copyable {
    /// As of the last ``update()``.
    public private(set) var snapshot: KernelSnapshot

    private let driver: KernelDriver
    private var request: ObservationRequest
    private var routes: NetlinkMonitor
    private var firewall: FirewallMonitor
    private let poll: Poll

    /// What one update brought.
    public struct Update: Sendable, Hashable {
        /// The kinds of objects that may have changed, in the host's namespace.
        public var kinds: Set<ObjectKind> = []
        /// The guests whose namespaces may have changed, have come or have gone.
        public var guests: Set<NamespaceName> = []
        /// How many notifications came.
        public var notifications = 0
        /// Whether the kernel threw notifications away, so that everything was read again.
        public var wasOverrun = false

        public init() {}

        public var isEmpty: Bool { kinds.isEmpty && guests.isEmpty }
    }

    /// Listens, and then reads everything.
    public init(_ driver: KernelDriver, _ request: ObservationRequest) throws(NetlinkError) {
        let routes = try NetlinkMonitor(groups: Self.groups, in: driver.namespace)
        let firewall = try FirewallMonitor(in: driver.namespace)
        let poll = try Poll([routes.fileDescriptor, firewall.fileDescriptor])
        snapshot = try driver.observe(request)
        self.driver = driver
        self.request = request
        self.routes = routes
        self.firewall = firewall
        self.poll = poll
    }

    private static let groups: [MulticastGroup] = [.link, .neighbour, .ipv4Address, .ipv4Route, .ipv4Rule, .nexthop]

    /// Readable as long as notifications wait.
    public var fileDescriptor: Int32 { poll.descriptor }

    /// Takes in all notifications that have come.
    public mutating func update() throws(NetlinkError) -> Update {
        var update = Update()
        try drain(&update)
        if update.isEmpty { return update }
        snapshot = try driver.observe(request)
        return update
    }

    /// From now on mirrors what this request names.
    public mutating func follow(_ request: ObservationRequest) throws(NetlinkError) {
        self.request = request
        snapshot = try driver.observe(request)
    }

    /// Reads everything again.
    public mutating func resynchronize() throws(NetlinkError) -> Update {
        var update = Update()
        try drain(&update)
        snapshot = try driver.observe(request)
        update.kinds = Set(ObjectKind.allCases)
        return update
    }

    private mutating func drain(_ update: inout Update) throws(NetlinkError) {
        while true {
            let outcome = try routes.receive(timeout: .zero) { (_: borrowing Message) throws(CodecError) in }
            switch outcome {
            case .messages(let count): update.notifications += count
            case .overrun: update.wasOverrun = true
            case .timedOut:
                try drainFirewall(&update)
                if update.notifications > 0 || update.wasOverrun { update.kinds = Set(ObjectKind.allCases) }
                return
            }
        }
    }

    private mutating func drainFirewall(_ update: inout Update) throws(NetlinkError) {
        while true {
            switch try firewall.next(timeout: .zero) {
            case .generation: update.notifications += 1
            case .overrun: update.wasOverrun = true
            case .timedOut: return
            }
        }
    }
}

/// Several descriptors as one (epoll(7)).
private struct Poll: ~Copyable {
    let descriptor: Int32

    init(_ members: [Int32]) throws(NetlinkError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw NetlinkError(errno: errno, operation: "epoll_create1") }
        for member in members {
            var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: member))
            guard epoll_ctl(descriptor, EPOLL_CTL_ADD, member, &event) == 0 else {
                throw NetlinkError(errno: errno, operation: "epoll_ctl")
            }
        }
    }

    deinit { close(descriptor) }
}
