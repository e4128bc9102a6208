import IPAddressing
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@Suite struct TopologyTests {
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
        #expect(topology.vpcs.map(\.interfaces) == [0..<3])
        #expect(topology.interfaces.map(\.name) == ["web1-eth0", "fw-a", "fw-b"])
        #expect(topology.interfacesOfHost == [[0, 1], [2]])
        #expect(topology.subnets[0].gateway == IPAddress("10.0.1.1"))
        #expect(
            topology.routeTables[0].routes.map(\.nextHops) == [
                [ResolvedNextHop(interface: 1, weight: 3), ResolvedNextHop(interface: 2, weight: 1)], [],
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
