import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic

@testable import VPCLab

extension LabTests {
    /// What reaches whom, on the wires of two tenants with the same addresses.
    @Suite(.needsOverlay, .lab(.tenants), .timeLimit(minutes: 10)) struct TrafficTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        // MARK: Tenants

        @Test(arguments: [
            ("web1", "10.0.1.13", "web3"), ("web1", "10.0.1.12", "web2"), ("web2", "10.0.1.11", "web1"),
            ("web1", "10.0.2.15", "app1"), ("app1", "10.0.1.12", "web2"), ("ops1", "10.0.9.22", "gw-b"),
            ("green1", "10.0.1.12", "green2"), ("green2", "10.0.1.11", "green1"), ("green1", "10.0.2.15", "green3"),
            ("green3", "10.0.1.11", "green1"),
        ])
        func everyAddressLeadsToTheOwnTenantsGuest(from: String, to: IPAddress, expected: String) throws {
            let station = try lab.station(from)
            #expect(try station.ask(to)?.name == expected)
            guard case .answered(let answer) = try station.connect(to) else {
                Issue.record("no TCP connection from \(from) to \(to)")
                return
            }
            #expect(answer.name == expected)
            #expect(try station.ping(to).isReply)
        }

        /// Addresses that only the other tenant has, all asked at once.
        @Test func whatOnlyTheOtherTenantHasIsOutOfReach() throws {
            for (from, to) in [("green1", "10.0.1.13" as IPAddress), ("green2", "10.0.9.21"), ("web1", "10.0.1.31")] {
                let station = try lab.station(from)
                let options = PingOptions(timeout: .milliseconds(200), attempts: 2)
                #expect(!(try station.ping(to, options)).isReply)
                #expect(try station.ask(to, timeout: .milliseconds(200), attempts: 2) == nil)
            }
        }

        /// The gateway answers for itself and for what can be reached, with the one address that never changes.
        @Test func addressResolutionShowsOnlyTheOwnTenant() throws {
            let gateway = MACAddress(rawValue: 0x0200_5E00_0001)
            let blue = try lab.station("web1", source: "10.0.1.11")
            for reachable: IPAddress in ["10.0.1.1", "10.0.1.12", "10.0.1.13", "10.0.1.30"] {
                #expect(try blue.resolve(reachable, on: "eth0") == gateway)
            }
            let green = try lab.station("green1", source: "10.0.1.11")
            for unreachable: IPAddress in ["10.0.1.13", "10.0.1.40", "10.0.1.99", "172.31.0.1"] {
                #expect(try green.resolve(unreachable, on: "eth0", timeout: .milliseconds(150), attempts: 2) == nil)
            }
        }

        @Test func hostsAndUnderlayAreOutOfReach() throws {
            for to: IPAddress in ["172.31.0.1", "172.31.0.2", "192.0.0.8"] {
                for from in ["web1", "app1"] where !(from == "app1" && to == "192.0.0.8") {
                    let outcome = try lab.station(from).ping(to, PingOptions(timeout: .milliseconds(200), attempts: 2))
                    #expect(!outcome.isReply, "\(from) pings \(to)")
                }
            }
            // Nor do hosts reach guests.
            let host = try lab.station("h1").ping("10.0.1.11", PingOptions(timeout: .milliseconds(200), attempts: 2))
            #expect(!host.isReply)
            // While they do reach each other: the lab is in order.
            #expect(try lab.station("h1").ping("172.31.0.2").isReply)
        }

        /// A service of the host that listens on all addresses is not there for guests.
        @Test func hostServicesAreInvisibleOnTheGatewayAddress() throws {
            let responders = try Responders()
            defer { responders.stop() }
            for place in ["h1", "vpc-h1"] {
                try responders.serve(as: place, in: .named(lab.namespace(place)), udp: [7000], tcp: [7001])
            }
            guard case .answered = try lab.station("h2").connect("172.31.0.1") else {
                Issue.record("the service does not answer on the underlay: nothing is proved")
                return
            }
            let answer = try lab.station("web1").connect("10.0.1.1", timeout: .seconds(1))
            if case .answered = answer { Issue.record("web1 reached a service of its host") }
            #expect(try lab.station("web1").ping("10.0.1.1").isReply, "the gateway itself answers")
        }

        // MARK: Forged tunnels

        /// A datagram of the green tenant, in GRE with its key.
        private func forged(port: UInt16, key: UInt32 = 102) -> [UInt8] {
            let inner = GREPacket.datagram(
                source: "10.0.1.11", destination: "10.0.1.12", sourcePort: port, destinationPort: 9, "forged")
            return GREPacket.bytes(key: key, inner: inner)
        }

        /// Whether somebody's datagram from that port comes into a namespace while `body` sends it: before an allowed one
        /// that is sent behind it has been answered from there, or never.
        /// - Parameter later: Who sends that one, and to whom.
        private func arrives(
            _ port: UInt16, in name: String, before later: (String, IPAddress), while body: () throws -> Void
        ) throws -> Bool {
            let capture = try Capture(in: .named(lab.namespace(name)))
            try body()
            #expect(try lab.station(later.0).ask(later.1) != nil)
            return capture.has { $0.flow?.sender == port }
        }

        private let green: (String, IPAddress) = ("green1", "10.0.1.12")

        private let gre: Int32 = 47

        @Test func guestsCannotForgeTheTunnelOfAnotherTenant() throws {
            let control = try arrives(5001, in: "green2", before: green) {
                _ = try lab.station("h1").sendRaw(forged(port: 5001), protocolNumber: gre, to: "172.31.0.2")
            }
            #expect(control, "a host's own packet arrives: else nothing is proved")
            for (port, to) in [(UInt16(5002), "10.0.1.1" as IPAddress), (5003, "172.31.0.2"), (5004, "10.0.1.12")] {
                let arrived = try arrives(port, in: "green2", before: green) {
                    for _ in 0..<3 {
                        _ = try lab.station("web2").sendRaw(forged(port: port), protocolNumber: gre, to: to)
                    }
                }
                #expect(!arrived, "web2 sends to \(to)")
            }
        }

        /// A key that nobody has falls to the device that only sends, in the host's own routing context.
        @Test func guestsCannotForgeTheirWayToTheUnderlay() throws {
            let inner = GREPacket.datagram(
                source: "10.66.6.6", destination: "172.31.0.3", sourcePort: 5005, destinationPort: 9, "forged")
            func escapes(sentTo to: IPAddress) throws -> Bool {
                try arrives(5005, in: "h3", before: ("web1", "10.0.2.15")) {
                    _ = try lab.station("web1").sendRaw(
                        GREPacket.bytes(key: 777, inner: inner), protocolNumber: gre, to: to)
                }
            }
            #expect(try !escapes(sentTo: "172.31.0.1"))
            let arrived = try escapes(sentTo: "10.0.1.1")
            #expect(!arrived)
        }

        @Test func tunnelsFromUnknownMachinesAreDropped() throws {
            let underlay = lab.lab.plan.underlay
            let stranger = "ip addr add 192.0.2.9/24 dev br0 && ip route add 172.31.0.0/24 dev br0 src 192.0.2.9"
            #expect(Command.run(stranger, in: underlay).status == 0)
            try lab.shell("h2", "ip route add 192.0.2.0/24 dev u0")
            defer { _ = Command.run("ip addr del 192.0.2.9/24 dev br0", in: underlay) }
            let arrived = try arrives(5006, in: "green2", before: green) {
                let station = Station(.named(underlay), source: "192.0.2.9")
                #expect(try station.ping("172.31.0.2").isReply)
                _ = try station.sendRaw(forged(port: 5006), protocolNumber: gre, to: "172.31.0.2")
            }
            #expect(!arrived)
        }

        /// The same where they come by another device of the host than the underlay's.
        @Test func tunnelsByOtherDevicesAreDropped() throws {
            let underlay = lab.lab.plan.underlay
            let other =
                "ip link add x0 type veth peer name x1 netns \(lab.namespace("h2")) && ip link set x0 up &&"
                + " ip addr add 198.51.100.9/24 dev x0 && ip route add 172.31.0.2/32 dev x0 src 198.51.100.9"
            #expect(Command.run(other, in: underlay).status == 0)
            defer { _ = Command.run("ip link del x0", in: underlay) }
            try lab.shell("h2", "ip link set x1 up && ip addr add 198.51.100.2/24 dev x1")
            let arrived = try arrives(5007, in: "green2", before: green) {
                let station = Station(.named(underlay), source: "198.51.100.9")
                #expect(try station.ping("172.31.0.2").isReply)
                _ = try station.sendRaw(forged(port: 5007), protocolNumber: gre, to: "172.31.0.2")
            }
            #expect(!arrived)
        }

        /// Others' source addresses are for guests that forward; for the rest they are forged.
        @Test func guestsSendFromTheirOwnAddress() throws {
            func crosses(from name: String, source: IPAddress, port: UInt16) throws -> Bool {
                let packet = GREPacket.datagram(
                    source: source, destination: "10.0.1.13", sourcePort: port, destinationPort: 9, "spoofed")
                return try arrives(port, in: "web3", before: (name, "10.0.1.13")) {
                    let raw: Int32 = 255  // IPPROTO_RAW: the header is in the bytes.
                    for _ in 0..<3 {
                        _ = try lab.station(name).sendRaw(packet, protocolNumber: raw, to: "10.0.1.13")
                    }
                }
            }
            #expect(try crosses(from: "web1", source: "10.0.1.11", port: 5011), "else nothing is proved")
            #expect(try crosses(from: "gw-b", source: "198.51.100.7", port: 5012))
            for (name, source, port) in [("web1", "10.0.1.12", 5013), ("web2", "198.51.100.7", 5014)]
                as [(String, IPAddress, UInt16)]
            {
                #expect(try !crosses(from: name, source: source, port: port), "\(name) sends as \(source)")
            }
        }

        // MARK: Attachments

        /// The guest answers by the interface it was asked on, and sends by the one whose address it uses.
        @Test(arguments: [
            ("web1", "10.0.1.30", "10.0.1.11"), ("gw-a", "10.0.9.30", "10.0.9.21"),
            ("green1", "10.0.1.31", "10.0.1.11"),
        ])
        func severalInterfacesInOneGuest(from: String, to: IPAddress, address: IPAddress) throws {
            #expect(try lab.station(from).ask(to)?.name == "dual")
            let back = try lab.station("dual", source: "\(to)").ask(address)
            #expect(back?.name == from)
            #expect(back?.seenAddress == to)
        }

        @Test func adoptedDeviceOfAVirtualMachine() throws {
            #expect(try lab.station("web1").ask("10.0.1.40")?.name == "vm1")
            #expect(try lab.station("vm1").ask("10.0.2.15")?.name == "app1")
        }

        // MARK: Sizes

        /// Guests have an MTU of 1500 over an underlay of 1500: what does not fit is said by their own gateway.
        @Test func pathMTUIsFound() throws {
            let station = try lab.station("web1")
            let tooBig = try station.ping("10.0.1.12", PingOptions(size: 1472, fragmentation: .forbidden))
            #expect(tooBig.error?.isFragmentationNeeded == true)
            #expect(tooBig.error?.mtu == 1471)
            #expect(tooBig.error?.from == "10.0.1.1")
            #expect(try station.ping("10.0.1.12", PingOptions(size: 1443, fragmentation: .forbidden)).isReply)
            #expect(try station.ping("10.0.1.12", PingOptions(size: 1472)).isReply)
            // Through a gateway too.
            let outside = try lab.station("ops1").ping(
                "198.51.100.7", PingOptions(size: 1472, fragmentation: .forbidden))
            #expect(outside.error?.mtu == 1471)
        }

        @Test(arguments: [
            ("web1", "10.0.1.12", "web2"), ("web1", "10.0.1.13", "web3"), ("green1", "10.0.2.15", "green3"),
            ("ops1", "198.51.100.7", "gw-c-inet"),
        ])
        func bulkTransfer(from: String, to: IPAddress, expected: String) throws {
            let size = 1_000_000
            guard case .answered(let answer) = try lab.station(from).connect(to, sending: size, timeout: .seconds(20))
            else {
                Issue.record("no transfer from \(from) to \(to)")
                return
            }
            #expect(answer.name == expected)
            #expect(answer.text == "\(size)")
        }

        // MARK: Errors

        // The kernel sends a guest that has had a few errors no more than one every two seconds: each of these tests asks
        // for few, and not all from the same guest.

        @Test func unusedAddressesAreUnreachable() throws {
            // Not by the default route, which would lead to a gateway.
            let unused = try lab.station("app1").ping("10.0.77.77")
            #expect(unused.error?.from == "10.0.2.1")
            #expect(unused.error?.isUnreachable == true)
        }

        @Test func withoutARouteTheGatewaySaysSo() throws {
            #expect(try lab.station("web3").ping("198.51.100.7").error?.from == "10.0.1.1")
        }

        @Test func blackholesAreSilent() throws {
            let options = PingOptions(timeout: .milliseconds(200), attempts: 3)
            #expect(try lab.station("app1").ping("192.168.66.1", options) == .silence)
            // Others of the tenant have no such route, nor any other.
            // It may have had its errors: whoever asks more often than every two seconds uses up what he waits for.
            let other = try lab.station("web2").ping("192.168.66.1", PingOptions(timeout: .seconds(3)))
            #expect(other.error != nil, "\(other)")
        }

        @Test func hopsOfATraceroute() throws {
            let station = try lab.station("web1")
            let first = try station.ping("10.0.1.12", PingOptions(ttl: 1)).error
            #expect(first?.isTimeExceeded == true)
            #expect(first?.from == "10.0.1.1")
            let second = try station.ping("10.0.1.12", PingOptions(ttl: 2)).error
            #expect(second?.isTimeExceeded == true)
            // Of all the gateways of the VPC on the far host, the one whose port came first.
            #expect(["10.0.1.1", "10.0.9.1"].contains(second?.from))
            #expect(try station.ping("10.0.1.12", PingOptions(ttl: 3)).isReply)
            // Where the far host has no port in the subnet, and so no address of the VPC for its error.
            let far = try lab.station("green1").ping("10.0.2.15", PingOptions(ttl: 2)).error
            #expect(far?.isTimeExceeded == true)
            #expect(far.map { !"\($0.from)".hasPrefix("172.31.") } == true)
        }
    }
}

extension ICMPError {
    var isUnreachable: Bool { type == 3 && !isFragmentationNeeded }
}
