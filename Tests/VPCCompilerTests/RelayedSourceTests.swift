import IPAddressing
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// Into which subnets an interface's routes lead.
@Suite(.timeLimit(minutes: 10)) struct RelayedSourceTests {
    /// Ten addresses of a /28 for each of some subnets, and routes as drawn, against the longest match of each address.
    @Test(arguments: 1...40, AddressFamily.allCases)
    func waysAreThoseOfTheLongestMatch(_ seed: UInt64, _ family: AddressFamily) throws {
        func check<Bits: AddressBits>(_: Bits.Type) throws {
            /// The same first bits, whatever the family.
            func prefix(_ text: String) -> IPPrefix {
                let prefix = IPPrefix(text)!
                let bits = Bits(prefix.address.v4) << (Bits.bitWidth - 32)
                return IPPrefix(containing: IPAddress(bits: bits), length: Int(prefix.length))
            }
            var dice = Dice(seed: seed)
            var model = Model()
            model.hosts = [Host(metadata: Metadata(name: "h"), underlayAddress: IPAddress("172.31.0.1")!)]
            let cidrs = ["10.0.0.0/24", "10.0.2.0/23"].map { prefix($0) }
            model.vpcs = [VPC(metadata: Metadata(name: "v"), id: VPCID(1)!, cidrs: cidrs)]
            let blocks = ["10.0.0.16/28", "10.0.0.32/28", "10.0.2.0/26", "10.0.3.0/25", "10.0.3.128/25"].map {
                prefix($0)
            }
            for (number, block) in blocks.enumerated() {
                model.subnets.append(
                    Subnet(
                        metadata: Metadata(name: "s\(number)"), vpc: "v", cidr: block,
                        routeTable: number == 0 ? "t" : nil))
                model.interfaces.append(
                    NetworkInterface(
                        metadata: Metadata(name: "i\(number)"), subnet: "s\(number)", host: "h",
                        address: IPAddress(bits: Bits(bitsOf: block.address) + 9), sourceDestCheck: false,
                        attachment: .namespace("n\(number)", device: "eth0")))
            }
            let candidates = [
                "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/25", "10.0.0.0/27", "10.0.0.16/28", "10.0.0.20/30",
                "10.0.2.0/24", "10.0.3.0/24", "10.0.3.64/26", "10.0.3.255/32", "255.0.0.0/8", "255.255.255.255/32",
            ]
            var routes: [CustomRoute] = []
            for candidate in candidates where dice.happens(40) {
                let hops = (0..<Int.random(in: 0...2, using: &dice)).map { _ in
                    "i\(Int.random(in: 0...4, using: &dice))"
                }
                let target: CustomRoute.Target =
                    hops.isEmpty ? .blackhole : .nextHops(Set(hops).sorted().map { NextHop(interface: $0) })
                routes.append(CustomRoute(destination: prefix(candidate), target: target))
            }
            model.routeTables = [RouteTable(metadata: Metadata(name: "t"), vpc: "v", routes: routes)]
            let resolution = Topology.resolve(model)
            let topology = try #require(resolution.topology, "\(resolution.diagnostics)")
            let ways: [SubnetWay<Bits>] = topology.waysFrom(topology.interfaces[0].subnet)
            for (left, right) in zip(ways, ways.dropFirst()) {
                #expect(left.destinations.upperBound < right.destinations.lowerBound)
            }
            let corners = (cidrs + blocks + candidates.map { prefix($0) }).flatMap { prefix in
                let range = prefix.range(of: Bits.self)
                return [range.lowerBound, range.upperBound, range.lowerBound &- 1, range.upperBound &+ 1]
            }
            for address in corners {
                let way = ways.first { $0.destinations.contains(address) }?.subnets ?? []
                #expect(
                    way == subnets(behind: IPAddress(bits: address), topology),
                    "seed \(seed), \(IPAddress(bits: address))")
            }
        }
        switch family {
        case .ipv4: try check(IPv4Bits.self)
        case .ipv6: try check(IPv6Bits.self)
        }
    }

    /// As routing does it: a custom route inside the VPC is the longer match, else what is the VPC's stays in it.
    private func subnets(behind address: IPAddress, _ topology: Topology) -> [Int] {
        let vpc = topology.vpcs[0]
        let custom = topology.routeTables[0].routes.filter { $0.destination.contains(address) }
            .max { $0.destination.length < $1.destination.length }
        let local = topology.subnets.indices.filter { topology.subnets[$0].cidr.contains(address) }
        let behind =
            custom.map { Set($0.nextHops.compactMap(\.interface).map { topology.interfaces[$0].subnet }).sorted() }
            ?? []
        guard let cidr = vpc.cidrs.first(where: { $0.contains(address) }) else { return behind }
        if let custom, cidr.contains(custom.destination) { return behind }
        return local
    }
}
