import CTraffic
import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic

@testable import VPCLab

extension LabTests {
    /// What a guest says by ARP, and what the host makes of it.
    @Suite(.needsOverlay, .lab(.tenants), .timeLimit(minutes: 10)) struct GuestARPTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.tenants)
        }

        private static let gateway = MACAddress(rawValue: 0x0200_5E00_0001)

        /// A plain guest, and one that may send for any address.
        private static let guests: [(name: String, address: IPAddress, gateway: IPAddress)] = [
            ("web1", "10.0.1.11", "10.0.1.1"), ("gw-a", "10.0.9.21", "10.0.9.1"),
        ]

        /// An ARP message of a guest (RFC 826), to everybody.
        private func say(
            _ guest: String, operation: Int32, sender: (MACAddress, IPAddress), target: IPAddress
        ) throws {
            try NetworkNamespace.named(lab.namespace(guest)).run {
                let socket = try Socket(AF_PACKET, SOCK_DGRAM, Int32(UInt16(ETH_P_ARP).bigEndian))
                var message: [UInt8] = [0, 1, 8, 0, 6, 4, 0, UInt8(operation)]
                message += (0..<6).map { UInt8(truncatingIfNeeded: sender.0.rawValue >> UInt64(40 - 8 * $0)) }
                message.append(bigEndian: sender.1.v4)
                message += [0, 0, 0, 0, 0, 0]
                message.append(bigEndian: target.v4)
                var address = sockaddr_ll()
                address.sll_family = UInt16(AF_PACKET)
                address.sll_protocol = UInt16(ETH_P_ARP).bigEndian
                address.sll_ifindex = Int32(if_nametoindex("eth0"))
                address.sll_halen = 6
                withUnsafeMutableBytes(of: &address.sll_addr) { $0.copyBytes(from: [UInt8](repeating: 0xFF, count: 6)) }
                let count = withUnsafePointer(to: address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(
                            socket.descriptor, message, message.count, 0, $0,
                            socklen_t(MemoryLayout<sockaddr_ll>.size))
                    }
                }
                try #require(count == message.count)
            }
        }

        private func mac(_ guest: String) throws -> MACAddress {
            let text = try lab.shell(guest, "cat /sys/class/net/eth0/address").prefix(17)
            return try #require(MACAddress(String(text)))
        }

        private func neighbors(_ guest: String) throws -> String {
            try lab.shell("vpc-h1", "ip neigh show nud all dev e-\(guest)")
        }

        private func spoofed() throws -> Int {
            let text = try lab.shell("vpc-h1", "nft -j list counter arp vpcctl spoofed")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// Requests, answers and announcements under a thousand addresses make no neighbour entry, by whatever guest.
        @Test func oneAddressForEachInterface() throws {
            for guest in Self.guests {
                let own = try mac(guest.name)
                let before = try neighbors(guest.name)
                #expect(before.split(separator: "\n").count == 1)
                let forged = try spoofed()
                for number in UInt32(1)...300 {
                    let stranger = IPAddress(v4: 0x0A00_8000 + number)
                    try say(guest.name, operation: ARPOP_REQUEST, sender: (own, stranger), target: guest.gateway)
                    try say(guest.name, operation: ARPOP_REPLY, sender: (own, stranger), target: guest.gateway)
                    try say(guest.name, operation: ARPOP_REQUEST, sender: (own, stranger), target: stranger)
                }
                // Its own address at another MAC address.
                let other = MACAddress(rawValue: 0x0200_0000_0066)
                try say(guest.name, operation: ARPOP_REPLY, sender: (other, guest.address), target: guest.address)
                try say(guest.name, operation: ARPOP_REQUEST, sender: (other, guest.address), target: guest.gateway)
                // Behind them on the same way.
                let station = try lab.station(guest.name, source: "\(guest.address)")
                #expect(try station.resolve(guest.gateway, on: "eth0") == Self.gateway)
                #expect(try spoofed() == forged + 902)
                #expect(try neighbors(guest.name) == before)
            }
        }

        /// Address conflict detection (RFC 5227): who asks has no address yet. Of the gateway's it is told that it is
        /// taken, of others nothing, and least of its own.
        @Test func probesAreAnswered() throws {
            for guest in Self.guests {
                let before = try neighbors(guest.name)
                let station = try lab.station(guest.name)
                #expect(try station.resolve(guest.gateway, on: "eth0") == Self.gateway)
                for free in [guest.address, "10.0.1.12"] {
                    #expect(try station.resolve(free, on: "eth0", timeout: .milliseconds(150), attempts: 2) == nil)
                }
                #expect(try neighbors(guest.name) == before)
            }
        }

        /// Packets to many addresses by a tunnel take no entry each: all devices share the table.
        @Test func destinationsMakeNoEntries() throws {
            let sender = try PacketSender(in: .named(lab.namespace("app1")), as: "10.0.2.15")
            for number in UInt32(1)...300 {
                let packet = OutgoingPacket(
                    from: "10.0.2.15", to: IPAddress(v4: 0xC633_0000 + number),
                    .udp(sourcePort: 1, destinationPort: 1, payload: []))
                #expect(sender.send(packet) == 0)
            }
            #expect(try lab.station("app1").ask("198.51.100.7") != nil)
            // One for each other host at most.
            #expect(try lab.shell("vpc-h3", "ip neigh show nud all dev vpc-gx").split(separator: "\n").count <= 2)
        }

        /// The host asks a port for nobody but its guest, whatever is sent there.
        @Test func theHostResolvesNobodyElse() throws {
            let before = try neighbors("gw-a")
            #expect(try lab.station("app1").askMany("198.51.100.7", sourcePorts: 20000...20029).count == 30)
            #expect(try neighbors("gw-a") == before)
        }
    }
}
