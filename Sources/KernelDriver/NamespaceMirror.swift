import KernelModel
import KernelNames
import Netlink

/// Keeps what is known of one namespace equal to the kernel by rtnetlink's notifications.
struct NamespaceMirror: ~Copyable {
    private let namespace: NetworkNamespace
    private var monitor: NetlinkMonitor
    private var state: NamespaceState

    /// Listens, and then reads everything into `snapshot`.
    ///
    /// - Parameters:
    ///   - isGuest: Of a guest's namespace neither neighbours nor nexthops are known.
    ///   - paths: The ways that are to be known.
    init(
        _ namespace: NetworkNamespace, owner: Ownership, isGuest: Bool, paths: PathRequest? = nil,
        tunnelsBy names: DeviceNames? = nil, receiveBuffer: Int,
        into snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        let monitor = try NetlinkMonitor(
            groups: isGuest ? Self.guestGroups : Self.guestGroups + [.neighbour], in: namespace,
            receiveBuffer: receiveBuffer)
        var state = NamespaceState(owner: owner, isGuest: isGuest)
        state.paths.request = paths
        state.tunnelsBy = names
        state.stale.everything = true
        try state.settle(&snapshot, &changes, namespace)
        self.namespace = namespace
        self.monitor = monitor
        self.state = state
    }

    private static let guestGroups: [MulticastGroup] = [
        .link, .ipv4Address, .ipv4Route, .ipv4Rule, .ipv4DeviceConfiguration, .ipv6Link, .ipv6Address, .ipv6Rule,
        .nexthop,
    ]

    /// Readable as long as notifications wait.
    var fileDescriptor: Int32 { monitor.fileDescriptor }

    var owner: Ownership {
        get { state.owner }
        set {
            if newValue != state.owner { state.stale.everything = true }
            state.owner = newValue
        }
    }

    /// The names of the devices, as of the last update.
    var deviceNames: DeviceNames { state.devices.names }

    /// See ``NamespaceState/tunnelsBy``.
    var tunnelsBy: DeviceNames? {
        get { state.tunnelsBy }
        set { if newValue !== state.tunnelsBy { state.tunnelsBy = newValue } }
    }

    /// The ways that are to be known.
    var paths: PathRequest? {
        get { state.paths.request }
        set {
            if newValue == state.paths.request { return }
            state.paths.request = newValue
            state.suspectPaths()
            // Those of before are not told of any more, also where none is wanted now.
            state.stale.everything = state.stale.everything || state.stale.paths.isEmpty
        }
    }

    // MARK: What to read again with the next update

    mutating func suspectEverything() { state.stale.everything = true }

    /// The settings of all devices, many of which change without a notification.
    mutating func suspectLinks() {
        state.stale.allLinks = true
        state.stale.proxyDelays = true
        state.suspectPaths()
    }

    /// The settings of these devices.
    mutating func suspectLinks(_ names: some Sequence<InterfaceName>, in snapshot: NamespaceSnapshot) {
        state.stale.proxyDelays = true
        for name in names {
            if let link = snapshot.link(named: name) { state.stale.links.insert(link.index) }
        }
    }

    // MARK: Updating

    /// Takes in all notifications that have come.
    mutating func update(
        _ snapshot: inout NamespaceSnapshot, _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        try Self.drain(&monitor, &state, &snapshot, &changes)
        if state.stale.followsItsNotification {
            // Whoever deletes a VRF has hundreds of ports to tell of: half of it would be repaired in vain.
            var observer = try Observer(namespace, owner: state.owner)
            try observer.socket.awaitChanges()
            try Self.drain(&monitor, &state, &snapshot, &changes)
        }
        try state.settle(&snapshot, &changes, namespace)
    }

    private static func drain(
        _ monitor: inout NetlinkMonitor, _ state: inout NamespaceState, _ snapshot: inout NamespaceSnapshot,
        _ changes: inout NamespaceChanges
    ) throws(NetlinkError) {
        while true {
            let outcome = try monitor.receive(timeout: .zero) { message throws(CodecError) in
                // What is read again as a whole needs no telling.
                if !state.stale.everything { try state.apply(message, &snapshot, &changes) }
            }
            switch outcome {
            case .messages(let count): changes.notifications += count
            case .timedOut: return
            case .overrun:
                // Until its queue is empty the socket gets nothing new, so reading begins only then.
                changes.wasOverrun = true
                state.stale.everything = true
            }
        }
    }
}

/// What an update brought to one namespace.
struct NamespaceChanges {
    var kinds: Set<ObjectKind> = []
    /// Where, of those kinds.
    var objects = SuspectObjects()
    var notifications = 0
    var wasOverrun = false
    var objectsRead = 0
    /// Whether parameters of the namespace may be others now.
    var areParametersSuspect = false
    /// Names that a device had which is gone, or has another name now.
    var vanished: Set<InterfaceName> = []

    /// Objects of a kind may have changed, nobody knows which.
    mutating func insert(_ kind: ObjectKind) {
        kinds.insert(kind)
        objects.insert(kind)
    }
}
