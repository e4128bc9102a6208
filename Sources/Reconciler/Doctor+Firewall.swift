import IPAddressing
import KernelModel
import NFTables
import VPCCompiler

/// The features of nf_tables and connection tracking that the policies are made of.
extension Doctor {
    /// Each is tried by a table of its own: where one is refused the others are still known.
    func firewallFeatures(_ kernel: some KernelAccess) -> [Finding] {
        let findings = Self.firewallTrials.enumerated().map { number, trial -> Finding in
            var table = NFTableIntent(NFTable(trial.family, "trial\(number)"))
            trial.body(&table)
            table.normalize()
            var plan = ChangePlan()
            plan.steps = [ChangePlan.Step(.firewall([table.changes(from: nil)], generation: nil))]
            let report = kernel.commit(plan, owner: Conventions.ownership)
            let failure =
                report.failures.first { if case .refused = $0.reason { true } else { false } } ?? report.failures.first
            return Finding(of: trial.subject, failure, remedy: trial.remedy)
        }
        return findings + [connectionList(kernel), flowtables(kernel)]
    }

    /// Nothing is missing without them, but every packet meets the rules.
    private func flowtables(_ kernel: some KernelAccess) -> Finding {
        let obstacle = kernel.offloadObstacle()
        return Finding(
            subject: "established connections past the rules", isGood: true, isCostly: obstacle != nil,
            detail: obstacle ?? "works")
    }

    private func connectionList(_ kernel: some KernelAccess) -> Finding {
        do {
            _ = try kernel.connections()
            return Finding(subject: "connection tracking over netlink", isGood: true, detail: "works")
        } catch {
            return Finding(
                subject: "connection tracking over netlink", isGood: false, detail: "\(error)",
                remedy: "modprobe nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)")
        }
    }

    private struct FirewallTrial {
        var subject: String
        var remedy: String
        var family = NFFamily.inet
        var body: @Sendable (inout NFTableIntent) -> Void
    }

    private static func hook(_ hook: NFBaseChain.Hook) -> NFBaseChain { NFBaseChain(.filter, hook, priority: 0) }

    private static let firewallTrials: [FirewallTrial] = [
        FirewallTrial(subject: "nftables", remedy: "modprobe nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)") {
            $0.chain("chain", hook(.forward)) { $0.rule(.match(.iifgroup, 1), .accept) }
        },
        FirewallTrial(
            subject: "nftables for ARP", remedy: "use a kernel with CONFIG_NF_TABLES_ARP",
            family: .arp
        ) {
            $0.chain("chain", hook(.input)) { $0.rule(.match(.iifgroup, 1), .drop) }
        },
        FirewallTrial(
            subject: "nftables on connections",
            remedy: "modprobe nft_ct nf_conntrack (CONFIG_NFT_CT, CONFIG_NF_CONNTRACK_MARK, CONFIG_NF_CONNTRACK_ZONES)"
        ) {
            $0.chain("chain", NFBaseChain(.filter, .prerouting, priority: -300)) {
                $0.rule(.set(.ctZone, NFZone(1)))
                $0.rule(.match([.established]), .set(.ctMark, keeping: .max, adding: 1))
                $0.rule(.match(.l4proto, NFProtocol.gre), .notrack)
            }
        },
        FirewallTrial(subject: "nftables interval maps", remedy: "use Linux 5.6 or later (nft_set_pipapo)") {
            $0.counters = [NFCounter("rule")]
            var map = NFSet("map", of: .ipv4Address, .internetProtocol, to: .counter, isInterval: true)
            map.add(
                IPAddress(v4: 1)...IPAddress(v4: 9), NFProtocol.tcp...NFProtocol.udp, counter: "rule", origin: .none)
            $0.sets = [map]
            $0.chain("chain", hook(.forward)) { $0.rule(.counter(map: "map", .ipSource, .ipProtocol)) }
        },
        FirewallTrial(
            subject: "nftables limits and logs",
            remedy:
                "modprobe nft_limit nft_log nfnetlink_log (CONFIG_NFT_LIMIT, CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG)"
        ) {
            $0.chain("chain", hook(.forward)) {
                $0.rule(.limit(NFLimit(10, burst: 10)), .log(group: 5, prefix: "trial", snapLength: 64))
            }
        },
    ]
}
