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
        for uplink in network.uplinks {
            let host = hosts[topology.inOrder(topology.hosts.indices, of: \.hosts).firstIndex(of: uplink.host) ?? 0]
            guard let device = InterfaceName(uplink.device) else { continue }
            let namespace = NamespaceName(host.namespace)
            let peer = VethPeer(
                name: device, namespace: namespace, hardwareAddress: Self.mac(of: network.uplinkAddress), mtu: 1500)
            let alias = Self.alias(Self.providerOwnership, host.name, peer)
            let link = Link(
                name: host.port, kind: .veth(peer: peer), alias: alias, mtu: 1500,
                ipv4: IPv4DeviceConfiguration(forwarding: true), ipv6Disabled: true)
            intent.host.links.append(Self.attributed(link))
            intent.host.addresses.append(
                Self.attributed(Address(device: host.port, address: network.nextHop, prefixLength: 32)))
            let gateway = Route.Key(table: .main, destination: IPPrefix(network.uplinkAddress))
            intent.host.routes.append(Self.attributed(.link(host.port, gateway)))
            for pool in network.pools {
                // Where the router is in it, it is a segment of the provider's.
                let key = Route.Key(table: .main, destination: pool)
                let isSegment = pool.contains(network.nextHop)
                intent.host.routes.append(
                    Self.attributed(
                        isSegment
                            ? .link(host.port, key) : .gateway(network.uplinkAddress, device: host.port, key)))
            }
            var far = NamespaceIntent()
            far.links = [Self.attributed(Link(name: device, kind: .adopted, mtu: 1500, ipv6Disabled: true))]
            intent.guests.append(.init(namespace: namespace, intent: far))
        }
        intent.host.addresses += provider.addresses.map {
            Self.attributed(Address(device: Self.loopback, address: $0, prefixLength: 32))
        }
        intent.normalize()
        return Wiring(namespace: provider.namespace, intent: intent, ownership: Self.providerOwnership)
    }
}
