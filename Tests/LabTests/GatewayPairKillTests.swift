import Foundation
import GatewayControl
import IPAddressing
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// The processes of two gateways, `vpcd` and `vpcgw` of both, killed again and again while one hands over to the other.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 120)) struct GatewayPairKillTests {
        typealias World = GatewayPairTests.World

        /// `VPCCTL_KILLS` for a campaign.
        private static let rounds = ProcessInfo.processInfo.environment["VPCCTL_KILLS"].flatMap { Int($0) } ?? 8

        private enum Process: CaseIterable {
            case vpcd
            case vpcgw
        }

        /// Whoever is killed, and whenever: afterwards one serves, the connections are the same, there never were two for
        /// longer than an election takes, and what is others' is as it was.
        @Test func killsAtRandomLeaveOne() async throws {
            let world = try World()
            defer { world.tearDown() }
            try await world.waitUntilSettled()
            let hosts = ["gw1", "gw2"]
            for host in hosts { try world.lab.shell(host, OwnershipTests.foreign) }
            let foreign = try hosts.map { try world.lab.shell($0, AgentKillTests.foreignObjects) }
            let daemons = try hosts.map {
                ($0, try Daemon(world.lab, host: $0, gatewaySocket: world.socket($0)))
            }
            let daemon = Dictionary(uniqueKeysWithValues: daemons)
            defer { for daemon in daemon.values { daemon.remove() } }
            for daemon in daemon.values {
                try daemon.write(.gatewayPair)
                try daemon.start()
                try daemon.awaitApplied()
            }
            let owners = try AddressWatch(world.lab)
            defer { owners.end() }
            let talk = try GatewayPairTests.Talk(world, 6)

            for round in 0..<Self.rounds {
                let victim = (host: hosts.randomElement() ?? "gw1", process: Process.allCases.randomElement() ?? .vpcgw)
                let note = "round \(round): \(victim.process) of \(victim.host)"
                // Half of them in the middle of a hand-over, which lasts a second.
                let asked = Bool.random() ? hosts.randomElement() : nil
                let failOver = asked.map(world.socket).map { socket in
                    Task.detached { _ = try? ControlClient.ask(.failover("internet", isForced: true), at: socket) }
                }
                usleep(UInt32.random(in: 0...1_200_000))
                switch victim.process {
                case .vpcgw:
                    world.kill(victim.host)
                    if Bool.random() { usleep(UInt32.random(in: 0...3_000_000)) }
                    try world.start(victim.host)
                case .vpcd:
                    try #require(daemon[victim.host]).kill()
                    if Bool.random() { usleep(UInt32.random(in: 0...1_000_000)) }
                    try #require(daemon[victim.host]).start()
                }
                _ = await failOver?.value
                try await world.waitUntil("one of them, \(note)") {
                    let both = hosts.map { world.status($0) }
                    return Set(both.map { $0?.role }) == ["active", "standby"]
                        && both.allSatisfy { $0?.isSynchronized ?? false }
                }
                try await world.waitUntil("alone, \(note)") {
                    let holders = try world.holders()
                    return holders.count == 2 && Set(holders.map { $0.prefix(3) }).count == 1
                }
                talk.goesOn(note)
            }

            let overlap = try owners.longestOverlap()
            print("kills: two had an address for \(overlap) at the longest")
            // 0.9 s of silence, and what the kernel rounds the end of a loan to. Without a clock of its own a machine is
            // held up by others.
            #expect(overlap <= .milliseconds(GatewayPairTests.isTimed ? 1500 : 3000))
            for host in hosts {
                try #require(daemon[host]).kill()
                try #require(daemon[host]).start()
                try #require(daemon[host]).awaitApplied()
            }
            let isActive = hosts.map { world.role($0) == "active" }
            for (host, isActive) in zip(hosts, isActive) {
                let socket = try #require(daemon[host]).socket
                let line = "vpcctl_gateway_pair_active{network=\"internet\"} \(isActive ? 1 : 0)\n"
                try await world.waitUntil("metrics of \(host)") {
                    Command.run("curl -s --unix-socket \(socket) http://localhost/metrics").output.contains(line)
                }
            }
            for daemon in daemon.values { daemon.kill() }
            try world.requireNothingToDo("after all")
            #expect(try hosts.map { try world.lab.shell($0, AgentKillTests.foreignObjects) } == foreign)
        }
    }
}

/// Notes when the addresses of a pair come and go, as the kernels of both tell.
private final class AddressWatch {
    private struct Place {
        var host: String
        var address: String
        var file: String
    }

    private var places: [Place] = []
    private var programs: [Program] = []

    init(_ lab: TestLab) throws {
        for host in ["gw1", "gw2"] {
            for (namespace, address) in [(host, "172.31.0.100/"), ("vpc-\(host)", "192.0.2.100/")] {
                let file = "/tmp/\(lab.prefix)\(namespace).addresses"
                let output = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
                defer { close(output) }
                programs.append(
                    try Program(
                        ["ip", "-n", lab.namespace(namespace), "-o", "-ts", "monitor", "address"], output: output))
                places.append(Place(host: host, address: address, file: file))
            }
        }
    }

    func end() {
        for program in programs {
            program.send(SIGKILL)
            program.wait()
        }
        for place in places { unlink(place.file) }
    }

    /// How long both hosts had the same address.
    func longestOverlap() throws -> Duration {
        var longest = Duration.zero
        for address in Set(places.map(\.address)) {
            var events: [(time: Double, host: String, isThere: Bool)] = []
            for place in places where place.address == address { events += try Self.events(place) }
            var (holders, since): (Set<String>, Double) = ([], 0)
            for event in events.sorted(by: { $0.time < $1.time }) {
                if holders.count == 2 { longest = max(longest, .seconds(event.time - since)) }
                if event.isThere, !holders.contains(event.host) {
                    (holders, since) = (holders.union([event.host]), event.time)
                } else if !event.isThere {
                    holders.remove(event.host)
                }
            }
        }
        return longest
    }

    // [2026-01-31T12:00:00.123456] Deleted 2: u0    inet 172.31.0.100/32 …
    private static func events(_ place: Place) throws -> [(time: Double, host: String, isThere: Bool)] {
        let text = try String(contentsOfFile: place.file, encoding: .utf8)
        return text.split(separator: "\n").compactMap { line in
            guard line.contains(" inet \(place.address)"), let end = line.firstIndex(of: "]") else { return nil }
            let numbers = line[..<end].split { !$0.isNumber }.compactMap { Int($0) }
            guard numbers.count == 7 else { return nil }
            var clock = tm()
            (clock.tm_year, clock.tm_mon, clock.tm_mday) = (
                Int32(numbers[0] - 1900), Int32(numbers[1] - 1), Int32(numbers[2])
            )
            (clock.tm_hour, clock.tm_min, clock.tm_sec) = (Int32(numbers[3]), Int32(numbers[4]), Int32(numbers[5]))
            return (Double(timegm(&clock)) + Double(numbers[6]) / 1e6, place.host, !line.contains("Deleted"))
        }
    }
}
