import CTraffic
import Glibc
public import IPAddressing
public import Netlink
import Traffic

/// Somebody who sends: a namespace and, where that has several, one of its addresses.
///
/// The calls block the thread until the answer or the deadline.
public struct Station: Sendable, Hashable {
    public var namespace: NetworkNamespace
    /// Nil: the kernel chooses.
    public var source: IPAddress?

    public init(_ namespace: NetworkNamespace, source: IPAddress? = nil) {
        self.namespace = namespace
        self.source = source
    }

    /// The ports on which tests let responders listen.
    public static let udpPort: UInt16 = 7000
    public static let tcpPort: UInt16 = 7001

    // MARK: UDP

    /// Asks a responder by UDP, several times if need be.
    public func ask(
        _ destination: IPAddress, port: UInt16 = Self.udpPort, sourcePort: UInt16 = 0,
        timeout: Duration = .seconds(1), attempts: Int = 3
    ) throws -> Answer? {
        try askMany(
            destination, port: port, sourcePorts: [sourcePort], timeout: timeout, attempts: attempts
        ).first?.value
    }

    /// Asks a responder from many ports at once: one flow each.
    /// - Parameters:
    ///   - timeout: For each attempt.
    /// - Returns: By source port.
    public func askMany(
        _ destination: IPAddress, port: UInt16 = Self.udpPort, sourcePorts: some Collection<UInt16>,
        timeout: Duration = .seconds(2), attempts: Int = 3
    ) throws -> [UInt16: Answer] {
        let sockets = try namespace.run {
            try sourcePorts.map { port in
                let socket = try Socket(AF_INET, SOCK_DGRAM)
                try socket.bind(SocketAddress(source ?? .anyIPv4, port))
                return (port: port, socket: socket)
            }
        }
        let target = SocketAddress(destination, port)
        let question = Array("q".utf8)
        let start = ContinuousClock.now
        var answers: [UInt16: Answer] = [:]
        var polls = PollSet()
        for attempt in 1...attempts {
            for (port, socket) in sockets where answers[port] == nil { _ = socket.send(question, to: target) }
            let deadline = start + timeout * attempt
            while answers.count < sockets.count, ContinuousClock.now < deadline {
                polls.removeAll()
                let waiting = sockets.filter { answers[$0.port] == nil }
                for (_, socket) in waiting { polls.add(socket.descriptor, POLLIN) }
                polls.wait(until: deadline)
                for (index, (port, socket)) in waiting.enumerated() where polls.isReady(index) {
                    guard let datagram = socket.receive() else { continue }
                    answers[port] = Answer(datagram.bytes, delay: start.duration(to: .now))
                }
            }
            if answers.count == sockets.count { break }
        }
        return answers
    }

    // MARK: TCP and SCTP

    /// By which protocol a stream of bytes goes.
    public enum StreamProtocol: Int32, Sendable {
        case tcp = 6
        /// With a socket for each association (RFC 6458, section 4).
        case sctp = 132
    }

    /// What became of a TCP connection or an SCTP association.
    public enum Connection: Sendable, Hashable {
        case answered(Answer)
        /// Refused, unreachable, reset: the error in words.
        case failed(String)
        case silent
    }

    /// Connects, sends `size` bytes where that is not 0, and reads the responder's answer: its `text` is the number of
    /// bytes that arrived.
    public func connect(
        _ destination: IPAddress, port: UInt16 = Self.tcpPort, by stream: StreamProtocol = .tcp,
        sourcePort: UInt16 = 0, sending size: Int = 0, timeout: Duration = .seconds(5)
    ) throws -> Connection {
        let socket = try namespace.run {
            let socket = try Socket(AF_INET, SOCK_STREAM, stream.rawValue)
            try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
            if source != nil || sourcePort != 0 { try socket.bind(SocketAddress(source ?? .anyIPv4, sourcePort)) }
            return socket
        }
        let start = ContinuousClock.now
        let deadline = start + timeout
        var isConnected: Bool
        switch socket.connect(SocketAddress(destination, port)) {
        case .failure(let error): return .failed(error.description)
        case .success(let connected): isConnected = connected
        }
        var pending = ArraySlice(Array((size == 0 ? "ask hello\n" : "bulk \(size)\n").utf8))
        var left = size
        let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 64 << 10)
        var received: [UInt8] = []
        var polls = PollSet()
        while ContinuousClock.now < deadline {
            polls.removeAll()
            let hasMore = !pending.isEmpty || left > 0
            polls.add(socket.descriptor, POLLIN | (hasMore ? POLLOUT : 0))
            polls.wait(until: deadline)
            if !polls.isReady(0) { continue }
            if !isConnected {
                let error = socket.pendingError
                if error != 0 { return .failed(LabError.system("connect", error).message) }
                isConnected = true
            }
            if hasMore {
                let bytes = pending.isEmpty ? chunk[..<min(left, chunk.count)] : pending
                let count = bytes.withUnsafeBytes {
                    send(socket.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if count > 0 {
                    if pending.isEmpty { left -= count } else { pending = pending.dropFirst(count) }
                } else if errno != EAGAIN {
                    return .failed(LabError.system("send").message)
                }
            }
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = read(socket.descriptor, &buffer, buffer.count)
            if count == 0 { return .failed("closed by the other side") }
            if count < 0 {
                if errno == EAGAIN { continue }
                return .failed(LabError.system("receive").message)
            }
            received += buffer[..<count]
            if received.last == UInt8(ascii: "\n"),
                let answer = Answer(received.dropLast(), delay: start.duration(to: .now))
            {
                return .answered(answer)
            }
        }
        return .silent
    }

    // MARK: Raw

    /// Sends one packet of any protocol over IPv4, such as a forged GRE packet.
    /// - Returns: 0, or the error number.
    public func sendRaw(_ payload: [UInt8], protocolNumber: Int32, to destination: IPAddress) throws -> Int32 {
        let socket = try namespace.run {
            let socket = try Socket(AF_INET, SOCK_RAW, protocolNumber)
            if let source { try socket.bind(SocketAddress(source, 0)) }
            return socket
        }
        return socket.send(payload, to: SocketAddress(destination, 0))
    }
}
