import IPAddressing
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// Ports of blue's NAT gateway lead to two guests, one of them on the gateway's host.
    static let forwards: Scenario = {
        var scenario = Scenario.edge
        scenario.model.natGateways[0].portForwards = [
            .init(
                address: "203.0.113.10", transport: .tcp, port: 8022, interface: "blue2",
                interfacePort: Station.tcpPort),
            .init(
                address: "203.0.113.10", transport: .udp, port: 53, interface: "blue2", interfacePort: Station.udpPort),
            .init(
                address: "203.0.113.10", transport: .udp, port: 8054, interface: "blue3",
                interfacePort: Station.udpPort),
        ]
        return scenario
    }()

    /// The same with the second of them led elsewhere, or nowhere.
    func forwarding(to interface: String?) -> Scenario {
        var changed = self
        if let interface {
            changed.model.natGateways[0].portForwards[1].interface = interface
        } else {
            changed.model.natGateways[0].portForwards.remove(at: 1)
        }
        return changed
    }
}

extension LabTests {
    /// Public ports of NAT gateways that lead to guests.
    @Suite(.needsOverlay, .lab(.forwards), .serialized, .timeLimit(minutes: 20)) struct PortForwardTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.forwards)
        }

        private static let address: IPAddress = "203.0.113.10"

        private func outside() throws -> Station { try lab.station("internet-inet", source: "198.51.100.7") }

        /// Who answers on a port, and whom he sees.
        private func reached(_ port: UInt16, from station: Station, sourcePort: UInt16 = 0) throws -> String? {
            try station.ask(Self.address, port: port, sourcePort: sourcePort, timeout: .milliseconds(500)).map {
                "\($0.name) sees \($0.seenAddress)"
            }
        }

        @Test func clientsKeepTheirAddress() throws {
            let outside = try outside()
            #expect(try reached(53, from: outside) == "blue2 sees 198.51.100.7")
            #expect(try reached(8054, from: outside) == "blue3 sees 198.51.100.7")
            guard case .answered(let answer) = try outside.connect(Self.address, port: 8022, sending: 200_000) else {
                Issue.record("no connection")
                return
            }
            #expect(answer.name == "blue2" && answer.text == "200000")
            #expect(answer.seenAddress == "198.51.100.7")
            // The other protocol's port, and the port inside.
            #expect(try reached(8022, from: outside) == nil)
            #expect(try reached(Station.udpPort, from: outside) == nil)
            // All else as before.
            #expect(try lab.station("blue2").ask("198.51.100.7")?.seenAddress == Self.address)
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
        }

        @Test func groupsOfTheGuestDecide() throws {
            var guarded = Scenario.forwards
            guarded.model.securityGroups.append(
                SecurityGroup(
                    metadata: Metadata(name: "served"), vpc: "blue",
                    ingress: [
                        SecurityRule(
                            traffic: TrafficMatch(ipProtocol: .udp, ports: [Station.udpPort...Station.udpPort]),
                            peers: [.cidr(Scenario.prefix("198.51.100.0/24"))])
                    ]))
            for index in guarded.model.interfaces.indices where guarded.model.interfaces[index].metadata.name == "blue2"
            {
                guarded.model.interfaces[index].securityGroups = ["served"]
            }
            try lab.become(guarded)
            let outside = try outside()
            #expect(try reached(53, from: outside) == "blue2 sees 198.51.100.7")
            #expect(try outside.connect(Self.address, port: 8022, timeout: .milliseconds(500)) == .silent)
            let router = try lab.station("internet-inet", source: "192.0.2.1")
            #expect(try reached(53, from: router) == nil)
        }

        @Test func hairpinsAndOtherTenants() throws {
            #expect(try reached(53, from: lab.station("blue1")) == "blue2 sees 203.0.113.10")
            #expect(try reached(53, from: lab.station("blue3")) == "blue2 sees 203.0.113.10")
            #expect(try reached(53, from: lab.station("blue2")) == "blue2 sees 203.0.113.10", "himself")
            let green = try reached(53, from: lab.station("green1"))
            #expect(green?.hasPrefix("blue2 sees 203.0.113.") ?? false, "\(green ?? "nobody")")
            // A port of the address that nobody forwards.
            #expect(try reached(54, from: lab.station("blue1")) == nil)
        }

        /// Whoever has the port has it at once, also for connections that were there; nobody else's lose a packet.
        @Test func movingCutsWhatIsMoved() throws {
            let outside = try outside()
            let others = [
                try Stream(from: outside, to: Self.address, port: 8054, every: .milliseconds(20)),
                try Stream(from: lab.station("blue1"), to: "198.51.100.7", every: .milliseconds(20)),
            ]
            #expect(others.allSatisfy { $0.waitForAnswers(10) })
            #expect(try reached(53, from: outside, sourcePort: 40000) == "blue2 sees 198.51.100.7")
            try lab.become(Scenario.forwards.forwarding(to: "blue1"))
            #expect(try reached(53, from: outside, sourcePort: 40000) == "blue1 sees 198.51.100.7")
            try lab.become(Scenario.forwards.forwarding(to: nil))
            #expect(try reached(53, from: outside, sourcePort: 40000) == nil)
            try lab.become(.forwards)
            #expect(try reached(53, from: outside, sourcePort: 40000) == "blue2 sees 198.51.100.7")
            for stream in others {
                #expect(stream.waitForAnswers(5))
                let report = stream.finish()
                #expect(report.lost.isEmpty, "\(report)")
            }
        }
    }
}
