public import Netlink

/// Is told when anybody changes nf_tables in a namespace.
///
/// Every transaction ends in one message with the generation that it brought about. Whoever knows the generation that
/// he looked at last, and the address of his own socket, knows whether he has to look again.
public struct FirewallMonitor: ~Copyable, Sendable {
    public enum Event: Hashable, Sendable {
        /// A transaction took effect; its ``NFTablesGeneration/portID`` is that of the socket which sent it.
        case generation(NFTablesGeneration)
        /// The kernel threw notifications away: the generation is unknown, look at everything again.
        case overrun
        case timedOut
    }

    private var monitor: NetlinkMonitor
    private var pending: [NFTablesGeneration] = []

    public init(in namespace: NetworkNamespace = .current) throws(NetlinkError) {
        monitor = try NetlinkMonitor(.tables, groups: [.tables], in: namespace)
    }

    /// For waiting in an event loop.
    public var fileDescriptor: Int32 { monitor.fileDescriptor }

    /// Waits for the next transaction.
    ///
    /// - Parameter timeout: Nil waits for ever; zero does not wait.
    public mutating func next(timeout: Duration?) throws(NetlinkError) -> Event {
        let deadline = timeout.map { ContinuousClock.now + $0 }
        while pending.isEmpty {
            let left = deadline.map { max(.zero, ContinuousClock.now.duration(to: $0)) }
            var generations: [NFTablesGeneration] = []
            let outcome = try monitor.receive(timeout: left) { message throws(CodecError) in
                if let generation = try NFTablesGeneration(message) { generations.append(generation) }
            }
            switch outcome {
            case .messages: pending = generations
            case .timedOut: return .timedOut
            case .overrun: return .overrun
            }
        }
        return .generation(pending.removeFirst())
    }
}
