import Glibc
import IPAddressing
import KernelDriver
import KernelNames
import KernelWitness
import Netlink
import Reconciler
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel
import VPCTrace

@testable import VPCLab

extension Scenario {
    /// Two tenants with the same addresses behind NAT gateways of one host, which has a guest as well.
    static let edge: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.host("gw", "172.31.0.11")
        for (name, id) in [("blue", 101), ("green", 102)] as [(String, UInt32)] {
            scenario.vpc(name, id, "10.0.0.0/16")
            scenario.subnet("\(name)-web", name, "10.0.1.0/24", table: "\(name)-egress")
            scenario.subnet("\(name)-edge", name, "10.0.9.0/24")
            scenario.table("\(name)-egress", name, out("0.0.0.0/0", "\(name)-nat"))
            scenario.interface("\(name)1", "\(name)-web", on: "h1", "10.0.1.11")
            scenario.interface("\(name)2", "\(name)-web", on: "h2", "10.0.1.12")
            scenario.interface("\(name)3", "\(name)-web", on: "gw", "10.0.1.13")
        }
        scenario.network("internet", on: "gw")
        scenario.natGateway("blue-nat", "blue-edge", "203.0.113.10")
        scenario.natGateway("green-nat", "green-edge", "203.0.113.20", "203.0.113.27", "203.0.113.99")
        scenario.probe("out", "blue1", toAddress: "198.51.100.7", .udp(port: 53), .allow)
        return scenario
    }()

    mutating func network(
        _ name: String, on host: String, pools: [String] = ["203.0.113.0/24"], mode: ExternalNetwork.Mode = .macvlan
    ) {
        model.externalNetworks.append(
            ExternalNetwork(
                metadata: Metadata(name: name), pools: pools.map(Self.prefix), nextHop: "192.0.2.1",
                gateways: [.init(host: host, device: "x0", mode: mode)], uplinkAddress: "192.0.2.100"))
    }

    mutating func natGateway(_ name: String, _ subnet: String, _ addresses: IPAddress...) {
        model.natGateways.append(
            NATGateway(
                metadata: Metadata(name: name), subnet: subnet, address: "10.0.9.11", externalNetwork: "internet",
                pool: .addresses(addresses)))
    }

    static func out(_ destination: String, _ gateway: String) -> CustomRoute {
        CustomRoute(destination: prefix(destination), target: .nextHops([NextHop(.natGateway(gateway))]))
    }

    /// The same with the provider's router in the pool, so that the gateway answers for its addresses, and another way to
    /// use the device.
    func inOneSegment(_ mode: ExternalNetwork.Mode) -> Scenario {
        var changed = self
        changed.model.externalNetworks[0].nextHop = "203.0.113.1"
        changed.model.externalNetworks[0].uplinkAddress = "203.0.113.2"
        changed.model.externalNetworks[0].gateways[0].mode = mode
        return changed
    }
}

extension LabTests {
    /// Through NAT gateways, with a provider's router and an internet behind it.
    @Suite(.needsOverlay, .lab(.edge), .serialized, .timeLimit(minutes: 20)) struct NATGatewayTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.edge)
        }

        static let internet: IPAddress = "198.51.100.7"
        private static let provider = "internet-inet"

        /// The source that the internet sees.
        private func seen(_ from: String, sourcePort: UInt16 = 0) throws -> IPAddress? {
            try lab.station(from).ask(Self.internet, sourcePort: sourcePort)?.seenAddress
        }

        private func count(_ counter: String, _ family: String = "inet") throws -> Int {
            let text = try lab.shell("vpc-gw", "nft -j list counter \(family) vpcctl \(counter)")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        private func checkTraffic(_ note: String = "") throws {
            for guest in ["blue1", "blue2", "blue3"] { #expect(try seen(guest) == "203.0.113.10", "\(guest) \(note)") }
            let topology = lab.lab.plan.topology
            let gateway = try #require(topology.natGateways.first { $0.name == "green-nat" })
            for (guest, inside) in [("green1", "10.0.1.11"), ("green2", "10.0.1.12"), ("green3", "10.0.1.13")] {
                let address = gateway.publicAddress(of: IPAddress(stringLiteral: inside))
                #expect(try seen(guest) == address, "\(guest) \(note)")
            }
        }

        private func requireNothingToDo(_ note: String) throws {
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host): \(note)")
                #expect(applied.outcome.report.writes == 0, "\(report.host): \(note)")
            }
        }

        // MARK: Traffic

        @Test func everybodyLeavesWithAPublicAddress() throws {
            try checkTraffic()
            try requireNothingToDo("a second apply")
        }

        /// Many inside addresses: the kernel chooses as is said.
        @Test func theTraceKnowsTheAddress() throws {
            let topology = lab.lab.plan.topology
            let from = try #require(topology.interfaces.firstIndex { $0.name == "green1" })
            let trace = topology.traced(from: from, to: Self.internet, Packet.echoRequest)
            #expect(trace.isAnswered)
            let step = try #require(trace.forward.steps.first { $0.stage == .translation })
            let seen = try #require(try seen("green1"))
            #expect(step.text == "10.0.1.11 becomes \(seen), of NAT gateway green-nat")
            #expect(trace.returns.first?.packet.destination == seen)
        }

        @Test func equalTuplesOfTwoTenantsDoNotMeet() throws {
            let blue = try lab.station("blue1").connect(Self.internet, sourcePort: 5000, sending: 300_000)
            let green = try lab.station("green1").connect(Self.internet, sourcePort: 5000, sending: 300_000)
            for outcome in [blue, green] {
                guard case .answered(let answer) = outcome else {
                    Issue.record("\(outcome)")
                    continue
                }
                #expect(answer.text == "300000")
            }
            let entries = try lab.shell("vpc-gw", "cat /proc/net/nf_conntrack | grep 'sport=5000 '")
            let zones = Set(entries.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("zone=") })
            #expect(zones.count == 2, "\(entries)")
        }

        /// The guest of the gateway's host has an entry in its VPC's zone and one in the gateway's.
        @Test func pingsAndErrorsComeBack() throws {
            for guest in ["blue1", "blue3", "green2"] {
                #expect(try lab.station(guest).ping(Self.internet).isReply, "\(guest)")
                // In fragments both ways.
                #expect(try lab.station(guest).ping(Self.internet, PingOptions(size: 4000)).isReply, "\(guest)")
                #expect(try lab.station(guest).ping("10.0.9.11").isReply, "\(guest): the gateway itself")
            }
            // By the gateway's own address, on its way out.
            let short = try lab.station("blue1").ping(Self.internet, PingOptions(ttl: 2))
            #expect(short.error?.from == "10.0.9.11", "\(short)")
            // From outside, about a flow that was translated.
            let watch = try Capture(in: .named(lab.namespace("blue1")))
            let question = OutgoingPacket(
                from: "10.0.1.11", to: Self.internet, .udp(sourcePort: 40001, destinationPort: 9, payload: [1]))
            #expect(try PacketSender(in: .named(lab.namespace("blue1")), as: "10.0.1.11").send(question) == 0)
            #expect(watch.waits { $0.icmpError?.about == question.flow })
        }

        @Test func largePacketsAreToldOfSmallerPaths() throws {
            let forbidden = PingOptions(size: 1472, fragmentation: .forbidden)
            let error = try lab.station("blue2").ping(Self.internet, forbidden).error
            #expect(error?.mtu == 1471, "\(String(describing: error))")
        }

        // MARK: What must not be

        @Test func whatNobodyAskedForDoesNotComeIn() throws {
            let before = try count("unsolicited")
            let outside = try lab.station(Self.provider, source: "198.51.100.7")
            #expect(try outside.ask("203.0.113.10", timeout: .milliseconds(300), attempts: 2) == nil)
            #expect(try outside.connect("203.0.113.20", timeout: .milliseconds(500)) == .silent)
            #expect(try count("unsolicited") > before)
            let strays = try count("stray_packet", "netdev")
            // Of the pool, and nobody's.
            #expect(try outside.ask("203.0.113.200", timeout: .milliseconds(300), attempts: 2) == nil)
            #expect(try count("stray_packet", "netdev") > strays)
            let router = try lab.station(Self.provider, source: "192.0.2.1")
            #expect(try router.ping("192.0.2.100").isReply)
            #expect(try router.ask("192.0.2.100", timeout: .milliseconds(300), attempts: 1) == nil)
        }

        /// Also where nothing is translated any more.
        @Test func noPrivateAddressLeaves() throws {
            let watch = try Capture(in: .named(lab.namespace(Self.provider)))
            let inside = IPPrefix("10.0.0.0/8")!
            try checkTraffic()
            // In the middle of a connection that nobody knows, and an answer to nothing.
            let sender = try PacketSender(in: .named(lab.namespace("blue1")), as: "10.0.1.11")
            for content: OutgoingPacket.Content in [
                .tcp(sourcePort: 6001, destinationPort: 7001, flags: [.ack]),
                .tcp(sourcePort: 6002, destinationPort: 7001, flags: [.rst]),
                .icmp(type: 0, code: 0, identifier: 7, sequence: 1),
            ] { #expect(sender.send(OutgoingPacket(from: "10.0.1.11", to: Self.internet, content)) == 0) }
            #expect(try seen("blue1") == "203.0.113.10")
            let before = try count("private_source", "netdev")
            try lab.shell(
                "vpc-gw", "nft flush chain inet vpcctl nat_postrouting; nft flush map inet vpcctl nat_address")
            #expect(try lab.station("blue2").ask(Self.internet, timeout: .milliseconds(300), attempts: 2) == nil)
            #expect(try count("private_source", "netdev") > before)
            #expect(!watch.has { inside.contains($0.source) })
            try lab.requireClean(try lab.lab.apply())
            try checkTraffic("after the rules have been put back")
        }

        @Test func someAddressesAreNobodysBusiness() throws {
            let watch = try Capture(in: .named(lab.namespace(Self.provider)))
            for address in ["169.254.169.254", "240.0.0.1", "255.1.2.3"] as [IPAddress] {
                let outcome = try lab.station("blue1").ping(
                    address, PingOptions(timeout: .milliseconds(300), attempts: 2))
                #expect(!outcome.isReply, "\(address)")
                #expect(!watch.has { $0.destination == address }, "\(address)")
            }
            #expect(try lab.station("blue1").ask("10.0.9.11", timeout: .milliseconds(300), attempts: 2) == nil)
            #expect(try count("to_nat_gateway_denied") > 0)
        }

        // MARK: Change

        @Test(arguments: [ExternalNetwork.Mode.macvlan, .ipvlan]) func addressesAreAnsweredFor(
            _ mode: ExternalNetwork.Mode
        ) throws {
            try lab.become(Scenario.edge.inOneSegment(mode))
            try checkTraffic("\(mode)")
            try requireNothingToDo("\(mode)")
            let neighbors = try lab.shell(Self.provider, "ip neigh show dev gw")
            #expect(neighbors.contains("203.0.113.10 lladdr"), "\(neighbors)")
            // Nobody answers for what is nobody's.
            let outside = try lab.station(Self.provider)
            #expect(try outside.ask("203.0.113.200", timeout: .milliseconds(300), attempts: 1) == nil)
            #expect(try !lab.shell(Self.provider, "ip neigh show dev gw").contains("203.0.113.200 lladdr"))
        }

        /// What somebody else does is undone, and then there is nothing to do.
        @Test func damageIsRepaired() throws {
            let leg = "$(ip -br link | grep -o '^vpc-l[0-9]*' | head -1)"
            let far = "$(ip -br link | grep -o '^vpc-p[0-9]*' | head -1)"
            let uplink = "$(ip -br link | grep -o '^vpc-u[0-9]*')"
            for line in [
                "ip link del \(leg)", "ip link del \(far)", "ip link set \(far) down", "ip link set \(leg) nomaster",
                "ip link set \(far) down; ip link set \(far) name other", "ip link set \(far) alias ''",
                "ip link del \(uplink)", "ip link set \(uplink) down", "ip addr flush dev \(uplink)",
                "ip link set \(uplink) address 02:00:00:00:00:99", "nft delete table netdev vpcctl",
                "nft flush chain netdev vpcctl uplink_internet_out", "nft flush map netdev vpcctl legs",
                "nft flush chain netdev vpcctl leg_blue-nat", "nft flush ruleset",
                "ip route del default table $(ip vrf | grep -o '[0-9]*$' | tail -1) metric 0",
                "ip link del \(uplink); ip link del \(leg)",
            ] {
                try lab.shell("vpc-gw", line)
                try lab.requireClean(try lab.lab.apply(hosts: ["gw"]))
                try requireNothingToDo(line)
                try checkTraffic(line)
            }
        }

        @Test func theUplinksDeviceComesAndGoes() throws {
            try lab.shell("gw", "ip link del x0")
            let report = try #require(try lab.lab.apply(hosts: ["gw"]).first)
            #expect(report.problems == [])
            #expect(try report.result.get().plan.disconnected.count == 1)
            #expect(try lab.station("blue1").ask("10.0.1.12")?.name == "blue2")
            #expect(try lab.station("blue1").ask(Self.internet, timeout: .milliseconds(300), attempts: 1) == nil)
            try lab.lab.prepare()
            try lab.requireClean(try lab.lab.apply())
            try checkTraffic("when the device is back")
            try requireNothingToDo("when the device is back")
        }

        @Test func gatewaysComeAndGo() throws {
            var other = Scenario.edge
            other.model.natGateways[0].pool = .addresses(["203.0.113.77", "203.0.113.78"])
            other.model.natGateways[1].address = "10.0.9.44"
            try lab.become(other)
            let blue = try #require(lab.lab.plan.topology.natGateways.first { $0.name == "blue-nat" })
            #expect(try seen("blue1") == blue.publicAddress(of: "10.0.1.11"))
            #expect(try lab.station("green1").ping("10.0.9.44").isReply)
            #expect(try !lab.station("green1").ping("10.0.9.11", PingOptions(timeout: .milliseconds(300))).isReply)
            try requireNothingToDo("other addresses")
            var none = Scenario.edge
            none.model.natGateways = []
            none.model.externalNetworks = []
            for index in none.model.routeTables.indices { none.model.routeTables[index].routes = [] }
            none.model.probes = []
            try lab.become(none)
            try requireNothingToDo("without gateways")
            #expect(try !lab.shell("vpc-gw", "nft list tables; ip -br link").contains("netdev vpcctl"))
            #expect(try !lab.shell("vpc-gw", "ip -br link").contains("vpc-u"))
            try lab.become(.edge)
            try checkTraffic("again")
        }

        @Test func deletingLeavesNothing() throws {
            try lab.lab.delete(host: "gw")
            #expect(!Command.run("ip netns exec \(lab.namespace("vpc-gw")) true").output.isEmpty)
            #expect(try !lab.shell("gw", "ip -br link").contains("vpc-"))
            try lab.requireClean(try lab.lab.apply())
            try checkTraffic("made again")
        }

        @Test func libnlSeesTheSame() throws {
            let kernel = lab.kernel("gw")
            let report = try KernelWitness(namespace: #require(try kernel.namespace)).examine(
                kernel, owner: Conventions.ownership)
            #expect(report.disagreements == [])
            // And nft(8) reads what we write.
            let text = try lab.shell("vpc-gw", "nft list ruleset")
            #expect(text.contains("snat ip to iifname . jhash ip saddr mod 256") || text.contains("nat_addresses"))
            #expect(text.contains("fwd to \"vpc-p"), "\(text)")
        }
    }
}
