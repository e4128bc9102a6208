import Foundation
import IPAddressing
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// A changed ACL is another epoch: every connection is judged anew. Nothing else is.
@Suite(.timeLimit(minutes: 10)) struct PolicyEpochTests {
    private func epoch(
        _ ingress: [ACLRule], _ egress: [ACLRule] = [], after snapshot: NFSnapshot = NFSnapshot(generation: 1),
        _ change: (inout Model) -> Void = { _ in }
    ) throws -> PolicyEpoch {
        var model = Model()
        model.hosts = [Host(metadata: Metadata(name: "h"), underlayAddress: IPAddress("172.31.0.1")!)]
        model.vpcs = [VPC(metadata: Metadata(name: "v"), id: VPCID(1)!, cidrs: [IPPrefix("10.0.0.0/8")!])]
        model.acls = [NetworkACL(metadata: Metadata(name: "a"), vpc: "v", ingress: ingress, egress: egress)]
        model.subnets = [Subnet(metadata: Metadata(name: "s"), vpc: "v", cidr: IPPrefix("10.0.0.0/24")!, acl: "a")]
        model.interfaces = [
            NetworkInterface(
                metadata: Metadata(name: "i"), subnet: "s", host: "h", address: IPAddress("10.0.0.9")!,
                attachment: .namespace("n", device: "eth0"))
        ]
        change(&model)
        let topology = try #require(Topology.resolve(model).topology)
        let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        var kernel = NamespaceSnapshot()
        kernel.firewall = snapshot
        var compiler = HostCompiler(topology: topology, host: 0, facts: facts, numbering: Numbering(from: kernel))
        _ = compiler.compiled()
        return compiler.traits.epoch
    }

    private static let line = ACLRule(
        priority: 100, action: .allow, traffic: TrafficMatch(ipProtocol: .tcp, ports: [80...80, 443...444]),
        cidr: IPPrefix("10.1.0.0/16")!)

    private func changed(_ change: (inout ACLRule) -> Void) -> [ACLRule] {
        var line = Self.line
        change(&line)
        return [line]
    }

    @Test func everyWordOfAnACLCounts() throws {
        let variants: [([ACLRule], [ACLRule])] = [
            ([], []), ([Self.line], []), ([], [Self.line]), ([Self.line], [Self.line]),
            (changed { $0.priority = 101 }, []),
            (changed { $0.action = .deny }, []),
            (changed { $0.cidr = IPPrefix("10.1.0.0/17")! }, []),
            (changed { $0.cidr = IPPrefix("10.2.0.0/16")! }, []),
            (changed { $0.cidr = IPPrefix("2001:db8:1::/48")! }, []),
            (changed { $0.cidr = IPPrefix("2001:db8:2::/48")! }, []),
            (changed { $0.traffic.ipProtocol = .udp }, []),
            (changed { $0.traffic.ports = [80...80] }, []),
            (changed { $0.traffic.ports = [80...81, 443...444] }, []),
            (changed { $0.traffic.ports = [80...80, 442...444] }, []),
            (changed { $0.traffic.ports = [] }, []),
            (changed { $0.traffic = TrafficMatch() }, []),
            (changed { $0.traffic = TrafficMatch(ipProtocol: .icmp) }, []),
            (changed { $0.traffic = TrafficMatch(ipProtocol: .icmp, icmpType: 3) }, []),
            (changed { $0.traffic = TrafficMatch(ipProtocol: .icmp, icmpType: 3, icmpCode: 3) }, []),
            (changed { $0.traffic = TrafficMatch(ipProtocol: .icmp, icmpType: 3, icmpCode: 4) }, []),
        ]
        let epochs = try variants.map { try epoch($0.0, $0.1) }
        #expect(Set(epochs.map(\.number)).count == variants.count, "\(epochs)")
        #expect(Set(epochs.map(\.digest)).count == variants.count, "\(epochs)")
    }

    // MARK: - What the kernel has

    /// What a host has whose rules take connections into an epoch like that.
    private func host(_ renewal: NFStatement..., comment: String? = nil) -> NFSnapshot {
        var chain = NFObservedChain(name: "left", base: nil)
        let rules = [
            NFRule(in: .inet, ConnectionMark.has(ConnectionMark.found), .accept),
            NFRule(in: .inet, [.match(.ctMark, masked: 1, .equal, 0)] + renewal, comment: comment),
            NFRule(in: .inet, .set(.ctMark, keeping: .max, adding: 1 << 31), .accept),
        ]
        chain.rules = rules.enumerated().map { NFObservedRule(rule: $1, handle: UInt64($0 + 1)) }
        var table = NFObservedTable(FirewallTables.filter)
        table.chains = [chain]
        return NFSnapshot(generation: 1, tables: [table])
    }

    private func host(in epoch: PolicyEpoch) -> NFSnapshot {
        host(ConnectionMark.renewed(in: epoch.number), comment: epoch.note)
    }

    /// The same policy keeps the number that it has; another policy gets another one, even if both would have the same.
    @Test func theEpochInForceIsKnown() throws {
        let plain = try epoch([Self.line])
        let digest = try #require(plain.digest)
        #expect(try epoch([Self.line], after: host(in: plain)) == plain)
        let kept = PolicyEpoch(number: 77, digest: digest)
        #expect(try epoch([Self.line], after: host(in: kept)) == kept)
        let other = PolicyEpoch(number: plain.number, digest: digest &+ 1)
        #expect(try epoch([Self.line], after: host(in: other)) == PolicyEpoch(number: plain.number + 1, digest: digest))
        #expect(try epoch([Self.line], after: host(in: PolicyEpoch(number: 78, digest: digest &+ 1))) == plain)
    }

    /// A version before had 25 bits for the epoch, and no note. Its marks are read as those of another epoch.
    @Test func theFormerLayoutIsAnotherEpoch() throws {
        let plain = try epoch([Self.line])
        for high in UInt32(0)..<16 {
            let former = NFStatement.set(.ctMark, keeping: 0x0E00_0000, adding: high << 21 | plain.number)
            #expect(try epoch([Self.line], after: host(former)).number == plain.number + 1)
        }
        let unlike = NFStatement.set(.ctMark, keeping: 0x0E00_0000, adding: 0x0180_0000 | (plain.number ^ 1))
        #expect(try epoch([Self.line], after: host(unlike)) == plain)
        // Cut and found stay what they were.
        #expect(ConnectionMark.has(ConnectionMark.cut, in: 0x01FF_FFFF))
        #expect(ConnectionMark.has(ConnectionMark.found, in: 0x01FF_FFFE))
    }

    /// What is compiled is what is read back.
    @Test func theEpochIsReadBack() throws {
        for name in GoldenTests.cases {
            let set = ManifestSet.load(paths: [GoldenTests.folder.appending(path: "\(name)/manifest.yaml").path()])
            let topology = try #require(Topology.resolve(set.model).topology)
            for host in topology.hosts.indices {
                let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
                var compiler = HostCompiler(topology: topology, host: host, facts: facts, numbering: Numbering())
                let intent = try #require(
                    compiler.compiled().intent.host.firewall.first { $0.table == FirewallTables.filter })
                var table = NFObservedTable(FirewallTables.filter)
                table.chains = intent.chains.map { chain in
                    NFObservedChain(
                        name: chain.name, base: chain.base,
                        rules: chain.rules.map { NFObservedRule(rule: $0, handle: 1) })
                }
                #expect(PolicyEpoch(in: NFSnapshot(generation: 1, tables: [table])) == compiler.traits.epoch)
            }
        }
    }

    // MARK: - Marks

    /// No rule looks at the free bits of a mark or sets one; they are kept until the connection comes into another epoch.
    @Test func freeBitsAreLeftAlone() throws {
        let (free, lasting) = (ConnectionMark.free, ConnectionMark.lasting)
        #expect(free & (ConnectionMark.epochMask | lasting | 0xF000_0000) == 0)
        #expect(free | ConnectionMark.epochMask | lasting | 0xF000_0000 == .max)
        func number(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } }
        var (looks, writes) = (0, 0)
        for name in GoldenTests.cases {
            let set = ManifestSet.load(paths: [GoldenTests.folder.appending(path: "\(name)/manifest.yaml").path()])
            let topology = try #require(Topology.resolve(set.model).topology)
            let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
            let tables = topology.hosts.indices.flatMap {
                topology.compiled(for: $0, facts: facts).intent.host.firewall
            }
            for rule in tables.flatMap(\.chains).flatMap(\.rules) {
                let expressions = rule.expressions
                for index in expressions.indices {
                    if case .setConnection(.mark, _, _) = expressions[index] {
                        guard index >= 2, case .bitwise(_, _, let mask, let bits) = expressions[index - 1] else {
                            Issue.record("the whole mark is written: \(rule)")
                            continue
                        }
                        #expect(number(bits) & free == 0, "\(rule)")
                        #expect(number(mask) & free == free || number(mask) == lasting, "\(rule)")
                        writes += 1
                    }
                    guard case .connection(.mark, _, _) = expressions[index] else { continue }
                    guard case .bitwise(_, _, let mask, _)? = expressions.dropFirst(index + 1).first else {
                        Issue.record("the whole mark is looked at: \(rule)")
                        continue
                    }
                    if case .compare? = expressions.dropFirst(index + 2).first {
                        #expect(number(mask) & free == 0, "\(rule)")
                        looks += 1
                    }
                }
            }
        }
        #expect(looks > 100 && writes > 100)
    }

    // MARK: -

    /// It is made of the ACLs alone, in every process alike.
    @Test func nothingElseCounts() throws {
        let plain = try epoch([Self.line])
        #expect(plain.number == 1_279_764)
        let same = try epoch([Self.line]) { model in
            model.securityGroups = [SecurityGroup(metadata: Metadata(name: "g"), vpc: "v")]
            model.interfaces[0].securityGroups = ["g"]
            model.subnets.append(Subnet(metadata: Metadata(name: "b"), vpc: "v", cidr: IPPrefix("10.0.1.0/24")!))
        }
        #expect(same == plain)
        #expect(try epoch([Self.line]) { $0.subnets[0].cidr = IPPrefix("10.0.0.0/25")! } != plain)
        #expect(try epoch([Self.line]) { $0.subnets[0].acl = nil } != plain)
    }
}
