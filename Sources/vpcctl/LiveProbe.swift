import IPAddressing
import KernelModel
import KernelNames
import Netlink
import Reconciler
import Traffic
import VPCCompiler
import VPCModel
import VPCTopology
import VPCTrace

/// What became of the packet of a trace, and what follows from it.
struct LiveResult {
    var sighting: Sighting
    var comparison: Comparison
}

/// Sends the packet of a trace from its sender's namespace, and sees what becomes of it on this host.
///
/// It is written whole, as the trace has it, so its source may be forged, and a TCP connection or an SCTP association is
/// asked for and never made. What passes the host is seen by packet sockets, which other traffic does not touch: their filter lets through
/// what is between the two addresses.
struct LiveProbe {
    let trace: Trace
    /// The sender, a number of `topology.interfaces`.
    let from: Int
    let topology: Topology
    /// How long to wait for an answer.
    let timeout: Duration
    /// Whether ports and identifier were drawn for this packet.
    let isNewConnection: Bool

    static let attempts = 3

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private var sender: ResolvedInterface { topology.interfaces[from] }

    /// The namespace of a guest, from which its packets can be sent.
    static func namespace(of interface: ResolvedInterface) throws -> NetworkNamespace {
        guard case .namespace(let name, _) = interface.attachment else {
            throw Failure(
                description: "\(interface.name) is attached by a device: its guest cannot be entered from the host, so"
                    + " nothing can be sent from inside it")
        }
        let namespace = NetworkNamespace.named(name)
        guard namespace.exists else {
            throw Failure(description: "network namespace \(name) of \(interface.name) does not exist")
        }
        return namespace
    }

    /// - Parameter namespace: Of the host's VPCs.
    func run(_ reconciler: HostReconciler, in namespace: NetworkNamespace) throws -> Sighting {
        let guest = try Self.namespace(of: sender)
        let packet = OutgoingPacket(trace.forward.packet)
        let filter = CaptureFilter(between: packet.source, and: packet.destination)
        var watch = PacketWatch(
            packet: packet, sender: from, topology: topology, namespace: namespace,
            host: try Capture(in: namespace, filter: filter), guest: try Capture(in: guest, filter: filter))
        // Datagrams come to somebody: else the guest's own kernel would answer the answer. Where the port is not to be had,
        // it does, which changes nothing of what is seen.
        var listener: Socket?
        if case .udp(let port, _, _) = packet.content {
            listener = try? guest.run { try Socket(datagramsTo: SocketAddress(packet.source, port)) }
        }
        defer { withExtendedLifetime(listener) {} }
        let socket = try PacketSender(in: guest, as: sender.address)
        let before = try reconciler.ruleCounts()
        for _ in 1...Self.attempts where !watch.isOver {
            let failure = socket.send(packet)
            if failure != 0 {
                watch.sighting.failure = NetlinkError(errno: failure, operation: "send").description
                break
            }
            watch.wait(until: .now + timeout / Self.attempts)
        }
        var sighting = watch.sighting
        sighting.isNewConnection = isNewConnection
        for (name, counts) in try reconciler.ruleCounts() {
            let growth = counts.packets &- (before[name]?.packets ?? 0)
            if growth > 0, growth < UInt64(Int64.max) { sighting.counted[name] = growth }
        }
        return sighting
    }
}

/// What two captures have seen so far.
private struct PacketWatch {
    let packet: OutgoingPacket
    /// A number of `Topology.interfaces`.
    let sender: Int
    let topology: Topology
    /// The host's.
    let namespace: NetworkNamespace
    let host: Capture
    let guest: Capture
    var sighting = Sighting()
    private var buffer = [UInt8](repeating: 0, count: 2048)
    private var names: [UInt32: InterfaceName?] = [:]

    init(
        packet: OutgoingPacket, sender: Int, topology: Topology, namespace: NetworkNamespace, host: Capture,
        guest: Capture
    ) {
        self.namespace = namespace
        self.packet = packet
        self.sender = sender
        self.topology = topology
        self.host = host
        self.guest = guest
    }

    var isOver: Bool { sighting.isAnswered }

    /// Takes note of everything until the answer or the end of the time.
    mutating func wait(until deadline: ContinuousClock.Instant) {
        var polls = PollSet()
        while !isOver, ContinuousClock.now < deadline {
            polls.removeAll()
            polls.add(host.socket.descriptor, 1)
            polls.add(guest.socket.descriptor, 1)
            polls.wait(until: deadline)
            look()
        }
        // What the host saw of the answer was queued before the guest had it.
        look()
    }

    private mutating func look() {
        while let sight = host.next(&buffer) {
            if case .packet(let seen, let direction, let device) = sight { passed(seen, direction, device) }
        }
        while let sight = guest.next(&buffer) {
            switch sight {
            case .packet(let seen, .leaving, _): if packet.isSame(as: seen) { sighting.hasLeftGuest = true }
            case .packet(let seen, .entering, _): arrived(seen)
            case .question(let neighbor): if neighbor == packet.destination { sighting.isNeighborSought = true }
            }
        }
    }

    /// By a device of the host.
    private mutating func passed(_ seen: IPv4Packet, _ direction: Capture.Direction, _ device: UInt32) {
        guard let name = name(of: device), !Conventions.isVRF(name) else { return }
        if packet.isSame(as: seen) {
            switch direction {
            case .entering:
                if name.description == topology.interfaces[sender].portName.rawValue { sighting.hasEnteredHost = true }
            case .leaving:
                let exit = exit(by: name)
                sighting.exits.insert(exit)
            }
        } else if direction == .entering, packet.isAnswered(by: seen) {
            sighting.hasAnswerEnteredHost = true
        }
    }

    private mutating func name(of device: UInt32) -> InterfaceName? {
        if let known = names[device] { return known }
        let name = InterfaceName(index: device, in: namespace)
        names[device] = name
        return name
    }

    private mutating func exit(by device: InterfaceName) -> Sighting.Exit {
        let interface = topology.interfaces[sender]
        if Conventions.isTunnel(device, ofVPC: topology.vpcs[interface.vpc].id) {
            sighting.tunnels.insert(device.description)
            return .tunnel
        }
        let own = topology.interfacesOfHost[interface.host]
        let port = own.first { topology.interfaces[$0].portName.rawValue == device.description }
        return port.map { .port($0) } ?? .other(device.description)
    }

    /// In the sender's namespace.
    private mutating func arrived(_ seen: IPv4Packet) {
        if packet.isAnswered(by: seen) {
            sighting.answer = seen.isRefusal ? .refused : .reply
        } else if let error = seen.icmpError, error.about == packet.flow, !sighting.isAnswered {
            let isOfDestination = error.from == packet.destination && error.isServiceUnreachable
            sighting.answer = isOfDestination ? .portUnreachable : .error("\(error)")
        }
    }
}

extension OutgoingPacket {
    fileprivate init(_ packet: Packet) {
        let content: Content =
            switch packet.content {
            case .icmp(let type, let code):
                .icmp(type: type, code: code, identifier: .random(in: 1 ... .max), sequence: 1)
            case .tcp(let source, let destination):
                .tcp(sourcePort: source, destinationPort: destination, flags: .syn)
            case .udp(let source, let destination):
                .udp(sourcePort: source, destinationPort: destination, payload: Array("vpcctl trace".utf8))
            case .sctp(let source, let destination):
                .sctp(sourcePort: source, destinationPort: destination, chunk: .initiation)
            }
        self.init(from: packet.source, to: packet.destination, content)
    }
}
