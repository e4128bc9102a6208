import CLinux
import KernelModel
import KernelNames
import NFTables
import Netlink

// How the kernel's listings of nf_tables are read.

extension Attribute {
    func number() throws(CodecError) -> UInt32 { try value(as: BigEndian<UInt32>.self).value }
    func longNumber() throws(CodecError) -> UInt64 { try value(as: BigEndian<UInt64>.self).value }
}

extension NFObservedTable {
    /// What the kernel says of the table itself.
    mutating func read(_ message: borrowing Message) throws(CodecError) {
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_TABLE_FLAGS.rawValue:
                isDormant = try attribute.number() & NFT_TABLE_F_DORMANT.rawValue != 0
            case NFTA_TABLE_USERDATA.rawValue: comment = FirewallNotes.read(attribute.payload).comment
            default: break
            }
        }
    }
}

extension NFObservedObject {
    init(_ message: borrowing Message) throws(CodecError) {
        self.init(name: "", type: 0)
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_OBJ_NAME.rawValue: name = attribute.string()
            case NFTA_OBJ_TYPE.rawValue: type = try attribute.number()
            // Behind the type, which says what it is.
            case NFTA_OBJ_DATA.rawValue: try read(attribute.payload)
            default: break
            }
        }
    }

    private mutating func read(_ data: RawSpan) throws(CodecError) {
        switch type {
        case UInt32(NFT_OBJECT_COUNTER): counts = try NFCounts(AttributeReader(data))
        case UInt32(NFT_OBJECT_LIMIT):
            if case .limit(let limit) = try NFExpression(name: "limit", data) { body = .limit(limit) }
        case UInt32(NFT_OBJECT_CT_TIMEOUT): body = try NFTimeout(AttributeReader(data)).map { .timeout($0) }
        default: break
        }
    }
}

extension NFObservedFlowtable {
    init(_ message: borrowing Message) throws(CodecError) {
        self.init(name: "")
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_FLOWTABLE_NAME.rawValue: name = attribute.string()
            case NFTA_FLOWTABLE_FLAGS.rawValue: flags = try attribute.number()
            case NFTA_FLOWTABLE_HOOK.rawValue: try readHook(attribute.nested)
            default: break
            }
        }
        devices.sort()
    }

    private mutating func readHook(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_FLOWTABLE_HOOK_PRIORITY.rawValue: priority = Int32(bitPattern: try attribute.number())
            case NFTA_FLOWTABLE_HOOK_DEVS.rawValue:
                var list = attribute.nested
                while let device = try list.next() {
                    if let name = InterfaceName(device.string()) { devices.append(name) }
                }
            default: break
            }
        }
    }
}

extension NFCounts {
    init(_ attributes: consuming AttributeReader) throws(CodecError) {
        self.init()
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_COUNTER_BYTES.rawValue where attribute.payload.byteCount >= 8:
                bytes = try attribute.longNumber()
            case NFTA_COUNTER_PACKETS.rawValue where attribute.payload.byteCount >= 8:
                packets = try attribute.longNumber()
            default: break
            }
        }
    }
}

extension NFObservedSet {
    /// Nil for the unnamed set of a rule, which goes with that rule.
    init?(_ message: borrowing Message) throws(CodecError) {
        var name = ""
        var flags: UInt32 = 0
        var shape = NFSetShape(keyCode: 0, keyLength: 0)
        var dataType: UInt32?
        var dataLength = 0
        var objectType: UInt32?
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_SET_NAME.rawValue: name = attribute.string()
            case NFTA_SET_FLAGS.rawValue: flags = try attribute.number()
            case NFTA_SET_KEY_TYPE.rawValue: shape.keyCode = try attribute.number()
            case NFTA_SET_KEY_LEN.rawValue: shape.keyLength = Int(try attribute.number())
            case NFTA_SET_DATA_TYPE.rawValue: dataType = try attribute.number()
            case NFTA_SET_DATA_LEN.rawValue: dataLength = Int(try attribute.number())
            case NFTA_SET_OBJ_TYPE.rawValue: objectType = try attribute.number()
            case NFTA_SET_DESC.rawValue: try shape.readDescription(attribute.nested)
            case NFTA_SET_EXPR.rawValue: shape.expression = try NFExpression(attribute.nested)
            case NFTA_SET_TIMEOUT.rawValue: shape.timeout = try attribute.longNumber()
            default: break
            }
        }
        guard flags & NFT_SET_ANONYMOUS.rawValue == 0 else { return nil }
        shape.isInterval = flags & NFT_SET_INTERVAL.rawValue != 0
        shape.isConstant = flags & NFT_SET_CONSTANT.rawValue != 0
        let timed = shape.timeout == nil ? 0 : NFT_SET_TIMEOUT.rawValue
        shape.otherFlags = flags & ~(NFSetShape.knownFlags | timed)
        if flags & NFT_SET_CONCAT.rawValue == 0 { shape.fieldLengths = [] }
        if flags & NFT_SET_OBJECT.rawValue != 0 {
            shape.data = .object(objectType ?? 0)
        } else if flags & NFT_SET_MAP.rawValue != 0, let dataType {
            shape.data =
                dataType == NFT_DATA_VERDICT.rawValue ? .verdict : .value(code: dataType, length: dataLength)
        }
        self.init(name: name, shape: shape, elements: NFElements(layout: shape.layout))
    }
}

extension NFSetShape {
    fileprivate mutating func readDescription(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_SET_DESC_SIZE.rawValue: size = try attribute.number()
            case NFTA_SET_DESC_CONCAT.rawValue:
                var fields = attribute.nested
                while let field = try fields.next() {
                    var parts = field.nested
                    while let part = try parts.next() {
                        if part.type == Int(NFTA_SET_FIELD_LEN.rawValue) {
                            fieldLengths.append(Int(try part.number()))
                        }
                    }
                }
            default: break
            }
        }
    }
}

extension NFObservedSet {
    /// How many elements a set has, where the kernel says so.
    static func count(in message: borrowing Message) throws(CodecError) -> Int? {
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            if attribute.type == elementCount { return Int(try attribute.number() as UInt32) }
        }
        return nil
    }

    /// NFTA_SET_COUNT, which the headers of Linux 6.1 do not have.
    private static let elementCount: UInt16 = 20
}

extension NFObservedRule {
    /// The chain that a listed rule is in.
    static func chain(in message: borrowing Message) throws(CodecError) -> String {
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            if UInt32(attribute.type) == NFTA_RULE_CHAIN.rawValue { return attribute.string() }
        }
        return ""
    }
}

extension NFObservedChain {
    /// The chain and the table it is in: the kernel lists the chains of all tables of a family. Nil for the unnamed chain
    /// of a rule, which goes with that rule.
    static func read(
        _ message: borrowing Message, _ family: NFFamily
    ) throws(CodecError) -> (table: String, NFObservedChain)? {
        var table = ""
        var name = ""
        var kind = ""
        var flags: UInt32 = 0
        var policy = UInt32(NF_ACCEPT)
        var hook: (number: UInt32, priority: Int32, devices: [InterfaceName])?
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_CHAIN_TABLE.rawValue: table = attribute.string()
            case NFTA_CHAIN_NAME.rawValue: name = attribute.string()
            case NFTA_CHAIN_TYPE.rawValue: kind = attribute.string()
            case NFTA_CHAIN_FLAGS.rawValue: flags = try attribute.number()
            case NFTA_CHAIN_POLICY.rawValue: policy = try attribute.number()
            case NFTA_CHAIN_HOOK.rawValue: hook = try readHook(attribute.nested)
            default: break
            }
        }
        guard flags & NFT_CHAIN_BINDING.rawValue == 0 else { return nil }
        var base: NFBaseChain?
        if let hook {
            // A word that is not known here belongs to nobody's wish: the chain is then made anew.
            base = NFBaseChain(
                NFBaseChain.Kind(rawValue: kind) ?? .route,
                FirewallCodes.hook(hook.number, family) ?? .egress, priority: hook.priority,
                policy: policy == UInt32(NF_DROP) ? .drop : .accept, devices: hook.devices)
        }
        return (table, NFObservedChain(name: name, base: base))
    }

    private static func readHook(
        _ attributes: consuming AttributeReader
    ) throws(CodecError) -> (UInt32, Int32, [InterfaceName]) {
        var hook: (UInt32, Int32, [InterfaceName]) = (.max, 0, [])
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_HOOK_HOOKNUM.rawValue: hook.0 = try attribute.number()
            case NFTA_HOOK_PRIORITY.rawValue: hook.1 = Int32(bitPattern: try attribute.number())
            // A chain with one device has NFTA_HOOK_DEV as well.
            case NFTA_HOOK_DEVS.rawValue:
                var devices = attribute.nested
                while let device = try devices.next() {
                    if let name = InterfaceName(device.string()) { hook.2.append(name) }
                }
            default: break
            }
        }
        return hook
    }
}

extension NFObservedRule {
    /// The rule and the chain it is in.
    static func read(_ message: borrowing Message) throws(CodecError) -> (chain: String, NFObservedRule) {
        var chain = ""
        var observed = NFObservedRule(rule: NFRule(expressions: []), handle: 0)
        var isForeign = false
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_RULE_CHAIN.rawValue: chain = attribute.string()
            case NFTA_RULE_HANDLE.rawValue: observed.handle = try attribute.longNumber()
            case NFTA_RULE_EXPRESSIONS.rawValue: try observed.readExpressions(attribute.nested)
            case NFTA_RULE_USERDATA.rawValue:
                let notes = FirewallNotes.read(attribute.payload)
                observed.rule.comment = notes.comment
                observed.digest = notes.digest
                isForeign = notes.isForeign
            default: break
            }
        }
        if isForeign { observed.digest = nil }
        return (chain, observed)
    }

    private mutating func readExpressions(_ list: consuming AttributeReader) throws(CodecError) {
        while let member = try list.next() {
            var name = ""
            var expression: NFExpression?
            var parts = member.nested
            while let part = try parts.next() {
                switch UInt32(part.type) {
                case NFTA_EXPR_NAME.rawValue: name = part.string()
                case NFTA_EXPR_DATA.rawValue:
                    expression = try NFExpression(name: name, part.payload)
                    if case .counter = expression {
                        let own = try NFCounts(part.nested)
                        let sum = counts ?? NFCounts()
                        counts = NFCounts(
                            packets: sum.packets &+ own.packets, bytes: sum.bytes &+ own.bytes)
                    }
                default: break
                }
            }
            if expression == nil { expression = try NFExpression(name: name, RawSpan()) }
            if let expression { rule.expressions.append(expression) }
        }
    }
}

/// Gathers the elements of one set while they are listed.
struct FirewallElementReader {
    let shape: NFSetShape
    let layout: NFElements.Layout
    var elements: NFElements
    private(set) var isIrregular = false
    /// Of a set of single intervals: first keys and keys behind the last, to be paired when all are there.
    var bounds: [Bound] = []
    let isSplit: Bool
    /// Used again for each element, so that none of them costs an allocation.
    private var record: [UInt32] = []
    /// How the kernel writes the expression that every element of the set bears.
    private var expression: [UInt8] = []

    struct Bound {
        /// In host order.
        var key: InlineArray<16, UInt32>
        var isEnd: Bool
        /// Of a beginning: which of the elements.
        var element: Int
    }

    /// The most bytes that a key or a value can have (`NFT_DATA_VALUE_MAXLEN`).
    private static let longest = Int(NFT_DATA_VALUE_MAXLEN)

    init(shape: NFSetShape) {
        self.shape = shape
        layout = shape.layout
        elements = NFElements(layout: shape.layout)
        isSplit = shape.isInterval && shape.fieldLengths.isEmpty
    }

    mutating func read(_ message: borrowing Message) throws(CodecError) {
        guard (1...Self.longest).contains(shape.keyLength), shape.dataLength <= Self.longest else {
            isIrregular = true
            return
        }
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            guard attribute.type == Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) else { continue }
            var list = attribute.nested
            while let element = try list.next() { try readElement(element.nested) }
        }
    }

    private mutating func readElement(_ attributes: consuming AttributeReader) throws(CodecError) {
        record.removeAll(keepingCapacity: true)
        var flags: UInt32 = 0
        var verdict: NFVerdict?
        var object: String?
        var comment: String?
        var isOdd = false
        var hasKey = false
        var hasEnd = false
        var hasData = false
        var hasExpression = false
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue:
                // Keys come before all else (nf_tables_fill_setelem).
                hasKey = try appendValue(attribute.nested, shape.keyLength)
                if layout.hasUpper { for slot in 0..<layout.keySlots where hasKey { record.append(record[slot]) } }
            case NFTA_SET_ELEM_KEY_END.rawValue:
                if layout.hasUpper, hasKey, !hasEnd { record.removeLast(layout.keySlots) }
                hasEnd = try appendValue(attribute.nested, shape.keyLength)
            case NFTA_SET_ELEM_DATA.rawValue:
                if shape.data == .verdict {
                    verdict = try Self.verdict(attribute.nested)
                    hasData = verdict != nil
                } else {
                    hasData = try appendValue(attribute.nested, shape.dataLength)
                }
            case NFTA_SET_ELEM_FLAGS.rawValue: flags = try attribute.number()
            case NFTA_SET_ELEM_OBJREF.rawValue: object = attribute.string()
            case NFTA_SET_ELEM_USERDATA.rawValue:
                let notes = FirewallNotes.read(attribute.payload)
                comment = notes.comment
            case NFTA_SET_ELEM_EXPR.rawValue:
                hasExpression = try isExpressionOfSet(attribute)
                isOdd = isOdd || !hasExpression
            case NFTA_SET_ELEM_PAD.rawValue: break
            // A timeout, an expression more: not one of ours.
            default: isOdd = true
            }
        }
        if isSplit, flags == NFT_SET_ELEM_INTERVAL_END.rawValue, hasKey {
            appendBound(isEnd: true)
            return
        }
        let bearsItsKind: Bool
        switch shape.data {
        case nil: bearsItsKind = object == nil
        case .object: bearsItsKind = object != nil
        case .verdict, .value: bearsItsKind = hasData && object == nil
        }
        guard flags == 0, hasKey, !isOdd, bearsItsKind, record.count == layout.stride, !(isSplit && hasEnd),
            hasExpression == (shape.expression != nil)
        else {
            isIrregular = true
            return
        }
        if isSplit { appendBound(isEnd: false) }
        elements.append(record: record[...], verdict: verdict, object: object, comment: comment)
    }

    /// All elements have the same bytes there, unless somebody added one with another limit: only the first is read.
    private mutating func isExpressionOfSet(_ attribute: borrowing Attribute) throws(CodecError) -> Bool {
        guard let wanted = shape.expression else { return false }
        if attribute.payload.withUnsafeBytes({ $0.elementsEqual(expression) }) { return true }
        guard try NFExpression(attribute.nested) == wanted else { return false }
        expression = attribute.payload.withUnsafeBytes { Array($0) }
        return true
    }

    private mutating func appendBound(isEnd: Bool) {
        var key = InlineArray<16, UInt32>(repeating: 0)
        for slot in 0..<layout.keySlots { key[slot] = UInt32(bigEndian: record[slot]) }
        bounds.append(Bound(key: key, isEnd: isEnd, element: elements.count))
    }

    /// Appends a value to the record, padded to slots.
    private mutating func appendValue(
        _ attributes: consuming AttributeReader, _ length: Int
    ) throws(CodecError) -> Bool {
        while let attribute = try attributes.next() {
            guard attribute.type == Int(NFTA_DATA_VALUE.rawValue) else { continue }
            let bytes = attribute.payload
            guard bytes.byteCount == length else { return false }
            var position = 0
            while position + 4 <= length {
                record.append(bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt32.self))
                position += 4
            }
            if position < length {
                var slot: UInt32 = 0
                for index in position..<length {
                    let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
                    slot |= UInt32(byte) << UInt32(24 - 8 * (index - position))
                }
                record.append(slot.bigEndian)
            }
            return true
        }
        return false
    }

    static func verdict(_ attributes: consuming AttributeReader) throws(CodecError) -> NFVerdict? {
        while let attribute = try attributes.next() {
            guard attribute.type == Int(NFTA_DATA_VERDICT.rawValue) else { continue }
            var code: Int32 = 0
            var chain: String?
            var parts = attribute.nested
            while let part = try parts.next() {
                switch UInt32(part.type) {
                case NFTA_VERDICT_CODE.rawValue: code = Int32(bitPattern: try part.number())
                case NFTA_VERDICT_CHAIN.rawValue: chain = part.string()
                default: break
                }
            }
            return FirewallCodes.verdict(code, chain: chain)
        }
        return nil
    }

    /// What the listing came to.
    struct Result {
        /// In order.
        var elements: NFElements
        /// Whether there was anything among them that ours never are.
        var isIrregular: Bool
        /// Whether an element came twice.
        var hasRepetitions: Bool
    }

    consuming func finished() -> Result {
        if isSplit { pair() }
        let count = elements.count
        elements.normalize()
        return Result(
            elements: elements, isIrregular: isIrregular, hasRepetitions: elements.count < count)
    }

    /// Gives each interval its end: the next bound, less one.
    private mutating func pair() {
        bounds.sort { left, right in
            for slot in 0..<layout.keySlots where left.key[slot] != right.key[slot] {
                return left.key[slot] < right.key[slot]
            }
            // Where one interval ends and the next begins.
            return left.isEnd && !right.isEnd
        }
        var complete = NFElements(layout: layout)
        complete.reserveCapacity(elements.count)
        for (index, bound) in bounds.enumerated() where !bound.isEnd {
            let start = bound.element * layout.stride
            record.removeAll(keepingCapacity: true)
            record.append(contentsOf: elements.slots[start..<start + layout.stride])
            if index + 1 < bounds.count {
                let next = bounds[index + 1]
                // Two beginnings in a row: whoever wrote them left out the end between them.
                if !next.isEnd { isIrregular = true }
                var borrow = keyStep
                for slot in (0..<layout.keySlots).reversed() {
                    let (rest, overflow) = next.key[slot].subtractingReportingOverflow(borrow)
                    record[layout.keySlots + slot] = rest.bigEndian
                    borrow = overflow ? 1 : 0
                }
            } else {
                for slot in 0..<layout.keySlots { record[layout.keySlots + slot] = highest(slot) }
            }
            complete.append(
                record: record[...],
                verdict: elements.verdicts.isEmpty ? nil : elements.verdicts[bound.element],
                object: elements.objects.isEmpty ? nil : elements.objects[bound.element],
                comment: elements.comments[bound.element])
        }
        // An end without a beginning: nft(8) writes one at key 0, which says nothing.
        for (index, bound) in bounds.enumerated() where bound.isEnd && (index == 0 || bounds[index - 1].isEnd) {
            isIrregular = true
        }
        elements = complete
    }

    /// What the last slots of a key and the next one differ by.
    var keyStep: UInt32 { UInt32(1) << UInt32(8 * (layout.keySlots * 4 - shape.keyLength)) }

    private func highest(_ slot: Int) -> UInt32 {
        let unused = slot == layout.keySlots - 1 ? layout.keySlots * 4 - shape.keyLength : 0
        return (UInt32.max << UInt32(8 * unused)).bigEndian
    }
}
