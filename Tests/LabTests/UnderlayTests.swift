import Agent
import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic

@testable import VPCLab

extension LabTests {
    /// The network between the hosts, however it is made.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 20)) struct UnderlayTests {
        /// With room for the tunnel's 28 bytes, and one more.
        @Test func guestsKeepTheirMTUOnALargerUnderlay() throws {
            var scenario = Scenario.pair
            scenario.host("h2", "172.31.0.2")
            scenario.interface("web3", "web", on: "h2", "10.0.1.13")
            let lab = try TestLab(scenario, underlayMTU: 1529)
            defer { lab.tearDown() }
            let whole = PingOptions(size: 1472, fragmentation: .forbidden)
            #expect(try lab.station("web1").ping("10.0.1.13", whole).isReply)
        }

        /// Where the underlay address is, and how the other host is reached.
        enum Wiring: String, CaseIterable {
            case plain, onLoopback, unnumbered, twoUplinks, nexthopGroup, unequalUplinks, routeMTU, onDummy, onBridge
            case onVLAN, onBond

            func lines(_ host: Int, _ other: Int) -> [String] {
                let cables = (1...2).flatMap { number in
                    ["addr add 192.168.\(number).\(host)/24 dev e\(number)"]
                }
                let loopback = cables + ["addr add 10.255.0.\(host)/32 dev lo"]
                let route = "route add 10.255.0.\(other)/32 src 10.255.0.\(host)"
                let both = "nexthop via 192.168.1.\(other) dev e1 nexthop via 192.168.2.\(other) dev e2"
                let own = "addr add 10.255.0.\(host)/24 dev"
                switch self {
                case .plain: return ["\(own) e1"]
                case .onLoopback: return loopback + ["\(route) via 192.168.1.\(other)"]
                case .unnumbered:
                    return [
                        "addr add fe80::\(host)/64 dev e1 nodad", "addr add 10.255.0.\(host)/32 dev lo",
                        "\(route) via inet6 fe80::\(other) dev e1",
                    ]
                case .twoUplinks: return loopback + ["\(route) \(both)"]
                case .nexthopGroup:
                    return loopback + [
                        "nexthop add id 1 via 192.168.1.\(other) dev e1",
                        "nexthop add id 2 via 192.168.2.\(other) dev e2", "nexthop add id 9 group 1/2",
                        "\(route) nhid 9",
                    ]
                case .unequalUplinks: return loopback + ["link set e2 mtu 1400", "\(route) \(both)"]
                case .routeMTU: return loopback + ["\(route) via 192.168.1.\(other) mtu 1300"]
                case .onDummy:
                    return cables + [
                        "link add d0 type dummy", "link set d0 up", "addr add 10.255.0.\(host)/32 dev d0",
                        "\(route) via 192.168.2.\(other)",
                    ]
                case .onBridge:
                    return [
                        "link add br0 type bridge", "link set e1 master br0", "link set br0 up", "\(own) br0",
                    ]
                case .onVLAN:
                    return [
                        "link add link e1 name e1.7 type vlan id 7", "link set e1.7 mtu 1496 up", "\(own) e1.7",
                    ]
                case .onBond:
                    return ["link add bond0 type bond mode active-backup miimon 100"]
                        + ["e1", "e2"].flatMap { ["link set \($0) down", "link set \($0) master bond0"] }
                        + ["link set bond0 up", "\(own) bond0"]
                }
            }

            /// Bytes that pass, and what the tunnels are bound to.
            var expected: (mtu: UInt32, device: String?) {
                switch self {
                case .plain, .onLoopback, .unnumbered: (1471, "e1")
                case .twoUplinks, .nexthopGroup: (1471, nil)
                case .unequalUplinks: (1371, nil)
                case .routeMTU: (1271, "e1")
                case .onDummy: (1471, "e2")
                case .onBridge: (1471, "br0")
                case .onVLAN: (1467, "e1.7")
                case .onBond: (1471, "bond0")
                }
            }
        }

        @Test(arguments: Wiring.allCases) func whereverTheAddressIs(_ wiring: Wiring) throws {
            let hosts = try CabledHosts(wiring.lines)
            defer { hosts.tearDown() }
            try hosts.apply()
            let (mtu, device) = wiring.expected
            for host in [1, 2] { #expect(try hosts.tunnels(host) == .init(mtu: mtu, underlay: device)) }
            try hosts.expectPassing(wiring.expected.mtu)
            // Also what is too large and may be cut.
            #expect(try hosts.station("a").ping("10.0.1.12", PingOptions(size: 4000)).isReply)
            #expect(try hosts.foreignTunnelPackets(1) + hosts.foreignTunnelPackets(2) == 0)
        }

        /// A host that there is no route to keeps nothing else from being done.
        @Test func aHostWithoutARouteIsSaid() throws {
            let hosts = try CabledHosts(Wiring.onLoopback.lines) { scenario in
                scenario.host("h3", "10.254.0.3")
                scenario.interface("c", "web", on: "h3", "10.0.1.13")
                // None of the VPCs that are here is on it.
                scenario.host("h4", "10.254.0.4")
            }
            defer { hosts.tearDown() }
            #expect(try hosts.plan(1).unreachable == [2])
            try hosts.apply()
            try hosts.expectPassing(1471)
            try hosts.shell("h1", "ip route add 10.254.0.0/24 via 192.168.2.2 mtu 1400")
            #expect(try hosts.plan(1).unreachable == [])
            try hosts.apply()
            #expect(try hosts.tunnels(1)?.mtu == 1371)
        }

        /// Nowhere to go: as large as a tunnel can be, and done at the first try.
        @Test func noRouteAtAll() throws {
            let hosts = try CabledHosts { host, _ in ["addr add 10.255.0.\(host)/32 dev lo"] }
            defer { hosts.tearDown() }
            try hosts.apply()
            #expect(try hosts.tunnels(1) == .init(mtu: 65_507, underlay: "lo"))
            #expect(try hosts.plan(1).unreachable == [1])
        }

        /// Tunnels are bound to the only device that leads to others, and send by it: when routes lead elsewhere both ends follow.
        @Test func tunnelsFollowTheWay() throws {
            let hosts = try CabledHosts(Wiring.onLoopback.lines)
            defer { hosts.tearDown() }
            try hosts.apply()
            for (host, other) in [(1, 2), (2, 1)] {
                try hosts.shell(
                    "h\(host)", "ip route replace 10.255.0.\(other)/32 src 10.255.0.\(host) via 192.168.2.\(other)")
            }
            #expect(try hosts.tunnels(1)?.underlay == "e1".device)
            try hosts.apply()
            #expect(try hosts.tunnels(1)?.underlay == "e2".device)
            for host in [1, 2] { try hosts.shell("h\(host)", "ip link set e1 down") }
            try hosts.expectPassing(1471)
            #expect(try hosts.foreignTunnelPackets(1) + hosts.foreignTunnelPackets(2) == 0)
        }

        /// The device that the manifest names is the one with the address, or an uplink of an address that is on none.
        @Test(arguments: [
            (Wiring.onLoopback, "e2", nil), (.onLoopback, "lo", nil), (.plain, "e1", nil),
            (.plain, "e2", "underlay device e2 of host h1 has not the address 10.255.0.1: it is on e1"),
            (.onLoopback, "e7", "underlay device e7 of host h1 does not exist on this machine"),
        ])
        func theNamedDeviceIsChecked(_ wiring: Wiring, _ device: String, _ complaint: String?) throws {
            let hosts = try CabledHosts(wiring.lines) { $0.model.hosts[0].underlayDevice = device }
            defer { hosts.tearDown() }
            guard let complaint else {
                try hosts.apply()
                return try hosts.expectPassing(1471)
            }
            do {
                _ = try hosts.plan(1)
                Issue.record("it is not refused")
            } catch {
                #expect("\(error)" == complaint)
            }
        }

        // MARK: Changes

        /// Waits until the kernel has told of what is wanted; a minute is more than any takes.
        private func waits(
            for isThere: () throws -> Bool, _ monitor: inout NetlinkMonitor,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            while try !isThere() {
                let outcome = try monitor.receive(timeout: .seconds(60)) { _ throws(CodecError) in }
                try #require(outcome != .timedOut, sourceLocation: sourceLocation)
            }
        }

        private func withAgents(_ wiring: Wiring, _ body: (CabledHosts, [AgentRun]) async throws -> Void) async throws {
            let hosts = try CabledHosts(wiring.lines)
            defer { hosts.tearDown() }
            let runs = try [1, 2].map {
                try AgentRun(namespace: hosts.namespace("h\($0)"), host: "h\($0)", hosts.text)
            }
            defer { for run in runs { run.remove() } }
            for run in runs { try await run.event(after: 0) { $0.type == .revisionApplied } }
            try await body(hosts, runs)
        }

        /// The daemon follows what becomes of the ways, in place: nothing is made anew, and nobody has done anything to it.
        @Test func changesOfTheWaysAreFollowed() async throws {
            try await withAgents(.twoUplinks) { hosts, runs in
                try hosts.expectPassing(1471)
                let index = try hosts.shell("vpc-h1", "cat /sys/class/net/vpc-gx/ifindex")
                func expect(_ mtu: UInt32, _ device: String?, after line: String) async throws {
                    for host in [1, 2] {
                        var monitor = try NetlinkMonitor(groups: [.link], in: .named(hosts.namespace("vpc-h\(host)")))
                        let wanted = try CabledHosts.Tunnels(mtu: mtu, underlay: device)
                        try hosts.shell("h\(host)", line.replacing("OTHER", with: "\(3 - host)"))
                        try waits(for: { try hosts.tunnels(host) == wanted }, &monitor)
                        _ = try await runs[host - 1].agent.settled()
                    }
                    try hosts.expectPassing(mtu)
                }
                let route = "ip route replace 10.255.0.OTHER/32"
                try await expect(1371, nil, after: "ip link set e2 mtu 1400")
                try await expect(1471, "e1", after: "\(route) via 192.168.1.OTHER")
                try await expect(1371, "e2", after: "\(route) via 192.168.2.OTHER")
                try await expect(1171, "e2", after: "\(route) via 192.168.2.OTHER mtu 1200")
                try await expect(1471, "e1", after: "\(route) via 192.168.1.OTHER")
                #expect(try hosts.shell("vpc-h1", "cat /sys/class/net/vpc-gx/ifindex") == index)
                for run in runs {
                    let failed = run.agent.events.events().filter { [.driftRepaired, .applyFailed].contains($0.type) }
                    #expect(failed.isEmpty, "\(failed)")
                    #expect(try run.difference().isEmpty)
                }
            }
        }

        // MARK: Who may send tunnel packets

        /// UDP to b that claims to come from a, in a tunnel packet that claims to come from h1.
        private func forged(_ port: UInt16, from host: IPAddress = "10.255.0.1") -> [UInt8] {
            let inner = GREPacket.datagram(
                source: "10.0.1.11", destination: "10.0.1.12", sourcePort: port, destinationPort: 9, "forged")
            return IPv4Packet.bytes(
                source: host, destination: "10.255.0.2", protocolNumber: 47,
                payload: GREPacket.bytes(key: 101, inner: inner))
        }

        /// A container of somebody else on h2, behind a bridge of its own, that knows all addresses and keys.
        private func addContainer(_ hosts: CabledHosts) throws -> PacketSender {
            try hosts.shell(
                "h2",
                """
                ip link add br9 type bridge; ip link set br9 up; ip addr add 10.99.0.1/24 dev br9
                ip link add x9 type veth peer name x9 netns \(hosts.namespace("a")); ip link set x9 master br9; ip link set x9 up
                for d in all br9; do echo 0 >/proc/sys/net/ipv4/conf/$d/rp_filter; done
                """)
            // The namespace of guest a serves as the container: what it sends by x9 has nothing to do with its port.
            try hosts.shell(
                "a", "ip addr add 10.99.0.2/24 dev x9; ip link set x9 up; ip route add 10.255.0.2/32 via 10.99.0.1")
            return try PacketSender(in: .named(hosts.namespace("a")), as: "10.99.0.2")
        }

        @Test(arguments: [Wiring.plain, .twoUplinks]) func onlyTheUnderlayBringsTunnelPackets(_ wiring: Wiring) throws {
            let hosts = try CabledHosts(wiring.lines)
            defer { hosts.tearDown() }
            try hosts.apply()
            let container = try addContainer(hosts)
            let capture = try Capture(in: .named(hosts.namespace("b")))
            let before = try hosts.foreignTunnelPackets(2)
            for port in 1...3 { #expect(container.send(forged(UInt16(port)), to: "10.255.0.2") == 0) }
            // The control: the same from the other host itself, which nobody can tell from a real one.
            let peer = try PacketSender(in: .named(hosts.namespace("h1")), as: "10.255.0.1")
            #expect(peer.send(forged(7), to: "10.255.0.2") == 0)
            #expect(capture.waits { $0.ports?.source == 7 })
            #expect(!capture.has { $0.ports.map { (1...3).contains($0.source) } ?? false })
            #expect(try hosts.foreignTunnelPackets(2) == before + 3)
            // And no host may use another one's address.
            #expect(peer.send(forged(8, from: "10.255.0.9"), to: "10.255.0.2") == 0)
            #expect(try hosts.station("a").ask("10.0.1.12")?.name == "b")
            #expect(try hosts.foreignTunnelPackets(2) == before + 4)
        }

        /// Of several uplinks, each brings packets, also in pieces, whichever the answers leave by.
        @Test func everyUplinkOfTheWayBringsTunnelPackets() throws {
            let hosts = try CabledHosts(Wiring.twoUplinks.lines)
            defer { hosts.tearDown() }
            try hosts.apply()
            let capture = try Capture(in: .named(hosts.namespace("b")))
            let peer = try PacketSender(in: .named(hosts.namespace("h1")), as: "10.255.0.1")
            for uplink in 1...2 {
                try hosts.shell("h1", "ip route replace 10.255.0.2/32 src 10.255.0.1 via 192.168.\(uplink).2")
                #expect(peer.send(forged(UInt16(uplink)), to: "10.255.0.2") == 0)
                #expect(capture.waits { $0.ports?.source == UInt16(uplink) })
                #expect(try hosts.station("a").ask("10.0.1.12")?.name == "b")
                let inner = GREPacket.datagram(
                    source: "10.0.1.11", destination: "10.0.1.12", sourcePort: 70 + UInt16(uplink), destinationPort: 9,
                    String(repeating: "x", count: 100))
                let payload = GREPacket.bytes(key: 101, inner: inner)
                for (offset, part) in [(0, payload[..<64]), (64, payload[64...])] {
                    let piece = IPv4Packet.bytes(
                        source: "10.255.0.1", destination: "10.255.0.2", protocolNumber: 47,
                        identification: UInt16(uplink), fragment: (offset, offset > 0), payload: Array(part))
                    #expect(peer.send(piece, to: "10.255.0.2") == 0)
                }
                #expect(capture.waits { $0.ports?.source == 70 + UInt16(uplink) })
            }
            #expect(try hosts.foreignTunnelPackets(2) == 0)
        }

        /// The tunnels of others on this machine, and their packets, are none of ours.
        @Test func tunnelsOfOthersAreLeftAlone() throws {
            let hosts = try CabledHosts(Wiring.onLoopback.lines)
            defer { hosts.tearDown() }
            for (host, other) in [(1, 2), (2, 1)] {
                try hosts.shell(
                    "h\(host)",
                    """
                    ip link add others type gre local 192.168.2.\(host) remote 192.168.2.\(other) key 101
                    ip link set others up; ip addr add 10.77.0.\(host)/24 dev others
                    """)
            }
            try hosts.apply()
            try hosts.shell("h1", "ping -c 1 -W 10 10.77.0.2")
            try hosts.expectPassing(1471)
        }
    }
}
