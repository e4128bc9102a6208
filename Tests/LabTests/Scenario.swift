import IPAddressing
import Testing
import VPCManifest
import VPCModel

/// A model that tests change piece by piece.
struct Scenario: Sendable, Equatable {
    var model = Model()

    // MARK: Writing one

    mutating func host(_ name: String, _ address: IPAddress) {
        model.hosts.append(VPCModel.Host(metadata: Metadata(name: name), underlayAddress: address))
    }

    /// The same with hosts that aggregate routes.
    var aggregatingRoutes: Scenario {
        var scenario = self
        for index in scenario.model.hosts.indices { scenario.model.hosts[index].aggregatesRoutes = true }
        return scenario
    }

    mutating func vpc(_ name: String, _ id: UInt32, _ cidrs: String...) {
        guard let id = VPCID(id) else { preconditionFailure("\(id) is no VPC's id") }
        model.vpcs.append(VPC(metadata: Metadata(name: name), id: id, cidrs: cidrs.map(Self.prefix)))
    }

    mutating func subnet(_ name: String, _ vpc: String, _ cidr: String, table: String? = nil) {
        model.subnets.append(
            Subnet(metadata: Metadata(name: name), vpc: vpc, cidr: Self.prefix(cidr), routeTable: table))
    }

    mutating func table(_ name: String, _ vpc: String, _ routes: CustomRoute...) {
        model.routeTables.append(RouteTable(metadata: Metadata(name: name), vpc: vpc, routes: routes))
    }

    /// - Parameter address: Nil: it is left out.
    mutating func interface(
        _ name: String, _ subnet: String, on host: String, _ address: IPAddress?, forwards: Bool = false,
        netns: String? = nil, device: String = "eth0", tap: String? = nil, mtu: Int? = nil
    ) {
        model.interfaces.append(
            NetworkInterface(
                metadata: Metadata(name: name), subnet: subnet, host: host, address: address,
                sourceDestCheck: !forwards,
                attachment: tap.map { .device($0) } ?? .namespace(netns ?? name, device: device), mtu: mtu))
    }

    mutating func probe(
        _ name: String, _ from: String, toAddress to: IPAddress, _ transport: Probe.Transport,
        _ expect: Probe.Expectation
    ) {
        model.probes.append(
            Probe(
                metadata: Metadata(name: name), from: .interface(from), to: .address(to), transport: transport,
                expect: expect))
    }

    mutating func probe(
        _ name: String, _ from: String, to: String, _ transport: Probe.Transport, _ expect: Probe.Expectation
    ) {
        model.probes.append(
            Probe(
                metadata: Metadata(name: name), from: .interface(from), to: .interface(to), transport: transport,
                expect: expect))
    }

    static func via(_ destination: String, _ hops: (String, Int)...) -> CustomRoute {
        let hops = hops.map { NextHop(interface: $0.0, weight: $0.1) }
        return CustomRoute(destination: prefix(destination), target: .nextHops(hops))
    }

    static func blackhole(_ destination: String) -> CustomRoute {
        CustomRoute(destination: prefix(destination), target: .blackhole)
    }

    static func prefix(_ text: String) -> IPPrefix {
        guard let prefix = IPPrefix(text) else { preconditionFailure("'\(text)' is no prefix") }
        return prefix
    }

    // MARK: Changing one

    /// The same with other routes in one table.
    func with(table name: String, _ routes: CustomRoute...) -> Scenario {
        var changed = self
        for index in model.routeTables.indices where model.routeTables[index].metadata.name == name {
            changed.model.routeTables[index].routes = routes
        }
        return changed
    }

    /// The same with one interface on another host, in another guest.
    func moving(_ name: String, to host: String, netns: String) -> Scenario {
        var changed = self
        for index in model.interfaces.indices where model.interfaces[index].metadata.name == name {
            changed.model.interfaces[index].host = host
            changed.model.interfaces[index].attachment = .namespace(netns, device: "eth0")
        }
        return changed
    }

    /// The manifest, with the namespaces' real names.
    func text(prefix: String) -> String {
        var renamed = model
        for index in renamed.hosts.indices {
            renamed.hosts[index].dataPlane.namespace = prefix + renamed.hosts[index].networkNamespace
        }
        for index in renamed.interfaces.indices {
            if case .namespace(let name, let device) = renamed.interfaces[index].attachment {
                renamed.interfaces[index].attachment = .namespace(prefix + name, device: device)
            }
        }
        return ManifestText.json(ResourceKind.allCases.flatMap { renamed.resources(of: $0) })
    }

    func without(interface name: String) -> Scenario {
        var changed = self
        changed.model.interfaces.removeAll { $0.metadata.name == name }
        return changed
    }
}

extension Scenario {
    /// Two tenants with the same CIDR on three hosts; the blue one has four route tables and three gateways, two of them
    /// on one host.
    static let tenants: Scenario = {
        var scenario = Scenario()
        for number in 1...3 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.vpc("green", 102, "10.0.0.0/16")
        scenario.subnet("web", "blue", "10.0.1.0/24")
        scenario.subnet("app", "blue", "10.0.2.0/24", table: "shared")
        scenario.subnet("ops", "blue", "10.0.3.0/24", table: "single")
        scenario.subnet("bulk", "blue", "10.0.4.0/24", table: "weighted")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        scenario.subnet("green-web", "green", "10.0.1.0/24")
        scenario.subnet("green-app", "green", "10.0.2.0/24")
        scenario.table(
            "shared", "blue", via("0.0.0.0/0", ("gw-a", 1), ("gw-b", 1), ("gw-c", 1)), blackhole("192.168.66.0/24"))
        scenario.table("single", "blue", via("0.0.0.0/0", ("gw-c", 1)))
        scenario.table("weighted", "blue", via("0.0.0.0/0", ("gw-a", 3), ("gw-b", 1)))

        scenario.interface("web1", "web", on: "h1", "10.0.1.11")
        scenario.interface("web2", "web", on: "h2", "10.0.1.12")
        scenario.interface("web3", "web", on: "h1", "10.0.1.13")
        scenario.interface("app1", "app", on: "h3", "10.0.2.15")
        scenario.interface("app2", "app", on: "h1", "10.0.2.16")
        scenario.interface("ops1", "ops", on: "h3", "10.0.3.17")
        scenario.interface("bulk1", "bulk", on: "h3", "10.0.4.18")
        scenario.interface("gw-a", "edge", on: "h1", "10.0.9.21", forwards: true)
        scenario.interface("gw-b", "edge", on: "h2", "10.0.9.22", forwards: true)
        scenario.interface("gw-c", "edge", on: "h2", "10.0.9.23", forwards: true)
        scenario.interface("vm1", "web", on: "h2", "10.0.1.40", tap: "tap7")
        scenario.interface("dual-web", "web", on: "h3", "10.0.1.30", netns: "dual", device: "eth0")
        scenario.interface("dual-edge", "edge", on: "h3", "10.0.9.30", netns: "dual", device: "eth1")
        scenario.interface("dual-green", "green-web", on: "h3", "10.0.1.31", netns: "dual", device: "eth2")

        scenario.interface("green1", "green-web", on: "h1", "10.0.1.11")
        scenario.interface("green2", "green-web", on: "h2", "10.0.1.12")
        scenario.interface("green3", "green-app", on: "h3", "10.0.2.15")

        scenario.probe("out", "app1", toAddress: "198.51.100.7", .udp(port: 53), .allow)
        return scenario
    }()

    /// Two guests on one host.
    static let pair: Scenario = {
        var scenario = Scenario()
        scenario.host("h1", "172.31.0.1")
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("web", "blue", "10.0.1.0/24")
        scenario.interface("web1", "web", on: "h1", "10.0.1.11")
        scenario.interface("web2", "web", on: "h1", "10.0.1.12")
        return scenario
    }()
}
