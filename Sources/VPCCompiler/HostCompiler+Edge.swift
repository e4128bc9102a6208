import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// What a host has of external networks, and what changes of them concern.
extension HostCompiler {
    func noteEdge(_ change: TopologyChange, in concerned: inout Concerned) {
        let (networks, gateways) = (change.externalNetworks, change.natGateways)
        for number in networks.added + networks.changed.keys + networks.removed.keys {
            noteNetwork(number, in: &concerned)
        }
        for number in gateways.added + gateways.changed.keys { concerned.natGateways.insert(number) }
        concerned.natGateways.formUnion(gateways.removed.keys)
        var vpcs = Set((Array(gateways.changed.values) + Array(gateways.removed.values)).map(\.vpc))
        for number in gateways.added + gateways.changed.keys { vpcs.insert(topology.natGateways[number].vpc) }
        if !vpcs.isEmpty { concerned.contexts.formUnion(contexts.keys.filter { vpcs.contains($0.vpc) }) }
    }

    /// All that is led to a network is led elsewhere, perhaps.
    func noteNetwork(_ number: Int, in concerned: inout Concerned) {
        concerned.networks.insert(number)
        let gateways = topology.natGateways
        for gateway in gateways.indices where gateways[gateway].network == number {
            concerned.natGateways.insert(gateway)
            concerned.contexts.formUnion(contexts.keys.filter { $0.vpc == gateways[gateway].vpc })
        }
    }

    /// Finds out which uplinks and NAT gateways are here, and what these ask for.
    mutating func bringNATGateways(_ concerned: Concerned) {
        for number in concerned.networks { uplinks[number] = uplink(of: number) }
        for number in concerned.natGateways {
            let (former, now) = (natGateways[number], contextKey(ofNATGateway: number))
            if former == now { continue }
            if let now { demand.count(natGateway: now, 1) }
            if let former { demand.count(natGateway: former, -1) }
            natGateways[number] = now
        }
    }

    private func contextKey(ofNATGateway number: Int) -> Context.Key? {
        guard topology.natGateways.contains(number: number) else { return nil }
        let gateway = topology.natGateways[number]
        return topology.host(of: gateway) == host ? Context.Key(vpc: gateway.vpc, natGateway: number) : nil
    }

    /// - Parameter hasComeOrGone: Whether there are NAT gateways here and were none, or the other way round.
    mutating func bringUplinks(_ concerned: Concerned, hasComeOrGone: Bool) {
        for number in concerned.networks.sorted() {
            if uplinks[number] == nil { drop(.uplink(number)) } else { bring(.uplink(number)) }
        }
        guard hasComeOrGone else { return }
        if traits.hasNATGateways { bring(.edge(host)) } else { drop(.edge(host)) }
    }

    /// What uplinks answer for, see ``announcedRoutes(of:_:)``.
    mutating func bringAnnouncements() {
        var wanted: [Route.Key: Attributed<Route>] = [:]
        for (number, key) in natGateways {
            guard let context = contexts[key] else { continue }
            for route in announcedRoutes(of: context, number) { wanted[route.object.key] = route }
        }
        for key in announcements where wanted[key] == nil { put(nil, at: key) }
        for (key, route) in wanted { put(route, at: key) }
        announcements = Set(wanted.keys)
    }
}

extension Topology {
    /// Whether a NAT gateway of one of several VPCs is on a host.
    func hasNATGateway(of vpcs: [Int], on host: Int) -> Bool {
        natGateways(on: host).contains { vpcs.contains(natGateways[$0].vpc) }
    }
}
