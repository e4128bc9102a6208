public import IPAddressing

/// What a host watches, and whom it tells and hears.
public struct LivenessPlan: Hashable, Sendable {
    /// The host's own underlay address; nil: it speaks with nobody.
    public var address: IPAddress?
    /// What is here.
    public var watches: [Watch] = []
    /// Underlay addresses of the hosts that are told of ``watches``.
    public var readers: Set<IPAddress> = []
    /// What is watched elsewhere, and the underlay address of the host that does.
    public var remote: [FactKey: IPAddress] = [:]

    public init() {}

    /// Somebody who has to answer.
    public struct Watch: Hashable, Sendable {
        /// Its kind says how.
        public var key: FactKey
        /// Of `/run/netns`; nil: that of the process.
        public var namespace: String?
        /// Nil: it is several hops away (RFC 5883), and one of its kind at the most is watched from ``source``.
        public var device: String?
        public var source: IPAddress
        public var destination: IPAddress
        /// What it is asked, where its kind is ``FactKind/health``.
        public var check: HealthCheck?

        public init(
            _ key: FactKey, in namespace: String?, by device: String?, from source: IPAddress,
            to destination: IPAddress,
            _ check: HealthCheck? = nil
        ) {
            (self.key, self.namespace, self.device) = (key, namespace, device)
            (self.source, self.destination) = (source, destination)
            self.check = check
        }
    }

    var owners: Set<IPAddress> { Set(remote.values) }
}

/// What is held of somebody who is watched.
public struct LivenessVerdict: Hashable, Sendable {
    public var isAlive: Bool
    /// One phrase: `up`, `detection time expired`.
    public var reason: String

    /// The reason as long as nobody has answered or not answered.
    public static let unknown = "not known yet"

    public init(isAlive: Bool, _ reason: String) { (self.isAlive, self.reason) = (isAlive, reason) }
}

/// Decides what silence means.
///
/// Nobody is held for dead because this host, or another one's daemon, was started anew: as long as nothing is known, what
/// was last held stands, and where that is nothing, it lives. A balancer's target has to prove itself first.
struct LivenessJudge: Sendable {
    typealias Instant = ContinuousClock.Instant

    enum Evidence: Hashable, Sendable {
        case up
        case down(String)
        /// A session here has never been up.
        case unanswered(since: Instant, String)
        /// The host that watches it has not said.
        case untold
        /// That host says nothing, since its daemon or itself is gone.
        case silent(hostAnswers: Bool)
    }

    /// What was held last.
    private(set) var held: [FactKey: LivenessVerdict]

    /// A session takes two packets a second at first (RFC 5880, section 6.8.3), and a guest its time to begin.
    static let grace = Duration.seconds(5)

    /// - Parameter remembered: What was held before this process began.
    init(remembered: [FactKey: Bool]) {
        held = remembered.mapValues { LivenessVerdict(isAlive: $0, "as before the daemon was started") }
    }

    mutating func forget(allBut keys: Set<FactKey>) { held = held.filter { keys.contains($0.key) } }

    mutating func judge(_ key: FactKey, _ evidence: Evidence, at now: Instant) -> LivenessVerdict {
        let last = held[key]
        let verdict: LivenessVerdict
        switch evidence {
        case .up: verdict = LivenessVerdict(isAlive: true, "up")
        case .down(let reason): verdict = LivenessVerdict(isAlive: false, reason)
        case .unanswered(let since, let reason):
            let isOver = since + Self.grace <= now
            verdict = isOver ? LivenessVerdict(isAlive: false, reason) : last ?? Self.presumed(key)
        case .untold: verdict = last ?? Self.presumed(key)
        case .silent(hostAnswers: true):
            verdict = LivenessVerdict(
                isAlive: last?.isAlive ?? Self.presumed(key).isAlive, "as its host's daemon said last, which is silent")
        case .silent(hostAnswers: false): verdict = LivenessVerdict(isAlive: false, "its host does not answer")
        }
        held[key] = verdict
        return verdict
    }

    private static func presumed(_ key: FactKey) -> LivenessVerdict {
        LivenessVerdict(isAlive: key.kind != .health, LivenessVerdict.unknown)
    }
}

/// As a fact that hosts are told: 1 or 0, and why.
extension LivenessJudge.Evidence {
    private static let longestReason = 200

    /// Nil: nothing is known that others should go by.
    func value(at now: ContinuousClock.Instant) -> FactValue? {
        switch self {
        case .up: [1]
        case .down(let reason): Self.down(reason)
        // Whoever is asked too early says nothing.
        case .unanswered(let since, let reason): since + LivenessJudge.grace <= now ? Self.down(reason) : nil
        case .untold, .silent: nil
        }
    }

    private static func down(_ reason: String) -> FactValue { [0] + reason.utf8.prefix(longestReason) }

    init(_ value: FactValue) {
        // It comes from another machine, and goes into a log.
        let reason = String(decoding: value.dropFirst(), as: UTF8.self).filter { character in
            character.asciiValue.map { (0x20...0x7E).contains($0) } ?? false
        }
        self = value.first == 1 ? .up : .down(reason.isEmpty ? "its host says so" : reason)
    }
}
