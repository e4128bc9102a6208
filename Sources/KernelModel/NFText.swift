private import IPAddressing

extension NFType {
    /// The types that a number stands for; nil when one of them is not known here.
    static func types(of code: UInt32, length: Int) -> [NFType]? {
        if code == NFType.zone.code, length == NFType.zone.width { return [.zone] }
        var code = code
        var types: [NFType] = []
        while code != 0 {
            let last = code & (1 << codeBits - 1)
            guard let type = allCases.first(where: { $0.code == last }) else { return nil }
            types.insert(type, at: 0)
            code >>= codeBits
        }
        return types
    }

    /// A value in nft(8)'s spelling, numbers for what has names.
    func text(_ slots: ArraySlice<UInt32>) -> String {
        let words = slots.map { UInt32(bigEndian: $0) }
        let number = words[0] >> UInt32(max(0, 32 - 8 * width))
        switch self {
        case .ipv4Address: return IPAddress(v4: number).description
        case .ipv6Address:
            return IPAddress(
                family: .ipv6, high: UInt64(words[0]) << 32 | UInt64(words[1]),
                low: UInt64(words[2]) << 32 | UInt64(words[3])
            ).description
        case .etherAddress:
            return MACAddress(rawValue: UInt64(words[0]) << 16 | UInt64(words[1] >> 16)).description
        case .interfaceName:
            let bytes = words.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
            return "\"\(InterfaceName(bytes: bytes))\""
        case .connectionDirection: return number == 0 ? "original" : number == 1 ? "reply" : String(number)
        case .mark: return "0x" + String(hostNumber(slots), radix: 16)
        case .zone, .interfaceIndex, .interfaceGroup, .connectionState: return String(hostNumber(slots))
        case .etherType, .arpOperation, .internetProtocol, .internetService, .icmpType, .icmpv6Type:
            return String(number)
        }
    }

    private func hostNumber(_ slots: ArraySlice<UInt32>) -> UInt32 {
        let slot = slots[slots.startIndex]
        return UInt32(1).littleEndian == 1 ? slot : slot >> UInt32(32 - 8 * width)
    }
}

extension NFSetShape {
    /// The values in `slots` one behind the other: `10.0.1.2 . 6 . 80`.
    private static func text(_ code: UInt32, _ length: Int, _ slots: ArraySlice<UInt32>, to upper: ArraySlice<UInt32>)
        -> String
    {
        guard let types = NFType.types(of: code, length: length), types.reduce(0, { $0 + $1.slots }) == slots.count
        else {
            return slots.map { "0x" + String(UInt32(bigEndian: $0), radix: 16) }.joined(separator: " ")
        }
        var position = 0
        var fields: [String] = []
        for type in types {
            let range = position..<position + type.slots
            let lower = type.text(slots[slots.startIndex + range.lowerBound..<slots.startIndex + range.upperBound])
            let last = type.text(upper[upper.startIndex + range.lowerBound..<upper.startIndex + range.upperBound])
            fields.append(lower == last ? lower : "\(lower)-\(last)")
            position = range.upperBound
        }
        return fields.joined(separator: " . ")
    }

    /// An element in nft(8)'s spelling: `10.0.1.0-10.0.1.255 . 6 . 80 : goto deny`.
    func text(of index: Int, in elements: NFElements) -> String {
        let layout = elements.layout
        let start = index * layout.stride
        let lower = elements.slots[start..<start + layout.keySlots]
        let upper = layout.hasUpper ? elements.slots[start + layout.keySlots..<start + layout.keyStride] : lower
        var text = Self.text(keyCode, keyLength, lower, to: upper)
        if let comment = elements.comments[index] { text += " comment \"\(comment)\"" }
        if case .value(let code, let length) = data {
            let value = elements.slots[start + layout.keyStride..<start + layout.stride]
            text += " : " + Self.text(code, length, value, to: value)
        }
        if !elements.verdicts.isEmpty { text += " : \(elements.verdicts[index])" }
        if !elements.objects.isEmpty { text += " : \"\(elements.objects[index])\"" }
        return text
    }
}

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
        case .deleteObject(let name, let type): type == 1 ? "counter \(table) \(name)" : "object \(table) \(name)"
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
