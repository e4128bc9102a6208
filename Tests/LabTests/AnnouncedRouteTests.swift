import Foundation
import GatewayControl
import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCLab

extension Scenario {
    /// The pair, announced by routes.
    fileprivate static let announced: Scenario = {
        var scenario = Scenario.gatewayPair
        scenario.model.externalNetworks[0].announcement = .routes
        return scenario
    }()
}

extension LabTests {
    /// Debian's BIRD or FRR on both gateways, and BIRD as the provider's router.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 20)) struct AnnouncedRouteTests {
        enum Speaker: CaseIterable {
            case bird
            case frr
        }

        private final class Speakers {
            private let world: GatewayPairTests.World
            private let folder: String
            private var programs: [Program] = []

            init(_ world: GatewayPairTests.World) throws {
                self.world = world
                folder = "/tmp/\(world.lab.prefix)bgp"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            }

            func end() {
                for program in programs {
                    program.send(SIGKILL)
                    program.wait()
                }
                try? FileManager.default.removeItem(atPath: folder)
            }

            private func write(_ text: String, _ name: String) throws -> String {
                try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
                return "\(folder)/\(name)"
            }

            func startBIRD(in place: String, _ text: String) throws {
                let conf = try write(text, "\(place).conf")
                programs.append(
                    try Program([
                        "ip", "netns", "exec", world.lab.namespace(place), "bird", "-f", "-c", conf, "-s",
                        "\(folder)/\(place).ctl", "-P", "\(folder)/\(place).pid",
                    ]))
            }

            func startFRR(in place: String, _ text: String) throws {
                let home = "\(folder)/\(place)"
                try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                // It gives up root.
                try Run.checked(["chmod", "755", folder])
                try Run.checked(["chown", "frr:frr", home])
                let common = ["--vty_socket", home, "-z", home + "/zserv", "-P", "0"]
                for daemon in ["zebra", "bgpd"] {
                    // Each says that it does not know the other one's lines, and goes on.
                    let conf = try write(text, "\(place)/\(daemon).conf")
                    programs.append(
                        try Program(
                            [
                                "ip", "netns", "exec", world.lab.namespace(place), "/usr/lib/frr/\(daemon)", "-f", conf,
                                "-i", "\(home)/\(daemon).pid",
                            ] + common))
                    try wait(for: "\(home)/\(daemon == "zebra" ? "zserv" : "bgpd.vty")")
                }
            }

            private func wait(for file: String) throws {
                let end = ContinuousClock.now + .seconds(60)
                while !FileManager.default.fileExists(atPath: file) {
                    try #require(ContinuousClock.now < end, "\(file) does not come to be")
                    usleep(10_000)
                }
            }
        }

        private static let provider = "internet-inet"

        private func start(_ speaker: Speaker, _ speakers: Speakers, _ world: GatewayPairTests.World) throws {
            // What the lab has told the router, the gateways are to tell it.
            try world.lab.shell(Self.provider, "ip route del 203.0.113.0/24; ip addr add 192.0.2.1/24 dev br0")
            try world.lab.shell("gw1", "ip link set lo up; ip addr add 192.0.2.11/24 dev x0")
            try world.lab.shell("gw2", "ip link set lo up; ip addr add 192.0.2.12/24 dev x0")
            try speakers.startBIRD(
                in: Self.provider,
                """
                router id 192.0.2.1;
                protocol device {}
                protocol kernel { ipv4 { export all; }; }
                protocol bgp a { local 192.0.2.1 as 65000; neighbor 192.0.2.11 as 65011; connect retry time 1; ipv4 { import all; export none; }; }
                protocol bgp b { local 192.0.2.1 as 65000; neighbor 192.0.2.12 as 65012; connect retry time 1; ipv4 { import all; export none; }; }
                """)
            for (host, own) in [("gw1", 11), ("gw2", 12)] where speaker == .frr {
                // As docs/edge.md has it.
                try speakers.startFRR(
                    in: host,
                    """
                    ip import-table 118
                    router bgp 650\(own)
                     bgp router-id 192.0.2.\(own)
                     no bgp ebgp-requires-policy
                     neighbor 192.0.2.1 remote-as 65000
                     neighbor 192.0.2.1 timers connect 1
                     address-family ipv4 unicast
                      redistribute table 118
                      redistribute connected route-map ENDPOINT
                     exit-address-family
                    ip prefix-list ENDPOINT permit 172.31.0.100/32
                    route-map ENDPOINT permit 10
                     match ip address prefix-list ENDPOINT

                    """)
            }
            for (host, own) in [("gw1", 11), ("gw2", 12)] where speaker == .bird {
                try speakers.startBIRD(
                    in: host,
                    """
                    router id 192.0.2.\(own);
                    ipv4 table t118;
                    protocol device {}
                    protocol kernel { kernel table 118; learn; scan time 1; ipv4 { table t118; import where krt_source = 118; }; }
                    protocol bgp { local 192.0.2.\(own) as 650\(own); neighbor 192.0.2.1 as 65000; connect retry time 1; ipv4 { table t118; import none; export all; }; }
                    """)
            }
        }

        @Test(arguments: Speaker.allCases) func whoIsActiveIsAnnounced(by speaker: Speaker) async throws {
            let world = try GatewayPairTests.World(.announced)
            let speakers = try Speakers(world)
            defer {
                speakers.end()
                world.tearDown()
            }
            try await world.waitUntilSettled()
            let table = try world.lab.shell("gw1", "ip route show table 118")
            #expect(table.contains("172.31.0.100 dev u0") && table.contains("203.0.113.0/24 via 192.0.2.100 dev x0"))
            #expect(
                Command.run("ip route show table 118", in: world.lab.namespace("gw2")).output.contains("172") == false)
            try world.requireNothingToDo("with routes that vpcgw has made")
            try start(speaker, speakers, world)
            for active in ["gw1", "gw2", "gw1"] {
                if world.role(active) != "active" {
                    #expect(try world.failOver(active).error == nil)
                    try await world.waitUntilSettled(active: active)
                }
                let own = active == "gw1" ? 11 : 12
                try await world.waitUntil("announced by \(active)") {
                    let routes = try world.lab.shell(Self.provider, "ip route show proto bird")
                    return routes.contains("203.0.113.0/24 via 192.0.2.100")
                        && routes.contains("172.31.0.100 via 192.0.2.\(own)")
                        && !routes.contains("172.31.0.100 via 192.0.2.\(23 - own)")
                }
                #expect(try world.seen("blue1") == "203.0.113.10", "\(active)")
            }
            // FRR has what it announces in the main table as well, and no longer when it hears of the end of it.
            try await world.waitUntil("in the main table of who announces") {
                try ["gw1", "gw2"].map { try world.lab.shell($0, "ip route show 203.0.113.0/24").isEmpty }
                    == (speaker == .frr ? [false, true] : [true, true])
            }
            // Nobody serves any more, and nothing is announced.
            for host in ["gw1", "gw2"] { world.kill(host, by: SIGTERM) }
            try await world.waitUntil("withdrawn") {
                try world.lab.shell(Self.provider, "ip route show proto bird").isEmpty
            }
        }
    }
}
