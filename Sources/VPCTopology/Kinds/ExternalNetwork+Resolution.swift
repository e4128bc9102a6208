internal import IPAddressing
internal import VPCModel

extension ExternalNetwork: ResolvableResource {
    static let resolution = [ResolutionStep(.subnets) { $0.resolveExternalNetworks() }]

    static func elements(of topology: Topology) -> Slots<ResolvedExternalNetwork> { topology.externalNetworks }
    static func elements<Result>(
        _ topology: inout Topology, _ body: (inout Slots<ResolvedExternalNetwork>) -> Result
    ) -> Result {
        body(&topology.externalNetworks)
    }
    static func part<Result>(
        of change: inout TopologyChange, _ body: (inout TopologyChange.Part<ResolvedExternalNetwork>) -> Result
    ) -> Result {
        body(&change.externalNetworks)
    }

    init(_ resolved: ResolvedExternalNetwork, in topology: Topology) {
        self.init(
            metadata: Metadata(name: resolved.name), pools: resolved.pools, nextHop: resolved.nextHop,
            gateways: resolved.uplinks.map {
                Uplink(host: topology.hosts[$0.host].metadata.name, device: $0.device, mode: $0.mode)
            }, endpoint: resolved.pair?.endpoint, uplinkAddress: resolved.uplinkAddress,
            announcement: resolved.pair?.announcement ?? .arp, liveness: resolved.pair?.liveness)
    }

    static func enter(_ number: Int, _ resolver: inout Resolver) {}

    static func leave(_ number: Int, _ resolver: inout Resolver) {}

    static func referrers(to number: Int, _ resolver: Resolver) -> [NumberedResource] {
        let network = resolver.topology.externalNetworks[number]
        let probes = resolver.topology.probes.numbered.filter {
            $0.element.from.interface == nil && network.gives($0.element.toAddress)
        }
        return probes.map { NumberedResource(kind: .probe, number: $0.number) }
            + resolver.topology.natGateways.numbered.filter { $0.element.network == number }.map {
                NumberedResource(kind: .natGateway, number: $0.number)
            }
            + resolver.topology.elasticIPs.numbered.filter { $0.element.network == number }.map {
                NumberedResource(kind: .elasticIP, number: $0.number)
            }
    }

    func concerned(by new: ExternalNetwork, _ number: Int, _ resolver: Resolver) -> [NumberedResource]? {
        var (old, new) = (self, new)
        old.metadata = new.metadata
        return old == new ? [] : nil
    }
}

extension Resolver {
    fileprivate mutating func resolveExternalNetworks() {
        let networks = model.externalNetworks
        for network in networks.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            checkPair(network)
            checkAddresses(of: network)
            var uplinks: [ResolvedExternalNetwork.Uplink] = []
            for (position, uplink) in network.gateways.enumerated() {
                let path: FieldPath = ["spec", "gateways", .index(position)]
                guard let host = number(of: Host.self, uplink.host, for: network.reference, path + ["host"]) else {
                    continue
                }
                check(uplink, of: network, host, path)
                checkSharing(uplink, of: network, host, path)
                uplinks.append(.init(host: host, device: uplink.device, mode: uplink.mode))
            }
            guard !uplinks.isEmpty else {
                giveUp(network)
                continue
            }
            let resolved = ResolvedExternalNetwork(
                name: network.metadata.name, pools: network.pools.sorted(), nextHop: network.nextHop, uplinks: uplinks,
                uplinkAddress: network.uplinkAddress, pair: resolvedPair(of: network))
            checkPools(of: network)
            if resolved.pair != nil { checkRouter(of: resolved) }
            _ = place(ExternalNetwork.self, network.metadata.name, resolved)
        }
    }

    private mutating func checkAddresses(of network: ExternalNetwork) {
        let addresses: [(IPAddress, FieldPath.Component)] = [
            (network.nextHop, "nextHop"), (network.uplinkAddress, "uplinkAddress"),
        ]
        for (address, field) in addresses {
            if let (_, use) = IPPrefix.reserved.first(where: { $0.block.contains(address) }) {
                report(
                    "external-address", "\(address) is a \(use) address", hint: "ask the provider for it",
                    at: network.reference, ["spec", field])
            }
        }
        if network.nextHop == network.uplinkAddress {
            report(
                "external-address", "\(network.uplinkAddress) is the provider's router",
                hint: "the uplink has an address of its own", at: network.reference, ["spec", "uplinkAddress"],
                related: Diagnostic.Related("the router is here", at: network.reference, ["spec", "nextHop"]))
        }
    }

    private mutating func check(
        _ uplink: ExternalNetwork.Uplink, of network: ExternalNetwork, _ host: Int, _ path: FieldPath
    ) {
        if uplink.mode == .move {
            report(
                "not-supported", "a device is not moved yet", hint: "use mode macvlan or ipvlan",
                at: network.reference, path + ["mode"])
        }
        // Both are what receives all of a device.
        for other in topology.externalNetworks {
            for known in other.uplinks
            where known.host == host && known.device == uplink.device && known.mode != uplink.mode {
                report(
                    "uplink-mode",
                    "\(uplink.device) of host \(uplink.host) is used by \(known.mode.rawValue) in ExternalNetwork"
                        + " \(other.name): the kernel allows one of them",
                    hint: "use the same mode for both", at: network.reference, path + ["mode"],
                    related: Diagnostic.Related(
                        "the other one is here", at: ResourceReference(.externalNetwork, other.name),
                        ["spec", "gateways"]))
            }
        }
    }

    /// Of a pair the uplink has no address in the router's segment while another one is active, so what leads to the router
    /// is a route of the host's.
    private mutating func checkRouter(of network: ResolvedExternalNetwork) {
        let hosts = Set(network.uplinks.map(\.host))
        let other = topology.externalNetworks.first { other in
            other.name != network.name && other.pair != nil && other.nextHop == network.nextHop
                && other.uplinks.contains { hosts.contains($0.host) }
        }
        guard let other else { return }
        report(
            "gateway-pair",
            "its router \(network.nextHop) is that of ExternalNetwork \(other.name), whose pair has a host with it in common",
            hint: "put the pools of both into one ExternalNetwork",
            at: ResourceReference(.externalNetwork, network.name), ["spec", "nextHop"],
            related: Diagnostic.Related(
                "the other one is here", at: ResourceReference(.externalNetwork, other.name), ["spec", "nextHop"]))
    }

    private mutating func checkPools(of network: ExternalNetwork) {
        for (position, pool) in network.pools.enumerated() {
            let path: FieldPath = ["spec", "pools", .index(position)]
            if let (block, use) = IPPrefix.reserved.first(where: { $0.block.overlaps(pool) }) {
                report(
                    "external-address", "\(pool) holds \(use) addresses (\(block))", hint: "ask the provider for it",
                    at: network.reference, path)
            }
            if let earlier = network.pools[..<position].firstIndex(where: { $0.overlaps(pool) }) {
                reportOverlap(pool, network.pools[earlier], network.reference, path, network, earlier)
            }
            for other in topology.externalNetworks where other.name != network.metadata.name {
                guard let taken = other.pools.first(where: { $0.overlaps(pool) }) else { continue }
                report(
                    "pool-overlap", "\(pool) overlaps \(taken) of ExternalNetwork \(other.name)",
                    hint: "an address belongs to one network", at: network.reference, path,
                    related: Diagnostic.Related(
                        "the other pool is here", at: ResourceReference(.externalNetwork, other.name),
                        ["spec", "pools"]))
            }
        }
    }

    private mutating func reportOverlap(
        _ pool: IPPrefix, _ other: IPPrefix, _ resource: ResourceReference, _ path: FieldPath,
        _ network: ExternalNetwork, _ position: Int
    ) {
        report(
            "pool-overlap", "\(pool) overlaps \(other) of the same network", hint: "remove the smaller one",
            at: resource, path,
            related: Diagnostic.Related(
                "the other pool is here", at: network.reference, ["spec", "pools", .index(position)]))
    }
}
