import FakeKernel
import Foundation
import KernelModel
import KernelNames
import Liveness
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCModel

@testable import Agent

/// The daemon's loop over a kernel in memory, turn by turn, by a clock that only waiting moves.
@Suite(.timeLimit(minutes: 10)) struct ReconcileLoopTests {
    private typealias Host = LoopHost

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

    @Test func aRenamedFileIsTakenInAtOnce() throws {
        let host = try Host()
        let (begin, waits) = (host.clock.now, host.clock.waits.count)
        try host.put(Host.text(2), as: "all.yaml")
        host.accept(2)
        host.loop.pass()
        #expect(host.status.observedRevision == 2)
        #expect(host.clock.now == begin && host.clock.waits.count == waits)
    }

    /// An interface goes from one file to another: after the first of two renames both have it.
    @Test func halfOfAChangeIsNotRefused() throws {
        let host = try Host()
        let interface = try #require(Host.text(1).split(separator: "---\n").last)
        try host.put("apiVersion: vpcctl.dev/v1\n" + interface, as: "more.yaml")
        host.prepare()
        #expect(host.events(.revisionRejected) == [] && host.status.rejected == [])
        try host.put(Host.text(0), as: "all.yaml")
        host.accept(2)
        #expect(host.status.desiredRevision == 2 && host.events(.revisionRejected) == [])

        // And now without the other half.
        try host.put(Host.text(1), as: "all.yaml")
        host.prepare()
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
                    load: { _ in ManifestSet([ManifestSource(name: "all.yaml", text: Host.text(1, others: others))]) }))
            host.finishPreparing()
            host.loop.pass()
            #expect(host.status.host == "h1" && host.status.desiredRevision == revision + 2, "\(others)")
            #expect(host.status.phase == .ready)
        }
    }

    @Test func aFileThatIsWrittenIsTakenInAfterAMoment() throws {
        let host = try Host()
        let begin = host.clock.now
        try Data(Host.text(2).utf8).write(to: URL(filePath: host.folder + "/manifests/all.yaml"))
        host.accept(2)
        #expect(host.status.desiredRevision == 2)
        #expect(begin.duration(to: host.clock.now) == .milliseconds(100))
    }
}

// MARK: - Next hops

extension ReconcileLoopTests {
    private static let watched =
        ManifestHead.subnet("10.0.1.0/24", of: "10.0.0.0/16", more: ", routeTable: t") + ManifestHead.guests(1) + """
            ---
            kind: Host
            metadata: {name: h2}
            spec: {underlay: {address: 172.31.0.2}}
            ---
            kind: RouteTable
            metadata: {name: t}
            spec:
              vpc: v
              routes:
                - destination: 0.0.0.0/0
                  nextHops: [{interface: fw1, liveness: bfd}, {interface: fw2, liveness: bfd}]
            ---
            kind: NetworkInterface
            metadata: {name: fw1}
            spec: {subnet: s, host: h2, address: 10.0.1.101, sourceDestCheck: false, attachment: {netns: a, device: eth0}}
            ---
            kind: NetworkInterface
            metadata: {name: fw2}
            spec: {subnet: s, host: h2, address: 10.0.1.102, sourceDestCheck: false, attachment: {netns: b, device: eth0}}

            """

    private static func report(dead: String...) -> LivenessReport {
        var report = LivenessReport()
        for name in ["fw1", "fw2"] {
            report.verdicts[FactKey(.bfd, name)] =
                dead.contains(name)
                ? LivenessVerdict(isAlive: false, "detection time expired") : LivenessVerdict(isAlive: true, "up")
        }
        return report
    }

    private static func members(_ host: LoopHost) -> Int? {
        host.kernel.world.host.state.nexthops.lazy.compactMap { nexthop in
            if case .group(let group) = nexthop.body { group.members.count } else { nil }
        }.first
    }

    @Test func aNextHopThatDiesLeavesItsGroupInTheSameTurn() throws {
        let host = try LoopHost()
        let source = ManifestSource(name: "all.yaml", text: Self.watched)
        _ = try host.ask { .apply([source], confirmSeconds: nil, $0) }
        try host.settle()
        host.loop.carryOut(.liveness(Self.report()))
        #expect(Self.members(host) == 2 && host.events(.gatewayDown).isEmpty && host.events(.gatewayUp).isEmpty)
        let (commits, before) = (host.kernel.commits.count, host.clock.now)

        host.loop.carryOut(.liveness(Self.report(dead: "fw1")))
        #expect(Self.members(host) == 1 && host.clock.now == before)
        // A group in place, and the way that it used.
        #expect(host.kernel.commits.count == commits + 1)
        let done = host.kernel.commits.last?.operations.map { "\($0.action.rawValue) \($0.kind.rawValue)" }
        #expect(done == ["change nexthop", "delete nexthop"])
        let down = try #require(host.events(.gatewayDown).first)
        #expect(down.message == "gateway fw1 is down: detection time expired")
        #expect(down.resource == "NetworkInterface/fw1")
        #expect(host.status.phase == .ready)
        #expect(host.status.gateways.map(\.isUp) == [false, true])
        #expect(host.status.notes[ResourceReference(.routeTable, "t")] == "0.0.0.0/0: without fw1")

        // Nobody else has done that, and it stays so whatever the loop looks at.
        try host.pass(.seconds(20))
        #expect(Self.members(host) == 1 && host.events(.driftRepaired).isEmpty)
        host.loop.carryOut(.resynchronize)
        try host.settle()
        #expect(Self.members(host) == 1)

        host.loop.carryOut(.liveness(Self.report(dead: "fw1", "fw2")))
        #expect(Self.members(host) == 2)
        #expect(
            host.status.notes[ResourceReference(.routeTable, "t")] == "0.0.0.0/0: no next hop answers, so all are used")
        host.loop.carryOut(.liveness(Self.report()))
        #expect(Self.members(host) == 2 && host.events(.gatewayUp).count == 2)
        #expect(host.status.notes.isEmpty)
        #expect(host.events(.driftRepaired).isEmpty)
    }
}
