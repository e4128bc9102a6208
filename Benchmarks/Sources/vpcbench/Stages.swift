import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import VPCCompiler
import VPCManifest
import VPCTopology

/// The stages of a pass, each timed where it runs.
struct Stages {
    /// v0 in the place of the underlay device, and of the GRE device where the kernel has none.
    static let device: InterfaceName = {
        guard let name = InterfaceName("v0") else { fail("v0 is no name") }
        return name
    }()
    static let facts = HostFacts(underlayDevice: device, underlayMTU: 1500)

    static func topology(_ text: String) -> Topology {
        note("manifest-bytes", Double(text.utf8.count))
        let set = timed("parse") { ManifestSet(text: text, name: "bench.yaml") }
        return topology(set)
    }

    static func topology(_ set: ManifestSet) -> Topology {
        let resolution = timed("resolve") { Topology.resolve(set.model) }
        guard set.isValid, let topology = resolution.topology else {
            fail("the manifest is invalid: \(set.located(resolution.diagnostics).prefix(3))")
        }
        return topology
    }

    /// What host h0 shall hold.
    static func intent(_ topology: Topology) -> KernelIntent {
        timed("compile") { topology.compiled(for: 0, facts: facts) }.intent
    }

    static func observe(
        _ name: String, _ kernel: KernelDriver, firewall: [NFTable] = [], likelyRoutes: Int = 0
    ) throws -> KernelSnapshot {
        var request = ObservationRequest(owner: Conventions.ownership, firewall: firewall)
        request.likelyRoutes = likelyRoutes
        return try timed(name) { try kernel.observe(request) }
    }

    static func plan(_ name: String, _ intent: KernelIntent, from snapshot: KernelSnapshot) -> ChangePlan {
        timed(name) { intent.changes(from: snapshot, owner: Conventions.ownership) }
    }

    static func commit(_ name: String, _ plan: ChangePlan, _ kernel: KernelDriver) {
        let report = timed(name) { kernel.commit(plan, owner: Conventions.ownership) }
        if let failure = report.failures.first { fail("\(report.failures.count) failures: \(failure)") }
        note(name + ".writes", Double(report.writes))
    }

    /// Fails unless the kernel holds what it shall.
    static func expectNothing(_ plan: ChangePlan) {
        if !plan.isEmpty { fail("a second plan has \(plan.counts.total) changes") }
    }
}

extension KernelIntent {
    /// The nexthop objects and the routes that use them, with v0 in the place of the GRE device: what a kernel without
    /// GRE and VRF devices takes as it is.
    var routing: KernelIntent {
        var result = KernelIntent()
        result.host.nexthops = host.nexthops.map { nexthop in
            guard case .encapsulate(let tunnel, _) = nexthop.object.body else { return nexthop }
            let body = Nexthop.Body.gateway(tunnel.destination, device: Stages.device)
            return Attributed(Nexthop(id: nexthop.object.id, body: body), from: nexthop.origin)
        }
        result.host.routes = host.routes.filter { $0.object.device.isNone }
        return result
    }
}
