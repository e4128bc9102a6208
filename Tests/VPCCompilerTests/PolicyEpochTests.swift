import IPAddressing
import KernelModel
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// A changed ACL is another epoch: every connection is judged anew. Nothing else is.
@Suite(.timeLimit(minutes: 10)) struct PolicyEpochTests {
    private func epoch(_ ingress: [ACLRule], _ egress: [ACLRule] = [], _ change: (inout Model) -> Void = { _ in })
        throws
        -> UInt32
    {
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
        var compiler = HostCompiler(topology: topology, host: 0, facts: facts, numbering: Numbering())
        _ = compiler.compiled()
        return compiler.epoch
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
        #expect(Set(epochs).count == variants.count, "\(epochs)")
    }

    /// It is made of the ACLs alone, in every process alike.
    @Test func nothingElseCounts() throws {
        let plain = try epoch([Self.line])
        #expect(plain == 33_023_424)
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
