import FakeKernel
import Foundation
import IPAddressing
import KernelModel
import Logging
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import KernelNames

@testable import Agent

/// The daemon's loop over a kernel in memory, turn by turn, by a clock that only waiting moves.
@Suite(.timeLimit(minutes: 10)) struct ReconcileLoopTests {
    /// A host with one guest, and a loop that looks after it.
    private final class Host {
        let kernel: FakeKernel
        let clock = VirtualClock()
        let agent: Agent
        let loop: ReconcileLoop
        let folder = "/tmp/vpcd-loop-\(UUID().uuidString)"

        init(interfaces: Int = 1, others: [Int] = [], settles: Bool = true) throws {
            kernel = FakeKernel(
                FakeWorld(
                    owner: Conventions.ownership, parameters: Conventions.sysctlPaths,
                    uplink: try #require(InterfaceName("eth0")), address: try #require(IPAddress("172.31.0.1")),
                    guests: [NamespaceName("web")]))
            var configuration = AgentConfiguration()
            configuration.host = "h1"
            configuration.manifests = folder + "/manifests"
            configuration.stateDirectory = folder + "/state"
            // So long that nothing but what is told of, and what is looked at for that, is found.
            configuration.resyncSeconds = 1_000_000
            for path in [configuration.manifests, configuration.stateDirectory].compactMap(\.self) {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            try Data(Self.text(interfaces, others: others).utf8).write(
                to: URL(filePath: folder + "/manifests/all.yaml"))
            agent = try Agent(
                configuration, kernel: kernel, nil, clock, log: Logger(label: "vpcd") { _ in SwiftLogNoOpLogHandler() })
            loop = try ReconcileLoop(agent)
            loop.start()
            if settles { try settle() }
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        /// - Parameter others: Hosts whose names come before that of this one.
        static func text(_ interfaces: Int, others: [Int] = []) -> String {
            var text = others.map {
                """
                apiVersion: vpcctl.dev/v1
                kind: Host
                metadata: {name: a\($0)}
                spec: {underlay: {address: 172.31.0.\(10 + $0)}}
                ---

                """
            }.joined()
            text += ManifestHead.subnet("10.0.1.0/24", of: "10.0.0.0/16")
            for number in 0..<interfaces {
                text += """
                    ---
                    kind: NetworkInterface
                    metadata: {name: here\(number)}
                    spec:
                      subnet: s
                      address: 10.0.1.\(10 + number)
                      host: h1
                      attachment: {netns: web, device: eth\(number)}

                    """
            }
            return text
        }

        var status: AgentStatus { agent.status }

        func events(_ type: AgentEvent.Kind) -> [AgentEvent] { agent.events.events().filter { $0.type == type } }

        /// Turns until nothing happens but waiting, and takes the look that was waited for.
        func settle() throws {
            for _ in 0..<100 {
                let count = clock.waits.count
                loop.turn()
                if clock.waits.count > count { return _ = loop.pass() }
            }
            Issue.record("the loop does not come to rest: \(status)")
        }

        /// Turns until that much time has passed.
        func pass(_ duration: Duration) throws {
            let end = clock.now + duration
            for _ in 0..<10_000 where clock.now < end { loop.turn() }
            try #require(clock.now >= end)
            loop.pass()
        }

        var rule: Rule? {
            kernel.world.host.state.rules.first { $0.routeProtocol == Conventions.ownership.routeProtocol }
        }
    }

    private static let refused = CommitReport.Reason.refused(code: "ENOMEM", message: "no memory", attribute: nil)

    @Test func aHostIsMadeAtOnce() throws {
        let host = try Host(settles: false)
        host.loop.turn()
        #expect(host.clock.waits == [])
        #expect(host.status.phase == .ready && host.status.observedRevision == 1)
        #expect(host.kernel.commits.count == 1)
        try host.settle()
        // Its own changes, of which it is told, are no news.
        #expect(host.kernel.commits.count == 1)
        #expect(host.events(.revisionApplied).count == 1)
    }

    // MARK: - Drift

    @Test func whatIsToldOfIsRepairedAtOnce() throws {
        let host = try Host()
        let (before, world) = (host.clock.now, host.kernel.world.host.state)
        host.kernel.disturb { $0.host.state.routes.removeAll() }
        try host.settle()
        #expect(host.kernel.world.host.state.routes == world.routes)
        let repaired = host.events(.driftRepaired)
        #expect(repaired.count == world.routes.count)
        #expect(repaired.allSatisfy { $0.message == "it was missing" && $0.revision == 1 })
        // Only the waiting that showed that there is nothing left moved the clock.
        #expect(before.duration(to: host.clock.now) <= .seconds(4))
    }

    @Test func whatNobodyTellsOfIsFoundByLooking() throws {
        let host = try Host()
        let parameter = try #require(
            host.kernel.world.host.state.sysctls.first { parameter in
                parameter.value != "0"
                    && host.kernel.commits.flatMap(\.operations).contains {
                        $0.object == parameter.description
                    }
            })
        let commits = host.kernel.commits.count
        host.kernel.disturb { world in
            world.host.state.sysctls = world.host.state.sysctls.map {
                $0 == parameter ? Sysctl($0.path, "0") : $0
            }
        }
        try host.pass(.seconds(9))
        #expect(host.events(.driftRepaired).map(\.object) == [parameter.description])
        #expect(host.kernel.commits.count == commits + 1)
    }

    @Test func lostEventsAreMadeUpForByReadingEverything() throws {
        let host = try Host()
        let rule = try #require(host.rule)
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        host.kernel.loseEvents()
        try host.settle()
        #expect(host.events(.resynchronized).count == 1)
        #expect(host.rule != nil && host.agent.metrics.overruns == 1)
    }

    // MARK: - Interference

    @Test func aStaleGenerationIsTriedAgainInThePass() throws {
        let host = try Host(settles: false)
        host.kernel.beforeNextCommit { $0.host.state.firewall.generation += 1 }
        host.loop.turn()
        #expect(host.kernel.commits.count == 2 && host.agent.metrics.passes.count == 1)
        #expect(host.status.phase == .ready && host.clock.waits == [])
    }

    @Test func aDeviceThatGoesMeanwhileIsMadeAgainAtOnce() throws {
        let host = try Host()
        let port = try #require(host.kernel.world.host.state.links.first { $0.isPeerElsewhere }?.link.name)
        let before = host.clock.waits.count
        // The repair of the rule finds that the port has gone, too.
        host.kernel.beforeNextCommit { $0.remove(port) }
        let rule = try #require(host.rule)
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        for _ in 0..<20 where host.clock.waits.count == before { host.loop.turn() }
        #expect(host.kernel.world.host.state.link(named: port) != nil)
        #expect(host.status.phase == .ready)
        #expect(host.events(.applyFailed) == [])
    }

    @Test func whoNeverComesToAnEndWaits() throws {
        let host = try Host(settles: false)
        host.kernel.afterEveryCommit { world in
            world.host.state.rules.removeAll { $0.routeProtocol == Conventions.ownership.routeProtocol }
        }
        for _ in 0..<9 { host.loop.turn() }
        // Eight passes in a row, then a pause: nobody is to be kept busy for ever.
        #expect(host.status.phase == .failed)
        #expect(host.agent.metrics.passes.count == 9)
        host.kernel.afterEveryCommit(nil)
        try host.pass(.seconds(2))
        #expect(host.status.phase == .ready)
    }

    // MARK: - Refusals

    @Test func whatIsRefusedIsTriedLaterAndLater() throws {
        let host = try Host(settles: false)
        host.kernel.refuse { $0.kind == .link && $0.action == .create ? Self.refused : nil }
        var tries: [Duration] = []
        var last = host.clock.now
        var commits = 0
        for _ in 0..<200 where tries.count < 9 {
            host.loop.turn()
            if host.kernel.commits.count == commits { continue }
            commits = host.kernel.commits.count
            tries.append(last.duration(to: host.clock.now))
            last = host.clock.now
        }
        // The periodic look comes every four seconds, and tries as well.
        #expect(tries.max() ?? .zero <= .seconds(4))
        #expect(host.status.phase == .failed)
        #expect(host.status.problems.values.contains { $0.reason.contains("no memory") })
        #expect(host.events(.applyFailed).count == 1)

        host.kernel.refuse(nil)
        try host.pass(.seconds(4))
        #expect(host.status.phase == .ready)
    }

    @Test func aRefusalIsNoDrift() throws {
        let host = try Host()
        let rule = try #require(host.rule)
        host.kernel.refuse { $0.kind == .rule ? Self.refused : nil }
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        try host.settle()
        #expect(host.events(.driftRepaired) == [] && host.status.phase == .failed)
        host.kernel.refuse(nil)
        try host.pass(.seconds(4))
        #expect(host.events(.driftRepaired).count == 1 && host.status.phase == .ready)
    }

    // MARK: - What cannot be read

    @Test func aDisturbedDumpIsReadAgainLater() throws {
        let host = try Host()
        let begin = host.clock.now
        let rule = try #require(host.rule)
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        host.kernel.failReadings(.disturbedDump, .disturbedDump)
        host.loop.pass()
        #expect(host.status.phase == .failed)
        #expect(host.status.reason == FakeKernelFailure.disturbedDump.description)
        // After one second, and after two more: then it can be read.
        try host.pass(.seconds(3))
        #expect(host.rule != nil && host.status.phase == .ready)
        #expect(begin.duration(to: host.clock.now) == .seconds(3))
        #expect(host.events(.applyFailed).count == 1)
    }

    @Test func whatCannotBeReadBackIsFoundToBeDone() throws {
        let host = try Host()
        let rule = try #require(host.rule)
        let commits = host.kernel.commits.count
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        host.kernel.failReadings(after: 1, .disturbedDump)
        host.loop.pass()
        #expect(host.status.phase == .failed)
        #expect(host.kernel.commits.count == commits + 1 && host.rule == rule)
        try host.pass(.seconds(1))
        #expect(host.kernel.commits.count == commits + 1 && host.status.phase == .ready)
    }

    // MARK: - Fights

    @Test func aFightIsAnAlarmWithLongerAndLongerPauses() throws {
        let host = try Host()
        let rule = try #require(host.rule)
        host.kernel.afterEveryCommit { $0.host.state.rules.removeAll { $0 == rule } }
        host.kernel.disturb { $0.host.state.rules.removeAll { $0 == rule } }
        try host.settle()
        #expect(host.events(.alarmRaised).map(\.object) == [rule.description])
        #expect(host.status.alarms.map(\.object) == [rule.description])
        // It is tried when its pause is over, and not only when something else is looked at.
        var tries: [Duration] = []
        var (last, commits) = (host.clock.now, host.kernel.commits.count)
        for _ in 0..<1000 where tries.count < 3 {
            host.loop.turn()
            if host.kernel.commits.count == commits { continue }
            commits = host.kernel.commits.count
            tries.append(last.duration(to: host.clock.now))
            last = host.clock.now
        }
        #expect(tries == [.seconds(2), .seconds(4), .seconds(8)])

        host.kernel.afterEveryCommit(nil)
        try host.pass(.seconds(16))
        #expect(host.rule == rule)
        #expect(host.events(.alarmCleared) == [])
        try host.pass(.seconds(60 + 32))
        #expect(host.events(.alarmCleared).map(\.object) == [rule.description])
        #expect(host.status.alarms == [] && host.status.phase == .ready)
    }

    // MARK: - Manifests

    /// Takes in what has changed; what has to be resolved as a whole is prepared beside the loop.
    private func accept(_ host: Host, _ revision: Int) {
        for _ in 0..<10_000 where host.status.desiredRevision != revision { turn(host) }
    }

    private func turn(_ host: Host) {
        if host.agent.pendingChanges == 0 { return host.loop.turn() }
        // The set is prepared by another thread: time stands still for it.
        usleep(100)
        for command in host.agent.mailbox.take() { host.loop.carryOut(command) }
    }

    /// Has a set prepared, whatever becomes of it.
    private func prepare(_ host: Host) {
        repeat { turn(host) } while host.agent.pendingChanges == 0
        repeat { turn(host) } while host.agent.pendingChanges > 0
    }

    @Test func aRenamedFileIsTakenInAtOnce() throws {
        let host = try Host()
        let (begin, waits) = (host.clock.now, host.clock.waits.count)
        try put(Host.text(2), as: "all.yaml", of: host)
        accept(host, 2)
        host.loop.pass()
        #expect(host.status.observedRevision == 2)
        #expect(host.clock.now == begin && host.clock.waits.count == waits)
    }

    private func put(_ text: String, as name: String, of host: Host) throws {
        try Data(text.utf8).write(to: URL(filePath: host.folder + "/new"))
        try #require(rename(host.folder + "/new", host.folder + "/manifests/" + name) == 0)
    }

    /// An interface goes from one file to another: after the first of two renames both have it.
    @Test func halfOfAChangeIsNotRefused() throws {
        let host = try Host()
        let interface = try #require(Host.text(1).split(separator: "---\n").last)
        try put("apiVersion: vpcctl.dev/v1\n" + interface, as: "more.yaml", of: host)
        prepare(host)
        #expect(host.events(.revisionRejected) == [] && host.status.rejected == [])
        try put(Host.text(0), as: "all.yaml", of: host)
        accept(host, 2)
        #expect(host.status.desiredRevision == 2 && host.events(.revisionRejected) == [])

        // And now without the other half.
        try put(Host.text(1), as: "all.yaml", of: host)
        prepare(host)
        #expect(host.events(.revisionRejected) == [])
        try host.pass(.seconds(1))
        #expect(host.events(.revisionRejected).count == 1 && host.status.rejected.count == 1)
    }

    /// Hosts keep their numbers: this one is not the first that is left.
    @Test func anotherHostGoes() throws {
        let host = try Host(others: [1, 2])
        // Each set anew, so that all of it is resolved.
        for (revision, others) in [[2], [2, 3], [3], [], [1]].enumerated() {
            host.loop.propose(
                ReconcileLoop.Proposal(
                    origin: .request(confirmSeconds: nil) { _ in },
                    load: { ManifestSet([ManifestSource(name: "all.yaml", text: Host.text(1, others: others))]) }))
            prepare(host)
            host.loop.pass()
            #expect(host.status.host == "h1" && host.status.desiredRevision == revision + 2, "\(others)")
            #expect(host.status.phase == .ready)
        }
    }

    @Test func aFileThatIsWrittenIsTakenInAfterAMoment() throws {
        let host = try Host()
        let begin = host.clock.now
        try Data(Host.text(2).utf8).write(to: URL(filePath: host.folder + "/manifests/all.yaml"))
        accept(host, 2)
        #expect(host.status.desiredRevision == 2)
        #expect(begin.duration(to: host.clock.now) == .milliseconds(100))
    }
}
