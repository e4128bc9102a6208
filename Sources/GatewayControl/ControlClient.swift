internal import Foundation
internal import Glibc

/// The end of who asks.
public enum ControlClient {
    public static let standardPath = "/run/vpcgw/vpcgw.sock"

    /// - Returns: nil where nobody listens there.
    public static func ask(_ request: ControlRequest, at path: String, seconds: Int = 15) throws -> ControlAnswer? {
        guard let address = sockaddr_un(path) else { throw PairError("\(path) is too long for a socket") }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw PairError("socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard address.withPointer({ connect(descriptor, $0, $1) }) == 0 else {
            if errno == ENOENT || errno == ECONNREFUSED { return nil }
            throw PairError("\(path): \(String(cString: strerror(errno)))")
        }
        let line = Array((request.line + "\n").utf8)
        guard send(descriptor, line, line.count, Int32(MSG_NOSIGNAL)) == line.count else {
            throw PairError("\(path): \(String(cString: strerror(errno)))")
        }
        var (received, bytes) = (Data(), [UInt8](repeating: 0, count: 65536))
        while received.last != 10 {
            let count = read(descriptor, &bytes, bytes.count)
            guard count > 0 else { throw PairError("vpcgw does not answer at \(path)") }
            received.append(contentsOf: bytes[..<count])
        }
        return try JSONDecoder().decode(ControlAnswer.self, from: received)
    }
}
