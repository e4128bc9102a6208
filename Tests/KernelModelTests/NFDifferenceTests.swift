import IPAddressing
import TestSupport
import Testing

@testable import KernelModel
@testable import NFTables

@Suite(.timeLimit(minutes: 10)) struct NFDifferenceTests {
    private let table = NFTable(.inet, "t")

    private func rule(_ number: Int) -> NFRule { NFRule(in: .inet, .match(.mark, UInt32(number)), .drop) }

    private func observed(_ rules: [NFRule]) -> NFObservedTable {
        var observed = NFObservedTable(table)
        observed.chains = [
            NFObservedChain(
                name: "c", base: nil,
                rules: rules.enumerated().map { NFObservedRule(rule: $1, handle: UInt64($0 + 1)) })
        ]
        return observed
    }

    /// Carries operations on one chain's rules out, as the kernel does.
    private func carriedOut(_ operations: [NFOperation], on observed: NFObservedTable) -> [NFRule] {
        var rules = observed.chains[0].rules
        for operation in operations {
            switch operation {
            case .flushChain: rules = []
            case .deleteRule(_, let handle, _): rules.removeAll { $0.handle == handle }
            case .addRule(_, let rule, .last): rules.append(NFObservedRule(rule: rule, handle: 0))
            case .addRule(_, let rule, .before(let handle)):
                let index = rules.firstIndex { $0.handle == handle } ?? rules.count
                rules.insert(NFObservedRule(rule: rule, handle: 0), at: index)
            default: Issue.record("\(operation)")
            }
        }
        return rules.map(\.rule)
    }

    @Test(arguments: Seeds.fresh()) func rulesBecomeWhatTheyShallBe(_ seed: UInt64) {
        var random = Dice(seed: seed)
        for round in 0..<2000 {
            let kinds = 1 + round % 12
            func some() -> [NFRule] {
                (0..<Int.random(in: 0...10, using: &random)).map { _ in rule(Int.random(in: 0..<kinds, using: &random))
                }
            }
            let (wanted, seen) = (some(), some())
            var intent = NFTableIntent(table)
            intent.chains = [NFChain("c", rules: wanted)]
            let operations = intent.changes(from: observed(seen)).operations
            #expect(carriedOut(operations, on: observed(seen)) == wanted)
            if wanted == seen { #expect(operations.isEmpty) }
        }
    }

    /// Of distinct rules no more are touched than must be.
    @Test func theMostRulesStay() {
        var intent = NFTableIntent(table)
        intent.chains = [NFChain("c", rules: [9, 1, 2, 0, 3, 4, 5].map(rule))]
        let operations = intent.changes(from: observed([0, 1, 2, 3, 4, 5].map(rule))).operations
        #expect(operations.count == 3)
    }
}
