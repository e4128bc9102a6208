public import IPAddressing
internal import Traffic

/// What the two gateways of a pair say to each other, many times a second: who is active, and what a switch depends on.
///
/// A message counts where its writer repeats the epoch that the reader has drawn (``echo``) and counts on
/// (``counter``): what was recorded once is of no use to anybody.
public struct PairMessage: Hashable, Sendable {
    /// The endpoint of the pair: two hosts may be a pair for several networks.
    public var pair: IPAddress
    /// Drawn anew whenever the process is started.
    public var epoch: UInt64
    /// The reader's, as far as the writer knows it; 0: not yet.
    public var echo: UInt64 = 0
    public var counter: UInt64 = 0
    public var role = Role.unfit
    public var flags: Flags = []
    /// Milliseconds.
    public var interval: UInt32
    public var priority: UInt8
    /// Tells two of the same priority apart.
    public var number: UInt32
    /// Of the devices that it would answer ARP with.
    public var underlayMAC = MACAddress(rawValue: 0)
    public var uplinkMAC = MACAddress(rawValue: 0)

    public enum Role: UInt8, Sendable {
        case unfit
        case standby
        case active
    }

    public struct Flags: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// It serves no longer, or is about to: the other one is to take over at once.
        public static let leaves = Flags(rawValue: 1)
        /// Somebody wants it to serve, and asks the active one to hand over.
        public static let asks = Flags(rawValue: 2)
        /// The provider's router answers it.
        public static let seesRouter = Flags(rawValue: 4)
        /// It has all connections of the active one.
        public static let isSynchronized = Flags(rawValue: 8)
        /// It has just heard that both were active, which the other one may not have.
        public static let sawBoth = Flags(rawValue: 16)
    }

    public init(pair: IPAddress, epoch: UInt64, interval: UInt32, priority: UInt8, number: UInt32) {
        (self.pair, self.epoch, self.interval) = (pair, epoch, interval)
        (self.priority, self.number) = (priority, number)
    }

    // MARK: As bytes

    /// What a key is used for besides is no message of ours.
    private static let label = Array("vpcgw beat 1".utf8)
    private static let size = label.count + 4 + 3 * 8 + 3 + 2 * 4 + 2 * 8

    var bytes: [UInt8] {
        var bytes = Self.label
        bytes.append(bigEndian: pair.v4)
        for number in [epoch, echo, counter] { bytes.append(bigEndian: number) }
        bytes += [role.rawValue, flags.rawValue, priority]
        for number in [interval, number] { bytes.append(bigEndian: number) }
        for address in [underlayMAC, uplinkMAC] { bytes.append(bigEndian: address.rawValue) }
        return bytes
    }

    /// Nil: it is none.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.size, bytes.starts(with: Self.label) else { return nil }
        var rest = bytes[Self.label.count...]
        func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number {
            let count = Number.bitWidth / 8
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).reduce(0) { $0 << 8 | Number($1) }
        }
        pair = IPAddress(v4: number())
        (epoch, echo, counter) = (number(), number(), number())
        guard let role = Role(rawValue: number()) else { return nil }
        self.role = role
        flags = Flags(rawValue: number())
        priority = number()
        (interval, self.number) = (number(), number())
        underlayMAC = MACAddress(rawValue: number())
        uplinkMAC = MACAddress(rawValue: number())
    }
}
