import KernelModel
import VPCCompiler
import VPCManifest
import VPCModel
import VPCTopology

/// Changes one interface in the text of a manifest, as the steps of an agent see it: what differs, resolve, compile,
/// compare. One moves to another host, one goes, one comes.
func measureEdit(_ network: Network) {
    var files = network.files(of: 1000)
    let set = timed("load") { ManifestSet(files.map { ManifestSource(name: $0.name, bytes: $0.bytes) }) }
    var topology = Stages.topology(set)
    var index = timed("index") { InterfaceIndex(of: topology) }
    var compiled: Compilation? = topology.compiled(for: 0, facts: Stages.facts)
    let snapshot = KernelSnapshot(holding: compiled?.intent ?? KernelIntent())

    var routes = ChangedKeys<Route.Key>.none

    let place = files.count / 2
    let present = String(decoding: files[place].bytes, as: UTF8.self)
    let documents = present.split(separator: "---\n", omittingEmptySubsequences: false).map(String.init)
    let middle = documents.count / 2
    let host = documents[middle].contains("host: h1,") ? "host: h2," : "host: h1,"
    var moved = documents
    moved[middle] = moved[middle].replacing(#/host: h\d+,/#, with: host)
    var gone = documents
    gone.remove(at: middle)
    for (name, text) in [("move", moved), ("back", documents), ("remove", gone), ("add", documents)] {
        let new = Array(text.joined(separator: "---\n").utf8)
        var changes = ResourceChanges()
        timed("\(name).text") {
            var budget = Int.max
            if !changes.add(from: files[place].bytes, to: new, budget: &budget) { fail("the text is not valid") }
        }
        compiled?.releaseTopology()
        let exchange = timed("\(name).resolve") {
            guard let exchange = index.exchange(changes, in: topology) else { fail("not exchanged: \(changes)") }
            index.apply(exchange, to: &topology)
            return exchange
        }
        files[place].bytes = new
        // What was moved before is still to be done.
        timed("\(name).compile") {
            if let moved = compiled?.follow(exchange, in: topology, host: 0) { return routes.insert(moved) }
            guard let former = compiled.take(),
                let (compilation, changed) = topology.compiled(
                    for: 0, facts: Stages.facts, numbering: Numbering(from: snapshot.host), following: former, exchange)
            else { fail("not followed") }
            compiled = compilation
            routes.insert(changed)
        }
        let plan = Stages.plan("\(name).plan", compiled?.intent ?? KernelIntent(), from: snapshot, routes: routes)
        note("\(name).changes", Double(plan.counts.total))
    }
}

extension KernelSnapshot {
    /// A kernel that holds what it shall; of devices nothing.
    fileprivate init(holding intent: KernelIntent) {
        self.init()
        host.nexthops = intent.host.nexthops.map(\.object)
        host.routes = intent.host.routes.map(\.object)
        host.addresses = intent.host.addresses.map(\.object)
        host.neighbors = intent.host.neighbors.map(\.object)
    }
}
