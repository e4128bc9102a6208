import Glibc
package import IPAddressing
package import KernelModel
package import KernelNames
package import NFTables
import Synchronization

/// A kernel in memory, which does what it is told, and misbehaves when it is told to.
///
/// ```swift
/// let kernel = FakeKernel(owner: owner)
/// kernel.disturb { $0.remove(port) }
/// kernel.beforeNextCommit { $0.host.state.firewall.generation += 1 }
/// ```
package final class FakeKernel: KernelAccess {
    private let state: Mutex<State>

    private struct State {
        var world: FakeWorld
        var beforeCommits: [@Sendable (inout FakeWorld) -> Void] = []
        var afterCommit: (@Sendable (inout FakeWorld) -> Void)?
        var refusal: (@Sendable (Operation) -> CommitReport.Reason?)?
        var failures: [FakeKernelFailure?] = []
        /// Who listens, by what is written to to wake them, and whether they have missed something.
        var listeners: [Int32: Bool] = [:]
        var commits: [ChangePlan] = []

        /// Wakes those who listen.
        func tell() {
            for bell in listeners.keys { _ = write(bell, [0], 1) }
        }
    }

    package init(owner: Ownership) { state = Mutex(State(world: FakeWorld(owner: owner))) }

    package init(_ world: FakeWorld) { state = Mutex(State(world: world)) }

    // MARK: - What somebody else does

    package var world: FakeWorld { state.withLock { $0.world } }

    /// All plans that were committed, in order.
    package var commits: [ChangePlan] { state.withLock { $0.commits } }

    /// Changes something; those who listen are told.
    package func disturb(_ body: @Sendable (inout FakeWorld) -> Void) {
        state.withLock { state in
            body(&state.world)
            state.tell()
        }
    }

    /// Changes something between the next plan, or the one after that, and its commit.
    package func beforeNextCommit(_ body: @escaping @Sendable (inout FakeWorld) -> Void) {
        state.withLock { $0.beforeCommits.append(body) }
    }

    /// Changes something after every commit: a fight; nil: not any more.
    package func afterEveryCommit(_ body: (@Sendable (inout FakeWorld) -> Void)?) {
        state.withLock { $0.afterCommit = body }
    }

    /// What is refused, and why; nil: nothing.
    package func refuse(_ refusal: (@Sendable (Operation) -> CommitReport.Reason?)?) {
        state.withLock { $0.refusal = refusal }
    }

    /// The next readings fail, one by one, such as lists that never come to an end.
    /// - Parameter number: How many succeed before that.
    package func failReadings(after number: Int = 0, _ failures: FakeKernelFailure...) {
        state.withLock { $0.failures += Array(repeating: nil, count: number) + failures }
    }

    /// Throws away what listeners were not told of yet (ENOBUFS).
    package func loseEvents() {
        state.withLock { state in
            for bell in state.listeners.keys { state.listeners[bell] = true }
            state.tell()
        }
    }

    // MARK: - KernelAccess

    /// It has only one namespace for a host.
    package func serving(_ namespace: NamespaceName, of owner: Ownership) -> any KernelAccess { self }

    package func observe(_ request: ObservationRequest) throws -> KernelSnapshot {
        try state.withLock { state in
            if !state.failures.isEmpty, let failure = state.failures.removeFirst() { throw failure }
            return state.world.observed(request)
        }
    }

    package func commit(_ plan: ChangePlan, owner: Ownership) -> CommitReport {
        state.withLock { state in
            state.commits.append(plan)
            if !state.beforeCommits.isEmpty { state.beforeCommits.removeFirst()(&state.world) }
            let commit = FakeCommit(state.world, plan, state.refusal)
            state.world = commit.world
            state.afterCommit?(&state.world)
            state.tell()
            return commit.report
        }
    }

    package func mirror(_ request: ObservationRequest) throws -> any KernelMirroring {
        try FakeMirror(self, request)
    }

    /// - Parameter bell: What is written to when something has changed.
    fileprivate func tell(_ bell: Int32) { state.withLock { $0.listeners[bell] = false } }

    fileprivate func tellNoMore(_ bell: Int32) { state.withLock { _ = $0.listeners.removeValue(forKey: bell) } }

    /// Whether a listener has missed something since this was asked last.
    fileprivate func takeLoss(_ bell: Int32) -> Bool {
        state.withLock { $0.listeners.updateValue(false, forKey: bell) ?? false }
    }

    package func occupied(_ tables: [TableID]) throws -> Set<TableID> {
        let host = world.host.state
        var taken = Set(host.routes.map(\.key.table))
        for rule in host.rules { if case .lookup(let table) = rule.action { taken.insert(table) } }
        for seen in host.links { if case .vrf(let table) = seen.link.kind { taken.insert(table) } }
        return taken.intersection(tables)
    }

    package func foreignRoutes(by devices: [InterfaceName], owner: Ownership) throws -> [InterfaceName: String] { [:] }

    package func counters(of table: NFTable) throws -> [NFObservedObject] {
        world.host.state.firewall.table(table)?.objects ?? []
    }

    package func listings(of tables: [NFTable], in place: Place) throws -> [NFListing] { [] }

    package func connections() throws -> [Connection] { world.connections }

    package func filters(readingSetsOf table: NFTable) throws -> PresentFilters { PresentFilters() }

    package func lookUp(_ key: [UInt8?], in set: String, of table: NFTable) throws -> NFLookup { .unknown }

    package func trackingTable() throws -> TrackingTable? { nil }

    package func connectionCounts(sample: Int?) throws -> [UInt16: Int] { [:] }

    package func unplacedConnections() throws -> Int { 0 }

    package func traffic() throws -> [InterfaceName: LinkTraffic] { [:] }

    package func offloadObstacle() -> String? { nil }
    package func localAddresses() throws -> Set<IPAddress> {
        let host = world.host.state
        return Set((host.addresses + host.foreignAddresses).map(\.address))
    }

    package func tracksLoopback() throws -> Bool { false }
}

/// Why a reading failed.
package struct FakeKernelFailure: Error, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }

    /// A list that somebody changed every time it was read.
    package static let disturbedDump = FakeKernelFailure("the list changed each time it was read")
}

/// Knows what it was told of. The kernel tells of everything but parameters.
package final class FakeMirror: KernelMirroring {
    package private(set) var snapshot: KernelSnapshot
    package let fileDescriptor: Int32
    private let kernel: FakeKernel
    private let bell: Int32
    private var request: ObservationRequest

    fileprivate init(_ kernel: FakeKernel, _ request: ObservationRequest) throws {
        self.kernel = kernel
        self.request = request
        snapshot = try kernel.observe(request)
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw FakeKernelFailure("no pipe") }
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        (fileDescriptor, bell) = (ends[0], ends[1])
        kernel.tell(bell)
    }

    deinit {
        kernel.tellNoMore(bell)
        close(fileDescriptor)
        close(bell)
    }

    package func update(after plan: ChangePlan?) throws -> KernelUpdate {
        let hasWritten = plan?.steps.contains { $0.work.kind == .sysctl } ?? false
        return try take(parameters: hasWritten)
    }

    package func follow(_ request: ObservationRequest) throws {
        self.request = request
        _ = write(bell, [0], 1)
    }

    package func resynchronize() throws -> KernelUpdate { try take(parameters: true) }

    package func checkParameters() throws -> KernelUpdate { try take(parameters: true) }

    package func checkLinks() throws -> KernelUpdate { try take(parameters: false) }

    private func take(parameters: Bool) throws -> KernelUpdate {
        var rings = [UInt8](repeating: 0, count: 4096)
        var update = KernelUpdate()
        while true {
            let count = Glibc.read(fileDescriptor, &rings, rings.count)
            if count <= 0 { break }
            update.notifications += count
        }
        update.wasOverrun = kernel.takeLoss(bell)
        var next = try kernel.observe(request)
        if !parameters, !update.wasOverrun { next.host.sysctls = snapshot.host.sysctls }
        update.note(from: snapshot.host, to: next.host)
        update.guests = Set(snapshot.guests.keys).union(next.guests.keys).filter { name in
            snapshot.guests[name] != next.guests[name]
        }
        snapshot = next
        return update
    }
}

extension KernelUpdate {
    fileprivate mutating func note(from old: NamespaceSnapshot, to new: NamespaceSnapshot) {
        if old.sysctls != new.sysctls { insert(.sysctl) }
        if old.rules != new.rules { insert(.rule) }
        if old.paths != new.paths { kinds.insert(.link) }
        if old.foreignAddresses != new.foreignAddresses { kinds.insert(.address) }
        let links = Set(old.links).symmetricDifference(new.links)
        if !links.isEmpty { kinds.insert(.link) }
        objects.links.insert(links.map(\.link.name))
        note(.address, old.addresses, new.addresses, in: \.addresses)
        note(.neighbor, old.neighbors, new.neighbors, in: \.neighbors)
        note(.nexthop, old.nexthops, new.nexthops, in: \.nexthops)
        note(.route, old.routes, new.routes, in: \.routes)
        if old.firewall.tables != new.firewall.tables { insert(.firewall) }
    }

    private mutating func note<Object: KernelObject>(
        _ kind: ObjectKind, _ old: [Object], _ new: [Object],
        in keys: WritableKeyPath<SuspectObjects, ChangedKeys<Object.Key>>
    ) {
        let changed = Set(old).symmetricDifference(new)
        if changed.isEmpty { return }
        kinds.insert(kind)
        objects[keyPath: keys].insert(changed.map(\.key))
    }
}
