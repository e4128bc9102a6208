import Agent
import Foundation
import KernelDriver
import Netlink
import Reconciler
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// From any valid state to any other, at the first try.
    @Suite(.needsOverlay, .timeLimit(minutes: 30)) struct TransitionTests {
        /// VPCCTL_TRANSITION_STEPS names another number of manifests in a row.
        static let steps =
            ProcessInfo.processInfo.environment["VPCCTL_TRANSITION_STEPS"].flatMap { Int($0) } ?? 10

        /// Everything that can happen to a manifest, one thing after the other.
        @Test func everyChangeIsDoneAtOnce() throws {
            let course = try Course(seed: 3)
            defer { course.tearDown() }
            try course.applyByCommand("first")
            for change in DrawnManifest.Change.allCases where change != .redraw {
                try course.make(change)
                try course.applyByCommand(change.rawValue)
            }
            try course.removeEverything()
        }

        @Test(arguments: Seeds.only(1, 2)) func commandsApplyAnythingOverAnything(_ seed: UInt64) throws {
            let course = try Course(seed: seed)
            defer { course.tearDown() }
            try course.applyByCommand("first")
            for step in 1...Self.steps { try course.applyByCommand("step \(step): \(course.change())") }
            try course.removeEverything()
            course.expectTraffic()
        }

        @Test(arguments: Seeds.only(1, 2)) func daemonsApplyAnythingOverAnything(_ seed: UInt64) async throws {
            let course = try Course(seed: seed)
            defer { course.tearDown() }
            try await course.applyByDaemon("first")
            for step in 1...Self.steps { try await course.applyByDaemon("step \(step): \(course.change())") }
            course.stopDaemons()
            try course.removeEverything()
            course.expectTraffic()
        }
    }
}

/// Manifests that follow one another on the same machines.
private final class Course {
    let machines: Machines
    var drawn: DrawnManifest
    private let seed: UInt64
    private var dice: Dice
    private var daemons: [AgentRun] = []
    private var hosts: [String] = []
    private var counts = (answered: 0, denied: 0)

    init(seed: UInt64) throws {
        self.seed = seed
        machines = try Machines()
        drawn = DrawnManifest(machines, Dice(seed: seed))
        dice = Dice(seed: seed &+ 1_000_000)
    }

    /// One change, some, or another manifest altogether.
    func change() -> String {
        if dice.happens(25), drawn.make(.redraw) { return "redraw" }
        var made: [String] = []
        let wanted = dice.pick([1, 2, 4, 7])
        while made.count < wanted {
            let change = dice.pick(DrawnManifest.Change.allCases)
            if change != .redraw, drawn.make(change) { made.append(change.rawValue) }
        }
        return made.joined(separator: ", ")
    }

    /// Makes one change; where there is nothing that it could change, another manifest comes before.
    func make(_ change: DrawnManifest.Change) throws {
        var copy = drawn
        if drawn.make(change) { return }
        repeat {
            _ = drawn.make(.redraw)
            copy = drawn
        } while !copy.make(change)
        try applyByCommand("before \(change)")
        drawn = copy
    }

    private func topology() throws -> Topology { try #require(drawn.topology) }

    func applyByCommand(_ step: String) throws {
        let step = "seed \(seed), \(step)"
        let topology = try topology()
        let machines = machines
        try machines.configureVirtualMachines(topology)
        let results = try onThreads(Array(machines.machines.indices)) { machine in
            Result {
                let host = try machines.host(of: machine, in: topology)
                let reconciler = HostReconciler(kernel: machines.kernel(machine), for: host, in: topology)
                let plan = try reconciler.plan(topology, host: host)
                return (plan: plan, outcome: try reconciler.apply(plan))
            }
        }
        for result in results {
            let (plan, outcome) = try result.get()
            machines.expectDone(outcome, plan, step)
        }
        try check(topology, step)
    }

    func applyByDaemon(_ step: String) async throws {
        let step = "seed \(seed), \(step)"
        let topology = try topology()
        try machines.configureVirtualMachines(topology)
        try startDaemons(
            machines.machines.indices.map { topology.hosts[try machines.host(of: $0, in: topology)].metadata.name })
        let text = ManifestText.json(ResourceKind.allCases.flatMap { drawn.model.resources(of: $0) })
        let sources = [ManifestSource(name: "all.json", text: text)]
        let results = try await withThrowingTaskGroup(of: AppliedRevision.self) { group in
            for daemon in daemons { group.addTask { try await daemon.agent.apply(sources) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for result in results { machines.expectDone(result.outcome, result.planned.plan, step) }
        try check(topology, step)
    }

    /// A daemon is told its host's name when it starts.
    private func startDaemons(_ names: [String]) throws {
        for (machine, name) in names.enumerated() {
            if machine < daemons.count, hosts[machine] == name { continue }
            let namespace = machines.machines[machine].namespace
            if machine < daemons.count {
                daemons[machine].stop()
                daemons[machine] = try AgentRun(namespace: namespace, host: name, nil, folder: daemons[machine].folder)
            } else {
                daemons.append(try AgentRun(namespace: namespace, host: name, nil))
            }
        }
        hosts = names
    }

    func stopDaemons() {
        for daemon in daemons { daemon.remove() }
        daemons.removeAll()
    }

    func tearDown() {
        stopDaemons()
        machines.tearDown()
    }

    private func check(_ topology: Topology, _ step: String) throws {
        try machines.expectNothingToDo(topology, step)
        try machines.checkForeignObjects(step)
        let probes = try machines.probe(topology, step, &dice)
        counts.answered += probes.answered
        counts.denied += probes.denied
    }

    func removeEverything() throws {
        for machine in machines.machines.indices {
            let reconciler = HostReconciler(kernel: machines.kernel(machine))
            let outcome = try reconciler.apply(reconciler.removalPlan())
            #expect(outcome.report.failures == [])
            #expect(outcome.remaining.isEmpty)
        }
        try machines.checkThatNothingIsLeft()
        try machines.checkForeignObjects("at the end")
    }

    /// Without traffic nothing would have been shown.
    func expectTraffic() {
        print("transitions: \(counts.answered) pings were answered, \(counts.denied) were not")
        #expect(counts.answered > 10)
    }
}
