import Glibc
import NIOCore
import Synchronization

/// Who is at the other end, as far as a share is concerned.
enum Peer: Hashable, Sendable {
    /// Root, and the user the daemon runs as.
    case root
    case user(uid_t)
    /// An address of IPv4, or 64 bits of one of IPv6; all of loopback is one.
    case network(UInt64)
    case unknown
}

extension Peer {
    init(_ credentials: PeerCredentials?) {
        switch credentials?.uid {
        case nil: self = .unknown
        case 0, geteuid(): self = .root
        case .some(let uid): self = .user(uid)
        }
    }

    init(_ address: SocketAddress?) {
        switch address {
        case .v4(let address): self = Self.v4(UInt32(bigEndian: address.address.sin_addr.s_addr))
        case .v6(let address):
            let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
            let head = bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let tail = bytes[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            switch (head, tail) {
            case (0, 1): self = Self.v4(0x7F00_0001)
            // ::ffff:192.0.2.1
            case (0, 0xFFFF_0000_0000...0xFFFF_FFFF_FFFF): self = Self.v4(UInt32(truncatingIfNeeded: tail))
            default: self = .network(head)
            }
        default: self = .unknown
        }
    }

    private static func v4(_ number: UInt32) -> Peer { .network(number >> 24 == 127 ? 127 << 24 : UInt64(number)) }
}

/// Divides what there is a limited number of: nobody but root gets all of it, and nobody gets more than his share, so that
/// root always finds something left.
final class Shares: Sendable {
    struct Limits: Sendable {
        var total: Int
        /// For root alone.
        var reserved: Int
        /// For any other.
        var each: Int
    }

    private let limits: Limits
    private let state = Mutex(State())

    private struct State {
        var all = 0
        var byPeer: [Peer: Int] = [:]
    }

    init(_ limits: Limits) { self.limits = limits }

    /// - Returns: false where that is more than the peer may have now; then it has got nothing.
    func take(_ count: Int = 1, for peer: Peer) -> Bool {
        state.withLock { state in
            let own = state.byPeer[peer] ?? 0
            let others = state.all - (state.byPeer[.root] ?? 0)
            guard state.all + count <= limits.total else { return false }
            if peer != .root {
                guard others + count <= limits.total - limits.reserved, own + count <= limits.each else { return false }
            }
            state.all += count
            state.byPeer[peer] = own + count
            return true
        }
    }

    func giveBack(_ count: Int = 1, of peer: Peer) {
        state.withLock { state in
            let rest = (state.byPeer[peer] ?? 0) - count
            state.byPeer[peer] = rest > 0 ? rest : nil
            state.all -= count
        }
    }
}

/// What the API spends on its clients.
struct ServerLimits: Sendable {
    /// Connections to the Unix socket that are served at a time.
    var connections = Shares.Limits(total: 128, reserved: 32, each: 32)
    /// Connections over TCP, where nobody is root.
    var metrics = Shares.Limits(total: 128, reserved: 0, each: 16)
    /// Requests that are worked on or wait for it: what is compiled, or read from the kernel or the disk.
    var work = Shares.Limits(total: 32, reserved: 8, each: 8)
    /// Bytes of bodies in memory.
    var bodies = Shares.Limits(total: 256 << 20, reserved: 64 << 20, each: 64 << 20)
    /// Refusals at a time that wait for their client to take them; of more than these there is none.
    var refusals = 32
    /// After which a client that sends nothing, half a request, or takes nothing of an answer, is cut off.
    var idleTimeout = Duration.seconds(60)
}
