import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A tenant who has the underlay's addresses, one with a guest that may send for any address, and a third.
    fileprivate static let neighborly: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("red", 103, "172.31.0.0/16")
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.vpc("green", 102, "10.0.0.0/16")
        scenario.model.subnets.append(
            Subnet(metadata: Metadata(name: "red"), vpc: "red", cidr: prefix("172.31.0.0/24"), gateway: "172.31.0.254"))
        scenario.subnet("blue", "blue", "10.0.9.0/24")
        scenario.subnet("green", "green", "10.0.1.0/24")
        scenario.interface("twin", "red", on: "h1", "172.31.0.2")
        scenario.interface("open", "blue", on: "h1", "10.0.9.20", forwards: true)
        scenario.interface("plain", "green", on: "h1", "10.0.1.11")
        scenario.interface("mate", "green", on: "h1", "10.0.1.12")
        scenario.interface("far", "green", on: "h2", "10.0.1.13")
        return scenario
    }()
}

extension LabTests {
    /// What a guest may say to the host itself.
    @Suite(.needsOverlay, .lab(.neighborly), .timeLimit(minutes: 10)) struct GuestToHostTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        private static let otherHost: IPAddress = "172.31.0.2"

        private func sender(_ guest: String, _ address: IPAddress) throws -> PacketSender {
            try PacketSender(in: .named(lab.namespace(guest)), as: address)
        }

        private func refused() throws -> Int {
            let text = try lab.shell("vpc-h1", "nft -j list counter inet vpcctl to_host")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// "Fragmentation needed" about an answer that the host has really sent, by a guest with the address of another
        /// host, and by one that may use any: the way to that host stays as it was.
        @Test(arguments: [("twin", "172.31.0.2", "172.31.0.254"), ("open", "10.0.9.20", "10.0.9.1")])
        func noRouteOfTheHostIsChanged(guest: String, own: String, gateway: String) throws {
            let (own, gateway) = (try #require(IPAddress(own)), try #require(IPAddress(gateway)))
            let sender = try sender(guest, own)
            let watch = try Capture(in: .named(lab.namespace("vpc-h1")))
            let question = OutgoingPacket(
                from: Self.otherHost, to: gateway, .icmp(type: 8, code: 0, identifier: 77, sequence: 1))
            #expect(sender.send(question) == 0)
            #expect(watch.waits { question.isSame(as: $0) })
            let before = try lab.shell("h1", "ip route get \(Self.otherHost)")
            let refused = try refused()
            let answer = OutgoingPacket(
                from: gateway, to: Self.otherHost, .icmp(type: 0, code: 0, identifier: 77, sequence: 1))
            for (type, code) in [(UInt8(3), UInt8(4)), (3, 1), (11, 0), (5, 1), (12, 0)] {
                // Of code 4 the next hop's MTU (RFC 1191).
                var message: [UInt8] = [type, code, 0, 0, 0, 0, 2, 40]
                message += answer.bytes
                message.setChecksum(at: 2)
                let error = IPv4Packet.bytes(
                    source: Self.otherHost, destination: gateway, protocolNumber: 1, payload: message)
                #expect(sender.send(error, to: gateway) == 0)
            }
            #expect(try lab.station(guest, source: "\(own)").ping(gateway).isReply)
            #expect(try lab.shell("h1", "ip route get \(Self.otherHost)") == before)
            #expect(try self.refused() == refused + 5)
        }

        /// One guest's flood, of one ping or of many, leaves the others' pings alone.
        @Test(arguments: [false, true]) func aFloodOfPingsIsItsSendersLoss(isOnePing: Bool) throws {
            let sender = try sender("open", "10.0.9.20")
            let refused = try refused()
            for number in UInt16(1)...3000 {
                let question = OutgoingPacket(
                    from: "10.0.9.20", to: "10.0.9.1",
                    .icmp(type: 8, code: 0, identifier: isOnePing ? 1 : number, sequence: number))
                #expect(sender.send(question) == 0)
                if number % 100 == 0 {
                    let once = PingOptions(timeout: .seconds(10), attempts: 1)
                    #expect(try lab.station("plain").ping("10.0.1.1", once).isReply)
                }
            }
            #expect(try self.refused() > refused)
        }

        /// Everything else that one might try is dropped and counted, each alone.
        @Test func nothingButPingsIsTaken() throws {
            let (own, gateway): (IPAddress, IPAddress) = ("10.0.1.11", "10.0.1.1")
            let sender = try sender("plain", own)
            let packets: [(IPAddress, UInt8, [UInt8])] = [
                (gateway, 17, [0x9C, 0x40, 0, 53, 0, 8, 0, 0]), (gateway, 47, [0x20, 0, 8, 0, 0, 0, 0, 101]),
                (gateway, 2, [0x16, 0, 0, 0, 224, 0, 0, 251]), ("224.0.0.1", 2, [0x11, 0, 0xEE, 0xFF, 0, 0, 0, 0]),
                ("224.0.0.1", 17, [0x9C, 0x40, 0, 53, 0, 8, 0, 0]), (gateway, 1, [13, 0, 0, 0, 0, 1, 0, 1]),
                (gateway, 1, [0, 0, 0, 0, 0, 1, 0, 1]), (gateway, 132, [UInt8](repeating: 0, count: 16)),
            ]
            for (destination, number, payload) in packets {
                let refused = try refused()
                var payload = payload
                if number == 1 { payload.setChecksum(at: 2) }
                let packet = IPv4Packet.bytes(
                    source: own, destination: destination, protocolNumber: number, payload: payload)
                #expect(sender.send(packet, to: destination) == 0)
                // Behind it on the same way.
                #expect(try lab.station("plain").ping(gateway).isReply)
                #expect(try self.refused() == refused + 1, "protocol \(number) to \(destination)")
            }
        }

        /// What the host itself begins in a VRF is answered.
        @Test func theHostCanPingAGuest() throws {
            try lab.shell(
                "vpc-h1", "ping -c 1 -W 10 -I $(ip -o link show dev e-plain | grep -o 'vpc-v[0-9]*') 10.0.1.11")
        }
    }
}
