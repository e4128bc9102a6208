package import Glibc

/// What is wrong with how something was asked, or started.
public struct PairError: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// How the command line asks `vpcgw`: a line with a word and its arguments, answered by a line of JSON. Only the owner of the
/// socket gets in: root.
public enum ControlRequest: Sendable {
    case status
    /// The status as soon as it is another one than that of this number, apart from counts; at the latest in a few seconds.
    case watch(since: UInt64)
    /// The other gateway of the pair with that name is to take over.
    case failover(String, isForced: Bool)

    public var line: String {
        switch self {
        case .status: "status"
        case .watch(let number): "watch \(number)"
        case .failover(let name, let isForced): "failover \(name)\(isForced ? " force" : "")"
        }
    }

    /// Nil: it is not understood.
    public init?(line: String) {
        let words = line.split(separator: " ").map(String.init)
        switch words.first {
        case "status" where words.count == 1: self = .status
        case "watch" where words.count == 2:
            guard let number = UInt64(words[1]) else { return nil }
            self = .watch(since: number)
        case "failover" where words.count == 2: self = .failover(words[1], isForced: false)
        case "failover" where words.count == 3 && words[2] == "force": self = .failover(words[1], isForced: true)
        default: return nil
        }
    }
}

public struct ControlAnswer: Codable, Sendable {
    public var pairs: [PairStatus] = []
    /// Another one whenever something has changed but counts (``ControlRequest/watch(since:)``).
    public var number: UInt64 = 0
    /// Why it could not be done.
    public var error: String?

    public init(pairs: [PairStatus] = [], number: UInt64 = 0, error: String? = nil) {
        (self.pairs, self.number, self.error) = (pairs, number, error)
    }
}

extension sockaddr_un {
    /// Nil: the path is too long.
    package init?(_ path: String) {
        self.init()
        sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: sun_path) else { return nil }
        withUnsafeMutableBytes(of: &sun_path) { $0.copyBytes(from: bytes) }
    }

    package func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: self) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
