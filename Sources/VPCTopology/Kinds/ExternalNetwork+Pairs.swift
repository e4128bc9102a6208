internal import IPAddressing
internal import VPCModel

/// Of external networks: two gateways that stand in for each other.
extension Resolver {
    /// What a pair needs, and what only a pair may have.
    mutating func checkPair(_ network: ExternalNetwork) {
        guard network.gateways.count > 1 else { return checkSingle(network) }
        let reference = network.reference
        if network.gateways.count > 2 {
            report(
                "gateway-pair", "it has \(network.gateways.count) gateways: one serves, and one stands by",
                hint: "name two hosts", at: reference, ["spec", "gateways", .index(2)])
        }
        if network.gateways[0].host == network.gateways[1].host {
            report(
                "gateway-pair", "both gateways are on host \(network.gateways[0].host)",
                hint: "name another host: what one of them dies of, the other one is to survive", at: reference,
                ["spec", "gateways", .index(1), "host"])
        }
        guard let endpoint = network.endpoint else {
            report(
                "gateway-pair", "a pair of gateways needs an endpoint",
                hint: "name a free address of the underlay's subnet: whoever is active takes it", at: reference,
                ["spec", "gateways", .index(1)])
            return
        }
        checkEndpoint(endpoint, of: network)
    }

    /// As it is resolved; nil: there is one gateway, or what is said of the pair is wrong.
    func resolvedPair(of network: ExternalNetwork) -> ResolvedExternalNetwork.Pair? {
        guard network.gateways.count == 2, let endpoint = network.endpoint else { return nil }
        return ResolvedExternalNetwork.Pair(
            endpoint: endpoint, announcement: network.announcement, liveness: network.liveness ?? .standard)
    }

    /// Whoever stands by has one address on the uplink, which is the same for all pairs; of one device each address can be
    /// on one ipvlan only.
    mutating func checkSharing(
        _ uplink: ExternalNetwork.Uplink, of network: ExternalNetwork, _ host: Int, _ path: FieldPath
    ) {
        guard network.gateways.count > 1, uplink.mode == .ipvlan else { return }
        let other = topology.externalNetworks.first { other in
            other.pair != nil
                && other.uplinks.contains { $0.host == host && $0.device == uplink.device && $0.mode == .ipvlan }
        }
        guard let other else { return }
        report(
            "gateway-pair",
            "\(uplink.device) of host \(uplink.host) is used by ipvlan in ExternalNetwork \(other.name), which is a pair as well",
            hint: "put the pools of both into one ExternalNetwork, or use mode macvlan for both", at: network.reference,
            path + ["mode"],
            related: Diagnostic.Related(
                "the other one is here", at: ResourceReference(.externalNetwork, other.name), ["spec", "gateways"]))
    }

    private mutating func checkSingle(_ network: ExternalNetwork) {
        func complain(_ text: String, _ hint: String, _ field: FieldPath.Component) {
            report("gateway-pair", text, hint: hint, at: network.reference, ["spec", field])
        }
        let hint = "leave the field out, or name a second gateway"
        if let endpoint = network.endpoint {
            complain("the endpoint \(endpoint) would be that of a pair of gateways", hint, "endpoint")
        }
        if network.liveness != nil { complain("there is no other gateway to watch this one", hint, "liveness") }
        if network.announcement == .routes {
            complain(
                "routes are announced by whoever is active of a pair of gateways",
                "have the provider route the pools to uplinkAddress, or name a second gateway", "announce")
        }
    }

    private mutating func checkEndpoint(_ endpoint: IPAddress, of network: ExternalNetwork) {
        let (reference, path): (ResourceReference, FieldPath) = (network.reference, ["spec", "endpoint"])
        let hint = "choose a free address of the underlay's subnet"
        if let (_, use) = IPPrefix.reserved.first(where: { $0.block.contains(endpoint) }) {
            report("endpoint-address", "\(endpoint) is a \(use) address", hint: hint, at: reference, path)
        }
        if let host = index.underlays[endpoint] {
            report(
                "endpoint-address", "\(endpoint) is the underlay address of host \(topology.hosts[host].metadata.name)",
                hint: hint, at: reference, path,
                related: Diagnostic.Related(
                    "the host is here", at: topology.hosts[host].reference, ["spec", "underlay", "address"]))
        }
        if let other = topology.externalNetworks.first(where: { $0.pair?.endpoint == endpoint }) {
            report(
                "endpoint-address", "\(endpoint) is the endpoint of ExternalNetwork \(other.name) as well", hint: hint,
                at: reference, path,
                related: Diagnostic.Related(
                    "the other one is here", at: ResourceReference(.externalNetwork, other.name), ["spec", "endpoint"]))
        }
        let isOutside =
            endpoint == network.uplinkAddress || endpoint == network.nextHop
            || network.pools.contains { $0.contains(endpoint) }
        if isOutside {
            report("endpoint-address", "\(endpoint) is one of the provider's network", hint: hint, at: reference, path)
        }
    }
}

extension ExternalNetwork.Liveness {
    /// A death is found out within a second.
    static let standard = ExternalNetwork.Liveness(interval: .milliseconds(300), multiplier: 3)
}
