internal import CLinux

/// A socket that is told what changes.
public struct NetlinkMonitor: ~Copyable, Sendable {
    /// What one look at the queue came to.
    public enum Outcome: Hashable, Sendable {
        /// So many messages were handed over.
        case messages(Int)
        case timedOut
        /// The queue was full and the kernel threw away an unknown number of messages. What was known is no longer
        /// reliable: look at everything again.
        case overrun
    }

    private var transport: Transport

    /// - Parameter receiveBuffer: Bytes for messages not yet read. The kernel queues one buffer per change and never
    ///   merges them: 4 MiB hold several thousand.
    public init(
        _ family: NetlinkProtocol = .route, groups: [MulticastGroup], in namespace: NetworkNamespace = .current,
        receiveBuffer: Int = 8 << 20
    ) throws(NetlinkError) {
        transport = try namespace.enter { () throws(NetlinkError) in
            try Transport(family, receiveBuffer: receiveBuffer, sendBuffer: 32 << 10, groups: groups)
        }
    }

    /// For waiting in an event loop; readable when ``receive(timeout:each:)`` has something.
    public var fileDescriptor: Int32 { transport.descriptor }

    /// Hands over all messages of the next datagram, waiting for one if none is queued.
    ///
    /// - Parameter timeout: Nil waits for ever; zero does not wait.
    public mutating func receive(
        timeout: Duration?, each: (borrowing Message) throws(CodecError) -> Void
    ) throws(NetlinkError) -> Outcome {
        let clock = ContinuousClock()
        let deadline = timeout.map { clock.now + $0 }
        while true {
            switch try transport.receive() {
            case .overrun: return .overrun
            case .foreign: break
            case .empty:
                let left = deadline.map { max(.zero, clock.now.duration(to: $0)) }
                if left == .zero { return .timedOut }
                guard try transport.wait(left) else { return .timedOut }
            case .datagram(let byteCount):
                var count = 0
                try NetlinkSocket.forEachMessage(transport.datagram(byteCount)) { message throws(CodecError) in
                    count += 1
                    try each(message)
                }
                return .messages(count)
            }
        }
    }
}
