import Foundation
import IPAddressing
import KernelDriver
import Netlink
import Reconciler
import TestSupport
import Testing
import VPCManifest
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// A daemon that is killed again and again, while its manifests change.
    @Suite(.needsOverlay, .timeLimit(minutes: 20)) struct AgentKillTests {
        /// `VPCCTL_KILL_ROUNDS` for a campaign.
        private static let rounds =
            ProcessInfo.processInfo.environment["VPCCTL_KILL_ROUNDS"].flatMap { Int($0) } ?? 25

        /// Whenever it dies, the next one converges to what the manifests say then; what is not its own stays as it is,
        /// nothing is left over, and traffic that concerns none of the changes loses no packet.
        @Test(arguments: Seeds.fresh()) func itIsKilledAtAnyInstant(_ seed: UInt64) throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            try lab.lab.delete(host: "h1")
            try lab.shell("h1", OwnershipTests.foreign)
            let before = try lab.shell("h1", Self.foreignObjects)
            let daemon = try Daemon(lab, host: "h1")
            defer { daemon.remove() }
            let variants = Self.variants
            let whole = try daemon.timeToApply(variants[0])
            let streams = try ["10.0.1.12", "10.0.1.13"].map {
                try VPCLab.Stream(from: lab.station("web1"), to: try #require(IPAddress($0)), every: .milliseconds(20))
            }
            for stream in streams { #expect(stream.waitForAnswers(10)) }

            var generator = Dice(seed: seed)
            for _ in 0..<Self.rounds {
                try daemon.write(variants.randomElement(using: &generator) ?? .agents)
                try daemon.start()
                usleep(UInt32.random(in: 0...UInt32(whole * 1_500_000), using: &generator))
                // Half of them meanwhile learn of yet another state.
                if Bool.random(using: &generator) {
                    try daemon.write(variants.randomElement(using: &generator) ?? .agents)
                    usleep(UInt32.random(in: 0...400_000, using: &generator))
                }
                daemon.kill()
            }
            try daemon.write(.agents)
            try daemon.start()
            try daemon.awaitApplied()
            #expect(try daemon.difference(.agents) == [])
            daemon.kill()

            for stream in streams {
                let report = stream.finish()
                #expect(report.lost.isEmpty, "\(report)")
                #expect(report.sent > Self.rounds)
            }
            #expect(try lab.shell("h1", Self.foreignObjects) == before)
            #expect(try daemon.unfinishedFiles() == [])
            // All that is ours is gone with one command.
            try lab.lab.delete(host: "h1")
            #expect(!NetworkNamespace.named(lab.namespace("vpc-h1")).exists)
            let rest = try lab.shell("h1", "ip route show table all proto 118; ip rule | grep -w 118; nft list tables")
            #expect(rest == Self.foreignTables)
        }

        /// Guests come and go, a route table, another VPC, policies.
        static let variants: [Scenario] = {
            var more = Scenario.agents
            more.vpc("green", 102, "10.0.0.0/16")
            more.subnet("green-web", "green", "10.0.1.0/24")
            for number in 1...4 {
                more.interface("extra\(number)", "web", on: "h2", IPAddress(v4: 0x0A00_0150 + UInt32(number)))
            }
            var routed = Scenario.agents
            routed.subnet("app", "blue", "10.0.2.0/24", table: "egress")
            routed.table("egress", "blue", Scenario.via("0.0.0.0/0", ("web2", 1), ("web3", 1)))
            routed.interface("app1", "app", on: "h2", "10.0.2.11")
            return [.agents, more, routed]
        }()

        /// What somebody else has there, less the clocks and counters.
        static let foreignObjects = """
            ip -br link show type dummy; ip -br link show vrf7; ip -br link show gre7; ip -br link show br7
            ip addr show dev br7 | grep inet; ip neigh show dev br7 nud permanent
            ip route show table 77; ip route show 203.0.113.0/24; ip route show unreachable 203.0.114.0/24
            ip route show table 1000005; ip rule show pref 900; ip rule show table 1000007; ip nexthop show proto static
            nft list table inet theirs | sed 's/packets [0-9]* bytes [0-9]*//'; nft list table netdev theirs
            """

        private static let foreignTables = "table inet theirs\ntable netdev theirs\n"
    }
}

/// `vpcd` as a process of its own on a host of a lab.
final class Daemon {
    private let lab: TestLab
    private let host: String
    private let folder: String
    private var process: Program?
    private var output: FileHandle?

    /// - Parameter gatewaySocket: Of `vpcgw` on that host; nil: where it is by itself.
    init(_ lab: TestLab, host: String, gatewaySocket: String? = nil) throws {
        self.lab = lab
        self.host = host
        folder = "/tmp/\(lab.prefix)\(host)-vpcd"
        try FileManager.default.createDirectory(atPath: folder + "/manifests", withIntermediateDirectories: true)
        try """
        apiVersion: vpcctl.dev/v1
        kind: AgentConfiguration
        host: \(host)
        manifests: \(folder)/manifests
        stateDirectory: \(folder)/state
        socket: {path: \(socket)}
        \(gatewaySocket.map { "gatewaySocket: \($0)" } ?? "")
        """.write(toFile: folder + "/vpcd.yaml", atomically: true, encoding: .utf8)
    }

    /// Of its API.
    var socket: String { folder + "/vpcd.sock" }

    func remove() {
        kill()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func write(_ scenario: Scenario) throws {
        try AgentRun.write(scenario.text(prefix: lab.prefix), to: folder + "/manifests/all.json")
    }

    func start() throws {
        let program = Run.program("vpcd")
        let (reading, writing) = try openPipe()
        process = try Program(
            ["ip", "netns", "exec", lab.namespace(host), program, "--config", folder + "/vpcd.yaml"],
            output: writing.fileDescriptor, error: writing.fileDescriptor)
        try writing.close()
        output = reading
    }

    func kill() {
        process?.send(SIGKILL)
        process?.wait()
        process = nil
    }

    /// Seconds from the start of a daemon to the end of its first pass.
    func timeToApply(_ scenario: Scenario) throws -> Double {
        try write(scenario)
        let begin = Date()
        try start()
        try awaitApplied()
        kill()
        return Date().timeIntervalSince(begin)
    }

    /// Waits until the log says so: the daemon writes it after reading back.
    func awaitApplied() throws {
        var log = ""
        while !log.contains("is in force") {
            let more = try #require(output).availableData
            try #require(!more.isEmpty, "the daemon ended: \(log)")
            log += String(decoding: more, as: UTF8.self)
        }
    }

    /// What is still to be done, seen by somebody else.
    func difference(_ scenario: Scenario) throws -> [String] {
        let set = ManifestSet(text: scenario.text(prefix: lab.prefix), name: "all.json")
        let topology = try #require(Topology.resolve(set.model).topology)
        let index = try #require(topology.hosts.firstIndex { $0.metadata.name == host })
        let reconciler = HostReconciler(kernel: lab.kernel(host))
        return try reconciler.plan(topology, host: index).changes.operations.map {
            "\($0.action.rawValue) \($0.object)"
        }
    }

    func unfinishedFiles() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder + "/state/revisions").filter {
            Int($0) == nil && $0 != "newest"
        }
    }
}
