import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let aclDenial = FirewallFamily(
        "deny_acl", of: .one(.networkACL), isDirected: true, roles: ["#", "default"], tightens: [])
    /// Which chain a port's packets are reported by.
    static let reports = FirewallFamily("log_spoofed", "log_to_host", tightens: [])
    static let spoofedReport = FirewallFamily("log_spoofed", of: .one(.vpc), tightens: [])
    static let toHostReport = FirewallFamily("log_to_host", of: .one(.vpc), tightens: [])
}

/// Denied packets are reported to a group of nfnetlink_log before they are dropped, where their VPC asks for it.
///
/// The kernel's log says which rule it was by a fixed text per rule, so every reason has a chain of its own, which is
/// entered by denied packets only: what passes pays nothing.
struct DenialReports: HostFeature {
    let names: [FirewallFamily] = [.aclDenial, .reports, .spoofedReport, .toHostReport]

    private static let ofPorts: [(map: NFSet, denial: @Sendable (Int) -> Denial)] = [
        (HostCompiler.verdictMap("log_spoofed"), { .spoofed(vpc: $0) }),
        (HostCompiler.verdictMap("log_to_host"), { .toHost(vpc: $0) }),
    ]

    /// What is dropped because of the port it came from: the port says whose log it belongs to.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        switch piece {
        case .port(let number):
            let vpc = host.topology.interfaces[number].vpc
            guard host.topology.vpcs[vpc].denialLog != nil else { return }
            for (map, denial) in Self.ofPorts {
                let (chain, _, _) = host.place(of: denial(vpc))
                part.rows(of: map) { $0.add(host.portName(number), verdict: .jump(chain), origin: piece.origin) }
            }
        case .report(let vpc):
            guard let log = host.topology.vpcs[vpc].denialLog else { return }
            for (_, denial) in Self.ofPorts {
                let (chain, _, origin) = host.place(of: denial(vpc))
                host.addChain(chain, reporting: denial(vpc), to: log, origin, then: nil, &part.filter)
            }
        default: break
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.isLogging else { return }
        firewall.filter.sets += Self.ofPorts.map(\.map)
        firewall.rule(at: Spoofed.report, .vmap(.iifname, map: "log_spoofed"))
        firewall.rule(at: GuestToHost.report, .vmap(.sdifname, map: "log_to_host"))
    }
}

extension HostCompiler {
    /// Where a packet goes that is denied by an ACL or by security groups.
    func denialChain(_ denial: Denial, _ table: inout NFTableIntent) -> String {
        let (name, end, origin) = place(of: denial)
        guard let log = topology.vpcs[topology.vpc(of: denial)].denialLog else { return end }
        addChain(name, reporting: denial, to: log, origin, then: .goto(end), &table)
        return name
    }

    /// The names of the chain that reports it and of the one that drops it.
    fileprivate func place(of denial: Denial) -> (report: String, drop: String, Origin) {
        switch denial {
        case .acl(let acl, let direction, let priority):
            let role = priority.map { "\($0)" } ?? "default"
            let name = FirewallName(.aclDenial, topology.acls[acl].name, direction: direction, role: role)
            return (name.description, "deny_by_acl", Origin(.networkACL, acl))
        case .groups(let groups, let direction, let isStray):
            let names = groups.map { topology.securityGroups[$0].name }
            let name = FirewallName.list(names, direction, role: isStray ? "stray" : "", isDenial: true)
            return (name.description, "deny_by_group", Origin(.securityGroup, groups[0]))
        case .spoofed(let vpc):
            return (FirewallName(.spoofedReport, topology.vpcs[vpc].name).description, "", Origin(.vpc, vpc))
        case .toHost(let vpc):
            return (FirewallName(.toHostReport, topology.vpcs[vpc].name).description, "", Origin(.vpc, vpc))
        }
    }

    fileprivate func addChain(
        _ name: String, reporting denial: Denial, to log: DenialLog, _ origin: Origin, then verdict: NFStatement?,
        _ table: inout NFTableIntent
    ) {
        table.chain(name, origin: origin) { chain in
            chain.rule(
                .limit(NFLimit(UInt64(log.rate), burst: UInt32(log.rate))),
                .log(
                    group: log.group, prefix: topology.logPrefix(of: denial), snapLength: Conventions.loggedBytes))
            if let verdict { chain.rule(verdict) }
        }
    }
}
