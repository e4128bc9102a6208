import KernelModel
import VPCCompiler
public import VPCModel

/// The part of a host's table of tracked connections that a VPC, or a NAT gateway, may have.
public struct ConnectionShare: Sendable, Hashable {
    /// The VPC, or the NAT gateway.
    public var owner: ResourceReference
    /// That of its connections.
    public var zone: UInt16
    /// What its manifest says; nil: a quarter of the table.
    public var maximum: Int?
    /// Of a NAT gateway the public ports that it has.
    public var ports: Int?

    public init(_ owner: ResourceReference, zone: UInt16, maximum: Int?, ports: Int? = nil) {
        self.owner = owner
        self.zone = zone
        self.maximum = maximum
        self.ports = ports
    }
}

/// How many tracked connections a VPC, or a NAT gateway, has on a host, and may have.
public struct ConnectionUse: Sendable, Hashable {
    public var owner: ResourceReference
    public var tracked: Int
    public var limit: Int
    /// Whether it begins no new ones for now.
    public var isRefused = false
    /// Whether it has come near its limit, and not gone far from it since.
    public var isAlarming = false
    /// Of a NAT gateway the public ports that it has.
    public var ports: Int?
    /// Whether it has come near to as many connections as ports, and not gone far from it since: to one destination there may
    /// soon be none left.
    public var isShortOfPorts = false
}

/// How many sessions a NAT gateway translates on a host.
public struct NATGatewayUse: Sendable, Hashable {
    public var name: String
    public var sessions: Int
    /// To one port of one destination there can be so many sessions at once.
    public var ports: Int
    /// Whether there are so many that ports may run short.
    public var isAlarming: Bool

    /// Of a hundred.
    public var percentage: Int { ports > 0 ? sessions * 100 / ports : 0 }

    init?(_ use: ConnectionUse) {
        guard let ports = use.ports else { return nil }
        (name, sessions, self.ports, isAlarming) = (use.owner.name, use.tracked, ports, use.isShortOfPorts)
    }
}

/// Who has how many of a host's tracked connections, as of the last count; when the next count is due, and who is refused.
///
/// Two things bound a VPC: its own limit, and, where all together come near the size of the table, an even share of what
/// there is: those that have more than it are refused, so that the others find room.
struct ConnectionLedger: Sendable {
    private(set) var uses: [ConnectionUse] = []
    private var table = TrackingTable(count: 0, room: 0)
    private var nextCount: ContinuousClock.Instant?
    /// When it may be counted again where there are so many more that somebody may be over his limit.
    private var nextHurry: ContinuousClock.Instant?
    private var headroom = 0

    /// Of the table's room, what VPCs are to have together; the rest is for what begins between two counts.
    private static func usable(_ room: Int) -> Int { room / 4 * 3 }

    private static func limit(of share: ConnectionShare, _ room: Int) -> Int {
        min(share.maximum ?? room / 4, usable(room))
    }

    // MARK: - When to count

    static let shortestPause = Duration.milliseconds(250)
    private static let longestPause = Duration.seconds(10)
    /// Counting may take this part of one processor's time; a larger one while the table fills.
    private static let (costFactor, costFactorInHurry) = (10, 2)

    /// Whether a VPC may have passed its limit since the last count, or that is long ago.
    func mustCount(_ now: TrackingTable, _ shares: [ConnectionShare], at time: ContinuousClock.Instant) -> Bool {
        guard let nextCount, let nextHurry else { return true }
        let growth = now.count - table.count
        let quiet = shares.map { Self.limit(of: $0, now.room) }.min() ?? Self.usable(now.room)
        let isQuiet = now.count < quiet && !uses.contains { $0.isRefused || $0.isAlarming }
        // Fewer than that are no hurry: nobody else is hurt by them.
        if !isQuiet, growth >= max(headroom, now.room / 32, 1) { return time >= nextHurry }
        return time >= (isQuiet ? nextCount + Self.longestPause : nextCount)
    }

    /// How many connections are enough to look at, by chance; nil: all are to be counted.
    ///
    /// Listing them costs the kernel 1.6 µs each. Of 8,192 the share of a VPC is known to within 2 % where it is a
    /// quarter of all; where somebody's limit is so small a part of them that he would be judged by less than a hundred, all
    /// are counted, and more seldom.
    func sample(of table: TrackingTable, _ shares: [ConnectionShare]) -> Int? {
        let smallest = shares.map { Self.limit(of: $0, table.room) }.min() ?? 0
        let isMany = table.count > 2 * Self.sampleSize && smallest * Self.sampleSize / table.count >= 100
        return isMany ? Self.sampleSize : nil
    }

    private static let sampleSize = 8192

    /// Takes in a count.
    /// - Parameters:
    ///   - counts: By zone, of all connections or of a sample.
    ///   - cost: What it took to count.
    mutating func take(
        _ counts: [UInt16: Int], of table: TrackingTable, _ shares: [ConnectionShare], isSample: Bool = false,
        cost: Duration, at time: ContinuousClock.Instant
    ) {
        self.table = table
        let seen = max(counts.values.reduce(0, +), 1)
        // While somebody else begins and ends them, a whole count may come to more or less.
        let scale = isSample ? Double(table.count) / Double(seen) : 1
        let counts = counts.mapValues { Int((Double($0) * scale).rounded()) }
        let before = Dictionary(uses.map { ($0.owner, $0) }, uniquingKeysWith: { first, _ in first })
        let level = Self.evenShare(of: Self.usable(table.room), among: shares.map { counts[$0.zone] ?? 0 })
        uses = shares.map { share in
            var use = ConnectionUse(
                owner: share.owner, tracked: counts[share.zone] ?? 0,
                limit: min(Self.limit(of: share, table.room), level ?? .max), ports: share.ports)
            let former = before[share.owner]
            // Who is refused has to go well below his limit, or he would come and go with each count.
            use.isRefused = use.tracked * 10 >= use.limit * (former?.isRefused == true ? 9 : 10)
            use.isAlarming = use.isRefused || use.tracked * 10 >= use.limit * (former?.isAlarming == true ? 7 : 8)
            use.isShortOfPorts =
                use.ports.map { use.tracked * 10 >= $0 * (former?.isShortOfPorts == true ? 7 : 8) } ?? false
            return use
        }
        // Their own, and what is left of the whole table.
        let left = max(Self.usable(table.room) - table.count, 0)
        let own = uses.filter { !$0.isRefused }.map { $0.limit - $0.tracked }.min()
        headroom = min(own ?? (uses.isEmpty ? left : 0), left)
        let soonest = Duration.seconds(headroom) / ConnectionBound.beginsPerSecond
        nextCount = time + max(min(soonest, Self.longestPause), Self.shortestPause, cost * Self.costFactor)
        nextHurry = time + max(Self.shortestPause, cost * Self.costFactorInHurry)
    }

    /// The number that those who have more of `room` have to keep to so that all fit into it; nil where they fit anyway.
    static func evenShare(of room: Int, among counts: [Int]) -> Int? {
        var left = room
        if counts.reduce(0, +) <= room { return nil }
        let ascending = counts.sorted()
        for (position, count) in ascending.enumerated() {
            let even = left / (ascending.count - position)
            if count >= even { return max(even, 1) }
            left -= count
        }
        return nil
    }
}
