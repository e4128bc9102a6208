import IPAddressing
import Testing
import VPCModel

@testable import VPCLab

extension LabTests {
    /// An interface that leaves its address out gets the one that another has just given back, and nothing else of it.
    @Suite(.needsOverlay, .lab(.former), .timeLimit(minutes: 10)) struct AddressReuseTests {
        private static let address: IPAddress = "10.0.2.2"
        private static let store: IPAddress = "10.0.2.22"
        private let lab: TestLab

        init() throws {
            lab = try TestLab.current
            try lab.become(.former)
        }

        /// Whether datagrams of one flow are dropped by a firewall of the lab, until that has been counted or one is answered.
        private func drops(_ sender: String, to destination: IPAddress, from port: UInt16) throws -> Bool {
            let station = try lab.station(sender)
            let before = try lab.dropCount()
            let deadline = ContinuousClock.now + .seconds(20)
            while ContinuousClock.now < deadline {
                let answer = try station.ask(
                    destination, sourcePort: port, timeout: .milliseconds(50), attempts: 1)
                if answer != nil { return false }
                if try lab.dropCount() > before { return true }
            }
            return false
        }

        /// On the same host or another one, in one change or after a while; connections of either direction, all of UDP: a
        /// packet from the middle of one looks like its first.
        @Test(arguments: [("h1", true), ("h1", false), ("h2", true), ("h2", false)])
        func connectionsDoNotGoOver(to host: String, atOnce: Bool) throws {
            let port = UInt16(20010) + (host == "h1" ? 0 : 2) + (atOnce ? 0 : 1)
            for client in ["near", "far"] {
                #expect(try lab.station(client).ask(Self.address, sourcePort: port)?.name == "server")
            }
            #expect(try lab.station("server").ask(Self.store, sourcePort: port)?.name == "store")
            if !atOnce { try lab.become(Scenario.former.without(interface: "server")) }
            try lab.become(.latter(on: host))
            #expect(lab.lab.plan.topology.interfaces.first { $0.name == "newcomer" }?.address == Self.address)
            // Who was allowed to speak to the former owner, but for the one whom the newcomer allows, too.
            #expect(try drops("far", to: Self.address, from: port))
            #expect(try lab.station("near").ask(Self.address)?.name == "newcomer")
            // And to whom the former owner was allowed to speak.
            #expect(try drops("newcomer", to: Self.store, from: port))
        }
    }
}

extension Scenario {
    /// A server without an address of its own, which two clients on two hosts may ask, and which may ask a store.
    fileprivate static let former: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.subnet("front", "blue", "10.0.1.0/24")
        scenario.subnet("back", "blue", "10.0.2.0/24")
        scenario.interface("near", "front", on: "h1", "10.0.1.11")
        scenario.interface("far", "front", on: "h2", "10.0.1.12")
        scenario.interface("store", "back", on: "h2", "10.0.2.22")
        scenario.interface("server", "back", on: "h1", nil)
        scenario.group("server", "blue", ingress: [.udp(from: "10.0.1.0/24")])
        scenario.group("other", "blue", ingress: [.udp(from: "10.0.1.11/32")])
        scenario.group("store", "blue", ingress: [.udp(fromGroup: "server")])
        return scenario.with(groups: ["server"], of: "server").with(groups: ["store"], of: "store")
    }()

    /// The same with another one in its place.
    fileprivate static func latter(on host: String) -> Scenario {
        var scenario = former.without(interface: "server")
        scenario.interface("newcomer", "back", on: host, nil)
        return scenario.with(groups: ["other"], of: "newcomer")
    }
}
