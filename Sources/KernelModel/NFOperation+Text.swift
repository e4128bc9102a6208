extension NFOperation {
    /// As nft(8) would be told, an operation on many elements with their number: `set inet filter blocked: 3 elements`.
    public func text(in table: NFTable) -> String {
        switch self {
        case .createTable, .wakeTable, .deleteTable: "table \(table)"
        case .createCounter(let counter): "counter \(table) \(counter.name)"
        case .deleteObject(let name, _): "object \(table) \(name)"
        case .createSet(let set): "set \(table) \(set.name)"
        case .deleteSet(let name): "set \(table) \(name)"
        case .addElements(let set, _, let elements), .removeElements(let set, _, let elements):
            "set \(table) \(set): \(elements.count) \(elements.count == 1 ? "element" : "elements")"
        case .flushSet(let name): "set \(table) \(name): all elements"
        case .createChain(let chain), .changePolicy(let chain): "chain \(table) \(chain.name)"
        case .deleteChain(let name): "chain \(table) \(name)"
        case .flushChain(let name): "chain \(table) \(name): all rules"
        case .addRule(let chain, let rule, _), .deleteRule(let chain, _, let rule):
            "rule \(table) \(chain): \(rule)"
        }
    }
}
