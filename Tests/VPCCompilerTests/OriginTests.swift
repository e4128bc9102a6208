import KernelNames
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// An origin is of one resource of one kind, however many kinds there are.
@Suite(.timeLimit(minutes: 10)) struct OriginTests {
    private static let manifest = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        kind: VPC
        metadata: {name: v}
        spec: {id: 1, cidrs: [10.0.0.0/16]}
        ---
        kind: SecurityGroup
        metadata: {name: g}
        spec: {vpc: v}
        ---
        kind: NetworkACL
        metadata: {name: a}
        spec: {vpc: v}
        ---
        kind: RouteTable
        metadata: {name: t}
        spec: {vpc: v}
        ---
        kind: Subnet
        metadata: {name: s}
        spec: {vpc: v, cidr: 10.0.0.0/24, routeTable: t, acl: a}
        ---
        kind: NetworkInterface
        metadata: {name: i}
        spec: {subnet: s, host: h, address: 10.0.0.9, securityGroups: [g], attachment: {device: tap0}}
        """

    @Test func tellsItsResource() throws {
        let topology = try #require(Topology.resolve(ManifestSet(text: Self.manifest).model).topology)
        let names: [ResourceKind: String] = [
            .host: "h", .vpc: "v", .subnet: "s", .routeTable: "t", .networkInterface: "i", .securityGroup: "g",
            .networkACL: "a",
        ]
        for (kind, name) in names { #expect(topology.resource(of: Origin(kind, 0)) == ResourceReference(kind, name)) }
        // Nothing is made of it.
        #expect(topology.resource(of: Origin(.probe, 0)) == nil)
        #expect(topology.resource(of: .none) == nil)
    }

    @Test func keepsKindAndIndexApart() {
        var seen: Set<Origin> = [.none]
        for kind in ResourceKind.allCases {
            for index in [0, 1, 1 << 20, (1 << 26) - 2] {
                let origin = Origin(kind, index)
                #expect(seen.insert(origin).inserted)
                #expect(origin.kind == kind && origin.number == index)
            }
        }
    }
}
