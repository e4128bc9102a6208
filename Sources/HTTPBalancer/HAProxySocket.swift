import Glibc

/// A socket on which HAProxy takes commands (its management guide, section 9).
struct HAProxySocket {
    let path: String

    /// - Returns: the answer, without the empty lines at its end.
    /// - Throws: where nobody answers within five seconds.
    func ask(_ command: String) throws(BalancerError) -> String {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system("socket") }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        try connect(descriptor)
        try send(Array((command + "\n").utf8), to: descriptor)
        // The master's socket waits for more otherwise.
        shutdown(descriptor, Int32(SHUT_WR))
        return try receive(from: descriptor)
    }

    private func connect(_ descriptor: Int32) throws(BalancerError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw BalancerError("the path of a socket is too long: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw .system("connect to \(path)") }
    }

    private func send(_ bytes: [UInt8], to descriptor: Int32) throws(BalancerError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw .system("write to \(path)") }
            sent += count
        }
    }

    private func receive(from descriptor: Int32) throws(BalancerError) -> String {
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 { answer += chunk[..<count] }
            if count == 0 { break }
            guard count > 0 || errno == EINTR else { throw .system("read from \(path)") }
        }
        while answer.last == UInt8(ascii: "\n") { answer.removeLast() }
        return String(decoding: answer, as: UTF8.self)
    }
}

/// What a worker says of itself.
struct WorkerState {
    /// Of the process.
    var process: String
    /// ``HAProxyConfiguration/frame`` that it has.
    var frame: String

    init(_ socket: HAProxySocket) throws(BalancerError) {
        var values: [Substring: String] = [:]
        for line in try socket.ask("show info").split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            values[line[..<colon]] = line[line.index(after: colon)...].drop { $0 == " " }.description
        }
        guard let process = values["Pid"] else {
            throw BalancerError("\(socket.path) does not say which process it is")
        }
        self.process = process
        frame = values["description"] ?? ""
    }
}

/// A server as a worker has it.
struct ServerState: Hashable {
    var backend: String
    var name: String
    var address: String
    var port: UInt16
    var weight: Int
    /// Whether it answers checks, or is not asked.
    var isUp: Bool
    /// Whether it is to get requests.
    var isReady: Bool

    /// Reads the answer to `show servers state`: a version, a line of names and a line for each server.
    static func list(_ text: String) throws(BalancerError) -> [ServerState] {
        var columns: [Substring: Int] = [:]
        var states: [ServerState] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("#") {
                for (index, name) in line.dropFirst().split(separator: " ").enumerated() { columns[name] = index }
                continue
            }
            let values = line.split(separator: " ")
            if columns.isEmpty || values.count < columns.count { continue }
            func value(_ name: Substring) -> Substring? { columns[name].map { values[$0] } }
            guard let backend = value("be_name"), let name = value("srv_name"), let address = value("srv_addr"),
                let port = value("srv_port").flatMap({ UInt16($0) }),
                let weight = value("srv_uweight").flatMap({ Int($0) }),
                let operation = value("srv_op_state").flatMap({ Int($0) }),
                let administration = value("srv_admin_state").flatMap({ Int($0) })
            else { throw BalancerError("a server's state is not understood: \(line)") }
            states.append(
                ServerState(
                    backend: String(backend), name: String(name), address: String(address), port: port, weight: weight,
                    isUp: operation >= 2, isReady: administration == 0))
        }
        return states
    }
}
