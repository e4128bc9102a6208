import CTraffic
import Glibc
import IPAddressing
import Testing
import Traffic

@testable import VPCLab

/// One TCP connection, over which something is asked now and then: it goes on, or it does not.
final class LongConnection {
    private let socket: Socket
    private var number = 0
    private var received: [UInt8] = []

    init(from station: Station, to destination: IPAddress, sourcePort: UInt16 = 0) throws {
        socket = try station.namespace.run {
            let socket = try Socket(AF_INET, SOCK_STREAM)
            try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
            if sourcePort != 0 { try socket.bind(SocketAddress(station.source ?? .anyIPv4, sourcePort)) }
            return socket
        }
        guard case .success = socket.connect(SocketAddress(destination, Station.tcpPort)) else {
            throw LabError.system("connect to \(destination)")
        }
        var polls = PollSet()
        polls.add(socket.descriptor, POLLOUT)
        polls.wait(until: .now + .seconds(20))
        try #require(polls.isReady(0) && socket.pendingError == 0, "no connection to \(destination)")
    }

    /// Asks and waits for the answer.
    /// - Returns: The address and port that the other end sees; nil: the connection is broken.
    func seen(timeout: Duration = .seconds(60)) -> String? {
        number += 1
        let question = Array("ask \(number)\n".utf8)
        guard send(socket.descriptor, question, question.count, Int32(MSG_NOSIGNAL)) == question.count else {
            return nil
        }
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            while let end = received.firstIndex(of: 10) {
                let words = String(decoding: received[..<end], as: UTF8.self).split(separator: "|")
                received.removeFirst(end + 1)
                if words.count == 3, words[2] == "\(number)" { return String(words[1]) }
            }
            var polls = PollSet()
            polls.add(socket.descriptor, POLLIN)
            polls.wait(until: deadline)
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = read(socket.descriptor, &bytes, bytes.count)
            if count == 0 || (count < 0 && errno != EAGAIN) { return nil }
            if count > 0 { received += bytes[..<count] }
        }
        return nil
    }
}
