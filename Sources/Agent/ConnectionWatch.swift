import Glibc
import KernelModel
import NFTables
import Reconciler
import Synchronization
import VPCCompiler

/// Counts the tracked connections of a host's VPCs and NAT gateways, and has those refused that are over their bound, on a thread of its
/// own: a change that takes the loop long must not leave them without.
final class ConnectionWatch: Sendable {
    private let publication: Publication
    private let subject = Mutex<Subject?>(nil)
    // It has little to do, and that while somebody floods the machine.
    private let thread = PeriodicThread(every: 250, niceness: -10)

    private struct Subject {
        var kernel: any KernelAccess
        var shares: [ConnectionShare]
    }

    init(_ publication: Publication) { self.publication = publication }

    /// From now on these are the VPCs of the host.
    func follow(_ shares: [ConnectionShare], in kernel: any KernelAccess) {
        subject.withLock { $0 = Subject(kernel: kernel, shares: shares) }
    }

    func start() {
        thread.start(Counting(publication: publication)) { [self] counting in
            guard let subject = subject.withLock(\.self) else { return }
            counting.look(at: subject.kernel, subject.shares)
        }
    }

    func stop() { thread.stop() }
}

/// What the thread remembers from look to look.
private struct Counting: Sendable {
    let publication: Publication
    private var ledger = ConnectionLedger()
    /// When the present refusals were put into the kernel.
    private var refused: (zones: [UInt16], since: ContinuousClock.Instant)?
    /// As of the last look.
    private var unplaced: Int?
    private var complaint: String?
    private var setName = ConnectionBound.setName

    init(publication: Publication) { self.publication = publication }

    mutating func look(at kernel: any KernelAccess, _ shares: [ConnectionShare]) {
        do {
            guard let table = try kernel.trackingTable() else { return ledger = ConnectionLedger() }
            let isDue = ledger.mustCount(table, shares, at: .now)
            if isDue { try count(table, kernel, shares) }
            refuse(ledger.uses, kernel, shares)
            // What is told of is in force.
            if isDue {
                publication.counted(ledger.uses, table)
                lookForPorts(kernel)
            }
            complaint = nil
        } catch {
            // Who cannot read the kernel at all hears of it from the loop.
            if complaint != "\(error)" { publication.log.error("connections are not counted: \(error)") }
            complaint = "\(error)"
        }
    }

    /// Whether connections have found no port since the last look.
    private mutating func lookForPorts(_ kernel: any KernelAccess) {
        // Kernels that do not count it are all right.
        guard ledger.uses.contains(where: { $0.ports != nil }), let now = try? kernel.unplacedConnections() else {
            return unplaced = nil
        }
        publication.unplaced(now, more: unplaced.map { max(now - $0, 0) } ?? 0, ledger.uses)
        unplaced = now
    }

    private mutating func count(
        _ table: TrackingTable, _ kernel: any KernelAccess, _ shares: [ConnectionShare]
    ) throws {
        let begin = Self.processorTime
        let sample = ledger.sample(of: table, shares)
        let counts = try table.count > 0 ? kernel.connectionCounts(sample: sample) : [:]
        ledger.take(
            counts, of: table, shares, isSample: sample != nil, cost: Self.processorTime - begin, at: .now)
    }

    /// Says again and again who is refused: what is not said again goes by itself.
    private mutating func refuse(_ uses: [ConnectionUse], _ kernel: any KernelAccess, _ shares: [ConnectionShare]) {
        let over = Set(uses.filter(\.isRefused).map(\.owner))
        let zones = shares.filter { over.contains($0.owner) }.map(\.zone).sorted()
        if zones.isEmpty { return refused = nil }
        if let refused, refused.zones == zones, refused.since + Self.repetition > .now { return }
        refused = (zones, .now)
        if write(zones, kernel) { return }
        // It is called otherwise where somebody had put another set of that name there.
        setName = (try? kernel.nameOfRefusals()) ?? setName
        if !write(zones, kernel) { refused = nil }
    }

    private func write(_ zones: [UInt16], _ kernel: any KernelAccess) -> Bool {
        let plan = ConnectionBound.refusal(of: zones, in: setName)
        return kernel.commit(plan, owner: Conventions.ownership).failures.isEmpty
    }

    private static let repetition = Duration.seconds(Int(ConnectionBound.refusalSeconds)) / 3

    /// Of this thread.
    private static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

extension KernelAccess {
    fileprivate func nameOfRefusals() throws -> String? {
        try listings(of: [FirewallTables.filter], in: .host).flatMap(\.sets).map(\.name)
            .first { NFSet.wantedName(ofSetNamed: $0) == ConnectionBound.setName }
    }
}
