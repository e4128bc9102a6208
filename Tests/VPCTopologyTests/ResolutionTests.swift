import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@Suite(.timeLimit(minutes: 10)) struct TopologyTests {
    static let manifest = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec:
          underlay: {address: 172.31.0.1}
          region: gz
          zone: gz-1
        ---
        kind: Host
        metadata: {name: h2}
        spec: {underlay: {address: 172.31.0.2, device: eth1}}
        ---
        kind: VPC
        metadata: {name: blue, labels: {team: net}}
        spec: {id: 101, cidrs: [10.0.0.0/16]}
        ---
        kind: Subnet
        metadata: {name: blue-web}
        spec: {vpc: blue, cidr: 10.0.1.0/24, routeTable: blue-egress}
        ---
        kind: RouteTable
        metadata: {name: blue-egress}
        spec:
          vpc: blue
          routes:
            - destination: 0.0.0.0/0
              nextHops: [{interface: fw-a, weight: 3}, {interface: fw-b}]
            - {destination: 192.168.66.0/24, blackhole: true}
        ---
        kind: NetworkInterface
        metadata: {name: fw-b}
        spec: {subnet: blue-web, host: h2, address: 10.0.1.21, sourceDestCheck: false, attachment: {device: tap7}}
        ---
        kind: NetworkInterface
        metadata: {name: fw-a}
        spec:
          {subnet: blue-web, host: h1, address: 10.0.1.20, sourceDestCheck: false, mtu: 9000,
          attachment: {device: tap7}}
        ---
        kind: NetworkInterface
        metadata: {name: web1-eth0}
        spec:
          subnet: blue-web
          host: h1
          address: 10.0.1.10
          mac: "02:00:0a:00:01:0a"
          attachment: {netns: web1, device: eth0}
        ---
        kind: Probe
        metadata: {name: web-to-fw}
        spec: {from: web1-eth0, to: fw-a, protocol: tcp, port: 3306, expect: deny}
        """

    @Test func resolvesAValidManifest() throws {
        let set = ManifestSet(text: Self.manifest)
        #expect(set.diagnostics.map(\.description) == [])
        let resolution = Topology.resolve(set.model)
        #expect(set.located(resolution.diagnostics).map(\.description) == [])
        let topology = try #require(resolution.topology)
        #expect(topology.hosts.map(\.metadata.name) == ["h1", "h2"])
        #expect(topology.interfacesOfVPC == [[0, 1, 2]])
        #expect(topology.interfaces.map(\.name) == ["web1-eth0", "fw-a", "fw-b"])
        #expect(topology.interfacesOfHost == [[0, 1], [2]])
        #expect(topology.subnets[0].gateway == IPAddress("10.0.1.1"))
        #expect(
            topology.routeTables[0].routes.map(\.nextHops) == [
                [ResolvedNextHop(.interface(1), weight: 3), ResolvedNextHop(.interface(2), weight: 1)], [],
            ])
        #expect(
            topology.interfaces.map(\.gatewayKey) == [
                nil, GatewayKey(interfaceName: "fw-a"), GatewayKey(interfaceName: "fw-b"),
            ])
        #expect(
            topology.interfaces.map(\.mac.description) == [
                "02:00:0a:00:01:0a", "02:65:0a:00:01:14", "02:65:0a:00:01:15",
            ])
        #expect(topology.interfaces.map(\.mtu) == [1500, 9000, 1500])
        #expect(topology.interfaces.map(\.portName.rawValue) == ["e-web1-eth0", "tap7", "tap7"])
        #expect(topology.probes.map(\.toInterface) == [1])
    }

    @Test func emittedTextIsReadBack() {
        let set = ManifestSet(text: Self.manifest)
        let resources = set.model.resources
        for text in [ManifestText.yaml(resources), ManifestText.json(resources)] {
            let again = ManifestSet(text: text)
            #expect(again.diagnostics.map { $0.rendered() } == [])
            #expect(again.model == set.model)
        }
    }
}

/// Equal models give equal topologies, whatever the order of their documents.
@Suite(.timeLimit(minutes: 10)) struct ResolutionPropertyTests {
    /// A model of many VPCs, subnets and interfaces, everything in it used.
    static func model(interfaces count: Int, shuffledBy random: inout some RandomNumberGenerator) throws -> Model {
        var resources: [Resource] = []
        for host in 0..<8 {
            resources.append(
                Resource(
                    Host(
                        metadata: Metadata(name: "h\(host)"), underlayAddress: IPAddress(v4: 0xAC1F_0001 + UInt32(host))
                    )))
        }
        let perSubnet = 100
        let perVPC = 10 * perSubnet
        for number in 0..<count {
            let (vpc, subnet) = (number / perVPC, number / perSubnet)
            if number % perVPC == 0 {
                resources.append(
                    Resource(
                        VPC(
                            metadata: Metadata(name: "v\(vpc)"), id: try #require(VPCID(UInt32(vpc) + 1)),
                            cidrs: (0..<10).map {
                                IPPrefix(containing: IPAddress(v4: 0x0A00_0000 | $0 << 8), length: 24)
                            })))
                resources.append(
                    Resource(
                        RouteTable(
                            metadata: Metadata(name: "t\(vpc)"), vpc: "v\(vpc)",
                            routes: (0..<100).map {
                                CustomRoute(
                                    destination: IPPrefix(containing: IPAddress(v4: 0x0B00_0000 | $0 << 8), length: 24),
                                    target: .nextHops([NextHop(interface: "interface-\(number)", weight: 2)]))
                            })))
            }
            if number % perSubnet == 0 {
                resources.append(
                    Resource(
                        Subnet(
                            metadata: Metadata(name: "s\(subnet)"), vpc: "v\(vpc)",
                            cidr: IPPrefix(
                                containing: IPAddress(v4: 0x0A00_0000 | UInt32(subnet % 10) << 8), length: 24),
                            routeTable: "t\(vpc)")))
            }
            resources.append(
                Resource(
                    NetworkInterface(
                        metadata: Metadata(name: "interface-\(number)"), subnet: "s\(subnet)", host: "h\(number % 8)",
                        address: IPAddress(v4: 0x0A00_000A + UInt32(subnet % 10) << 8 + UInt32(number % perSubnet)),
                        sourceDestCheck: number % perVPC != 0, attachment: .namespace("n\(number)", device: "eth0"))))
            if number % 10 == 1 {
                resources.append(
                    Resource(
                        Probe(
                            metadata: Metadata(name: "p\(number)"), from: .interface("interface-\(number)"),
                            to: .interface("interface-\(number - 1)"), transport: .icmp, expect: .allow)))
            }
        }
        return Model(resources.shuffled(using: &random))
    }

    @Test(arguments: Seeds.fresh()) func theOrderOfDocumentsDoesNotMatter(_ seed: UInt64) throws {
        var random = Dice(seed: seed)
        let first = Topology.resolve(try Self.model(interfaces: 2500, shuffledBy: &random))
        let second = Topology.resolve(try Self.model(interfaces: 2500, shuffledBy: &random))
        #expect(first.diagnostics == [] && second.diagnostics == [])
        #expect(first.topology != nil)
        #expect(first.topology == second.topology)
        let names = first.topology?.interfaces.map(\.name)
        #expect(names == second.topology?.interfaces.map(\.name))
    }

    /// Whatever comes and goes, what stays has the number that it had.
    @Test func namesKeepTheirNumbers() throws {
        var random = SystemRandomNumberGenerator()
        var model = try Self.model(interfaces: 400, shuffledBy: &random)
        model.probes = []
        let gone = model.interfaces.filter { $0.sourceDestCheck }.shuffled(using: &random).prefix(300)
        let names = Set(gone.map(\.metadata.name))
        var topology: Topology?
        for round in 0..<8 {
            var changed = model
            changed.interfaces.removeAll { names.contains($0.metadata.name) && Bool.random(using: &random) }
            if round.isMultiple(of: 3) {
                // What is before all others in the order of each kind.
                changed.hosts.append(
                    Host(metadata: Metadata(name: "a"), underlayAddress: try #require(IPAddress("172.31.9.9"))))
                changed.securityGroups.append(
                    SecurityGroup(metadata: Metadata(name: "a"), vpc: model.vpcs[0].metadata.name))
            }
            let next = try #require(Topology.resolve(changed, numbering: topology).topology)
            #expect(next == Topology.resolve(changed).topology)
            #expect(next.interfaces.endIndex <= 400)
            if let topology {
                for (number, interface) in topology.interfaces.numbered {
                    let now = next.interfaces.firstIndex { $0.name == interface.name }
                    #expect(now == nil || now == number)
                }
                for (number, host) in topology.hosts.numbered where next.hosts.contains(number: number) {
                    #expect(next.hosts[number].metadata.name == host.metadata.name)
                }
            }
            topology = next
        }
    }

    @Test(arguments: Seeds.fresh()) func theTopologyIsInOrderAndConsistent(_ seed: UInt64) throws {
        var random = Dice(seed: seed)
        let topology = try #require(Topology.resolve(try Self.model(interfaces: 2500, shuffledBy: &random)).topology)
        #expect(topology.hosts.map(\.metadata.name) == (0..<8).map { "h\($0)" })
        #expect(topology.vpcs.map(\.id.rawValue) == [1, 2, 3])
        #expect(topology.interfacesOfVPC == [Array(0..<1000), Array(1000..<2000), Array(2000..<2500)])
        #expect(topology.subnets.count == 25)
        #expect(
            zip(topology.subnets, topology.subnets.dropFirst()).allSatisfy { ($0.vpc, $0.cidr) < ($1.vpc, $1.cidr) })
        #expect(
            zip(topology.interfaces, topology.interfaces.dropFirst()).allSatisfy {
                ($0.vpc, $0.address) < ($1.vpc, $1.address)
            })
        for (index, interface) in topology.interfaces.numbered {
            #expect(topology.interfacesOfVPC[interface.vpc].contains(index))
            #expect(topology.subnets[interface.subnet].vpc == interface.vpc)
            #expect(topology.subnets[interface.subnet].cidr.contains(interface.address))
        }
        #expect(topology.interfacesOfHost.flatMap(\.self).sorted() == Array(0..<2500))
        #expect(topology.interfacesOfHost.allSatisfy { $0 == $0.sorted() })
        for (host, indexes) in topology.interfacesOfHost.enumerated() {
            #expect(indexes.allSatisfy { topology.interfaces[$0].host == host })
        }
        #expect(topology.routeTables.map(\.name) == ["t0", "t1", "t2"])
        for table in topology.routeTables {
            #expect(table.routes.map(\.destination) == table.routes.map(\.destination).sorted())
            for interface in table.routes.flatMap(\.nextHops).compactMap(\.interface) {
                #expect(topology.interfaces[interface].vpc == table.vpc)
                #expect(
                    topology.interfaces[interface].gatewayKey
                        == GatewayKey(interfaceName: topology.interfaces[interface].name))
            }
        }
        #expect(topology.interfaces.count { $0.gatewayKey != nil } == 3)
        #expect(topology.probes.map(\.name) == topology.probes.map(\.name).sorted())
        for probe in topology.probes {
            #expect(
                topology.interfaces[try #require(probe.from.interface)].name == "interface-" + probe.name.dropFirst())
            #expect(probe.toInterface.map { topology.interfaces[$0].address } == probe.toAddress)
        }
    }

    /// Ways to change a model so that much is wrong with it.
    static let flaws: [(name: String, apply: @Sendable (inout Model) -> Void)] = [
        ("none", { _ in }),
        (
            "one address",
            { model in
                for index in model.interfaces.indices { model.interfaces[index].address = model.interfaces[0].address }
            }
        ),
        (
            "one device",
            { model in for index in model.interfaces.indices { model.interfaces[index].attachment = .device("e-x") } }
        ),
        ("one MAC", { model in for index in model.interfaces.indices { model.interfaces[index].mac = .gateway } }),
        ("no subnets", { $0.subnets = [] }),
        (
            "one CIDR",
            { model in for index in model.subnets.indices { model.subnets[index].cidr = model.subnets[0].cidr } }
        ),
        ("one VPC", { model in for index in model.vpcs.indices { model.vpcs[index].id = model.vpcs[0].id } }),
        (
            "one name",
            { model in for index in model.interfaces.indices { model.interfaces[index].metadata.name = "x" } }
        ),
        (
            "many blocks and routes in one VPC",
            { model in
                let count = model.interfaces.count
                let blocks = (0..<UInt32(count)).map {
                    IPPrefix(containing: IPAddress(v4: 0x1000_0000 | $0 << 8), length: 24)
                }
                model.vpcs[0].cidrs = blocks + blocks.map { IPPrefix(containing: $0.address, length: 25) }
                model.subnets = blocks.enumerated().map {
                    Subnet(metadata: Metadata(name: "b\($0)"), vpc: model.vpcs[0].metadata.name, cidr: $1)
                }
                model.routeTables[0].vpc = model.vpcs[0].metadata.name
                model.routeTables[0].routes = blocks.map { CustomRoute(destination: $0, target: .blackhole) }
            }
        ),
    ]

    /// However much is wrong, nothing is reported once per pair.
    @Test(arguments: flaws.indices, Seeds.fresh()) func diagnosticsGrowAsTheModelDoes(_ flaw: Int, seed: UInt64) throws
    {
        var random = Dice(seed: seed)
        let counts = try [500, 4000].map { count in
            var model = try Self.model(interfaces: count, shuffledBy: &random)
            Self.flaws[flaw].apply(&model)
            return Topology.resolve(model).diagnostics.count
        }
        #expect(counts[1] <= 4000 * 6, "\(Self.flaws[flaw].name)")
        #expect(counts[1] <= max(counts[0], 1) * 16, "\(Self.flaws[flaw].name)")
    }
}
