import KernelNames
import NFTables
import TestSupport
import Testing

@testable import KernelModel

/// Connections that pass by a flowtable are judged anew between what forbids something and what leads them there again.
@Suite(.timeLimit(minutes: 10)) struct FlowJudgingTests {
    private static let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "test:")
    private static let ports = ["e-1", "e-2", "e-3"].map { InterfaceName($0)! }

    private static func intent(_ devices: [InterfaceName] = ports) -> KernelIntent {
        var table = NFTableIntent(NFTable(.inet, "flows"))
        table.flowtables = [NFFlowtable("fast", devices: devices)]
        table.chain("enter") { $0.rule(.offload(to: "fast")) }
        table.chain("forward", NFBaseChain(.filter, .forward, priority: 0)) { $0.rule(.goto("enter")) }
        table.normalize()
        var intent = KernelIntent()
        intent.host.firewall = [table]
        return intent
    }

    /// As the kernel has it after this intent, unless told otherwise.
    private static func snapshot(leads: Bool = true) -> KernelSnapshot {
        let table = intent().host.firewall[0]
        var seen = NFObservedTable(table.table)
        seen.flowtables = [NFObservedFlowtable(name: "fast", devices: ports, flags: table.flowtables[0].flags)]
        var handle: UInt64 = 1
        seen.chains = table.chains.map { chain in
            var observed = NFObservedChain(name: chain.name, base: chain.base)
            for rule in chain.rules where leads || chain.name != "enter" {
                observed.rules.append(NFObservedRule(rule: rule, handle: handle, digest: rule.digest))
                handle += 1
            }
            return observed
        }
        var snapshot = KernelSnapshot()
        snapshot.host.firewall = NFSnapshot(generation: 7, tables: [seen])
        return snapshot
    }

    private static func steps(
        _ intent: KernelIntent, from snapshot: KernelSnapshot, renewing: ChangedKeys<String> = .none
    ) -> [[String]] {
        intent.changes(from: snapshot, owner: owner, renewed: { _ in renewing }).steps.map { step in
            switch step.work {
            case .firewall(let tables, _): tables.flatMap { $0.items.map(\.object) }
            case .judgeAnew: ["judge anew"]
            default: ["\(step)"]
            }
        }
    }

    private static let flush = "rules of chain inet flows enter"
    private static let lead = "rule inet flows enter \(intent().host.firewall[0].chains[0].rules[0])"

    @Test func whatLeadsThereGoesFirstAndComesLast() {
        #expect(Self.steps(Self.intent(), from: Self.snapshot()) == [])
        let renewed = Self.steps(Self.intent(), from: Self.snapshot(), renewing: .any)
        #expect(renewed == [[Self.flush], ["judge anew"], [Self.lead]])
        #expect(Self.steps(Self.intent(), from: Self.snapshot(), renewing: ChangedKeys(["another"])) == [])
    }

    /// What is forbidden stops with the transaction that forbids it: by then nobody passes by the rules any more.
    @Test func theyAreJudgedBeforeThePolicyChanges() {
        var policy = NFTableIntent(NFTable(.inet, "policy"))
        policy.chain("forward", NFBaseChain(.filter, .forward, priority: 0)) { $0.rule(.drop) }
        policy.normalize()
        var intent = Self.intent()
        intent.host.firewall.insert(policy, at: 0)
        var snapshot = Self.snapshot()
        var seen = NFObservedTable(policy.table)
        seen.chains = policy.chains.map { NFObservedChain(name: $0.name, base: $0.base) }
        snapshot.host.firewall.tables.append(seen)
        let forbidding = "rule inet policy forward drop"
        let steps = Self.steps(intent, from: snapshot, renewing: .any)
        #expect(steps == [[Self.flush], ["judge anew"], [forbidding], [Self.lead]])
        #expect(Self.steps(intent, from: snapshot) == [[forbidding]])
    }

    /// By then nothing leads there, but what was to be judged may still be there.
    @Test func whoWasInterruptedGoesOn() {
        #expect(Self.steps(Self.intent(), from: Self.snapshot(leads: false)) == [["judge anew"], [Self.lead]])
    }

    /// A device that stays is taken out, and who leaves by it is judged anew.
    @Test func aDeviceThatStaysIsTakenOut() {
        let devices = Array(Self.ports.dropFirst())
        let steps = Self.steps(Self.intent(devices), from: Self.snapshot())
        #expect(steps == [[Self.flush, "devices of flowtable inet flows fast { e-1 }"], ["judge anew"], [Self.lead]])
    }

    /// One of another form is made anew, with nobody in it.
    @Test func anotherFormIsMadeAnew() {
        var intent = Self.intent()
        intent.host.firewall[0].flowtables[0].priority = 5
        let steps = Self.steps(intent, from: Self.snapshot())
        #expect(steps.count == 2 && steps[0] == [Self.flush, "flowtable inet flows fast"])
        #expect(steps.last?.last == Self.lead)
    }
}
