import IPAddressing
import KernelNames
import NFTables
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

/// What is reported of denied packets, and by which rules.
@Suite(.timeLimit(minutes: 10)) struct DenialLogTests {
    /// Two VPCs with the same policies; `log` is what blue says of its log.
    private func topology(log: String) throws -> Topology {
        try #require(Topology.resolve(try manifest(log: log).model).topology)
    }

    private func manifest(log: String) throws -> ManifestSet {
        var text = "apiVersion: vpcctl.dev/v1\nkind: Host\nmetadata: {name: h1}\n"
        text += "spec: {underlay: {address: 172.31.0.1}}\n"
        for (id, vpc, log) in [(1, "blue", log), (2, "green", "")] {
            text += """
                ---
                kind: VPC
                metadata: {name: \(vpc)}
                spec: {id: \(id), cidrs: [10.0.0.0/16]\(log)}
                ---
                kind: Subnet
                metadata: {name: \(vpc)-s}
                spec: {vpc: \(vpc), cidr: 10.0.1.0/24, acl: \(vpc)-acl}
                ---
                kind: NetworkACL
                metadata: {name: \(vpc)-acl}
                spec:
                  vpc: \(vpc)
                  ingress:
                    - {priority: 100, action: deny, protocol: tcp, ports: [22], cidr: 10.0.2.0/24}
                    - {priority: 200, action: allow, protocol: tcp, cidr: 0.0.0.0/0}
                    - {priority: 300, action: deny, protocol: icmp, icmpType: 8, cidr: 10.0.3.0/24}
                ---
                kind: SecurityGroup
                metadata: {name: \(vpc)-web}
                spec: {vpc: \(vpc), ingress: [{protocol: all, from: [{cidr: 0.0.0.0/0}]}]}
                ---
                kind: SecurityGroup
                metadata: {name: \(vpc)-db}
                spec: {vpc: \(vpc)}
                ---
                kind: NetworkInterface
                metadata: {name: \(vpc)-1}
                spec: {subnet: \(vpc)-s, host: h1, address: 10.0.1.10, securityGroups: [\(vpc)-web, \(vpc)-db],
                  attachment: {netns: \(vpc)-1, device: eth0}}

                """
        }
        let set = ManifestSet(text: text)
        try #require(set.diagnostics.isEmpty, "\(set.diagnostics)")
        return set
    }

    private func filter(_ topology: Topology) throws -> NFTableIntent {
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        let tables = topology.compiled(for: 0, facts: facts).intent.host.firewall
        return try #require(tables.first { $0.table == FirewallTables.filter })
    }

    private func chain(_ name: String, _ table: NFTableIntent) -> [String] {
        table.chains.first { $0.name == name }?.rules.map(\.description) ?? []
    }

    /// The chains that elements of a map lead to.
    private func targets(_ name: String, _ table: NFTableIntent) -> Set<String> {
        Set(table.sets.first { $0.name == name }?.elements.verdicts.compactMap(\.chain) ?? [])
    }

    private func log(_ prefix: String, rate: Int = 100) -> String {
        "limit rate \(rate) packets/1s burst \(rate); log prefix \"\(prefix)\" group 5 snaplen 64"
    }

    /// Every line that denies, and the end of the list, by the name that it has in manifests.
    @Test func aLineReportsWhatItDenies() throws {
        let table = try filter(try topology(log: ", logDenied: {nflogGroup: 5}"))
        #expect(targets("acl_blue-acl_in_map", table) == ["deny_acl_blue-acl_in_100"])
        #expect(targets("acl_blue-acl_in_icmp", table) == ["deny_acl_blue-acl_in_300"])
        #expect(chain("acl_blue-acl_in", table).last == "goto deny_acl_blue-acl_in_default")
        #expect(
            chain("deny_acl_blue-acl_in_100", table) == [log("vpcctl acl blue-acl in 100"), "goto deny_by_acl"])
        #expect(
            chain("deny_acl_blue-acl_out_default", table) == [
                log("vpcctl acl blue-acl out default"), "goto deny_by_acl",
            ])
        #expect(chain("deny_acl_blue-acl_in_200", table).isEmpty)
        #expect(chain("deny_by_acl", table) == ["counter name denied_by_acl; drop"])
    }

    @Test func groupsReportWhatNoneOfThemAllows() throws {
        let table = try filter(try topology(log: ", logDenied: {nflogGroup: 5, rate: 7}"))
        let list = "sg_blue-db.blue-web_in"
        #expect(
            targets("lists_in", table).filter { !chain("deny_\($0)", table).isEmpty } == [list], "only blue logs")
        #expect(
            chain("deny_\(list)", table) == [log("vpcctl groups blue-db,blue-web in", rate: 7), "goto deny_by_group"])
        #expect(
            chain("deny_\(list)_stray", table) == [
                log("vpcctl groups blue-db,blue-web in stray", rate: 7), "goto deny_by_group",
            ])
        let rules = chain(list, table)
        #expect(rules.count { $0.contains("goto \(list)_unknown") } == 2)
        #expect(rules.count { $0.contains("goto deny_\(list)_stray") } == 1)
        #expect(chain("\(list)_unknown", table).last == "goto deny_\(list)_stray")
        #expect(rules.last == "goto deny_\(list)")
    }

    /// By the port that they came from: what the packet says of itself may be forged.
    @Test func portsReportToTheirVPC() throws {
        let table = try filter(try topology(log: ", logDenied: {nflogGroup: 5}"))
        #expect(targets("log_spoofed", table) == ["log_spoofed_blue"])
        #expect(targets("log_to_host", table) == ["log_to_host_blue"])
        #expect(table.sets.first { $0.name == "log_spoofed" }?.elements.count == 1)
        #expect(chain("log_spoofed_blue", table) == [log("vpcctl spoofed blue")])
        #expect(chain("log_to_host_blue", table) == [log("vpcctl to host blue")])
    }

    @Test func withoutALogNothingIsReported() throws {
        let table = try filter(try topology(log: ""))
        #expect(!table.chains.flatMap(\.rules).contains { $0.description.contains("log") })
        #expect(targets("acl_blue-acl_in_map", table) == ["deny_by_acl"])
        #expect(!table.sets.contains { $0.name.hasPrefix("log_") })
    }

    /// Reader and compiler have the same words, and no two reasons the same.
    @Test func everyReportIsKnown() throws {
        let topology = try topology(log: ", logDenied: {nflogGroup: 5}")
        let prefixes = try filter(topology).chains.flatMap(\.rules).flatMap(\.expressions).compactMap { expression in
            if case .log(let log) = expression { log.prefix } else { nil }
        }
        #expect(prefixes.count == Set(prefixes).count)
        let known = topology.loggedDenials
        #expect(Set(known.keys) == Set(prefixes))
        #expect(known["vpcctl acl blue-acl in 300"] == .acl(0, .ingress, priority: 300))
        #expect(known["vpcctl groups blue-db,blue-web out stray"] == .groups([0, 1], .egress, isStray: true))
    }

    /// By the port that it would have left by, or came from, or by the MAC address of its sender.
    @Test func whoseItWasIsFound() throws {
        let topology = try topology(log: ", logDenied: {nflogGroup: 5}")
        let blue = try #require(topology.interfaces.firstIndex { $0.name == "blue-1" })
        let (port, other) = (InterfaceName("e-blue-1"), InterfaceName("e-green-1"))
        let mac = topology.interfaces[blue].mac
        func whose(
            _ denial: Denial, in input: InterfaceName? = nil, out output: InterfaceName? = nil, _ mac: MACAddress? = nil
        ) -> Int? {
            topology.interface(of: denial, onHost: 0, input: input, output: output, source: mac)
        }
        #expect(whose(.acl(0, .ingress, priority: 100), in: other, out: port) == blue)
        #expect(whose(.groups([0, 1], .ingress, isStray: false), out: port) == blue)
        #expect(whose(.acl(0, .egress, priority: nil), in: port, out: port, mac) == blue)
        #expect(whose(.toHost(vpc: 0), mac) == blue)
        #expect(whose(.spoofed(vpc: 0), in: port, MACAddress(rawValue: 1)) == blue)
        // Of another VPC, of nobody, or not to be known.
        #expect(whose(.acl(0, .ingress, priority: 100), out: other) == nil)
        #expect(whose(.acl(0, .egress, priority: nil), MACAddress(rawValue: 1)) == nil)
        #expect(whose(.groups([0, 1], .ingress, isStray: false)) == nil)
    }

    @Test func theFieldThatDeniesIsNamed() throws {
        let set = try manifest(log: ", logDenied: {nflogGroup: 5}")
        let topology = try #require(Topology.resolve(set.model).topology)
        func subject(_ denial: Denial, _ interface: Int? = 0) -> String? {
            topology.subject(of: denial, interface: interface, in: set.model).map { "\($0.resource) \($0.path)" }
        }
        #expect(subject(.acl(0, .ingress, priority: 300)) == "NetworkACL/blue-acl spec.ingress[2]")
        #expect(subject(.acl(0, .egress, priority: nil)) == "NetworkACL/blue-acl spec.egress")
        #expect(subject(.groups([0], .egress, isStray: false), nil) == "SecurityGroup/blue-db spec.egress")
        #expect(subject(.groups([0, 1], .egress, isStray: true)) == "NetworkInterface/blue-1 spec.securityGroups")
        #expect(subject(.groups([0, 1], .egress, isStray: true), nil) == nil)
        #expect(subject(.spoofed(vpc: 0)) == "NetworkInterface/blue-1 spec.sourceDestCheck")
    }

    /// The kernel keeps 127 bytes.
    @Test func longNamesFit() throws {
        var topology = try topology(log: ", logDenied: {nflogGroup: 5}")
        for index in topology.securityGroups.indices {
            topology.securityGroups[index].name = String(repeating: "\(index)", count: 63)
        }
        for index in topology.acls.indices { topology.acls[index].name = String(repeating: "\(index)", count: 63) }
        let known = topology.loggedDenials
        #expect(known.keys.allSatisfy { $0.utf8.count <= 127 })
        #expect(known.count == 2 + 4 + 4)
        #expect(known.keys.contains { $0.hasPrefix("vpcctl groups #") && $0.hasSuffix(" in stray") })
    }
}
