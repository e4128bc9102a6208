public import IPAddressing
import KernelModel
import KernelNames
import VPCTopology

extension LabPlan {
    /// A namespace that is an external network: the provider's router, and everybody behind it.
    public struct ProviderNode: Sendable, Hashable {
        public var name: String
        public var namespace: String
        /// A number of `topology.externalNetworks`.
        public var network: Int
        /// Of the internet: ascending.
        public var addresses: [IPAddress]
    }

    static let providerOwnership = Ownership(routeProtocol: RouteProtocol(123), aliasPrefix: "vpclab-provider:")

    static func providers(
        of topology: Topology, _ outside: [Int: [IPAddress]], prefix: String
    ) throws(LabError) -> [ProviderNode] {
        var nodes: [ProviderNode] = []
        for number in topology.inOrder(topology.externalNetworks.indices, of: \.externalNetworks) {
            let network = topology.externalNetworks[number]
            for uplink in network.uplinks {
                let host = topology.hosts[uplink.host]
                if uplink.device == host.underlayDevice ?? "u0" {
                    throw LabError(
                        .unsupported,
                        "ExternalNetwork \(network.name): in the lab \(uplink.device) of host \(host.metadata.name) leads to"
                            + " the other hosts alone",
                        hint: "name another device; the lab makes it")
                }
            }
            let vpcs = Set(topology.natGateways.filter { $0.network == number }.map(\.vpc))
            let addresses = (vpcs.flatMap { outside[$0] ?? [] } + senders(into: network, topology)).filter { address in
                !network.pools.contains { $0.contains(address) } && address != network.nextHop
                    && address != network.uplinkAddress
            }
            let name = network.name + "-inet"
            nodes.append(
                ProviderNode(
                    name: name, namespace: prefix + name, network: number, addresses: Set(addresses).sorted()))
        }
        return nodes
    }

    /// Those out there from whom probes come.
    private static func senders(into network: ResolvedExternalNetwork, _ topology: Topology) -> [IPAddress] {
        topology.probes.compactMap { probe in
            guard case .external(let source) = probe.from, network.gives(probe.toAddress) else { return nil }
            return source
        }
    }

    /// Providers, and the hosts that are connected to them.
    var providerWirings: [Wiring] { providers.map(wiring) }

    private func wiring(of provider: ProviderNode) -> Wiring {
        let network = topology.externalNetworks[provider.network]
        var intent = KernelIntent()
        for uplink in network.uplinks { connect(uplink, network, &intent) }
        // Two gateways are in one segment.
        let own = network.uplinks.count > 1 ? Self.bridge : intent.host.links.first?.object.name
        if network.uplinks.count > 1 {
            for index in intent.host.links.indices { intent.host.links[index].object.master = Self.bridge }
            let bridge = Link(
                name: Self.bridge, kind: .bridge, alias: Self.providerOwnership.aliasPrefix + "bridge",
                ipv4: IPv4DeviceConfiguration(forwarding: true), ipv6Disabled: true)
            intent.host.links.append(Self.attributed(bridge))
        }
        if let own { intent.host.routes += routes(to: network, by: own) }
        if let own {
            intent.host.addresses = [
                Self.attributed(Address(device: own, address: network.nextHop, prefixLength: 32))
            ]
        }
        intent.host.addresses += provider.addresses.map {
            Self.attributed(Address(device: Self.loopback, address: $0, prefixLength: 32))
        }
        intent.normalize()
        return Wiring(namespace: provider.namespace, intent: intent, ownership: Self.providerOwnership)
    }

    private func connect(
        _ uplink: ResolvedExternalNetwork.Uplink, _ network: ResolvedExternalNetwork, _ intent: inout KernelIntent
    ) {
        let host = hosts[topology.inOrder(topology.hosts.indices, of: \.hosts).firstIndex(of: uplink.host) ?? 0]
        guard let device = InterfaceName(uplink.device) else { return }
        let namespace = NamespaceName(host.namespace)
        let address = network.uplinks.count > 1 ? host.address : network.uplinkAddress
        let peer = VethPeer(name: device, namespace: namespace, hardwareAddress: Self.mac(of: address), mtu: 1500)
        let link = Link(
            name: host.port, kind: .veth(peer: peer), alias: Self.alias(Self.providerOwnership, host.name, peer),
            mtu: 1500, ipv4: IPv4DeviceConfiguration(forwarding: true), ipv6Disabled: true)
        intent.host.links.append(Self.attributed(link))
        var far = NamespaceIntent()
        far.links = [Self.attributed(Link(name: device, kind: .adopted, mtu: 1500, ipv6Disabled: true))]
        intent.guests.append(.init(namespace: namespace, intent: far))
    }

    private func routes(to network: ResolvedExternalNetwork, by device: InterfaceName) -> [Attributed<Route>] {
        let gateway = Route.Key(table: .main, destination: IPPrefix(network.uplinkAddress))
        let pools = network.pools.map { pool in
            let key = Route.Key(table: .main, destination: pool)
            // Where the router is in it, it is a segment of the provider's.
            return pool.contains(network.nextHop)
                ? Route.link(device, key) : Route.gateway(network.uplinkAddress, device: device, key)
        }
        return ([.link(device, gateway)] + pools).map { Self.attributed($0) }
    }
}
