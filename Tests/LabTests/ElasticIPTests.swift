import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    mutating func elasticIP(
        _ name: String, _ address: IPAddress, _ interface: String?, _ mode: ElasticIP.Mode = .nat
    ) {
        model.elasticIPs.append(
            ElasticIP(
                metadata: Metadata(name: name), externalNetwork: "internet", address: address, interface: interface,
                mode: mode))
    }

    /// The same with one of them on another interface.
    func moving(elasticIP name: String, to interface: String?) -> Scenario {
        var changed = self
        for index in model.elasticIPs.indices where model.elasticIPs[index].metadata.name == name {
            changed.model.elasticIPs[index].interface = interface
        }
        return changed
    }

    /// Elastic IPs of every mode, one of them on the gateway's own host.
    static let elastic: Scenario = {
        var scenario = Scenario.edge
        scenario.elasticIP("web", "203.0.113.50", "blue2")
        scenario.elasticIP("own", "203.0.113.51", "blue3")
        scenario.elasticIP("fast", "203.0.113.60", "green1", .stateless)
        scenario.elasticIP("plain", "203.0.113.61", "green2", .passThrough)
        scenario.elasticIP("spare", "203.0.113.70", nil)
        return scenario
    }()
}

extension LabTests {
    /// Public addresses of interfaces.
    @Suite(.needsOverlay, .lab(.elastic), .serialized, .timeLimit(minutes: 20)) struct ElasticIPTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.elastic)
        }

        private static let internet: IPAddress = "198.51.100.7"

        private func outside() throws -> Station { try lab.station("internet-inet", source: "198.51.100.7") }

        private func seen(_ from: String, source: String? = nil, sourcePort: UInt16 = 0) throws -> IPAddress? {
            try lab.station(from, source: source).ask(Self.internet, sourcePort: sourcePort)?.seenAddress
        }

        /// Who answers on an address, and whom he sees.
        private func reached(_ address: IPAddress, from station: Station, sourcePort: UInt16 = 0) throws -> String? {
            try station.ask(address, sourcePort: sourcePort).map { "\($0.name) sees \($0.seenAddress)" }
        }

        private func requireNothingToDo() throws {
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
        }

        @Test func everyModeIsReachedAndLeaves() throws {
            let outside = try outside()
            for (address, guest) in [
                ("203.0.113.50", "blue2"), ("203.0.113.51", "blue3"), ("203.0.113.60", "green1"),
                ("203.0.113.61", "green2"),
            ] as [(IPAddress, String)] {
                #expect(try reached(address, from: outside) == "\(guest) sees 198.51.100.7")
                #expect(try outside.ping(address).isReply, "\(guest)")
                guard case .answered(let answer) = try outside.connect(address, sending: 200_000) else {
                    Issue.record("\(guest): no connection")
                    continue
                }
                #expect(answer.text == "200000")
            }
            #expect(try seen("blue2") == "203.0.113.50")
            #expect(try seen("blue3") == "203.0.113.51")
            #expect(try seen("green1") == "203.0.113.60")
            #expect(try seen("green2", source: "203.0.113.61") == "203.0.113.61")
            #expect(try seen("blue1") == "203.0.113.10", "who has none")
            #expect(try outside.ask("203.0.113.70", timeout: .milliseconds(300), attempts: 1) == nil, "a reserved one")
            try requireNothingToDo()
        }

        @Test func hairpinsAndOtherTenants() throws {
            let web: IPAddress = "203.0.113.50"
            #expect(try reached(web, from: lab.station("blue1")) == "blue2 sees 203.0.113.10")
            #expect(try reached(web, from: lab.station("blue2")) == "blue2 sees 203.0.113.50")
            #expect(try reached(web, from: lab.station("blue3")) == "blue2 sees 203.0.113.51")
            // Not to its own guest with the same address as that of the other tenant, but by the provider's router.
            #expect(try reached(web, from: lab.station("green1")) == "blue2 sees 203.0.113.60")
            let other = try reached(web, from: lab.station("green3"))
            #expect(other?.hasPrefix("blue2 sees 203.0.113.") ?? false, "\(other ?? "")")
            #expect(try reached("203.0.113.61", from: lab.station("green3")) == "green2 sees 10.0.1.13")
        }

        @Test func whatPassesThroughIsTheGuestsAlone() throws {
            let watch = try Capture(in: .named(lab.namespace("green2")))
            #expect(try outside().ask("203.0.113.61")?.name == "green2")
            #expect(watch.has { $0.destination == "203.0.113.61" && $0.source == Self.internet })
            // Another guest with that address gets nowhere.
            let arrivals = try Capture(in: .named(lab.namespace("internet-inet")))
            let forged = OutgoingPacket(
                from: "203.0.113.61", to: Self.internet,
                .udp(sourcePort: 4000, destinationPort: 7000, payload: [1]))
            try lab.shell("green3", "ip addr add 203.0.113.61/32 dev lo")
            #expect(try PacketSender(in: .named(lab.namespace("green3")), as: "203.0.113.61").send(forged) == 0)
            #expect(try seen("green3") != nil)
            #expect(!arrivals.has { forged.isSame(as: $0) })
            try lab.shell("green3", "ip addr del 203.0.113.61/32 dev lo")
        }

        @Test func noStateOfTheStateless() throws {
            #expect(try outside().ask("203.0.113.60")?.name == "green1")
            #expect(try seen("green1") == "203.0.113.60")
            // Others in the VPC may speak to it by the provider's router, and have connections.
            let entries = try lab.shell(
                "vpc-gw", "grep 'src=198.51.100.7 dst=203.0.113.60 ' /proc/net/nf_conntrack || true")
            #expect(entries.isEmpty, "\(entries)")
        }

        @Test func errorsComeFromThePublicAddress() throws {
            // What was found out before.
            try lab.shell("internet-inet", "ip route flush cache")
            let error = try outside().ping("203.0.113.50", PingOptions(size: 1472, fragmentation: .forbidden)).error
            #expect(error?.from == "203.0.113.50" && error?.mtu == 1471, "\(String(describing: error))")
        }

        /// Another guest has it at once, also for connections that were there; nobody else's lose a packet.
        @Test func movingCutsWhatIsMoved() throws {
            let outside = try outside()
            let others = [
                try Stream(from: outside, to: "203.0.113.51", every: .milliseconds(20)),
                try Stream(from: lab.station("blue1"), to: Self.internet, every: .milliseconds(20)),
                try Stream(from: outside, to: "203.0.113.61", every: .milliseconds(20)),
            ]
            #expect(others.allSatisfy { $0.waitForAnswers(10) })
            #expect(try reached("203.0.113.50", from: outside, sourcePort: 40000) == "blue2 sees 198.51.100.7")
            #expect(try seen("blue2", sourcePort: 41000) == "203.0.113.50")
            try lab.become(Scenario.elastic.moving(elasticIP: "web", to: "blue1"))
            #expect(try reached("203.0.113.50", from: outside, sourcePort: 40000) == "blue1 sees 198.51.100.7")
            #expect(try seen("blue2", sourcePort: 41000) == "203.0.113.10")
            #expect(try seen("blue1") == "203.0.113.50")
            try requireNothingToDo()
            try lab.become(Scenario.elastic.moving(elasticIP: "web", to: nil))
            #expect(try outside.ask("203.0.113.50", timeout: .milliseconds(300), attempts: 1) == nil)
            try lab.become(.elastic)
            #expect(try reached("203.0.113.50", from: outside, sourcePort: 40000) == "blue2 sees 198.51.100.7")
            for stream in others {
                #expect(stream.waitForAnswers(5))
                let report = stream.finish()
                #expect(report.lost.isEmpty, "\(report)")
            }
        }

        @Test func modesChange() throws {
            for mode in [ElasticIP.Mode.stateless, .passThrough, .nat] {
                var changed = Scenario.elastic
                changed.model.elasticIPs[0].mode = mode
                try lab.become(changed)
                #expect(try outside().ask("203.0.113.50")?.name == "blue2", "\(mode)")
                try requireNothingToDo()
            }
            // Of an ipvlan the host would take what is stateless for its own.
            var ipvlan = Scenario.elastic.inOneSegment(.ipvlan)
            ipvlan.model.elasticIPs[2].mode = .nat
            try lab.become(ipvlan)
            #expect(try outside().ask("203.0.113.60")?.name == "green1", "ipvlan")
            #expect(try outside().ask("203.0.113.50")?.name == "blue2", "ipvlan")
            try lab.become(Scenario.elastic.inOneSegment(.macvlan))
            // The router would keep the former MAC address for a while.
            try lab.shell("internet-inet", "ip neigh flush dev gw")
            for address in ["203.0.113.50", "203.0.113.60", "203.0.113.61"] as [IPAddress] {
                #expect(try outside().ask(address) != nil, "\(address), by ARP")
            }
        }
    }
}
