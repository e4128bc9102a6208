import Glibc
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

/// The rules that bound a VPC's connections, as a host gets them, for what a namespace sends to itself: a flood as fast as
/// this machine can.
@Suite(.timeLimit(minutes: 10)) struct ConnectionBoundTests {
    /// The parts of a host's firewall that are about bounds, with a way into them.
    private func rules() throws -> NFTableIntent {
        let set = ManifestSet([ManifestSource(name: "all.yaml", text: Self.yaml)])
        let topology = try #require(Topology.resolve(set.model).topology, "\(set.diagnostics)")
        let device = try #require(InterfaceName("u0"))
        let whole = try #require(
            topology.compiled(for: 0, facts: HostFacts(underlayDevice: device, underlayMTU: 1500)).intent.host.firewall
                .first { $0.table == FirewallTables.filter })
        var table = NFTableIntent(whole.table)
        table.sets = whole.sets.filter { ["full", "begin_rate", "refused"].contains($0.name) }
        table.counters = whole.counters.filter { $0.name == "refused_blue" }
        table.chains = whole.chains.filter { ["newcomer", "refused"].contains($0.name) }
        try #require(table.sets.count == 3 && table.counters.count == 1 && table.chains.count == 2)
        table.chain("zone", NFBaseChain(.filter, .output, priority: -450)) { $0.rule(.set(.ctZone, 1)) }
        table.chain("begin", NFBaseChain(.filter, .output, priority: 0)) {
            $0.rule(.match([.new]), .jump("newcomer"))
        }
        table.normalize()
        return table
    }

    private static let yaml = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        apiVersion: vpcctl.dev/v1
        kind: VPC
        metadata: {name: blue}
        spec: {id: 101, cidrs: [10.0.0.0/16]}
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: web}
        spec: {vpc: blue, cidr: 10.0.1.0/24}
        ---
        apiVersion: vpcctl.dev/v1
        kind: NetworkInterface
        metadata: {name: web1}
        spec: {subnet: web, host: h1, address: 10.0.1.11, attachment: {netns: web1, device: eth0}}
        """

    private func withRules(_ body: (KernelDriver) throws -> Void) throws {
        let open = try NetworkNamespace.withTemporary { () throws(NetlinkError) in
            _ = system("ip link set lo up")
            return try NetworkNamespace.current.opened()
        }
        let kernel = KernelDriver(namespace: open.namespace)
        var plan = ChangePlan()
        plan.steps = [.init(.firewall([try rules().changes(from: nil)], generation: nil))]
        let report = kernel.commit(plan, owner: Conventions.ownership)
        try #require(report.failures.isEmpty, "\(report.failures)")
        try body(kernel)
    }

    /// Sends a datagram from a port of its own to each of so many ports.
    private func flood(_ kernel: KernelDriver, _ ports: Range<UInt16>, of network: UInt8) throws {
        try kernel.underlay.enter { Self.flood(ports, of: network) }
    }

    private static func flood(_ ports: Range<UInt16>, of network: UInt8) {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = (0x7F00_0001 | UInt32(network) << 8).bigEndian
        for port in ports {
            address.sin_port = port.bigEndian
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = sendto(descriptor, nil, 0, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }

    private func refused(_ kernel: KernelDriver) throws -> Int {
        let counters = try kernel.counters(of: FirewallTables.filter)
        return Int(try #require(counters.first { $0.name == "refused_blue" }).counts.packets)
    }

    /// Without anybody who counts, the kernel's own rate is the bound.
    @Test func aFloodBeginsNoMoreThanItsRate() throws {
        try withRules { kernel in
            let begin = ContinuousClock.now
            for network in UInt8(0)..<4 { try flood(kernel, 1000..<26_000, of: network) }
            let seconds = (ContinuousClock.now - begin) / .seconds(1)
            let tracked = try kernel.connectionCounts(sample: nil)[1] ?? 0
            let most = Double(ConnectionBound.beginsAtOnce) + Double(ConnectionBound.beginsPerSecond) * seconds
            #expect(Double(tracked) <= most * 1.02, "\(tracked) in \(seconds) s")
            #expect(tracked >= ConnectionBound.beginsAtOnce)
            #expect(try refused(kernel) == 100_000 - tracked)
        }
    }

    /// Who is refused begins nothing, and is let in again when nobody says so any more.
    @Test func aRefusalEndsByItself() throws {
        try withRules { kernel in
            let report = kernel.commit(ConnectionBound.refusal(of: [1, 7]), owner: Conventions.ownership)
            #expect(report.failures.isEmpty, "\(report.failures)")
            let since = ContinuousClock.now
            try flood(kernel, 1000..<1100, of: 0)
            #expect(try refused(kernel) == 100)
            #expect(try kernel.connectionCounts(sample: nil) == [:])
            // Said again, it lasts from then on.
            usleep(2_000_000)
            let again = kernel.commit(ConnectionBound.refusal(of: [1]), owner: Conventions.ownership)
            #expect(again.failures.isEmpty, "\(again.failures)")
            var end = ContinuousClock.now
            while try kernel.connectionCounts(sample: nil).isEmpty, end < since + .seconds(30) {
                try flood(kernel, 1000..<1001, of: 0)
                usleep(50_000)
                end = .now
            }
            let lasted = (end - since) / .seconds(1)
            #expect((11.5...14).contains(lasted), "\(lasted) s")
        }
    }

    /// A part of the table tells the shares of all.
    @Test func aSampleTellsTheShares() throws {
        try withRules { kernel in
            var table = try rules()
            table.chains.removeAll { $0.name == "zone" || $0.name == "begin" }
            table.chain("zone", NFBaseChain(.filter, .output, priority: -450)) { chain in
                chain.rule(.match(.destinationPort, .less, NFPort(4000)), .set(.ctZone, 1), .accept)
                chain.rule(.set(.ctZone, 2))
            }
            table.normalize()
            let snapshot = try kernel.observe(
                ObservationRequest(owner: Conventions.ownership, firewall: [FirewallTables.filter]))
            var plan = ChangePlan()
            plan.steps = [
                .init(.firewall([table.changes(from: snapshot.host.firewall.tables.first)], generation: nil))
            ]
            #expect(kernel.commit(plan, owner: Conventions.ownership).failures.isEmpty)
            for network in UInt8(0)..<4 { try flood(kernel, 1000..<16_000, of: network) }
            let whole = try kernel.connectionCounts(sample: nil)
            #expect(whole == [1: 12_000, 2: 48_000])
            let table60 = try #require(try kernel.trackingTable())
            #expect(table60.count == 60_000 && table60.room > 60_000)
            let part = try kernel.connectionCounts(sample: 8192)
            let seen = part.values.reduce(0, +)
            #expect((8192...9000).contains(seen))
            // Four times the deviation that chance has.
            let share = Double(part[1] ?? 0) / Double(seen)
            #expect(abs(share - 0.2) < 4 * (0.2 * 0.8 / 8192).squareRoot(), "\(share)")
        }
    }
}
