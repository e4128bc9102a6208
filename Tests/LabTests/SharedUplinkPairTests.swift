import Glibc
import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCLab

extension Scenario {
    /// The pair, behind a provider who allows each port one hardware address, and asks for each public address by ARP.
    fileprivate static let sharedPair: Scenario = {
        var scenario = Scenario.gatewayPair
        scenario.model.externalNetworks = []
        scenario.pairedNetwork("internet", on: "gw1", "gw2", mode: .ipvlan)
        scenario.model.externalNetworks[0].nextHop = "203.0.113.1"
        scenario.model.externalNetworks[0].uplinkAddress = "203.0.113.2"
        return scenario
    }()
}

extension LabTests {
    /// A pair whose uplinks have the hardware addresses of the devices that they sit upon: both have the public addresses, and
    /// only whoever is active answers for them.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 20)) struct SharedUplinkPairTests {
        private static let provider = "internet-inet"

        /// What the provider's router knows a public address by.
        private func known(_ world: GatewayPairTests.World, _ address: String) throws -> String {
            let words = try world.lab.shell(Self.provider, "ip neigh show \(address)").split(separator: " ")
            return words.firstIndex(of: "lladdr").map { String(words[$0 + 1]) } ?? "nobody"
        }

        private func hardwareAddress(_ world: GatewayPairTests.World, _ host: String) throws -> String {
            try world.lab.shell(host, "cat /sys/class/net/x0/address").trimmingCharacters(in: .whitespacesAndNewlines)
        }

        @Test func whoIsActiveHasThePublicAddresses() async throws {
            let world = try GatewayPairTests.World(.sharedPair)
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            #expect(try world.seen("blue1") == "203.0.113.10")
            #expect(try known(world, "203.0.113.10") == hardwareAddress(world, "gw1"))
            try world.requireNothingToDo("a second apply")
            for host in ["gw1", "gw2"] { #expect(world.status(host)?.problems == [], "\(host)") }

            for active in ["gw2", "gw1"] {
                let talk = try GatewayPairTests.Talk(world, 4)
                let streams = try ["blue1", "blue2"].map {
                    try VPCLab.Stream(
                        from: world.lab.station($0), to: GatewayPairTests.internet, every: GatewayPairTests.step)
                }
                for stream in streams { #expect(stream.waitForAnswers(20)) }
                #expect(try world.failOver("gw1").error == nil)
                try await world.waitUntilSettled(active: active)
                for stream in streams {
                    #expect(stream.waitForAnswers(20))
                    #expect(stream.finish().lost == [], "to \(active)")
                }
                talk.goesOn("to \(active)")
                // Also where it is asked for anew.
                try world.lab.shell(Self.provider, "ip neigh flush all")
                #expect(try world.seen("blue1") == "203.0.113.10")
                #expect(try known(world, "203.0.113.10") == hardwareAddress(world, active))
                try world.requireNothingToDo("\(active) is active")
            }

            let talk = try GatewayPairTests.Talk(world, 4)
            try await world.waitUntil("copies") { (world.status("gw2")?.connections ?? 0) >= 4 }
            world.kill("gw1")
            try await world.waitUntil("gw2 active") { world.role("gw2") == "active" }
            talk.goesOn("gw1 is dead")
            #expect(try known(world, "203.0.113.10") == hardwareAddress(world, "gw2"))
        }

        /// It hears on the machine's device who has an address.
        @Test func anAddressThatIsTakenIsLeftAlone() async throws {
            let world = try GatewayPairTests.World(.sharedPair)
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            for host in ["gw1", "gw2"] { world.kill(host, by: SIGTERM) }
            try world.lab.shell(Self.provider, "ip addr add 203.0.113.2/32 dev br0")
            for host in ["gw1", "gw2"] { try world.start(host) }
            try await world.waitUntil("both say so") {
                ["gw1", "gw2"].allSatisfy { host in
                    world.status(host)?.problems.contains { $0.hasPrefix("203.0.113.2 is taken: ") } ?? false
                }
            }
            #expect(world.role("gw1") != "active" && world.role("gw2") != "active")
            try world.lab.shell(Self.provider, "ip addr del 203.0.113.2/32 dev br0")
            try await world.waitUntilSettled()
        }
    }
}
