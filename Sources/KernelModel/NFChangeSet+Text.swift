public import KernelNames
public import NFTables

extension NFChangeSet {
    /// One object that is created, changed or deleted.
    public struct Item: Hashable, Sendable {
        public var action: Operation.Action
        /// As one would tell nft(8): `element inet filter blocked { 192.0.2.1 }`.
        public var object: String
        public var origin: Origin
    }

    /// Calls `body` with everything that changes, in order, without making a list of it.
    public func forEachItem(_ body: (Item) -> Void) {
        for operation in operations {
            switch operation {
            case .addElements(let set, let shape, let elements), .removeElements(let set, let shape, let elements),
                .renewElements(let set, let shape, let elements):
                for index in 0..<elements.count {
                    body(
                        Item(
                            action: operation.action,
                            object: "element \(table) \(set) { \(shape.text(of: index, in: elements)) }",
                            origin: elements.origin(of: index)))
                }
            default:
                body(Item(action: operation.action, object: operation.text(in: table), origin: operation.origin))
            }
        }
    }

    /// Everything that changes.
    public var items: [Item] {
        var list: [Item] = []
        forEachItem { list.append($0) }
        return list
    }
}

extension NFOperation {
    /// As nft(8) would be told.
    public func text(in table: NFTable) -> String {
        switch self {
        case .createTable, .wakeTable, .deleteTable: "table \(table)"
        case .createCounter(let counter): "counter \(table) \(counter.name)"
        case .createObject(let object): "\(NFObservedObject.word(ofType: object.body.type)) \(table) \(object.name)"
        case .deleteObject(let name, let type): "\(NFObservedObject.word(ofType: type)) \(table) \(name)"
        case .createFlowtable(let flowtable): Self.text(of: flowtable, flowtable.devices, in: table)
        case .deleteFlowtable(let flowtable): "flowtable \(table) \(flowtable.name)"
        case .addDevices(let devices, let flowtable): Self.text(of: flowtable, devices, in: table)
        case .removeDevices(let devices, let flowtable):
            "devices of flowtable \(table) \(flowtable.name) { \(devices.map(\.description).joined(separator: ", ")) }"
        case .createSet(let set): "\(set.shape.data == nil ? "set" : "map") \(table) \(set.name)"
        case .deleteSet(let name): "set \(table) \(name)"
        case .flushSet(let name): "elements of set \(table) \(name)"
        case .createChain(let chain), .changePolicy(let chain):
            "chain \(table) \(chain.name)" + (chain.base.map { " { \($0) }" } ?? "")
        case .deleteChain(let name): "chain \(table) \(name)"
        case .flushChain(let name): "rules of chain \(table) \(name)"
        case .addRule(let chain, let rule, _): "rule \(table) \(chain) \(rule)"
        case .deleteRule(let chain, let handle, let rule): "rule \(table) \(chain) handle \(handle) \(rule)"
        case .addElements(let set, _, _), .removeElements(let set, _, _), .renewElements(let set, _, _):
            "elements of set \(table) \(set)"
        }
    }

    private static func text(of flowtable: NFFlowtable, _ devices: [InterfaceName], in table: NFTable) -> String {
        let list = devices.map(\.description).joined(separator: ", ")
        return
            "flowtable \(table) \(flowtable.name) { hook ingress priority \(flowtable.priority) devices { \(list) } }"
    }
}

extension NFFailure: CustomStringConvertible {
    /// `element inet filter blocked { 192.0.2.1 }: kernel said "File exists" (EEXIST)`.
    public var description: String {
        guard let operation else { return "table \(table): \(reason)" }
        if let element, let elements = operation.elements, element < elements.count {
            switch operation {
            case .addElements(let set, let shape, _), .removeElements(let set, let shape, _),
                .renewElements(let set, let shape, _):
                return "element \(table) \(set) { \(shape.text(of: element, in: elements)) }: \(reason)"
            default: break
            }
        }
        return "\(operation.text(in: table)): \(reason)"
    }
}

extension NFChangeSet: CustomStringConvertible {
    public var description: String {
        items.map { "\($0.action.rawValue) \($0.object)" }.joined(separator: "\n")
    }
}

extension NFObservedObject {
    /// What nft(8) calls objects of a type.
    fileprivate static func word(ofType type: UInt32) -> String {
        switch type {
        case 1: "counter"
        case 4: "limit"
        case 7: "ct timeout"
        default: "object"
        }
    }
}
