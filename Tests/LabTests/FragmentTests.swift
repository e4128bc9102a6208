import Glibc
import IPAddressing
import NFTables
import Netlink
import TestSupport
import Testing
import Traffic
import VPCCompiler

@testable import VPCLab

extension Scenario {
    /// Two tenants with the same addresses on two hosts, and a crowd of one of them on the first host.
    fileprivate static let crowded: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (vpc, id) in [("blue", UInt32(101)), ("green", 102)] {
            scenario.vpc(vpc, id, "10.0.0.0/16")
            scenario.subnet(vpc, vpc, "10.0.1.0/24")
            scenario.interface("\(vpc)-near", vpc, on: "h1", "10.0.1.11")
            scenario.interface("\(vpc)-mate", vpc, on: "h1", "10.0.1.12")
            scenario.interface("\(vpc)-far", vpc, on: "h2", "10.0.1.13")
        }
        for number in 1...4 {
            scenario.interface("rogue\(number)", "blue", on: "h1", IPAddress(v4: 0x0A00_0120 + UInt32(number)))
        }
        return scenario
    }()
}

extension LabTests {
    /// What guests do to each other with fragments.
    @Suite(.needsOverlay, .lab(.crowded), .timeLimit(minutes: 10)) struct FragmentTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        private static let near: IPAddress = "10.0.1.11"
        private static let mate: IPAddress = "10.0.1.12"
        private static let far: IPAddress = "10.0.1.13"
        private static let gateway: IPAddress = "10.0.1.1"
        private static let port: UInt16 = 7100

        /// A port of a guest where datagrams arrive whole.
        private struct Inbox {
            let socket: Socket

            func next() -> [UInt8]? {
                var polls = PollSet()
                polls.add(socket.descriptor, POLLIN)
                polls.wait(until: .now + .seconds(20))
                return socket.receive(atMost: 65536)?.bytes
            }
        }

        private func inbox(_ guest: String, _ address: IPAddress) throws -> Inbox {
            try NetworkNamespace.named(lab.namespace(guest)).run {
                Inbox(socket: try Socket(datagramsTo: SocketAddress(address, Self.port)))
            }
        }

        private func sender(_ guest: String, _ address: IPAddress) throws -> PacketSender {
            try PacketSender(in: .named(lab.namespace(guest)), as: address)
        }

        private func datagram(
            from source: IPAddress, to destination: IPAddress, _ byte: UInt8, _ size: Int, identification: UInt16
        ) -> OutgoingPacket {
            OutgoingPacket(
                from: source, to: destination,
                .udp(
                    sourcePort: 4000, destinationPort: Self.port, payload: [UInt8](repeating: byte, count: size)),
                identification: identification)
        }

        /// What the kernel counted on h1.
        private func count(_ counter: String, of table: NFTable = FirewallTables.filter) throws -> Int {
            let place = table == FirewallTables.underlay ? "h1" : "vpc-h1"
            let text = try lab.shell(place, "nft -j list counter \(table) \(counter)")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// Datagrams of two tenants with the same addresses, ports and identification, their fragments in turns, within a
        /// host and across.
        @Test(arguments: [3000, 8000]) func tenantsShareNoDatagram(size: Int) throws {
            for (receiver, address) in [("mate", Self.mate), ("far", Self.far)] {
                let inboxes = try ["blue", "green"].map { try inbox("\($0)-\(receiver)", address) }
                let senders = try ["blue", "green"].map { try sender("\($0)-near", Self.near) }
                for identification in UInt16(500)...510 {
                    let fragments = ["b", "g"].map { (letter: Unicode.Scalar) in
                        datagram(
                            from: Self.near, to: address, UInt8(ascii: letter), size, identification: identification
                        ).fragments(of: 1480)
                    }
                    for piece in fragments[0].indices {
                        for tenant in 0..<2 {
                            #expect(senders[tenant].send(fragments[tenant][piece], to: address) == 0)
                        }
                    }
                    for (tenant, letter) in [UInt8(ascii: "b"), UInt8(ascii: "g")].enumerated() {
                        #expect(inboxes[tenant].next() == [UInt8](repeating: letter, count: size))
                    }
                }
            }
        }

        /// Guests that use the network's own fragmentation, both ways.
        @Test(arguments: ["blue", "green"]) func largePingsPass(tenant: String) throws {
            for to in [Self.mate, Self.far, Self.gateway] {
                for size in [3000, 8000] {
                    #expect(try lab.station("\(tenant)-near").ping(to, PingOptions(size: size)).isReply, "\(to)")
                }
            }
        }

        /// A forged fragment enters nobody's datagram, whether its sender forges the source address or the MAC too, and
        /// whether the other one is here or comes by the tunnel.
        @Test(arguments: [false, true]) func forgedFragmentsEnterNoDatagram(forgesMAC: Bool) throws {
            let rogue = "rogue1"
            let own = try lab.shell(rogue, "cat /sys/class/net/eth0/address").prefix(17)
            defer { _ = try? lab.shell(rogue, "ip link set eth0 address \(own)") }
            for (victim, source, receiver, destination) in [
                ("blue-near", Self.near, "blue-mate", Self.mate), ("blue-far", Self.far, "blue-near", Self.near),
            ] {
                if forgesMAC {
                    let mac = try lab.shell(victim, "cat /sys/class/net/eth0/address").prefix(17)
                    try lab.shell(rogue, "ip link set eth0 address \(mac)")
                    // Its own question for the gateway would be answered to the victim.
                    try lab.shell(
                        rogue, "ip neigh replace \(destination) lladdr 02:00:5e:00:00:01 dev eth0 nud permanent")
                }
                let inbox = try inbox(receiver, destination)
                let forged = try sender(rogue, "10.0.1.33")
                let honest = try sender(victim, source)
                let spoofed = try count("spoofed")
                for identification in UInt16(600)...610 {
                    let bait = datagram(
                        from: source, to: destination, UInt8(ascii: "Z"), 2952, identification: identification
                    ).fragments(of: 1480)
                    let real = datagram(
                        from: source, to: destination, UInt8(ascii: "G"), 2952, identification: identification
                    ).fragments(of: 1480)
                    #expect(forged.send(bait[0], to: destination) == 0)
                    for fragment in real { #expect(honest.send(fragment, to: destination) == 0) }
                    #expect(inbox.next() == [UInt8](repeating: UInt8(ascii: "G"), count: 2952))
                }
                #expect(try count("spoofed") == spoofed + 11)
            }
        }

        /// Fragments that overlap are the end of their own datagram, and of no other: not of the next one, and not of one
        /// of another tenant with the same header.
        @Test func overlapsHurtOnlyTheirSender() throws {
            let (blue, green) = (try inbox("blue-far", Self.far), try inbox("green-far", Self.far))
            let (rogue, honest) = (try sender("blue-near", Self.near), try sender("green-near", Self.near))
            let real = datagram(from: Self.near, to: Self.far, UInt8(ascii: "g"), 2952, identification: 700)
                .fragments(of: 1480)
            let overlapping = datagram(from: Self.near, to: Self.far, UInt8(ascii: "Z"), 2952, identification: 700)
                .fragments(of: 1400)
            #expect(honest.send(real[0], to: Self.far) == 0)
            for fragment in [real[0], overlapping[1], overlapping[2]] {
                #expect(rogue.send(fragment, to: Self.far) == 0)
            }
            #expect(honest.send(real[1], to: Self.far) == 0)
            #expect(green.next() == [UInt8](repeating: UInt8(ascii: "g"), count: 2952))
            let next = datagram(from: Self.near, to: Self.far, UInt8(ascii: "b"), 2952, identification: 701)
            for fragment in next.fragments(of: 1480) { #expect(rogue.send(fragment, to: Self.far) == 0) }
            #expect(blue.next() == [UInt8](repeating: UInt8(ascii: "b"), count: 2952))
        }

        /// Beginnings of datagrams as fast as a port takes them, by one port and by several at once: everybody else's
        /// datagrams are put together as ever, and what waits takes no more memory than there is room for.
        @Test(arguments: [1, 4], [8, 1480]) func othersLoseNothing(rogues: Int, bytes: Int) throws {
            let attackers = try (1...rogues).map { number in
                (try sender("rogue\(number)", IPAddress(v4: 0x0A00_0120 + UInt32(number))), number)
            }
            let excess = try count("excess_fragments")
            let payload = [UInt8](repeating: 0, count: bytes)
            var beginnings = attackers.map { _, number in
                IPv4Packet.bytes(
                    source: IPAddress(v4: 0x0A00_0120 + UInt32(number)), destination: Self.far, protocolNumber: 17,
                    fragment: (0, false), payload: payload)
            }
            for round in 1...20 {
                for identification in round * 500..<round * 500 + 400 {
                    for index in attackers.indices {
                        (beginnings[index][4], beginnings[index][5]) = (
                            UInt8(identification >> 8), UInt8(identification & 255)
                        )
                        var code = EAGAIN
                        // As fast as the port takes them: until there is room.
                        while code == EAGAIN { code = attackers[index].0.send(beginnings[index], to: Self.far) }
                        #expect(code == 0)
                    }
                }
                #expect(try waitingMemory() <= rogues * 2304 * 2560)
                for tenant in ["blue", "green"] {
                    for to in [Self.mate, Self.far] {
                        let once = PingOptions(size: 3000, timeout: .seconds(10), attempts: 1)
                        #expect(try lab.station("\(tenant)-near").ping(to, once).isReply, "\(tenant) to \(to)")
                    }
                }
                let once = PingOptions(size: 3000, timeout: .seconds(10), attempts: 1)
                #expect(try lab.station("h1").ping("172.31.0.2", once).isReply)
            }
            #expect(try count("excess_fragments") > excess)
        }

        /// Fragments of forged tunnel packets are dropped before they wait for others.
        @Test func aStrangersTunnelTakesNoMemory() throws {
            // From the wire: a host's own connection tracking would wait for the rest.
            let wire = lab.lab.plan.underlay
            try #require(Command.run("ip -n \(wire) addr add 172.31.0.99/24 dev br0").status == 0)
            defer { _ = Command.run("ip -n \(wire) addr del 172.31.0.99/24 dev br0") }
            let sender = try PacketSender(in: .named(wire), as: "172.31.0.99")
            let before = try count("foreign_tunnel", of: FirewallTables.underlay)
            for identification in UInt16(1)...50 {
                let begun = IPv4Packet.bytes(
                    source: "172.31.0.99", destination: "172.31.0.1", protocolNumber: 47,
                    identification: identification, fragment: (0, false), payload: [UInt8](repeating: 0, count: 800))
                #expect(sender.send(begun, to: "172.31.0.1") == 0)
            }
            #expect(try lab.station("blue-far").ping(Self.near).isReply)
            #expect(try count("foreign_tunnel", of: FirewallTables.underlay) == before + 50)
        }

        /// Bytes of guests' fragments that wait on h1.
        private func waitingMemory() throws -> Int {
            let text = try lab.shell("vpc-h1", "sed -n 's/^FRAG: inuse .* memory //p' /proc/net/sockstat")
            return try #require(Int(text.prefix { $0.isNumber }), "\(text)")
        }
    }
}
