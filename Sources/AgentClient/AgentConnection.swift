import Glibc

/// One HTTP/1.1 exchange (RFC 9112) over a Unix socket.
struct AgentConnection: ~Copyable {
    private let descriptor: Int32
    private let path: String
    private let deadline: ContinuousClock.Instant?
    /// What has come and is not read yet.
    private var buffer: [UInt8] = []

    /// What an answer begins with, and how much of its body is still to come.
    struct Head {
        var status: Int
        var rest: Rest

        enum Rest {
            case bytes(Int)
            /// Chunks follow; of the present one so many bytes.
            case chunks(Int)
            case untilEnd
        }
    }

    init(_ path: String, deadline: ContinuousClock.Instant?) throws(AgentClientError) {
        self.path = path
        self.deadline = deadline
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system(.unreachable, "socket(AF_UNIX)") }
        try connect()
    }

    deinit { close(descriptor) }

    private func connect() throws(AgentClientError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw AgentClientError(.unreachable, "the path of the socket is too long: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        // Until the connection is there, waiting for it is bounded too: a daemon that hangs takes none.
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        while true {
            let failure = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 ? 0 : errno
                }
            }
            switch failure {
            case 0: return try checkPeer()
            case EINTR: continue
            case EAGAIN:
                // The queue of a Unix socket is full; poll(2) does not tell when it is no more.
                if let deadline, ContinuousClock.now >= deadline { throw timedOut }
                usleep(20_000)
            case EACCES, EPERM:
                throw AgentClientError(
                    .notPermitted,
                    "not permitted to use \(path): run as root, or as a member of the socket's group (usermod --append --groups vpcctl USER, then log in anew)"
                )
            case ENOENT, ENOTDIR, ECONNREFUSED:
                throw .system(.unreachable, "no agent at \(path)", failure)
            default: throw .system(.unreachable, "connect to \(path)", failure)
            }
        }
    }

    /// Whoever listens is root, or the user himself: what anybody else says of this host is not believed, and nothing is
    /// handed over to him.
    private func checkPeer() throws(AgentClientError) {
        // struct ucred of socket(7).
        var credentials = (pid: pid_t(0), uid: uid_t(0), gid: gid_t(0))
        var size = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else {
            throw .system(.unreachable, "look who listens at \(path)")
        }
        guard credentials.uid == 0 || credentials.uid == geteuid() else {
            throw AgentClientError(
                .protocol,
                "what listens at \(path) is no agent: process \(credentials.pid) of user \(credentials.uid), which is not root"
            )
        }
    }

    private var timedOut: AgentClientError {
        AgentClientError(.timedOut, "the agent at \(path) did not answer in time")
    }

    // MARK: Sending

    mutating func send(_ method: String, _ target: String, body: [UInt8]?) throws(AgentClientError) {
        var request = "\(method) \(target) HTTP/1.1\r\nHost: vpcd\r\nConnection: close\r\n"
        if let body { request += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        if body == nil, method == "POST" { request += "Content-Length: 0\r\n" }
        // An answer that comes before everything is sent, such as "too large", is read all the same.
        if try write(Array((request + "\r\n").utf8)), let body { _ = try write(body) }
    }

    /// - Returns: false where the other end takes no more.
    private func write(_ bytes: [UInt8]) throws(AgentClientError) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                offset += count
            } else if errno == EAGAIN {
                try wait(POLLOUT, while: { true })
            } else if errno == EPIPE || errno == ECONNRESET {
                return false
            } else if errno != EINTR {
                throw .system(.unreachable, "write to \(path)")
            }
        }
        return true
    }

    // MARK: Receiving

    /// The status line and the header fields.
    mutating func head(while waiting: () -> Bool) throws(AgentClientError) -> Head {
        while true {
            let head = try oneHead(while: waiting)
            // 100 Continue and its like announce the real one.
            if head.status >= 200 { return head }
        }
    }

    private mutating func oneHead(while waiting: () -> Bool) throws(AgentClientError) -> Head {
        let words = try line(while: waiting).split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw AgentClientError(.protocol, "what listens at \(path) does not speak HTTP")
        }
        var head = Head(status: status, rest: status < 200 || status == 204 ? .bytes(0) : .untilEnd)
        while true {
            let text = try line(while: waiting)
            if text.isEmpty { return head }
            guard let colon = text.firstIndex(of: ":") else { continue }
            let value = text[text.index(after: colon)...].drop { $0 == " " }
            switch text[..<colon].lowercased() {
            case "content-length": head.rest = .bytes(Int(value) ?? 0)
            case "transfer-encoding" where value.lowercased() == "chunked": head.rest = .chunks(0)
            default: break
            }
        }
    }

    /// Everything that follows the head.
    mutating func rest(of head: inout Head) throws(AgentClientError) -> [UInt8] {
        var bytes: [UInt8] = []
        while let part = try part(of: &head, while: { true }) { bytes += part }
        return bytes
    }

    /// The next part of the body; nil after the last.
    mutating func part(of head: inout Head, while waiting: () -> Bool) throws(AgentClientError) -> [UInt8]? {
        switch head.rest {
        case .bytes(0): return nil
        case .bytes(let count):
            guard let part = try take(count, while: waiting) else { throw cutOff }
            head.rest = .bytes(count - part.count)
            return part
        case .untilEnd: return try take(.max, while: waiting)
        case .chunks(0):
            let size = try line(while: waiting).prefix { $0 != ";" }
            guard let count = Int(size, radix: 16) else {
                throw AgentClientError(.protocol, "the answer of the agent has a chunk without a size")
            }
            if count == 0 {
                head.rest = .bytes(0)
                return nil
            }
            head.rest = .chunks(count)
            return try part(of: &head, while: waiting)
        case .chunks(let count):
            guard let part = try take(count, while: waiting) else { throw cutOff }
            head.rest = .chunks(count - part.count)
            if part.count == count { _ = try line(while: waiting) }
            return part
        }
    }

    private var cutOff: AgentClientError {
        AgentClientError(.unreachable, "the agent at \(path) has ended the connection")
    }

    /// At most so many bytes; nil at the end of the connection.
    private mutating func take(_ count: Int, while waiting: () -> Bool) throws(AgentClientError) -> [UInt8]? {
        if buffer.isEmpty {
            guard try receive(while: waiting) else { return nil }
        }
        if buffer.count <= count {
            defer { buffer.removeAll(keepingCapacity: true) }
            return buffer
        }
        let part = Array(buffer.prefix(count))
        buffer.removeFirst(count)
        return part
    }

    /// A line without its end.
    private mutating func line(while waiting: () -> Bool) throws(AgentClientError) -> String {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let text = buffer[..<end]
                let line = String(decoding: text.last == UInt8(ascii: "\r") ? text.dropLast() : text, as: UTF8.self)
                buffer.removeSubrange(...end)
                return line
            }
            guard buffer.count < 64 << 10 else {
                throw AgentClientError(.protocol, "what listens at \(path) does not speak HTTP")
            }
            guard try receive(while: waiting) else { throw cutOff }
        }
    }

    /// - Returns: false at the end of the connection.
    private mutating func receive(while waiting: () -> Bool) throws(AgentClientError) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                buffer += chunk[..<count]
                return true
            }
            if count == 0 { return false }
            switch errno {
            case EINTR: continue
            case EAGAIN: try wait(POLLIN, while: waiting)
            case ECONNRESET: return false
            default: throw .system(.unreachable, "read from \(path)")
            }
        }
    }

    /// Waits until the socket is ready.
    private func wait(_ events: Int32, while waiting: () -> Bool) throws(AgentClientError) {
        while true {
            var request = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let ready = poll(&request, 1, Self.pollInterval)
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw .system(.unreachable, "poll") }
            if let deadline, ContinuousClock.now >= deadline { throw timedOut }
            if !waiting() { throw AgentClientError(.abandoned, "nobody waits for the agent at \(path) any more") }
        }
    }

    /// Milliseconds between two looks at the clock.
    private static let pollInterval: Int32 = 200
}
