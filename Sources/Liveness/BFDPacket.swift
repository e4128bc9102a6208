/// A BFD control packet (RFC 5880, section 4.1), without authentication: who may speak is decided by where a packet comes
/// from (RFC 5881, section 5).
public struct BFDPacket: Hashable, Sendable {
    public var diagnostic: BFDDiagnostic
    public var state: BFDState
    /// Asks for an answer with ``isFinal``.
    public var isPoll = false
    public var isFinal = false
    /// Whether its sender's BFD shares no fate with its control plane.
    public var isControlPlaneIndependent = false
    /// Whether its sender wants no periodic packets.
    public var isDemand = false
    /// So many packets missing in a row mean that the sender is gone; at least 1.
    public var detectMultiplier: UInt8
    /// Never 0.
    public var localDiscriminator: UInt32
    /// 0: not known yet.
    public var remoteDiscriminator: UInt32
    /// Microseconds.
    public var desiredMinimumTransmit: UInt32
    /// Microseconds; 0: it wants no packets.
    public var requiredMinimumReceive: UInt32
    /// Microseconds; 0: it does not echo.
    public var requiredMinimumEchoReceive: UInt32 = 0

    public init(
        _ state: BFDState, _ diagnostic: BFDDiagnostic = .none, detectMultiplier: UInt8, from local: UInt32,
        to remote: UInt32, desiredMinimumTransmit: UInt32, requiredMinimumReceive: UInt32
    ) {
        (self.state, self.diagnostic, self.detectMultiplier) = (state, diagnostic, detectMultiplier)
        (localDiscriminator, remoteDiscriminator) = (local, remote)
        self.desiredMinimumTransmit = desiredMinimumTransmit
        self.requiredMinimumReceive = requiredMinimumReceive
    }
}

/// RFC 5880, section 4.1, with its numbers.
public enum BFDState: UInt8, Hashable, Sendable, CaseIterable {
    case adminDown = 0
    case down = 1
    case initializing = 2
    case up = 3
}

/// Why a session is not up (RFC 5880, section 4.1). Others than these are kept as they came.
public struct BFDDiagnostic: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// 0 to 31.
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue & 0x1F }

    public static let none = BFDDiagnostic(rawValue: 0)
    public static let detectionTimeExpired = BFDDiagnostic(rawValue: 1)
    public static let neighborSignaledDown = BFDDiagnostic(rawValue: 3)
    public static let administrativelyDown = BFDDiagnostic(rawValue: 7)

    private static let names = [
        "no diagnostic", "detection time expired", "echo failed", "neighbor signaled session down",
        "forwarding plane reset", "path down", "concatenated path down", "administratively down",
        "reverse concatenated path down",
    ]

    public var description: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "diagnostic \(rawValue)"
    }
}

extension BFDPacket {
    /// Why bytes are no packet that this side can take (RFC 5880, section 6.8.6).
    public enum Flaw: Error, Hashable, Sendable, CustomStringConvertible {
        case tooShort(Int)
        case version(UInt8)
        /// The length that it states is not one of a packet, or more than has come.
        case length(UInt8)
        case noMultiplier
        case multipoint
        case noDiscriminator
        /// Its sender does not know us, and yet has a session.
        case strayState
        case authenticated

        public var description: String {
            switch self {
            case .tooShort(let count): "\(count) bytes are too few for a packet, which has 24"
            case .version(let version): "BFD version \(version) is not known; 1 is"
            case .length(let length): "the length \(length) that it states is not that of its content"
            case .noMultiplier: "its detection multiplier is 0"
            case .multipoint: "the multipoint bit is set"
            case .noDiscriminator: "it has no discriminator of its sender"
            case .strayState: "it names no session of ours, and yet its state is neither Down nor AdminDown"
            case .authenticated: "it is authenticated, which this side is not: switch authentication off"
            }
        }
    }

    /// The mandatory section: bytes of a packet without authentication.
    public static let size = 24

    /// Reads a datagram's content. What follows behind the packet's own length is no part of it.
    public init(_ bytes: some RandomAccessCollection<UInt8>) throws(Flaw) {
        let bytes = Array(bytes)
        guard bytes.count >= Self.size else { throw .tooShort(bytes.count) }
        guard bytes[0] >> 5 == 1 else { throw .version(bytes[0] >> 5) }
        let flags = Flags(rawValue: bytes[1] & 0x3F)
        // An authentication section has at least two bytes.
        if flags.contains(.authenticated) { throw .authenticated }
        guard bytes[3] >= UInt8(Self.size), Int(bytes[3]) <= bytes.count else { throw .length(bytes[3]) }
        guard bytes[2] != 0 else { throw .noMultiplier }
        guard !flags.contains(.multipoint) else { throw .multipoint }
        func word(_ place: Int) -> UInt32 { bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        guard word(4) != 0 else { throw .noDiscriminator }
        // All four values of the two bits are states.
        guard let state = BFDState(rawValue: bytes[1] >> 6) else { throw .strayState }
        guard word(8) != 0 || state == .down || state == .adminDown else { throw .strayState }
        self.init(
            state, BFDDiagnostic(rawValue: bytes[0]), detectMultiplier: bytes[2], from: word(4), to: word(8),
            desiredMinimumTransmit: word(12), requiredMinimumReceive: word(16))
        requiredMinimumEchoReceive = word(20)
        isPoll = flags.contains(.poll)
        isFinal = flags.contains(.final)
        isControlPlaneIndependent = flags.contains(.independent)
        isDemand = flags.contains(.demand)
    }

    public var bytes: [UInt8] {
        var flags: Flags = []
        if isPoll { flags.insert(.poll) }
        if isFinal { flags.insert(.final) }
        if isControlPlaneIndependent { flags.insert(.independent) }
        if isDemand { flags.insert(.demand) }
        var bytes = [1 << 5 | diagnostic.rawValue, state.rawValue << 6 | flags.rawValue, detectMultiplier]
        bytes.append(UInt8(Self.size))
        for word in [
            localDiscriminator, remoteDiscriminator, desiredMinimumTransmit, requiredMinimumReceive,
            requiredMinimumEchoReceive,
        ] {
            for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        return bytes
    }

    private struct Flags: OptionSet {
        let rawValue: UInt8

        static let poll = Flags(rawValue: 0x20)
        static let final = Flags(rawValue: 0x10)
        static let independent = Flags(rawValue: 0x08)
        static let authenticated = Flags(rawValue: 0x04)
        static let demand = Flags(rawValue: 0x02)
        static let multipoint = Flags(rawValue: 0x01)
    }
}
