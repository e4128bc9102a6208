import IPAddressing
import Testing

@testable import KernelModel

@Suite struct NFDifferenceTests {
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

    @Test func rulesBecomeWhatTheyShallBe() {
        var random = SystemRandomNumberGenerator()
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

    // MARK: Stages

    private func firstLoad() -> NFChangeSet {
        var intent = NFTableIntent(table)
        for (name, count) in [("policy", 25), ("admission", 7), ("last", 1)] {
            var set = NFSet(name, of: .ipv4Address)
            for number in 0..<count { set.add(IPAddress(v4: UInt32(number))) }
            intent.sets.append(set)
        }
        var constant = NFSet("constant", of: .ipv4Address, isConstant: true)
        constant.add(IPAddress(v4: 1))
        intent.sets.append(constant)
        intent.chains = [NFChain("c", rules: [rule(1)])]
        intent.normalize()
        return intent.changes(from: nil)
    }

    @Test func aLargeLoadGrantsLast() {
        let load = firstLoad()
        #expect(load.transactions(limit: 100) == [load])
        let parts = load.transactions(limit: 10, stages: [["admission"], ["last"]])
        let sizes = parts.map { part in
            part.operations.compactMap { operation -> String? in
                guard case .addElements(let set, _, let elements) = operation else { return nil }
                return "\(set) \(elements.count)"
            }
        }
        #expect(
            sizes == [["constant 1"], ["policy 10"], ["policy 10"], ["policy 5"], ["admission 7"], ["last 1"]])
        // All else is in the first one, constant elements in front of the rules.
        #expect(parts[0].operations.count == load.operations.count - 3)
        #expect(NFChangeSet(table).transactions() == [])
        // Nothing is lost or told twice.
        #expect(Set(parts.flatMap(\.items)) == Set(load.items))
        #expect(parts.flatMap(\.items).count == load.items.count)
    }

    @Test func aLargeChangeWithdrawsFirst() {
        var numbers = NFSet("policy", of: .ipv4Address)
        for number in 0..<8 { numbers.add(IPAddress(v4: UInt32(number))) }
        let (shape, elements) = (numbers.shape, numbers.elements)
        let change = NFChangeSet(
            table,
            [
                .deleteRule(chain: "c", handle: 1, rule(1)), .flushSet(name: "flushed"),
                .removeElements(set: "policy", shape, elements), .removeElements(set: "admission", shape, elements),
                .addRule(chain: "c", rule(2), .last), .addElements(set: "admission", shape, elements),
                .addElements(set: "policy", shape, elements),
            ])
        let parts = change.transactions(limit: 10, stages: [["admission", "flushed"]])
        let text = parts.map { part in
            part.operations.map { operation in
                switch operation {
                case .removeElements(let set, _, let elements): "-\(set) \(elements.count)"
                case .addElements(let set, _, let elements): "+\(set) \(elements.count)"
                case .flushSet(let set): "0\(set)"
                default: operation.action.rawValue
                }
            }.joined(separator: " ")
        }
        #expect(text == ["0flushed -admission 8", "-policy 8", "delete create", "+policy 8", "+admission 8"])
    }
}
