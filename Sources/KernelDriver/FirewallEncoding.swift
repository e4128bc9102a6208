import CLinux
import KernelModel
import KernelNames
import NFTables
import Netlink

/// Writes the messages of one transaction and remembers what each is about.
struct FirewallEncoder {
    /// What a message is about.
    struct Subject {
        var table: Int
        var operation: Int
        /// The first element in it.
        var element = 0
    }

    /// Of each message, in order.
    private(set) var subjects: [Subject] = []

    /// An attribute's length has 16 bits, and so has that of a list of elements. Some room is left for one more element.
    private static let listLimit = 60_000

    mutating func encode(_ changes: [NFChangeSet], into writer: inout MessageWriter) {
        for (table, set) in changes.enumerated() {
            let name = set.table.name
            let header = nfgenmsg(family: FirewallCodes.family(set.table.family))
            for (index, operation) in set.operations.enumerated() {
                let subject = Subject(table: table, operation: index)
                switch operation {
                case .addElements(let set, let shape, let elements):
                    put(elements, shape, set, name, header, isAddition: true, subject, &writer)
                case .removeElements(let set, let shape, let elements):
                    put(elements, shape, set, name, header, isAddition: false, subject, &writer)
                case .renewElements(let set, let shape, let elements):
                    // The time of an element that is there stays as it is (Linux 6.12 can change it), and one that is not
                    // there cannot be removed: so it is made sure of, removed, and added.
                    put(elements, shape, set, name, header, isAddition: true, adding: [.create], subject, &writer)
                    put(elements, shape, set, name, header, isAddition: false, subject, &writer)
                    put(elements, shape, set, name, header, isAddition: true, subject, &writer)
                case .createFlowtable(let flowtable):
                    put(flowtable, flowtable.devices, isNew: true, name, header, subject, &writer)
                case .addDevices(let devices, let flowtable):
                    put(flowtable, devices, isNew: false, name, header, subject, &writer)
                case .deleteFlowtable(let flowtable): putDeletion(of: flowtable, name, header, subject, &writer)
                default:
                    message(subject, Self.type(of: operation), Self.flags(of: operation), header, &writer) {
                        Self.put(operation, name, set.table.family, &$0)
                    }
                }
            }
        }
    }

    private mutating func message(
        _ subject: Subject, _ type: nf_tables_msg_types, _ flags: MessageFlags, _ header: nfgenmsg,
        _ writer: inout MessageWriter, _ body: (inout MessageWriter) -> Void
    ) {
        subjects.append(subject)
        writer.message(.tables(type), flags, header, body)
        writer.sequence &+= 1
    }

    // MARK: Everything but elements

    private static func type(of operation: NFOperation) -> nf_tables_msg_types {
        switch operation {
        case .createTable, .wakeTable: NFT_MSG_NEWTABLE
        case .deleteTable: NFT_MSG_DELTABLE
        case .createCounter: NFT_MSG_NEWOBJ
        case .deleteObject: NFT_MSG_DELOBJ
        case .createSet: NFT_MSG_NEWSET
        case .deleteSet: NFT_MSG_DELSET
        case .addElements, .renewElements: NFT_MSG_NEWSETELEM
        case .createFlowtable, .addDevices: NFT_MSG_NEWFLOWTABLE
        case .deleteFlowtable: NFT_MSG_DELFLOWTABLE
        case .removeElements, .flushSet: NFT_MSG_DELSETELEM
        case .createChain, .changePolicy: NFT_MSG_NEWCHAIN
        case .deleteChain: NFT_MSG_DELCHAIN
        case .addRule: NFT_MSG_NEWRULE
        case .deleteRule, .flushChain: NFT_MSG_DELRULE
        }
    }

    private static func flags(of operation: NFOperation) -> MessageFlags {
        switch operation {
        case .createTable, .createCounter, .createSet, .createChain: [.create, .exclusive]
        case .addElements: [.create, .exclusive]
        // Without a position it would go to the front.
        case .addRule(_, _, .last): [.create, .append]
        case .addRule(_, _, .before): [.create]
        default: []
        }
    }

    private static func put(
        _ operation: NFOperation, _ table: String, _ family: NFFamily, _ writer: inout MessageWriter
    ) {
        switch operation {
        case .createTable(let comment):
            writer.put(NFTA_TABLE_NAME, table)
            writer.put(NFTA_TABLE_FLAGS, number: 0)
            if let comment { writer.put(NFTA_TABLE_USERDATA, bytes: FirewallNotes.bytes(comment: comment).span.bytes) }
        case .wakeTable:
            writer.put(NFTA_TABLE_NAME, table)
            writer.put(NFTA_TABLE_FLAGS, number: 0)
        case .deleteTable:
            writer.put(NFTA_TABLE_NAME, table)
        case .createCounter(let counter):
            writer.put(NFTA_OBJ_TABLE, table)
            writer.put(NFTA_OBJ_NAME, counter.name)
            writer.put(NFTA_OBJ_TYPE, number: UInt32(NFT_OBJECT_COUNTER))
            writer.nested(NFTA_OBJ_DATA) { _ in }
        case .deleteObject(let name, let type):
            writer.put(NFTA_OBJ_TABLE, table)
            writer.put(NFTA_OBJ_NAME, name)
            writer.put(NFTA_OBJ_TYPE, number: type)
        case .createSet(let set): put(set, table, &writer)
        case .deleteSet(let name):
            writer.put(NFTA_SET_TABLE, table)
            writer.put(NFTA_SET_NAME, name)
        case .flushSet(let name):
            writer.put(NFTA_SET_ELEM_LIST_TABLE, table)
            writer.put(NFTA_SET_ELEM_LIST_SET, name)
        case .createChain(let chain): put(chain, table, family, &writer)
        case .changePolicy(let chain):
            writer.put(NFTA_CHAIN_TABLE, table)
            writer.put(NFTA_CHAIN_NAME, chain.name)
            if let base = chain.base { writer.put(NFTA_CHAIN_POLICY, number: FirewallCodes.policy(base.policy)) }
        case .deleteChain(let name):
            writer.put(NFTA_CHAIN_TABLE, table)
            writer.put(NFTA_CHAIN_NAME, name)
        case .flushChain(let name):
            writer.put(NFTA_RULE_TABLE, table)
            writer.put(NFTA_RULE_CHAIN, name)
        case .addRule(let chain, let rule, let position):
            writer.put(NFTA_RULE_TABLE, table)
            writer.put(NFTA_RULE_CHAIN, chain)
            if case .before(let handle) = position { writer.put(NFTA_RULE_POSITION, BigEndian(handle)) }
            writer.nested(NFTA_RULE_EXPRESSIONS) { list in
                for expression in rule.expressions { list.put(expression: expression) }
            }
            writer.put(NFTA_RULE_USERDATA, bytes: FirewallNotes.bytes(of: rule).span.bytes)
        case .deleteRule(let chain, let handle, _):
            writer.put(NFTA_RULE_TABLE, table)
            writer.put(NFTA_RULE_CHAIN, chain)
            writer.put(NFTA_RULE_HANDLE, BigEndian(handle))
        case .addElements, .removeElements, .renewElements, .createFlowtable, .addDevices, .deleteFlowtable: break
        }
    }

    private static func put(_ set: NFSet, _ table: String, _ writer: inout MessageWriter) {
        let shape = set.shape
        writer.put(NFTA_SET_TABLE, table)
        writer.put(NFTA_SET_NAME, set.name)
        // The kernel insists on a number by which the rest of the transaction could refer to the set.
        writer.put(NFTA_SET_ID, number: 1)
        writer.put(NFTA_SET_FLAGS, number: shape.kernelFlags)
        writer.put(NFTA_SET_KEY_TYPE, number: shape.keyCode)
        writer.put(NFTA_SET_KEY_LEN, number: UInt32(shape.keyLength))
        switch shape.data {
        case nil: break
        case .verdict:
            writer.put(NFTA_SET_DATA_TYPE, number: NFT_DATA_VERDICT.rawValue)
            writer.put(NFTA_SET_DATA_LEN, number: 0)
        case .value(let code, let length):
            writer.put(NFTA_SET_DATA_TYPE, number: code)
            writer.put(NFTA_SET_DATA_LEN, number: UInt32(length))
        case .object(let type):
            writer.put(NFTA_SET_OBJ_TYPE, number: type)
        }
        if let timeout = shape.timeout { writer.put(NFTA_SET_TIMEOUT, BigEndian(timeout)) }
        if shape.size != nil || !shape.fieldLengths.isEmpty {
            writer.nested(NFTA_SET_DESC) { description in
                if let size = shape.size { description.put(NFTA_SET_DESC_SIZE, number: size) }
                if shape.fieldLengths.isEmpty { return }
                description.nested(NFTA_SET_DESC_CONCAT) { fields in
                    for length in shape.fieldLengths {
                        fields.nested(NFTA_LIST_ELEM) { $0.put(NFTA_SET_FIELD_LEN, number: UInt32(length)) }
                    }
                }
            }
        }
        if let expression = shape.expression { writer.nested(NFTA_SET_EXPR) { $0.put(contentsOf: expression) } }
        writer.put(NFTA_SET_USERDATA, bytes: FirewallNotes.bytes(of: shape).span.bytes)
    }

    private static func put(
        _ chain: NFChain, _ table: String, _ family: NFFamily, _ writer: inout MessageWriter
    ) {
        writer.put(NFTA_CHAIN_TABLE, table)
        writer.put(NFTA_CHAIN_NAME, chain.name)
        guard let base = chain.base else { return }
        writer.put(NFTA_CHAIN_TYPE, base.kind.rawValue)
        writer.put(NFTA_CHAIN_POLICY, number: FirewallCodes.policy(base.policy))
        writer.nested(NFTA_CHAIN_HOOK) { hook in
            hook.put(NFTA_HOOK_HOOKNUM, number: FirewallCodes.hook(base.hook, family))
            hook.put(NFTA_HOOK_PRIORITY, number: UInt32(bitPattern: base.priority))
            if base.devices.count == 1 {
                hook.put(NFTA_HOOK_DEV, base.devices[0].description)
            } else if !base.devices.isEmpty {
                hook.nested(NFTA_HOOK_DEVS) { devices in
                    for device in base.devices { devices.put(NFTA_DEVICE_NAME, device.description) }
                }
            }
        }
    }

    // MARK: Flowtables

    /// Devices in one message. The kernel takes 256 (NFT_FLOWTABLE_DEVICE_MAX of net/netfilter/nf_tables.h), but what it tells
    /// its listeners of one has to fit into a page (nf_tables_flowtable_notify), or all of them lose track.
    private static let deviceLimit = 128

    private mutating func put(
        _ flowtable: NFFlowtable, _ devices: [InterfaceName], isNew: Bool, _ table: String, _ header: nfgenmsg,
        _ subject: Subject, _ writer: inout MessageWriter
    ) {
        for (index, part) in Self.parts(devices).enumerated() {
            let flags: MessageFlags = isNew && index == 0 ? [.create, .exclusive] : [.create]
            message(subject, NFT_MSG_NEWFLOWTABLE, flags, header, &writer) { message in
                message.put(NFTA_FLOWTABLE_TABLE, table)
                message.put(NFTA_FLOWTABLE_NAME, flowtable.name)
                Self.putHook(flowtable.priority, part, &message)
                message.put(NFTA_FLOWTABLE_FLAGS, number: flowtable.flags)
            }
        }
    }

    /// Its devices first, where they are too many for one notification.
    private mutating func putDeletion(
        of flowtable: NFObservedFlowtable, _ table: String, _ header: nfgenmsg, _ subject: Subject,
        _ writer: inout MessageWriter
    ) {
        let parts = Self.parts(flowtable.devices)
        for part in parts.count > 1 ? parts : [] {
            message(subject, NFT_MSG_DELFLOWTABLE, [], header, &writer) { message in
                message.put(NFTA_FLOWTABLE_TABLE, table)
                message.put(NFTA_FLOWTABLE_NAME, flowtable.name)
                Self.putHook(flowtable.priority, part, &message)
            }
        }
        message(subject, NFT_MSG_DELFLOWTABLE, [], header, &writer) { message in
            message.put(NFTA_FLOWTABLE_TABLE, table)
            message.put(NFTA_FLOWTABLE_NAME, flowtable.name)
        }
    }

    private static func putHook(_ priority: Int32, _ devices: ArraySlice<InterfaceName>, _ writer: inout MessageWriter)
    {
        writer.nested(NFTA_FLOWTABLE_HOOK) { hook in
            hook.put(NFTA_FLOWTABLE_HOOK_NUM, number: UInt32(NF_NETDEV_INGRESS.rawValue))
            hook.put(NFTA_FLOWTABLE_HOOK_PRIORITY, number: UInt32(bitPattern: priority))
            hook.nested(NFTA_FLOWTABLE_HOOK_DEVS) { list in
                for device in devices { list.put(NFTA_DEVICE_NAME, device.description) }
            }
        }
    }

    /// At least one, also of no devices.
    private static func parts(_ devices: [InterfaceName]) -> [ArraySlice<InterfaceName>] {
        if devices.count <= deviceLimit { return [devices[...]] }
        return stride(from: 0, to: devices.count, by: deviceLimit).map {
            devices[$0..<min($0 + deviceLimit, devices.count)]
        }
    }

    // MARK: Elements

    /// Writes as many messages as it takes.
    private mutating func put(
        _ elements: NFElements, _ shape: NFSetShape, _ set: String, _ table: String, _ header: nfgenmsg,
        isAddition: Bool, adding: MessageFlags = [.create, .exclusive], _ subject: Subject,
        _ writer: inout MessageWriter
    ) {
        let type = isAddition ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM
        let flags = isAddition ? adding : []
        let records = FirewallRecords(elements, shape, withData: isAddition)
        var next = 0
        while next < elements.count {
            var subject = subject
            subject.element = next
            message(subject, type, flags, header, &writer) { writer in
                writer.put(NFTA_SET_ELEM_LIST_TABLE, table)
                writer.put(NFTA_SET_ELEM_LIST_SET, set)
                writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS) { list in
                    let start = list.byteCount
                    while next < elements.count, list.byteCount - start < Self.listLimit {
                        records.put(next, &list)
                        next += 1
                    }
                }
            }
        }
    }
}

/// Writes elements; what is the same for all of them is found out once.
private struct FirewallRecords {
    let elements: NFElements
    let slots: [UInt32]
    let layout: NFElements.Layout
    let keyLength: Int
    let dataLength: Int
    /// An interval of one field is written as two elements, its first key and the key behind its last.
    let isSplit: Bool
    let withData: Bool

    init(_ elements: NFElements, _ shape: NFSetShape, withData: Bool) {
        self.elements = elements
        slots = elements.slots
        layout = shape.layout
        keyLength = shape.keyLength
        dataLength = withData ? shape.dataLength : 0
        isSplit = shape.isInterval && shape.fieldLengths.isEmpty
        self.withData = withData
    }

    func put(_ index: Int, _ writer: inout MessageWriter) {
        let position = index * layout.stride
        writer.nested(NFTA_LIST_ELEM) { element in
            put(NFTA_SET_ELEM_KEY, at: position, keyLength, &element)
            if layout.hasUpper, !isSplit {
                put(NFTA_SET_ELEM_KEY_END, at: position + layout.keySlots, keyLength, &element)
            }
            if dataLength > 0 {
                put(NFTA_SET_ELEM_DATA, at: position + layout.keyStride, dataLength, &element)
            }
            if withData { putRest(index, &element) }
        }
        if isSplit { putEnd(position + layout.keySlots, &writer) }
    }

    private func put(
        _ type: nft_set_elem_attributes, at position: Int, _ length: Int, _ writer: inout MessageWriter
    ) {
        writer.nested(type) { data in
            if length == 4 {
                data.put(NFTA_DATA_VALUE, slots[position])
            } else {
                data.put(
                    NFTA_DATA_VALUE, bytes: slots.span.bytes.extracting(position * 4..<position * 4 + length))
            }
        }
    }

    private func putRest(_ index: Int, _ writer: inout MessageWriter) {
        if !elements.verdicts.isEmpty {
            writer.nested(NFTA_SET_ELEM_DATA) { $0.put(verdict: elements.verdicts[index]) }
        }
        if !elements.objects.isEmpty { writer.put(NFTA_SET_ELEM_OBJREF, elements.objects[index]) }
        if !elements.comments.isEmpty, let comment = elements.comments[index] {
            writer.put(NFTA_SET_ELEM_USERDATA, bytes: FirewallNotes.bytes(comment: comment).span.bytes)
        }
    }

    /// Nothing is written for an interval that reaches up to the highest key.
    private func putEnd(_ position: Int, _ writer: inout MessageWriter) {
        var end = InlineArray<4, UInt32>(repeating: 0)
        // One more, in the last byte of the key.
        var carry = UInt32(1) << UInt32(8 * (layout.keySlots * 4 - keyLength))
        for slot in (0..<layout.keySlots).reversed() {
            let (sum, overflow) = UInt32(bigEndian: slots[position + slot]).addingReportingOverflow(carry)
            end[slot] = sum.bigEndian
            carry = overflow ? 1 : 0
        }
        if carry != 0 { return }
        writer.nested(NFTA_LIST_ELEM) { element in
            element.nested(NFTA_SET_ELEM_KEY) { key in
                key.put(NFTA_DATA_VALUE, bytes: end.span.bytes.extracting(first: keyLength))
            }
            element.put(NFTA_SET_ELEM_FLAGS, number: NFT_SET_ELEM_INTERVAL_END.rawValue)
        }
    }
}

extension NFSetShape {
    static let knownFlags =
        NFT_SET_INTERVAL.rawValue | NFT_SET_CONCAT.rawValue | NFT_SET_CONSTANT.rawValue | NFT_SET_MAP.rawValue
        | NFT_SET_OBJECT.rawValue

    var kernelFlags: UInt32 {
        var flags = otherFlags
        if timeout != nil { flags |= NFT_SET_TIMEOUT.rawValue }
        if isInterval { flags |= NFT_SET_INTERVAL.rawValue }
        if !fieldLengths.isEmpty { flags |= NFT_SET_CONCAT.rawValue }
        if isConstant { flags |= NFT_SET_CONSTANT.rawValue }
        switch data {
        case nil: break
        case .verdict, .value: flags |= NFT_SET_MAP.rawValue
        case .object: flags |= NFT_SET_OBJECT.rawValue
        }
        return flags
    }
}

/// What is stored with a rule or element for those who list it: type, length and value, each of the first two a byte
/// (libnftnl's udata.h).
enum FirewallNotes {
    /// `NFTNL_UDATA_TABLE_COMMENT`, `NFTNL_UDATA_RULE_COMMENT`, `NFTNL_UDATA_SET_ELEM_COMMENT`: text that ends with a zero byte.
    static let comment: UInt8 = 0
    /// A rule's digest; far from the numbers that nft(8) uses, which ignores what it does not know.
    static let digest: UInt8 = 0xD1

    /// What nft(8) must know to list a set: in which byte order keys and data are, if they have one field each
    /// (`NFTNL_UDATA_SET_KEYBYTEORDER`, `NFTNL_UDATA_SET_DATABYTEORDER`). Numbers are in host order here.
    static func bytes(of shape: NFSetShape) -> [UInt8] {
        var notes: [UInt8] = []
        func put(_ type: UInt8, _ number: UInt32) {
            notes += [type, 4]
            notes += withUnsafeBytes(of: number) { Array($0) }
        }
        put(0, byteOrder(of: shape.keyCode))
        if case .value(let code, let length) = shape.data {
            put(1, byteOrder(of: code))
            if length == 2 * NFType.registerBytes(ofCode: code) { put(dataInterval, 1) }
        }
        return notes
    }

    /// `NFTNL_UDATA_SET_DATA_INTERVAL`: the data are the first and the last of what the code says.
    private static let dataInterval: UInt8 = 6

    /// `enum byteorder` of nftables' include/datatype.h: none, host, big endian.
    private static func byteOrder(of code: UInt32) -> UInt32 {
        guard let type = NFType.allCases.first(where: { $0.code == code }) else { return 0 }
        return type.isHostOrder || type == .interfaceName ? 1 : 2
    }

    static func bytes(comment text: String) -> [UInt8] {
        let text = Array(text.utf8)
        return [comment, UInt8(text.count + 1)] + text + [0]
    }

    static func bytes(of rule: NFRule) -> [UInt8] {
        let number = rule.digest
        let value = (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) }
        return (rule.comment.map(bytes(comment:)) ?? []) + [digest, 8] + value
    }

    /// What was noted; `isForeign` if there is anything else.
    static func read(_ bytes: RawSpan) -> (comment: String?, digest: UInt64?, isForeign: Bool) {
        var text: String?
        var number: UInt64?
        var isForeign = false
        var position = 0
        while position + 2 <= bytes.byteCount {
            let type = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
            let length = Int(bytes.unsafeLoad(fromByteOffset: position + 1, as: UInt8.self))
            guard position + 2 + length <= bytes.byteCount else { break }
            let value = bytes.extracting(position + 2..<position + 2 + length).withUnsafeBytes { Array($0) }
            switch type {
            case comment: text = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
            case digest where length == 8: number = value.reduce(0) { $0 << 8 | UInt64($1) }
            default: isForeign = true
            }
            position += 2 + length
        }
        return (text, number, isForeign)
    }
}
