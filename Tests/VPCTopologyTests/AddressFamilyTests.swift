import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCTopology

/// Manifests are of IPv4; what is made of them knows IPv6 as well.
@Suite(.timeLimit(minutes: 10)) struct AddressFamilyTests {
    private func model(_ subnet: String, _ addresses: [String], _ mac: String? = nil) throws -> Model {
        var model = Model()
        model.hosts = [Host(metadata: Metadata(name: "h"), underlayAddress: try #require(IPAddress("172.31.0.1")))]
        let cidr = try #require(IPPrefix("2001:db8:1::/56"))
        model.vpcs = [VPC(metadata: Metadata(name: "v"), id: try #require(VPCID(7)), cidrs: [cidr])]
        model.subnets = [Subnet(metadata: Metadata(name: "s"), vpc: "v", cidr: try #require(IPPrefix(subnet)))]
        for (number, text) in addresses.enumerated() {
            let address: IPAddress = try #require(IPAddress(text))
            model.interfaces.append(
                NetworkInterface(
                    metadata: Metadata(name: "i\(number)"), subnet: "s", host: "h",
                    address: address,
                    mac: number == 0 ? try mac.map { try #require(MACAddress($0)) } : nil,
                    attachment: .namespace("n\(number)", device: "eth0")))
        }
        return model
    }

    private func rules(_ model: Model) -> [String] { Topology.resolve(model).diagnostics.map(\.rule) }

    @Test func aNetworkOfIPv6Resolves() throws {
        let last = "2001:db8:1:1:ffff:ffff:ffff:ffff"
        let resolution = Topology.resolve(try model("2001:db8:1:1::/64", ["2001:db8:1:1::9", last]))
        #expect(resolution.diagnostics == [])
        let topology = try #require(resolution.topology)
        #expect(topology.subnets[0].gateway.description == "2001:db8:1:1::1")
        let address = try #require(IPAddress(last))
        #expect(topology.interface(at: address, inVPC: 0).map { topology.interfaces[$0].name } == "i1")
        #expect(topology.interface(at: IPAddress(v4: address.v4), inVPC: 0) == nil)
    }

    @Test func blocksAreAsLongAsTheFamilyLetsThem() throws {
        #expect(try rules(model("2001:db8:1:1::/126", ["2001:db8:1:1::3"])) == [])
        #expect(try rules(model("2001:db8:1:1::/127", [])) == ["subnet-too-small"])
        #expect(try rules(model("2001:db8:1:1::/64", ["2001:db8:1:1::"])) == ["address-not-usable"])
        #expect(try rules(model("2001:db8:1:1::/64", ["2001:db8:1:1::1"])) == ["address-not-usable"])
        #expect(try rules(model("2001:db8:1:1::/64", ["2001:db8:1:2::9"])) == ["address-outside-subnet"])
    }

    /// A MAC address that was derived from an IPv6 address does not tell which one that was.
    @Test func derivedStationsAreKnown() throws {
        let (id, other) = (try #require(VPCID(7)), "2001:db8:1:1::9")
        let mac = MACAddress(vpc: id, address: try #require(IPAddress(other)))
        let model = try model("2001:db8:1:1::/64", ["2001:db8:1:1::8", other], mac.description)
        #expect(rules(model) == ["duplicate-mac"])

        // Nor where one of both comes later, be it this one or that.
        for late in model.interfaces {
            var former = model
            former.interfaces.removeAll { $0.metadata.name == late.metadata.name }
            let resolution = Topology.resolve(former)
            var (topology, index) = (try #require(resolution.topology), resolution.index)
            var changes = ResourceChanges()
            let isNew = changes.add(Resource(late))
            #expect(isNew)
            let change = index.apply(changes, to: &topology)
            #expect(change == nil)
        }
    }

    @Test func routesThatNobodyFollows() throws {
        func shadowed(_ destinations: [String], cidrs: [String] = []) throws -> [Int] {
            let prefixes = try destinations.map { try #require(IPPrefix($0)) }
            return ShadowedRoutes(prefixes, cidrs: try cidrs.map { try #require(IPPrefix($0)) }).causes.keys.sorted()
        }
        #expect(try shadowed(["::/0"]) == [])
        #expect(try shadowed(["::/0", "::/1"]) == [])
        #expect(try shadowed(["::/0", "::/1", "8000::/1"]) == [0])
        #expect(try shadowed(["::/0", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"]) == [1])
        #expect(try shadowed(["2001:db8::/127", "2001:db8::/128", "2001:db8::1/128"]) == [0])
        #expect(try shadowed(["2001:db8::/63", "2001:db8:0:1::/64"], cidrs: ["2001:db8::/64"]) == [0])
        #expect(try shadowed(["2001:db8::/62", "2001:db8:0:1::/64"], cidrs: ["2001:db8::/64"]) == [])
    }
}
