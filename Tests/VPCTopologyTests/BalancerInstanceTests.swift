import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

/// Interfaces of balancers' instances, which nobody declares.
@Suite(.timeLimit(minutes: 10)) struct BalancerInstanceTests {
    private static let base = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        kind: Host
        metadata: {name: h2}
        spec: {underlay: {address: 172.31.0.2}}
        ---
        kind: VPC
        metadata: {name: blue}
        spec: {id: 101, cidrs: [10.0.0.0/16]}
        ---
        kind: Subnet
        metadata: {name: web}
        spec: {vpc: blue, cidr: 10.0.1.0/24}
        ---
        kind: NetworkInterface
        metadata: {name: web1, labels: {app: web}}
        spec: {subnet: web, host: h1, address: 10.0.1.11, securityGroups: [behind], attachment: {netns: web1, device: eth0}}
        ---
        kind: TargetGroup
        metadata: {name: web}
        spec:
          {vpc: blue, port: 8080, protocol: http, selector: {app: web}, healthCheck: {protocol: http, path: /}}
        ---
        kind: SecurityGroup
        metadata: {name: behind}
        spec:
          vpc: blue
          ingress: [{protocol: tcp, ports: [8080], from: [{loadBalancer: shop}]}]
          egress: [{protocol: tcp, ports: [80], to: [{loadBalancer: shop}]}]

        """

    private static func balancer(
        _ instances: String =
            "{subnet: web, host: h1, address: 10.0.1.80}, {subnet: web, host: h2, address: 10.0.1.81}",
        _ more: String = ""
    ) -> String {
        base + """
            ---
            kind: LoadBalancer
            metadata: {name: shop}
            spec:
              {vpc: blue, type: l7, instances: [\(instances)], \(more)
               listeners: [{protocol: http, port: 80, rules: [{targetGroup: web}]}]}
            """
    }

    private func topology(_ text: String) throws -> Topology {
        let resolution = Topology.resolve(ManifestSet(text: text, name: "test.yaml").model)
        return try #require(resolution.topology, "\(resolution.diagnostics)")
    }

    @Test func eachHasAnInterface() throws {
        let topology = try topology(Self.balancer())
        let instances = topology.interfaces.filter { BalancerInstance.owner(ofInterface: $0.name) != nil }
            .sorted { $0.name < $1.name }
        #expect(instances.map(\.name) == ["shop.h1", "shop.h2"])
        #expect(instances.map { "\($0.address)" } == ["10.0.1.80", "10.0.1.81"])
        #expect(instances.map { topology.hosts[$0.host].metadata.name } == ["h1", "h2"])
        #expect(instances.map(\.attachment).first == .namespace("vpc-lb-shop.h1", device: "eth0"))
        #expect(instances.allSatisfy { $0.securityGroups.isEmpty })
        // Who asks and who is asked speak with the instances.
        let group = try #require(topology.securityGroups.first)
        let both = ["10.0.1.80/32", "10.0.1.81/32"]
        #expect(group.ingress[0].balanced.map(\.description) == both)
        #expect(group.egress[0].balanced.map(\.description) == both)
    }

    /// A change of a balancer gives what resolving all gives; so does a change of what its instances refer to.
    @Test func changesGiveTheSame() throws {
        let (before, after) = (Self.balancer(), Self.balancer("{subnet: web, host: h2, address: 10.0.1.90}"))
        let (old, new) = (ManifestSet(text: before, name: "a").model, ManifestSet(text: after, name: "a").model)
        let resolution = Topology.resolve(old)
        var (topology, index) = (try #require(resolution.topology), resolution.index)
        let changes = Self.change(old.loadBalancers[0], to: new.loadBalancers[0])
        #expect(index.apply(changes, to: &topology) == nil, "it is taken in by resolving everything")
        #expect(try topology == self.topology(before))

        var moved = old.hosts[0]
        moved.underlayAddress = IPAddress(v4: 0xAC1F_0009)
        #expect(index.apply(Self.change(old.hosts[0], to: moved), to: &topology) != nil)
        var model = old
        model.hosts[0] = moved
        #expect(topology == Topology.resolve(model).topology)
    }

    private static func change(_ old: some ResourceType, to new: some ResourceType) -> ResourceChanges {
        var changes = ResourceChanges()
        _ = changes.remove(Resource(old))
        _ = changes.add(Resource(new))
        return changes
    }

    @Test(arguments: [
        ("{subnet: web, host: h1, address: 10.0.2.80}", "address-outside-subnet spec.instances[0].address"),
        ("{subnet: web, host: h1, address: 10.0.1.11}", "duplicate-address spec.instances[0].address"),
        ("{subnet: web, host: h3, address: 10.0.1.80}", "dangling-reference spec.instances[0].host"),
        ("{subnet: wob, host: h1, address: 10.0.1.80}", "dangling-reference spec.instances[0].subnet"),
        (
            "{subnet: web, host: h1, address: 10.0.1.80}, {subnet: web, host: h1, address: 10.0.1.81}",
            "duplicate-instance spec.instances[1].host"
        ),
        (
            "{subnet: web, host: h1, address: 10.0.1.80}, {subnet: web, host: h2, address: 10.0.1.80}",
            "duplicate-address spec.instances[1].address"
        ),
    ])
    func faultsAreTheBalancers(_ instances: String, _ finding: String) throws {
        let diagnostics = Topology.resolve(ManifestSet(text: Self.balancer(instances), name: "test.yaml").model)
            .diagnostics
        #expect(diagnostics.map { "\($0.rule) \($0.path)" } == [finding])
        #expect(diagnostics.allSatisfy { $0.resource == ResourceReference(.loadBalancer, "shop") })
    }

    /// What is said of an instance's interface is said of the balancer.
    @Test func othersAreToldOfTheBalancer() throws {
        let text =
            Self.balancer() + """

                ---
                kind: NetworkInterface
                metadata: {name: web2}
                spec: {subnet: web, host: h1, address: 10.0.1.12, mac: "02:65:0a:00:01:50", attachment: {netns: web2, device: eth0}}
                """
        let diagnostics = Topology.resolve(ManifestSet(text: text, name: "test.yaml").model).diagnostics
        #expect(diagnostics.map(\.rule) == ["duplicate-mac"])
        #expect(diagnostics[0].related?.resource == ResourceReference(.loadBalancer, "shop"))
        #expect(diagnostics[0].related?.path == ["spec", "instances"])
    }

    /// An elastic IP that a balancer names leads to its instance, also when only the elastic IP is changed.
    @Test func anElasticIPLeadsToTheInstance() throws {
        let text =
            Self.balancer("{subnet: web, host: h1, address: 10.0.1.80}", "external: {elasticIP: shop-ip},") + """

                ---
                kind: ExternalNetwork
                metadata: {name: internet}
                spec:
                  pools: [203.0.113.0/24]
                  nextHop: 192.0.2.1
                  gateways: [{host: h2, device: wan0}]
                  uplinkAddress: 192.0.2.100
                ---
                kind: ElasticIP
                metadata: {name: shop-ip}
                spec: {externalNetwork: internet, address: 203.0.113.60}
                """
        let model = ManifestSet(text: text, name: "test.yaml").model
        let resolution = Topology.resolve(model)
        var (topology, index) = (try #require(resolution.topology, "\(resolution.diagnostics)"), resolution.index)
        func leadsThere(_ topology: Topology) -> String? {
            topology.elasticIPs.first?.interface.map { topology.interfaces[$0].name }
        }
        #expect(leadsThere(topology) == "shop.h1")
        var changed = model.elasticIPs[0]
        changed.metadata.labels = ["a": "b"]
        // It is not forgotten whose it is.
        _ = index.apply(Self.change(model.elasticIPs[0], to: changed), to: &topology)
        #expect(leadsThere(topology) == "shop.h1")
        var several = model
        several.loadBalancers[0].instances.append(
            .init(subnet: "web", host: "h2", address: IPAddress(v4: 0x0A00_0151)))
        #expect(
            Topology.resolve(several).diagnostics.map { "\($0.rule) \($0.path)" } == ["not-supported spec.external"])
    }

    @Test func anInsideAddressIsRefused() {
        let text = Self.balancer(
            "{subnet: web, host: h1, address: 10.0.1.80}", "internal: {subnet: web, address: 10.0.1.70},")
        let diagnostics = Topology.resolve(ManifestSet(text: text, name: "test.yaml").model).diagnostics
        #expect(diagnostics.map { "\($0.rule) \($0.path)" } == ["not-supported spec.internal"])
    }
}
