import KernelModel

/// The mark of a connection (`ct mark`): what of it this host has judged.
///
/// A connection has two ends, and what is judged is an end of it: its originator's groups and ACL where the originator's
/// port is, its responder's where that one's is. Both may be here, and even then a packet may pass twice: once from the
/// port of the one into the tunnel, to a middlebox elsewhere, and once from the tunnel to the port of the other.
///
/// ```
///  31      30      29      28      27           26          25        24 … 0
///  passed in the epoch:            let begin by groups of   given to
///  original        reply           originator   responder   gateway   epoch
///  leaves  arrives leaves  arrives
/// ```
///
/// Only packets of the original direction set bits 27 to 25, and bit 27 only those that came from the originator's own
/// port: whoever may use any address can forge a connection's first packet, and would own its answers.
enum ConnectionMark {
    static let epochMask: UInt32 = 0x01FF_FFFF
    /// No epoch is that, so no rule gives it: the connection is cut, whatever belongs to it is dropped.
    static let cut = Conventions.cutMark
    /// No epoch is that either: the connection was found in its middle, by an answer, after a guest's move. The kernel takes
    /// that for its first packet; nothing is remembered, and each packet is judged.
    static let found = cut - 1
    /// A port here that may use any address was given packets of the original direction by another port or host, and its
    /// groups let them in.
    static let given: UInt32 = 1 << 25
    /// What outlasts an epoch.
    static let lasting: UInt32 = 0x0E00_0000

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
