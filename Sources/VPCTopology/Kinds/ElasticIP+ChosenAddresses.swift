internal import IPAddressing
internal import VPCModel

/// What is known of the addresses of elastic IPs whose manifests leave them out, while these are chosen one after the other.
struct PublicAddressChoice {
    /// What others state, or keep, that are not entered yet.
    var stated: Set<IPAddress>
    /// By external network, where to go on looking.
    var next: [Int: IPAddress] = [:]
    var kept: [String: ChosenAddress]?

    init(_ all: [ElasticIP]) { stated = Set(all.compactMap(\.address)) }
}

/// Addresses of elastic IPs whose manifests leave them out: kept like those of interfaces.
extension Resolver {
    /// What it has had in that network, else the lowest that is free: not the router's or the uplink's, and where the router
    /// is in the pool not its first and last.
    /// - Returns: nil where there is none, which is reported.
    mutating func choose(
        for elastic: ElasticIP, _ network: Int, _ choice: inout PublicAddressChoice
    ) -> IPAddress? {
        if let former = formerAddress(of: elastic, network, &choice) { return former }
        let external = topology.externalNetworks[network]
        for pool in external.pools {
            let isSegment = pool.contains(external.nextHop)
            var address: IPAddress? = choice.next[network].flatMap { pool.contains($0) ? $0 : nil } ?? pool.address
            if let next = choice.next[network], next > pool.last { continue }
            while let candidate = address, candidate <= pool.last {
                address = candidate.advanced(by: 1)
                let isReserved =
                    candidate == external.nextHop || candidate == external.uplinkAddress
                    || isSegment && !pool.hasPlace(for: candidate)
                if isReserved || choice.stated.contains(candidate) || index.publicAddresses[candidate] != nil
                    || index.natGatewaysSharing.has(candidate)
                {
                    continue
                }
                choice.next[network] = address
                if change == nil, kept == nil { reportUnstated(candidate, of: elastic) }
                return candidate
            }
        }
        report(
            "pool-full",
            "no address of ExternalNetwork \(external.name) (\(listed(external.pools.map(\.description)))) is free for it",
            hint: "delete an elastic IP, or add a pool", at: elastic.reference, ["spec", "externalNetwork"],
            related: Diagnostic.Related(
                "the pools are here", at: ResourceReference(.externalNetwork, external.name), ["spec", "pools"]))
        return nil
    }

    private mutating func formerAddress(
        of elastic: ElasticIP, _ network: Int, _ choice: inout PublicAddressChoice
    ) -> IPAddress? {
        let external = topology.externalNetworks[network]
        var former: IPAddress?
        if change == nil {
            if choice.kept == nil { readKept(&choice) }
            if let own = choice.kept?[ChosenAddress.name(ofElasticIP: elastic.metadata.name)],
                own.subnet == external.name
            {
                former = own.address
            }
        } else if let number = number(ElasticIP.self, elastic.metadata.name),
            topology.elasticIPs[number].network == network
        {
            former = topology.elasticIPs[number].address
        }
        return former.flatMap { address in external.pools.contains { $0.contains(address) } ? address : nil }
    }

    private func readKept(_ choice: inout PublicAddressChoice) {
        let all = kept?.byInterface ?? [:]
        choice.kept = all
        for elastic in model.elasticIPs where elastic.address == nil {
            guard let own = all[ChosenAddress.name(ofElasticIP: elastic.metadata.name)],
                own.subnet == elastic.externalNetwork
            else { continue }
            choice.stated.insert(own.address)
        }
    }

    private mutating func reportUnstated(_ address: IPAddress, of elastic: ElasticIP) {
        report(
            "missing-address", "it states no address, and nothing here would remember one that is chosen for it",
            hint: "add \"address: \(address)\", the lowest that is free, or have vpcd choose and keep it",
            at: elastic.reference, ["spec"])
    }
}
