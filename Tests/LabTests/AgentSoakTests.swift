import Agent
import Foundation
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing
import VPCCompiler

extension LabTests {
    /// Months in minutes: changes of the manifests, of the kernel by somebody else, and restarts, in any order.
    @Suite(.needsOverlay, .timeLimit(minutes: 30)) struct AgentSoakTests {
        /// `VPCCTL_SOAK_OPERATIONS` for a campaign.
        private static let operations =
            ProcessInfo.processInfo.environment["VPCCTL_SOAK_OPERATIONS"].flatMap { Int($0) } ?? 600
        private static let burst = 20

        @Test(arguments: Seeds.fresh()) func nothingGrowsAndNothingIsLeft(_ seed: UInt64) async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            var generator = Dice(seed: seed)
            var run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            let variants = AgentKillTests.variants
            var first: Resources?
            for round in 0..<Self.operations / Self.burst {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0:
                    run.stop()
                    run = try AgentRun(lab, folder: run.folder)
                case 1, 2:
                    let scenario = try #require(variants.randomElement(using: &generator))
                    try await Self.give(scenario.text(prefix: lab.prefix), to: run)
                default: break
                }
                var vandal = try Vandal(run.kernel, generator)
                for _ in 0..<Self.burst { vandal.damage() }
                generator = vandal.generator
                let status = try await run.agent.settled()
                // Where an object was hit again and again it is left alone for a while.
                if status.alarms.isEmpty { #expect(try run.difference() == [], "round \(round)") }
                // Buffers have had their largest size by then. Every guest's namespace takes a socket, so with the guests
                // that there are at the end.
                if round == Self.operations / Self.burst / 4 {
                    try await Self.give(Scenario.agents.text(prefix: lab.prefix), to: run)
                    _ = try await run.agent.settled()
                    first = try await Resources(run.agent)
                }
            }
            // A new desired state ends all pauses.
            try AgentRun.write(variants[1].text(prefix: lab.prefix) + "\n", to: run.manifests + "/all.json")
            try AgentRun.write(Scenario.agents.text(prefix: lab.prefix), to: run.manifests + "/all.json")
            run.agent.resynchronize()
            while !(try run.difference().isEmpty) { _ = try await run.agent.settled() }
            let last = try await Resources(run.agent)
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
            let before = try #require(first)
            #expect(
                last.descriptors.count <= before.descriptors.count,
                "\(before) then \(last): \(last.descriptors.difference(from: before.descriptors))")
            #expect(last.residentKiB <= before.residentKiB + 8192, "\(before) then \(last)")
            print("soak: \(Self.operations) operations, \(before) then \(last)")
        }

        private static func give(_ text: String, to run: AgentRun) async throws {
            let path = run.manifests + "/all.json"
            if try String(contentsOfFile: path, encoding: .utf8) == text { return }
            let last = run.lastEvent
            try AgentRun.write(text, to: path)
            try await run.event(after: last) { $0.type == .revisionAccepted }
        }

        /// What a process holds.
        struct Resources: CustomStringConvertible {
            /// What they lead to.
            var descriptors: [String]
            var residentKiB: Int

            /// What the agent has open for a moment, to look at the kernel, is not counted: it is gone when the agent has
            /// come to rest, and what it opens then was not there before.
            init(_ agent: Agent) async throws {
                let before = try Self.openDescriptors()
                _ = try await agent.settled()
                descriptors = try Self.openDescriptors().filter { before[$0.key] == $0.value }.values.sorted()
                let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
                residentKiB = try #require(Int(pages[1])) * Int(getpagesize()) / 1024
            }

            /// By number what they lead to, but the one that lists them, which is gone by then.
            private static func openDescriptors() throws -> [String: String] {
                let folder = "/proc/self/fd/"
                let numbers = try FileManager.default.contentsOfDirectory(atPath: folder)
                let targets = numbers.map { try? FileManager.default.destinationOfSymbolicLink(atPath: folder + $0) }
                return Dictionary(uniqueKeysWithValues: zip(numbers, targets)).compactMapValues(\.self)
            }

            var description: String { "\(descriptors.count) descriptors and \(residentKiB) KiB" }
        }
    }
}

/// Somebody else with the right to change everything.
struct Vandal {
    let kernel: KernelDriver
    var generator: Dice

    private let snapshot: NamespaceSnapshot

    init(_ kernel: KernelDriver, _ generator: Dice) throws {
        self.kernel = kernel
        self.generator = generator
        snapshot = try kernel.observe(
            ObservationRequest(owner: Conventions.ownership, firewall: FirewallTables.all)
        ).host
    }

    /// Deletes, changes or adds one object of ours; it may be gone already.
    mutating func damage() {
        var plan = ChangePlan()
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: delete(snapshot.routes, &plan) { .routes($0) }
        case 1: delete(snapshot.nexthops, &plan) { .nexthops($0) }
        case 2: delete(snapshot.neighbors, &plan) { .neighbors($0) }
        case 3: delete(snapshot.addresses, &plan) { .addresses($0) }
        case 4:
            delete(snapshot.rules.filter { $0.routeProtocol == Conventions.ownership.routeProtocol }, &plan) {
                .rules($0)
            }
        case 5:
            let key = Route.Key(
                table: TableID(1_000_001),
                destination: IPPrefix(IPAddress(v4: .random(in: 0x0A00_0000...0x0A00_FFFF, using: &generator))))
            plan.steps = [.init(.routes(ChangeSet(creations: [Attributed(.unreachable(key), from: .none)])))]
        case 6:
            guard let seen = snapshot.links.filter(\.isOwned).randomElement(using: &generator) else { return }
            var changed = seen.link
            changed.mtu = .random(in: 1280...1400, using: &generator)
            plan.steps = [
                .init(.links(ChangeSet(replacements: [Replacement(old: seen.link, new: changed, origin: .none)])))
            ]
        default:
            let table = snapshot.firewall.tables.first { $0.table == FirewallTables.filter }
            guard
                let set = table?.sets.filter({ !$0.elements.isEmpty && !$0.shape.isConstant }).randomElement(
                    using: &generator)
            else { return }
            let index = Int.random(in: 0..<set.elements.count, using: &generator)
            let removal = NFOperation.removeElements(set: set.name, set.shape, set.elements[index..<index + 1])
            plan.steps = [.init(.firewall([NFChangeSet(FirewallTables.filter, [removal])], generation: nil))]
        }
        // What does not work any more, because something else is gone, is no damage.
        _ = kernel.commit(plan, owner: Conventions.ownership)
    }

    private mutating func delete<Object>(
        _ objects: [Object], _ plan: inout ChangePlan, _ work: (ChangeSet<Object>) -> ChangePlan.Work
    ) {
        guard let object = objects.randomElement(using: &generator) else { return }
        plan.steps = [.init(work(ChangeSet(deletions: [object])))]
    }
}
