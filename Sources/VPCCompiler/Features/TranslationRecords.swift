import NFTables

extension FirewallFamily {
    static let translationRecords = FirewallFamily("recorded", tightens: [])
}

/// Has the kernel tell of the connections of NAT gateways that record who had which public address and port. Who listens is
/// another matter (`TranslationLog`); of other connections nothing is told.
struct TranslationRecords: HostFeature {
    let names = [FirewallFamily.translationRecords]

    /// The gateways' zones.
    private static let zones = NFSet("recorded", of: .zone, grows: true)
    /// IPCT_NEW and IPCT_DESTROY of linux/netfilter/nf_conntrack_common.h.
    private static let told: UInt32 = 1 << 0 | 1 << 2

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, let number = key.natGateway, let context = host.contexts[key],
            host.topology.natGateways[number].recordsConnections
        else { return }
        part.rows(of: Self.zones) { $0.add(host.zone(of: context.table), origin: context.origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.recordsTranslations else { return }
        firewall.filter.sets.append(Self.zones)
        firewall.rule(
            at: Tracked.recorded, NATGateways.isOfGateway, .match([.new]), .match(.ctZone, in: Self.zones.name),
            .set(.ctEvents, host.traits.hasPairs ? Self.told | GatewayPairs.told : Self.told))
    }
}
