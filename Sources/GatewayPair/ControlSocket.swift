internal import CTraffic
internal import Foundation
internal import GatewayControl
internal import Glibc
internal import Traffic

/// The end of `vpcgw`.
final class ControlSocket {
    private let socket: Socket
    private let path: String
    private var clients: [Client] = []

    struct Client {
        let socket: Socket
        var received: [UInt8] = []
        /// What was asked, until it is answered.
        var request: ControlRequest?
        let came: ContinuousClock.Instant
    }

    private static let mostClients = 16
    private static let longestStay = Duration.seconds(10)
    private static let longestLine = 512

    init(_ path: String) throws {
        guard let address = sockaddr_un(path) else { throw PairError("\(path) is too long for a socket") }
        let socket = try Socket(AF_UNIX, SOCK_STREAM)
        // One that lives is not taken its place from.
        if address.withPointer({ connect(socket.descriptor, $0, $1) }) == 0 {
            throw PairError("another vpcgw answers at \(path)")
        }
        unlink(path)
        let listening = try Socket(AF_UNIX, SOCK_STREAM)
        let former = umask(0o177)
        defer { umask(former) }
        guard address.withPointer({ bind(listening.descriptor, $0, $1) }) == 0, listen(listening.descriptor, 8) == 0
        else { throw PairError("\(path): \(String(cString: strerror(errno)))") }
        (self.socket, self.path) = (listening, path)
    }

    deinit { unlink(path) }

    var descriptors: [Int32] { [socket.descriptor] + clients.map(\.socket.descriptor) }

    /// Takes what has come.
    func receive(at now: ContinuousClock.Instant) {
        while true {
            let descriptor = accept(socket.descriptor, nil, nil)
            if descriptor < 0 { break }
            let client = Socket(owning: descriptor)
            guard clients.count < Self.mostClients else { continue }
            clients.append(Client(socket: client, came: now))
        }
        for index in clients.indices.reversed() {
            var bytes = [UInt8](repeating: 0, count: Self.longestLine)
            let count = read(clients[index].socket.descriptor, &bytes, bytes.count)
            if count > 0 { clients[index].received += bytes[..<count] }
            let isGone = count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
            let line = clients[index].received
            if let end = line.firstIndex(of: 10), clients[index].request == nil {
                clients[index].request = ControlRequest(line: String(decoding: line[..<end], as: UTF8.self))
                if clients[index].request == nil { answer(index, ControlAnswer(error: "not understood")) }
            } else if isGone || line.count > Self.longestLine || clients[index].came + Self.longestStay <= now {
                clients.remove(at: index)
            }
        }
    }

    /// Answers those of which `body` has an answer; nil: not yet.
    /// - Parameter body: With the time since when it is waited for.
    func answer(_ body: (ControlRequest, ContinuousClock.Instant) -> ControlAnswer?) {
        for index in clients.indices.reversed() {
            guard let request = clients[index].request, let answer = body(request, clients[index].came) else {
                continue
            }
            self.answer(index, answer)
        }
    }

    private func answer(_ index: Int, _ answer: ControlAnswer) {
        let bytes = ((try? JSONEncoder().encode(answer)).map { Array($0) } ?? []) + [10]
        // Less than what a socket's buffer takes.
        _ = send(clients[index].socket.descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        clients.remove(at: index)
    }
}
