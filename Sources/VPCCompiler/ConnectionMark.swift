import NFTables

/// The mark of a connection (`ct mark`) in the zone of a VPC: what of it this host has judged.
///
/// A connection has two ends, and what is judged is an end of it: its originator's groups and ACL where the originator's
/// port is, its responder's where that one's is. Both may be here, and even then a packet may pass twice: once from the
/// port of the one into the tunnel, to a middlebox elsewhere, and once from the tunnel to the port of the other.
///
/// ```
///  31      30      29      28      27           26          25        24 … 21  20 … 0
///  passed in the epoch:            let begin by groups of   given to  free     epoch
///  original        reply           originator   responder   gateway
///  leaves  arrives leaves  arrives
/// ```
///
/// Only packets of the original direction set bits 27 to 25, and bit 27 only those that came from the originator's own
/// port: whoever may use any address can forge a connection's first packet, and would own its answers.
///
/// The free bits are for what a judge finds out about a connection (that it is not to be offloaded, say): no rule looks at
/// them, sets them or clears them before the connection is judged in another epoch. What needs none of them: a zone that is
/// no VPC's (a NAT gateway's) has connections, and so marks, of its own, which nothing here reads; what was translated the
/// entry itself tells (`ct status`); and what is asked when a connection is over (which rule let it begin) is a label's.
enum ConnectionMark {
    static let epochMask: UInt32 = 0x001F_FFFF
    static let free: UInt32 = 0x01E0_0000
    /// In place of the epoch: the connection is cut, whatever belongs to it is dropped. No epoch is that, so no rule gives it.
    static let cut = Conventions.cutMark
    /// No epoch is that either: the connection was found in its middle, by an answer, after a guest's move. The kernel takes
    /// that for its first packet; nothing is remembered, and each packet is judged.
    static let found = cut - 1
    /// How many epochs there are, from 0 up.
    static let epochs = found
    /// A port here that may use any address was given packets of the original direction by another port or host, and its
    /// groups let them in.
    static let given: UInt32 = 1 << 25
    /// Whether exactly `bits` of those that stand for having passed are set, in that epoch, and nothing else is known of the
    /// connection but who let it begin.
    static func hasPassed(_ bits: UInt32, in epoch: UInt32) -> NFStatement {
        let mask = ~(allowed(.original, .leaving) | allowed(.original, .arriving) | free)
        return .match(.ctMark, masked: mask, .equal, epoch | bits)
    }

    /// What outlasts an epoch.
    static let lasting: UInt32 = 0x0E00_0000

    /// Whether what stands for the epoch is `value`: ``cut``, ``found`` or an epoch.
    static func has(_ value: UInt32, in mark: UInt32) -> Bool { mark & epochMask == value }

    /// The same of a packet's connection.
    static func has(_ value: UInt32) -> NFStatement { .match(.ctMark, masked: epochMask, .equal, value) }
    static func hasNot(_ value: UInt32) -> NFStatement { .match(.ctMark, masked: epochMask, .notEqual, value) }

    /// Takes a connection into an epoch. What was passed in another is forgotten.
    static func renewed(in epoch: UInt32) -> NFStatement { .set(.ctMark, keeping: lasting, adding: epoch) }

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

    /// A packet of a connection that the groups on these sides have let begin.
    static func hasBegun(_ direction: NFDirection, _ sides: [Side]) -> [NFStatement] {
        let bits = allowed(direction, sides)
        return [
            .match(.ctDirection, direction), .match([.established]), .match(.ctMark, masked: bits, .equal, bits),
        ]
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
