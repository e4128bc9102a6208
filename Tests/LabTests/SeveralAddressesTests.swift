import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// On each of two hosts a guest with a further address and a prefix, and one with an address alone; `web` lets only
    /// members of `pods` in.
    fileprivate static let severalAddresses: Scenario = {
        var scenario = Scenario()
        scenario.host("h1", "172.31.0.1")
        scenario.host("h2", "172.31.0.2")
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("s", "blue", "10.0.1.0/24")
        scenario.interface("pods1", "s", on: "h1", "10.0.1.10")
        scenario.interface("other1", "s", on: "h1", "10.0.1.20")
        scenario.interface("pods2", "s", on: "h2", "10.0.1.30")
        scenario.interface("web2", "s", on: "h2", "10.0.1.40")
        func change(_ name: String, _ body: (inout NetworkInterface) -> Void) {
            for index in scenario.model.interfaces.indices where scenario.model.interfaces[index].metadata.name == name
            {
                body(&scenario.model.interfaces[index])
            }
        }
        change("pods1") {
            ($0.addresses, $0.prefixes) = (["10.0.1.11"], [IPPrefix("10.0.1.64/28")!])
            $0.securityGroups = ["pods"]
        }
        change("pods2") { ($0.addresses, $0.prefixes) = (["10.0.1.31"], [IPPrefix("10.0.1.80/28")!]) }
        change("web2") { $0.securityGroups = ["web"] }
        let everybody = [SecurityRule.Peer.cidr(.defaultIPv4)]
        scenario.model.securityGroups = [
            SecurityGroup(
                metadata: Metadata(name: "pods"), vpc: "blue",
                ingress: [SecurityRule(traffic: TrafficMatch(), peers: everybody)],
                egress: [SecurityRule(traffic: TrafficMatch(), peers: everybody)]),
            SecurityGroup(
                metadata: Metadata(name: "web"), vpc: "blue",
                ingress: [SecurityRule(traffic: TrafficMatch(), peers: [.securityGroup("pods")])]),
        ]
        return scenario
    }()
}

extension LabTests {
    /// Further addresses and delegated prefixes, with real packets between namespaces.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct SeveralAddressesTests {
        private static let gateway = MACAddress(rawValue: 0x0200_5E00_0001)

        /// With an address of each prefix on its guest: something is behind it.
        private func withLab(aggregating: Bool = false, _ body: (TestLab) throws -> Void) throws {
            let scenario = Scenario.severalAddresses
            let lab = try TestLab(aggregating ? scenario.aggregatingRoutes : scenario)
            defer { lab.tearDown() }
            for (guest, address) in [("pods1", "10.0.1.65"), ("pods2", "10.0.1.95")] {
                try lab.shell(guest, "ip address add \(address)/32 dev lo")
            }
            try body(lab)
        }

        private func spoofed(_ lab: TestLab, _ family: String) throws -> Int {
            let text = try lab.shell("vpc-h1", "nft -j list counter \(family) vpcctl spoofed")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// By the own host and by others, from plain guests and from those behind a prefix.
        @Test(arguments: [false, true]) func eachIsReached(aggregating: Bool) throws {
            try withLab(aggregating: aggregating) { (lab: TestLab) throws in
                let addresses: [IPAddress] = [
                    "10.0.1.10", "10.0.1.11", "10.0.1.65", "10.0.1.30", "10.0.1.31", "10.0.1.95",
                ]
                for (guest, source) in [("other1", "10.0.1.20"), ("pods1", "10.0.1.65"), ("pods2", "10.0.1.31")] {
                    let station = try lab.station(guest, source: source)
                    for address in addresses {
                        #expect(try station.ping(address).isReply, "\(source) to \(address)")
                        let answer = try station.connect(address)
                        guard case .answered(let what) = answer else {
                            Issue.record("\(source) to \(address) by TCP: \(answer)")
                            continue
                        }
                        #expect(what.name == lab.owner(of: address))
                    }
                }
                // Of a prefix the addresses that nobody uses get to the guest, and no further.
                let watch = try Capture(in: .named(lab.namespace("pods2")))
                let packet = OutgoingPacket(
                    from: "10.0.1.20", to: "10.0.1.81", .udp(sourcePort: 9, destinationPort: 9, payload: [1]))
                #expect(try PacketSender(in: .named(lab.namespace("other1")), as: "10.0.1.20").send(packet) == 0)
                #expect(watch.waits { packet.isSame(as: $0) })
            }
        }

        /// What the guest begins by itself bears its first address.
        @Test func theFirstAddressIsTheSource() throws {
            try withLab { (lab: TestLab) throws in
                let route = try lab.shell("pods1", "ip -o route get 10.0.1.40")
                #expect(route.contains("src 10.0.1.10 "), "\(route)")
            }
        }

        /// The neighbour's first, further and delegated addresses, and those beside one's own prefix: dropped and counted.
        @Test func nobodySendsFromAnothers() throws {
            try withLab { (lab: TestLab) throws in
                let sender = try PacketSender(in: .named(lab.namespace("pods1")), as: "10.0.1.10")
                let watch = try Capture(in: .named(lab.namespace("other1")))
                let strangers = try Capture(in: .named(lab.namespace("other1")))
                func udp(_ source: IPAddress) -> OutgoingPacket {
                    OutgoingPacket(
                        from: source, to: "10.0.1.20", .udp(sourcePort: 7, destinationPort: 9, payload: [1]))
                }
                let forged: [IPAddress] = [
                    "10.0.1.30", "10.0.1.31", "10.0.1.80", "10.0.1.63", "10.0.1.95", "10.0.1.12",
                ]
                let before = try spoofed(lab, "inet")
                for source in forged { #expect(sender.send(udp(source)) == 0) }
                for source in ["10.0.1.11", "10.0.1.64", "10.0.1.79", "10.0.1.10"] as [IPAddress] {
                    #expect(sender.send(udp(source)) == 0)
                    #expect(watch.waits { udp(source).isSame(as: $0) }, "\(source)")
                }
                // What was sent before would have come before.
                #expect(!strangers.has { packet in forged.contains { udp($0).isSame(as: packet) } })
                #expect(try spoofed(lab, "inet") == before + forged.count)
            }
        }

        /// In ARP, too; and the entries that the host makes for those behind a prefix are few a second.
        @Test func arpSpeaksForOnesOwnOnly() throws {
            try withLab { (lab: TestLab) throws in
                for source in ["10.0.1.10", "10.0.1.11", "10.0.1.70"] {
                    let station = try lab.station("pods1", source: source)
                    #expect(try station.resolve("10.0.1.1", on: "eth0") == Self.gateway, "\(source)")
                }
                let before = try spoofed(lab, "arp")
                for source in ["10.0.1.80", "10.0.1.31", "10.0.1.63"] {
                    let station = try lab.station("pods1", source: source)
                    #expect(
                        try station.resolve("10.0.1.1", on: "eth0", timeout: .milliseconds(100), attempts: 2) == nil)
                }
                #expect(try spoofed(lab, "arp") == before + 6)
            }
        }

        /// A group's members are there with all they have: from the prefix of a member it may come, from others it may not.
        @Test func groupsMeanAllOfAMember() throws {
            try withLab { (lab: TestLab) throws in
                for source in ["10.0.1.10", "10.0.1.11", "10.0.1.65"] {
                    #expect(try lab.station("pods1", source: source).ping("10.0.1.40").isReply, "\(source)")
                }
                for (guest, source) in [("pods2", "10.0.1.95"), ("pods2", "10.0.1.31"), ("other1", "10.0.1.20")] {
                    #expect(try !lab.station(guest, source: source).ping("10.0.1.40").isReply, "\(source)")
                }
            }
        }

        /// What is taken away is gone from the device, the routes and the checks, and what is left goes on.
        @Test func theyComeAndGo() throws {
            try withLab { (lab: TestLab) throws in
                var scenario = Scenario.severalAddresses
                for index in scenario.model.interfaces.indices {
                    scenario.model.interfaces[index].addresses = []
                    scenario.model.interfaces[index].prefixes = []
                }
                try lab.become(scenario)
                let station = try lab.station("other1", source: "10.0.1.20")
                for address in ["10.0.1.11", "10.0.1.65", "10.0.1.31", "10.0.1.95"] as [IPAddress] {
                    #expect(try !station.ping(address).isReply, "\(address)")
                }
                #expect(try station.ping("10.0.1.10").isReply)
                #expect(try station.ping("10.0.1.30").isReply)
                try lab.become(.severalAddresses)
                for address in ["10.0.1.11", "10.0.1.65", "10.0.1.31", "10.0.1.95"] as [IPAddress] {
                    #expect(try station.ping(address).isReply, "\(address)")
                }
            }
        }
    }
}

extension TestLab {
    fileprivate func owner(of address: IPAddress) -> String {
        let topology = lab.plan.topology
        return topology.interface(at: address, inVPC: 0).map { topology.interfaces[$0].name } ?? "nobody"
    }
}
