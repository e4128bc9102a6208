import KernelModel

/// The mark of a connection (`ct mark`): what of it this host has judged.
///
/// A connection has two ends, and what is judged is an end of it: its originator's groups and ACL where the originator's
/// port is, its responder's where that one's is. Both may be here, and even then a packet may pass twice: once from the
/// port of the one into the tunnel, to a middlebox elsewhere, and once from the tunnel to the port of the other.
///
/// ```
///  31      30      29      28      27           26          25 … 0
///  passed in the epoch:            let begin by groups of
///  original        reply           originator   responder   epoch
///  leaves  arrives leaves  arrives
/// ```
enum ConnectionMark {
    static let epochMask: UInt32 = 0x03FF_FFFF
    /// No epoch is that, so no rule gives it: the connection is cut, whatever belongs to it is dropped.
    static let cut = Conventions.cutMark
    static let allowedMask: UInt32 = 0x0C00_0000

    /// Where a packet is judged.
    enum Side {
        /// It comes from a port of this host.
        case leaving
        /// It goes to a port of this host.
        case arriving
    }

    /// The ACL and the groups on these sides let packets of that direction pass.
    static func passed(_ direction: NFDirection, _ sides: [Side]) -> UInt32 {
        sides.reduce(0) { $0 | passed(direction, $1) }
    }

    /// The groups of the interfaces on these sides let the connection begin, in this epoch or before.
    static func allowed(_ direction: NFDirection, _ sides: [Side]) -> UInt32 {
        sides.reduce(0) { $0 | allowed(direction, $1) }
    }

    private static func passed(_ direction: NFDirection, _ side: Side) -> UInt32 {
        switch (direction, side) {
        case (.original, .leaving): 1 << 31
        case (.original, .arriving): 1 << 30
        case (.reply, .leaving): 1 << 29
        case (.reply, .arriving): 1 << 28
        }
    }

    private static func allowed(_ direction: NFDirection, _ side: Side) -> UInt32 {
        let isOriginator = (direction == .original) == (side == .leaving)
        return isOriginator ? 1 << 27 : 1 << 26
    }
}
