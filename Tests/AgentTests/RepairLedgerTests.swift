import FakeKernel
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing

@testable import Agent

/// Who is repaired how often.
@Suite(.timeLimit(minutes: 10)) struct RepairLedgerTests {
    private let start = ContinuousClock.now

    private func operation(_ object: String, _ kind: ObjectKind = .rule) -> KernelModel.Operation {
        KernelModel.Operation(in: .host, action: .create, kind: kind, object: object, origin: Origin(1))
    }

    private func subject(_ object: String) -> RepairLedger.Subject { .init(operation(object)) }

    @Test func aFightBeginsWithTheFifthRepairAndPausesDouble() {
        var ledger = RepairLedger()
        var now = start
        for number in 1...4 {
            #expect(ledger.note([operation("a")], at: now) { _ in "Host/h1" } == [], "\(number)")
            #expect(ledger.paused(at: now) == [] && ledger.alarms(at: now) == [])
            now += .seconds(1)
        }
        // Nothing has to be looked at again as long as nobody fights.
        #expect(ledger.nextDeadline(after: now) == nil)
        #expect(ledger.note([operation("a")], at: now) { _ in "Host/h1" } == [subject("a")])
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            #expect(ledger.paused(at: now) == [subject("a")])
            #expect(ledger.alarms(at: now).map(\.pauseSeconds) == [pause])
            #expect(ledger.alarms(at: now).map(\.resource) == ["Host/h1"])
            #expect(ledger.nextDeadline(after: now) == now + .seconds(pause))
            now += .seconds(pause)
            #expect(ledger.paused(at: now) == [])
            // The fight is announced once.
            #expect(ledger.note([operation("a")], at: now) { _ in "Host/h1" } == [])
        }
    }

    @Test func aFightIsOverAfterAMinuteOfPeaceBehindThePause() {
        var ledger = RepairLedger()
        for _ in 0..<5 { _ = ledger.note([operation("b"), operation("a")], at: start) { _ in nil } }
        _ = ledger.note([operation("quiet")], at: start) { _ in nil }
        // The pause of a second is over, and it is looked at again a minute later.
        #expect(ledger.nextDeadline(after: start + .seconds(1)) == start + .seconds(61))
        #expect(ledger.forget(at: start + .milliseconds(60_999)) == [])
        #expect(ledger.entries.count == 2)
        #expect(ledger.forget(at: start + .seconds(61)) == [subject("a"), subject("b")])
        #expect(ledger.entries.isEmpty && ledger.nextDeadline(after: start) == nil)
    }

    @Test func peaceBeginsANewCount() {
        var ledger = RepairLedger()
        for _ in 0..<4 { _ = ledger.note([operation("a")], at: start) { _ in nil } }
        #expect(ledger.note([operation("a")], at: start + .seconds(60)) { _ in nil } == [])
        #expect(ledger.entries[subject("a")]?.repairs == 1)
    }

    @Test func objectsAreToldApartByNamespaceAndKind() {
        var ledger = RepairLedger()
        var elsewhere = operation("a")
        elsewhere.place = .guest(NamespaceName("guest"))
        for _ in 0..<4 { _ = ledger.note([operation("a"), elsewhere, operation("a", .link)], at: start) { _ in nil } }
        #expect(ledger.note([elsewhere], at: start) { _ in nil } == [.init(elsewhere)])
    }

    /// Fights go on under another desired state; what else was repaired is forgotten.
    @Test func aNewDesiredStateForgetsButFights() {
        var ledger = RepairLedger()
        for _ in 0..<5 { _ = ledger.note([operation("fight")], at: start) { _ in nil } }
        _ = ledger.note([operation("other")], at: start) { _ in nil }
        ledger.reset()
        #expect(Array(ledger.entries.keys) == [subject("fight")])
    }

    @Test func whatIsPausedIsLeftOutOfAPlan() throws {
        let rules = [1, 2].map { priority in
            Rule(priority: priority, action: .unreachable, routeProtocol: RouteProtocol(118))
        }
        let routes = ChangeSet<Route>(deletions: [
            .blackhole(Route.Key(table: TableID(7), destination: try #require(.init("10.0.0.0/8"))))
        ])
        var plan = ChangePlan()
        plan.steps = [
            .init(.rules(ChangeSet(deletions: [rules[0]], creations: [Attributed(rules[1], from: .none)]))),
            .init(.routes(routes)),
        ]
        let operations = plan.operations
        #expect(plan.without([]) == plan)
        #expect(plan.without([.init(operations[0])]).operations == Array(operations.dropFirst()))
        #expect(plan.without(Set(operations.prefix(2).map { .init($0) })).steps == [.init(.routes(routes))])
        // In another namespace it is another object.
        var elsewhere = operations[0]
        elsewhere.place = .guest(NamespaceName("guest"))
        #expect(plan.without([.init(elsewhere)]) == plan)
    }

    /// Transactions of nf_tables build on each other: one that is paused keeps all of them back, and what they cut.
    @Test func aPausedTransactionKeepsTheFirewallBack() {
        let table = NFTable(.inet, "filter")
        let counters = ["a", "b"].map { NFOperation.createCounter(NFCounter($0)) }
        var plan = ChangePlan()
        plan.steps = counters.map { .init(.firewall([NFChangeSet(table, [$0])], generation: nil)) }
        plan.steps.append(
            .init(
                .rules(
                    ChangeSet(deletions: [
                        Rule(priority: 1, action: .unreachable, routeProtocol: RouteProtocol(118))
                    ]))))
        let rest = plan.without([.init(plan.operations[1])])
        #expect(rest.steps.map(\.work.kind) == [.rule])
    }
}
