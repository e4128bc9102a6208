import KernelDriver
import KernelModel
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology

/// Changes single interfaces in the text of a manifest, as the steps of an agent see it: what differs, resolve, compile,
/// compare, send. Many move to another host, one after the other; then one goes and comes again.
func measureEdit(_ network: Network) throws {
    var edited = try EditedNetwork(network)
    var moves = Repeated()
    var writes = 0
    for number in 0..<Repeated.count {
        let place = number * edited.files.count / Repeated.count
        var documents = edited.documents(of: place)
        // Of those that are on other hosts.
        guard
            let moved = (number * 29 % documents.count..<documents.count).first(where: {
                documents[$0].contains("kind: NetworkInterface") && !documents[$0].contains("host: h0,")
            })
        else { fail("no interface to move") }
        let host = documents[moved].contains("host: h1,") ? "host: h2," : "host: h1,"
        documents[moved] = documents[moved].replacing(#/host: h\d+,/#, with: host)
        let report = edited.change(place, to: documents) { moves.timed("move.\($0)", $1) }
        writes = max(writes, report.writes)
    }
    moves.note()
    note("move.writes", Double(writes))
    try edited.check()

    let place = edited.files.count / 2
    let documents = edited.documents(of: place)
    var others = documents
    others.remove(at: documents.count / 2)
    for (name, text) in [("remove", others), ("add", documents)] {
        var stages = Repeated()
        _ = edited.change(place, to: text) { stages.timed("\(name).\($0)", $1) }
        stages.note()
    }
    try edited.check()
}

/// What an agent keeps of a network, and the kernel.
private struct EditedNetwork {
    private(set) var files: [(name: String, bytes: [UInt8])]
    private var topology: Topology
    private var index: TopologyIndex
    private var compiled: Compilation?
    private var snapshot: KernelSnapshot
    private let kernel = KernelDriver()

    init(_ network: Network) throws {
        files = network.files(of: 1000)
        let sources = files.map { ManifestSource(name: $0.name, bytes: $0.bytes) }
        let resolution = Topology.resolve(timed("load") { ManifestSet(sources) }.model)
        guard let topology = resolution.topology else { fail("the network is not valid") }
        (self.topology, index) = (topology, resolution.index)
        let whole = topology.compiled(for: 0, facts: Stages.facts)
        compiled = whole
        snapshot = KernelSnapshot(holding: whole.intent)
        let empty = try kernel.observe(ObservationRequest(owner: Conventions.ownership))
        Stages.commit("load", whole.intent.routing.changes(from: empty, owner: Conventions.ownership), kernel)
    }

    func documents(of place: Int) -> [String] {
        String(decoding: files[place].bytes, as: UTF8.self).split(separator: "---\n", omittingEmptySubsequences: false)
            .map(String.init)
    }

    /// Gives a file another text, each step timed.
    mutating func change(
        _ place: Int, to documents: [String], timed: (String, () -> Void) -> Void
    ) -> CommitReport {
        let text = Array(documents.joined(separator: "---\n").utf8)
        var changes = ResourceChanges()
        var change: TopologyChange?
        var suspects = SuspectObjects()
        var plan = ChangePlan()
        timed("text") {
            var budget = Int.max
            if !changes.add(from: files[place].bytes, to: text, budget: &budget) { fail("the text is not valid") }
        }
        compiled?.releaseTopology()
        timed("resolve") {
            change = index.apply(changes, to: &topology)
        }
        guard let change else { fail("not taken in: \(changes)") }
        files[place].bytes = text
        timed("compile") {
            guard let changed = compiled?.take(change, in: topology, Stages.facts, from: snapshot.host) else {
                fail("not followed")
            }
            suspects = changed
        }
        var report = CommitReport()
        timed("plan") {
            plan = intent.changes(from: snapshot, owner: Conventions.ownership, suspects: suspects)
        }
        timed("send") { report = kernel.commit(plan, owner: Conventions.ownership) }
        if let failure = report.failures.first { fail("\(failure)") }
        snapshot.take(plan)
        return report
    }

    /// Nexthops and routes: the others need devices.
    private var intent: KernelIntent {
        var result = KernelIntent()
        result.host.nexthops = compiled?.intent.host.nexthops ?? []
        result.host.routes = compiled?.intent.host.routes ?? []
        return result
    }

    /// Fails unless the kernel holds what it shall.
    func check() throws {
        let seen = try kernel.observe(ObservationRequest(owner: Conventions.ownership))
        Stages.expectNothing(intent.routing.changes(from: seen, owner: Conventions.ownership))
    }
}

extension KernelSnapshot {
    /// A kernel that holds what it shall, of nexthops and routes.
    fileprivate init(holding intent: KernelIntent) {
        self.init()
        host.nexthops = intent.host.nexthops.map(\.object)
        host.routes = intent.host.routes.map(\.object)
    }

    /// What an agent hears from the kernel after routes were changed.
    fileprivate mutating func take(_ plan: ChangePlan) {
        for step in plan.steps {
            guard case .routes(let changes) = step.work else { continue }
            for route in changes.replacements.map(\.new) { host.routes[place(of: route)] = route }
            for route in changes.deletions { host.routes.remove(at: place(of: route)) }
            for route in changes.creations.map(\.object) { host.routes.insert(route, at: place(of: route)) }
        }
    }

    /// Where a route stands or belongs: found as an agent finds it, without touching the others.
    private func place(of route: Route) -> Int {
        var range = host.routes.indices
        while let middle = range.isEmpty ? nil : range.lowerBound + range.count / 2 {
            if host.routes[middle].key < route.key {
                range = middle + 1..<range.upperBound
            } else {
                range = range.lowerBound..<middle
            }
        }
        return range.lowerBound
    }
}
