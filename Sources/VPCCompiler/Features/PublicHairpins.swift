import KernelModel
import NFTables

/// Guests that speak to a public address of their own VPC: the answer has to come back by the gateway, so whoever asks gets
/// his public address, too.
struct PublicHairpins: HostFeature {
    /// In a gateway's zone nobody else has marks.
    private static let insideMark: UInt32 = 1
    /// IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
    private static let isTranslated: UInt32 = 1 << 5

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        let hasElastic = host.traits.elasticIPs.contains(.nat)
        guard hasElastic || host.traits.hasPortForwards else { return }
        firewall.rule(
            at: NATBeforeRouting.insiders, .match(.iifgroup, LinkGroups.gatewayReceive),
            .set(.ctMark, keeping: .max, adding: Self.insideMark))
        let isHairpin: [NFStatement] = [
            .match(.oifgroup, LinkGroups.overlayTransmit), .match(.iifgroup, LinkGroups.gatewayVRF),
            ConnectionMark.has(Self.insideMark), .match(.ctStatus, masked: Self.isTranslated, .notEqual, 0),
        ]
        firewall.rules(at: NATAfterRouting.hairpins) { chain in
            if hasElastic { ElasticIPs.addSources(where: isHairpin, to: &chain) }
            NATPools.addSources(where: isHairpin, of: host, to: &chain)
        }
    }
}
