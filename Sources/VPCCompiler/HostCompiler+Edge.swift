import IPAddressing
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
        let present = gateways.added + Array(gateways.changed.keys)
        concerned.natGateways.formUnion(present + Array(gateways.removed.keys))
        for gateway in Array(gateways.changed.values) + Array(gateways.removed.values)
            + present.map({ topology.natGateways[$0] })
        where gateway.isSharing { concerned.uplinks.insert(gateway.network) }
        // The uplink of a pair says where the other one is.
        let hosts = Set(change.hosts.changed.keys)
        for number in uplinks.keys where topology.externalNetworks.contains(number: number) {
            let network = topology.externalNetworks[number]
            if network.pair != nil, network.uplinks.contains(where: { hosts.contains($0.host) }) {
                noteNetwork(number, in: &concerned)
            }
        }
        var vpcs = Set((Array(gateways.changed.values) + Array(gateways.removed.values)).map(\.vpc))
        for number in present { vpcs.insert(topology.natGateways[number].vpc) }
        if !vpcs.isEmpty { concerned.contexts.formUnion(contexts.keys.filter { vpcs.contains($0.vpc) }) }
        let elastic = change.elasticIPs
        concerned.elasticIPs.formUnion(elastic.added + Array(elastic.changed.keys) + Array(elastic.removed.keys))
        notePorts(change, in: &concerned)
        let interfaces = Set(change.interfaces.changed.keys)
        if interfaces.isEmpty { return }
        for (number, own) in topology.elasticIPs.numbered where own.interface.map(interfaces.contains) ?? false {
            concerned.elasticIPs.insert(number)
        }
    }

    /// What NAT gateways here have of ports: those that are forwarded, and those that each inside address has.
    private func notePorts(_ change: TopologyChange, in concerned: inout Concerned) {
        let interfaces = Set(change.interfaces.changed.keys)
        let hasOtherSubnets = !change.subnets.isEmpty || !change.routeTables.isEmpty
        if interfaces.isEmpty, !hasOtherSubnets { return }
        let gateways = topology.natGateways
        for number in natGateways.keys where gateways.contains(number: number) {
            let gateway = gateways[number]
            if hasOtherSubnets && gateway.portsPerInterface != nil
                || gateway.portForwards.contains(where: { interfaces.contains($0.interface) })
            {
                concerned.natGateways.insert(number)
            }
        }
    }

    /// What the gateways and elastic IPs here come to.
    func bringEdgeTraits(_ concerned: Concerned, _ traits: inout HostTraits) {
        if !concerned.elasticIPs.isEmpty {
            traits.elasticIPs = elasticIPs.values.reduce(into: []) { $0.formUnion(ElasticIPModes($1)) }
        }
        if concerned.elasticIPs.isEmpty, concerned.natGateways.isEmpty { return }
        let (elastic, all) = (topology.elasticIPs, topology.natGateways)
        traits.capped = elasticIPs.keys.reduce(into: []) { $0.formUnion(CappedTraffic(elastic[$1])) }
        let gateways = natGateways.keys.map { all[$0] }
        if gateways.contains(where: { $0.limits.bandwidth != Bandwidth() }) { traits.capped.insert(.gateways) }
        if concerned.natGateways.isEmpty { return }
        traits.sharesAddresses = gateways.contains(where: \.isSharing)
        traits.dividesPorts = gateways.contains { $0.isSharing || $0.portsPerInterface != nil }
        traits.recordsTranslations = gateways.contains(where: \.recordsConnections)
        traits.hasPortForwards = gateways.contains { !$0.portForwards.isEmpty }
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
    mutating func bringNATGateways(_ concerned: inout Concerned) {
        for number in concerned.networks { uplinks[number] = uplink(of: number) }
        // They lie on both.
        if !concerned.networks.isEmpty || !concerned.natGateways.isEmpty {
            for (number, own) in topology.elasticIPs.numbered
            where concerned.networks.contains(own.network)
                || own.gateway.map(concerned.natGateways.contains) ?? false
            { concerned.elasticIPs.insert(number) }
        }
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
        return topology.isGateway(host, of: gateway) ? Context.Key(vpc: gateway.vpc, natGateway: number) : nil
    }

    /// - Parameter hasComeOrGone: Whether the host sends to itself by tunnels and did not, or the other way round.
    mutating func bringUplinks(_ networks: Set<Int>, hasComeOrGone: Bool) {
        for number in networks.sorted() {
            if uplinks[number] == nil { drop(.uplink(number)) } else { bring(.uplink(number)) }
        }
        guard hasComeOrGone else { return }
        if traits.sendsToItself { bring(.edge(host)) } else { drop(.edge(host)) }
    }

    /// Finds out which elastic IPs come in here.
    mutating func noteElasticIPs(_ numbers: Set<Int>) {
        for number in numbers { elasticIPs[number] = elasticIP(number)?.elastic.mode }
    }

    mutating func bringElasticIPs(_ numbers: Set<Int>) {
        for number in numbers where elasticIPs[number] == nil && madeElasticIPs.remove(number) != nil {
            drop(.elasticIP(number))
            if let key = elasticRoutes.removeValue(forKey: number) { put(nil, at: key) }
        }
        for number in topology.inOrder(numbers.filter { elasticIPs[$0] != nil }, of: \.elasticIPs) {
            madeElasticIPs.insert(number)
            bring(.elasticIP(number))
            let route = route(ofElasticIP: number)
            if let former = elasticRoutes[number], former != route?.object.key { put(nil, at: former) }
            if let route { put(route, at: route.object.key) }
            elasticRoutes[number] = route?.object.key
        }
    }

    /// What uplinks answer for, see ``announcedRoutes(of:_:)``.
    mutating func bringAnnouncements() {
        var wanted: [Route.Key: Attributed<Route>] = [:]
        for (number, key) in natGateways {
            guard let context = contexts[key] else { continue }
            for route in announcedRoutes(of: context, number) { wanted[route.object.key] = route }
        }
        for route in uplinks.keys.flatMap(poolRoutes) { wanted[route.object.key] = route }
        for route in uplinks.keys.compactMap(routeToRouter) { wanted[route.object.key] = route }
        let stateless = Set(
            elasticIPs.filter { $0.value == .stateless }.map { topology.elasticIPs[$0.key].network })
        for number in stateless {
            if let route = errorRoute(of: number) { wanted[route.object.key] = route }
        }
        for key in announcements where wanted[key] == nil { put(nil, at: key) }
        for (key, route) in wanted { put(route, at: key) }
        announcements = Set(wanted.keys)
    }
}

extension HostCompiler {
    /// The way of errors about packets to stateless addresses, which are in no VRF. Of several networks one has it.
    private func errorRoute(of number: Int) -> Attributed<Route>? {
        guard let uplink = uplinks[number], uplink.isPresent else { return nil }
        let network = topology.externalNetworks[number]
        let metric = GatewayKey(interfaceName: network.name).rawValue & 0x7FFF_FFFF
        let key = Route.Key(table: .main, destination: .defaultIPv4, metric: metric)
        return Attributed(
            .gateway(network.nextHop, device: uplink.device, key), from: Origin(.externalNetwork, number))
    }
}

extension ResolvedNATGateway {
    /// Whether its address is not its alone.
    fileprivate var isSharing: Bool { if case .shared = pool { true } else { false } }
}

extension Topology {
    /// Whether a NAT gateway of one of several VPCs is on a host.
    func hasNATGateway(of vpcs: [Int], on host: Int) -> Bool {
        natGateways(on: host).contains { vpcs.contains(natGateways[$0].vpc) }
    }
}
