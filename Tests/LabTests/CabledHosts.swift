import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import Reconciler
import TestSupport
import Testing
import VPCCompiler
import VPCModel
import VPCTopology

@testable import VPCLab

/// Two hosts, h1 and h2, with an underlay that the test wires itself: two cables lie between them, `e1` and `e2` on both
/// sides. Each has a guest of the VPC blue, a (10.0.1.11) and b (10.0.1.12), with an MTU of 9000 that nothing else limits.
final class CabledHosts {
    let prefix = TestLab.uniquePrefix()
    private let model: Model
    private let topology: Topology
    private let responders: Responders
    private static let names = ["h1", "h2", "a", "b"]
    /// Of the hosts' VPCs.
    private static let made = ["vpc-h1", "vpc-h2"]

    /// The underlay addresses are 10.255.0.1 and 10.255.0.2.
    /// - Parameter wiring: What to tell ip(8) on a host with that number; the other one's number is the second.
    init(_ wiring: (_ host: Int, _ other: Int) -> [String], change: (inout Scenario) -> Void = { _ in }) throws {
        var scenario = Scenario()
        scenario.host("h1", "10.255.0.1")
        scenario.host("h2", "10.255.0.2")
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("web", "blue", "10.0.1.0/24")
        scenario.interface("a", "web", on: "h1", "10.0.1.11", netns: prefix + "a", mtu: 9000)
        scenario.interface("b", "web", on: "h2", "10.0.1.12", netns: prefix + "b", mtu: 9000)
        change(&scenario)
        for index in scenario.model.hosts.indices {
            scenario.model.hosts[index].dataPlane.namespace = prefix + scenario.model.hosts[index].networkNamespace
        }
        model = scenario.model
        let resolution = Topology.resolve(model)
        topology = try #require(resolution.topology, "\(resolution.diagnostics)")
        responders = try Responders()
        do {
            for name in Self.names {
                try NetworkNamespace.create(named: namespace(name))
                try shell(name, "ip link set lo up")
            }
            for cable in ["e1", "e2"] {
                try shell(
                    "h1", "ip link add \(cable) type veth peer name \(cable) netns \(namespace("h2"))")
                // With a carrier from the beginning: else there are no nexthop objects by it.
                for host in ["h1", "h2"] {
                    try shell(host, "ip link set \(cable) addrgenmode none; ip link set \(cable) up")
                }
            }
            for (host, other) in [(1, 2), (2, 1)] {
                for line in wiring(host, other) { try shell("h\(host)", "ip \(line)") }
            }
            for name in ["a", "b"] {
                try responders.serve(
                    as: name, in: .named(namespace(name)), udp: [Station.udpPort], tcp: [Station.tcpPort])
            }
        } catch {
            tearDown()
            throw error
        }
    }

    func tearDown() {
        responders.stop()
        for name in Self.names + Self.made { try? NetworkNamespace.remove(named: namespace(name)) }
    }

    func namespace(_ name: String) -> String { prefix + name }

    func station(_ name: String) -> Station { Station(.named(namespace(name))) }

    @discardableResult
    func shell(_ name: String, _ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let command = Command.run(line, in: namespace(name))
        try #require(command.status == 0, "\(line): \(command.output)", sourceLocation: sourceLocation)
        return command.output
    }

    // MARK: Applying

    /// Outside of what is the VPCs'.
    private func kernel(_ host: Int) -> KernelDriver { KernelDriver(namespace: .named(namespace("h\(host)"))) }

    private func reconciler(_ host: Int) -> HostReconciler {
        HostReconciler(kernel: kernel(host), for: host - 1, in: topology)
    }

    func plan(_ host: Int) throws -> HostPlan {
        try reconciler(host).plan(topology, host: host - 1)
    }

    /// Applies to both hosts and expects that nothing is left to do.
    func apply(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for host in [1, 2] {
            let outcome = try reconciler(host).apply(plan(host))
            #expect(outcome.report.failures.isEmpty, sourceLocation: sourceLocation)
            #expect(outcome.remaining.operations.isEmpty, sourceLocation: sourceLocation)
            #expect(try plan(host).changes.operations.isEmpty, sourceLocation: sourceLocation)
        }
    }

    /// The manifest, for an agent.
    var text: String {
        var scenario = Scenario()
        scenario.model = model
        return scenario.text(prefix: "")
    }

    // MARK: Looking

    /// What all tunnels of a host have in common; nil where they have not.
    func tunnels(_ host: Int) throws -> Tunnels? {
        let links = try reconciler(host).kernel.observe(ObservationRequest(owner: Conventions.ownership)).host.links
        let seen = Set(links.filter(\.isOwned).map(\.link).filter { $0.kind.underlay != nil }.map(Tunnels.init))
        return seen.count == 1 ? seen.first : nil
    }

    /// MTU of the tunnels, and the device that they are bound to.
    struct Tunnels: Hashable {
        var mtu: UInt32?
        var underlay: InterfaceName?

        init(mtu: UInt32, underlay: String?) throws {
            self.mtu = mtu
            self.underlay = try underlay?.device ?? InterfaceName.none
        }

        fileprivate init(_ link: Link) {
            mtu = link.mtu
            underlay = link.kind.underlay
        }
    }

    /// Packets as large as fit pass both ways, and of those with one byte more the sender is told what would fit.
    func expectPassing(_ mtu: UInt32, sourceLocation: SourceLocation = #_sourceLocation) throws {
        // A guest remembers what fitted before.
        for guest in ["a", "b"] { try shell(guest, "ip route flush cache") }
        let overhead = 28
        let whole = PingOptions(size: Int(mtu) - overhead, fragmentation: .forbidden)
        let more = PingOptions(size: Int(mtu) - overhead + 1, fragmentation: .forbidden)
        for (sender, target) in [("a", "10.0.1.12" as IPAddress), ("b", "10.0.1.11")] {
            let station = station(sender)
            #expect(try station.ping(target, whole).isReply, "\(sender)", sourceLocation: sourceLocation)
            let error = try station.ping(target, more).error
            #expect(error?.isFragmentationNeeded == true, "\(sender)", sourceLocation: sourceLocation)
            #expect(error.map { UInt32($0.mtu) } == mtu, "\(sender)", sourceLocation: sourceLocation)
        }
    }

    /// What the host counted of GRE that it did not take.
    func foreignTunnelPackets(_ host: Int) throws -> UInt64 {
        let counters = try kernel(host).counters(of: FirewallTables.underlay)
        return try #require(counters.first { $0.name == "foreign_tunnel" }).counts.packets
    }
}
