/// Changes of manifests that nobody has read yet, and when they are to be read.
///
/// A file that is renamed into its place is complete by what rename(2) is, so nothing is waited for. After anything else
/// more may follow that belongs to it, like the second of two files that are copied, and as long as somebody writes into a
/// file, nothing is read.
struct ManifestBurst {
    private var first: ContinuousClock.Instant?
    private var last: ContinuousClock.Instant?
    private var hasArrivals = false
    /// Whether something has changed after which more is to be expected.
    private var isOpen = false
    /// Renamed away, and not to another place: editors do that before they write a file anew.
    private var departures: Set<UInt32> = []

    /// Quiet that ends a burst of changes, and how long a burst may go on.
    private static let quiet: Duration = .milliseconds(100)
    private static let longest: Duration = .seconds(2)

    /// What has become of a name.
    enum Change {
        /// A manifest, or a link on the way to some, was renamed into its place.
        /// - Parameter cookie: What the kernel gives both ends of one rename(2).
        case arrival(cookie: UInt32)
        /// A manifest was renamed away.
        case departure(cookie: UInt32)
        /// Something that is no manifest, like the file beside it that is renamed next.
        case beside
        /// Anything else.
        case other
    }

    mutating func add(_ change: Change, at now: ContinuousClock.Instant) {
        if first == nil { first = now }
        last = now
        switch change {
        case .arrival(let cookie):
            hasArrivals = true
            departures.remove(cookie)
        case .departure(let cookie): departures.insert(cookie)
        case .beside: break
        case .other: isOpen = true
        }
    }

    /// From when on nothing is expected any more that belongs to it; nil where nothing has changed.
    var isWholeFrom: ContinuousClock.Instant? { last.map { $0 + Self.quiet } }

    /// When it is read if nothing else happens; nil where nothing has changed.
    /// - Parameter patience: Until when whoever writes is waited for; nil: nobody does.
    func end(waitingForWriters patience: ContinuousClock.Instant?) -> ContinuousClock.Instant? {
        guard let first, let last else { return nil }
        if let patience { return patience }
        if hasArrivals, !isOpen, departures.isEmpty { return last }
        return min(last + Self.quiet, first + Self.longest)
    }
}
