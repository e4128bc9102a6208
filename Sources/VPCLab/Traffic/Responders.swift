import CTraffic
import Glibc
import IPAddressing
public import Netlink
import Synchronization
import Traffic

/// Servers in many namespaces that say who they are, all served by one thread.
///
/// UDP: every datagram comes back as `NAME|ADDRESS:PORT|DATAGRAM`, from the address that it was sent to, where
/// ADDRESS:PORT is who sent it. TCP and SCTP: a line `ask TOKEN` is answered with the line `NAME|ADDRESS:PORT|TOKEN`, and a line
/// `bulk COUNT` followed by so many bytes with `NAME|ADDRESS:PORT|COUNT`.
public final class Responders: Sendable {
    private let service: Service
    private let thread: BackgroundThread

    public init() throws {
        let service = try Service()
        self.service = service
        thread = try BackgroundThread { service.run() }
    }

    deinit { stop() }

    /// Starts to answer in a namespace, on all its addresses, those that come later too.
    /// - Throws: `NetlinkError` when a port is in use there.
    public func serve(
        as name: String, in namespace: NetworkNamespace, udp: some Collection<UInt16>, tcp: some Collection<UInt16>,
        sctp: some Collection<UInt16> = []
    ) throws {
        let listeners = try namespace.run {
            var listeners: [Listener] = []
            for port in udp { listeners.append(try Listener(udp: port, name: name)) }
            for port in tcp { listeners.append(try Listener(stream: port, by: .tcp, name: name)) }
            for port in sctp { listeners.append(try Listener(stream: port, by: .sctp, name: name)) }
            return listeners
        }
        service.add(listeners)
    }

    /// Closes all sockets.
    public func stop() {
        service.stop()
        thread.join()
    }
}

/// One socket that waits for others.
private struct Listener: Sendable {
    let socket: Socket
    let isStream: Bool
    let name: String

    init(udp port: UInt16, name: String) throws {
        socket = try Socket(AF_INET, SOCK_DGRAM)
        try socket.set(Int32(IPPROTO_IP), IP_PKTINFO, 1)
        try socket.bind(SocketAddress(.anyIPv4, port))
        isStream = false
        self.name = name
    }

    init(stream port: UInt16, by stream: Station.StreamProtocol, name: String) throws {
        socket = try Socket(AF_INET, SOCK_STREAM, stream.rawValue)
        try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
        try socket.bind(SocketAddress(.anyIPv4, port))
        guard listen(socket.descriptor, 256) == 0 else { throw LabError.system("listen on port \(port)") }
        isStream = true
        self.name = name
    }

    /// Answers all datagrams that are queued.
    func answerDatagrams() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var source = sockaddr_in()
            var destination = in_addr()
            let count = receive_with_destination(socket.descriptor, &buffer, buffer.count, &source, &destination)
            if count < 0 {
                // Anything else is an ICMP error about an earlier answer.
                if errno == EAGAIN || errno == EBADF { return }
                continue
            }
            let answer = Array("\(name)|\(SocketAddress(source))|".utf8) + buffer[..<count]
            _ = send_from(socket.descriptor, answer, answer.count, &source, destination)
        }
    }
}

/// A connection that was accepted.
private struct Connection {
    let socket: Socket
    let name: String
    let peer: SocketAddress
    /// What came and makes no line yet.
    private var line: [UInt8] = []
    /// Bytes of a bulk transfer still to come, and all of them.
    private var bulk: (left: Int, size: Int) = (0, 0)

    init(_ socket: Socket, name: String, peer: SocketAddress) {
        self.socket = socket
        self.name = name
        self.peer = peer
    }

    /// - Returns: Whether the connection goes on.
    mutating func serve(_ buffer: inout [UInt8]) -> Bool {
        while true {
            let count = read(socket.descriptor, &buffer, buffer.count)
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            if count == 0 { return false }
            take(buffer[..<count])
        }
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        var bytes = bytes
        while !bytes.isEmpty {
            if bulk.left > 0 {
                let count = min(bulk.left, bytes.count)
                bulk.left -= count
                bytes = bytes.dropFirst(count)
                if bulk.left == 0 { answer("\(bulk.size)") }
                continue
            }
            guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
                line += bytes
                return
            }
            line += bytes[..<end]
            bytes = bytes[(end + 1)...]
            obey(String(decoding: line, as: UTF8.self))
            line = []
        }
    }

    private mutating func obey(_ line: String) {
        let words = line.split(separator: " ", maxSplits: 1)
        guard words.count == 2 else { return }
        if words[0] == "ask" { answer(String(words[1])) }
        if words[0] == "bulk", let size = Int(words[1]), size > 0 { bulk = (size, size) }
    }

    private func answer(_ text: String) {
        let bytes = Array("\(name)|\(peer)|\(text)\n".utf8)
        _ = send(socket.descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
}

/// The thread's side.
private final class Service: Sendable {
    private let arrivals = Mutex<[Listener]>([])
    private let stopping = Atomic<Bool>(false)
    private let bell: Bell

    init() throws(LabError) {
        do { bell = try Bell() } catch { throw .system("make a pipe") }
    }

    func add(_ listeners: [Listener]) {
        arrivals.withLock { $0 += listeners }
        bell.ring()
    }

    func stop() {
        stopping.store(true, ordering: .sequentiallyConsistent)
        bell.ring()
    }

    func run() {
        var listeners: [Listener] = []
        var connections: [Connection] = []
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var polls = PollSet()
        while !stopping.load(ordering: .sequentiallyConsistent) {
            listeners += arrivals.withLock { arrivals in
                defer { arrivals = [] }
                return arrivals
            }
            polls.removeAll()
            polls.add(bell.descriptor, POLLIN)
            for listener in listeners { polls.add(listener.socket.descriptor, POLLIN) }
            for connection in connections { polls.add(connection.socket.descriptor, POLLIN) }
            polls.wait(until: nil)

            if polls.isReady(0) { bell.hush() }
            let firstConnection = 1 + listeners.count
            for index in connections.indices.reversed() where polls.isReady(firstConnection + index) {
                if !connections[index].serve(&buffer) { connections.remove(at: index) }
            }
            for (index, listener) in listeners.enumerated() where polls.isReady(1 + index) {
                if listener.isStream {
                    connections += Self.accept(listener)
                } else {
                    listener.answerDatagrams()
                }
            }
        }
    }

    private static func accept(_ listener: Listener) -> [Connection] {
        var connections: [Connection] = []
        while true {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let descriptor = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.accept(listener.socket.descriptor, $0, &length)
                }
            }
            guard descriptor >= 0 else { return connections }
            connections.append(
                Connection(Socket(owning: descriptor), name: listener.name, peer: SocketAddress(address)))
        }
    }
}
