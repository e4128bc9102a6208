import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension Rule {
    // ip rule add pref P [from S] [l3mdev] lookup T|unreachable proto OWNER
    func encode(_ type: MessageType, _ flags: MessageFlags, into writer: inout MessageWriter) {
        var header = fib_rule_hdr()
        header.family = family.number
        if let source { header.src_len = source.length }
        var table: UInt32?
        switch action {
        case .lookup(let id):
            header.action = UInt8(FR_ACT_TO_TBL)
            // With l3mdev the device says the table, and the kernel refuses one in the rule.
            if !l3mdev { table = id.rawValue }
        case .unreachable: header.action = UInt8(FR_ACT_UNREACHABLE)
        }
        writer.message(type, flags, header) { message in
            message.put(FRA_PRIORITY, priority)
            message.put(FRA_PROTOCOL, routeProtocol.rawValue)
            if let table { message.put(FRA_TABLE, table) }
            if l3mdev { message.put(FRA_L3MDEV, UInt8(1)) }
            if let source { message.put(FRA_SRC, source.address) }
        }
    }
}

/// What RTM_NEWRULE says.
struct RuleReading {
    var rule: Rule
    /// Whether the rule selects by something that the model has no words for. Such a rule must not be mistaken for one
    /// without that selector: it would be taken for what is wanted, or deleted for what is not.
    var isBeyondModel = false

    init?(_ message: borrowing Message) throws(CodecError) {
        let header = try message.header(as: fib_rule_hdr.self)
        let family: AddressFamily
        switch Int32(header.family) {
        case AF_INET: family = .ipv4
        case AF_INET6: family = .ipv6
        default: return nil
        }
        var table = UInt32(header.table)
        var source: IPAddress?
        rule = Rule(family: family, priority: 0, action: .unreachable, routeProtocol: RouteProtocol(0))
        let flags = header.flags & ~UInt32(FIB_RULE_PERMANENT)
        if flags != 0 || header.tos != 0 || header.dst_len != 0 { isBeyondModel = true }
        var attributes = message.attributes(after: fib_rule_hdr.self)
        while let attribute = try attributes.next() {
            switch attribute.type {
            case FRA_PRIORITY: rule.priority = try attribute.value(as: UInt32.self)
            case FRA_TABLE: table = try attribute.value(as: UInt32.self)
            case FRA_PROTOCOL: rule.routeProtocol = RouteProtocol(try attribute.value(as: UInt8.self))
            case FRA_L3MDEV: rule.l3mdev = try attribute.value(as: UInt8.self) != 0
            case FRA_SRC: source = try attribute.address()
            case FRA_PAD: break
            case FRA_SUPPRESS_PREFIXLEN, FRA_SUPPRESS_IFGROUP:
                // -1 is the absence of suppression, always sent.
                if try attribute.value(as: Int32.self) != -1 { isBeyondModel = true }
            default: isBeyondModel = true
            }
        }
        if let source {
            rule.source = IPPrefix(containing: source, length: min(Int(header.src_len), source.family.bitWidth))
        }
        switch Int(header.action) {
        case FR_ACT_TO_TBL: rule.action = .lookup(TableID(table))
        case FR_ACT_UNREACHABLE: rule.action = .unreachable
        default: isBeyondModel = true
        }
    }
}

extension NetlinkSocket {
    /// All rules that the model can express, sorted by key.
    // ip rule; ip -6 rule
    mutating func rules() throws(NetlinkError) -> [Rule] {
        var list: [Rule] = []
        for family in AddressFamily.allCases {
            list += try dumpRules(family, into: [Rule]()) { list, reading in
                if !reading.isBeyondModel { list.append(reading.rule) }
            }
        }
        list.sort { $0.key < $1.key }
        return list
    }

    /// The tables that any rule at all looks up.
    mutating func tablesOfRules() throws(NetlinkError) -> Set<TableID> {
        var tables: Set<TableID> = []
        for family in AddressFamily.allCases {
            tables = try dumpRules(family, into: tables) { tables, reading in
                if case .lookup(let table) = reading.rule.action { tables.insert(table) }
            }
        }
        return tables
    }

    private mutating func dumpRules<State>(
        _ family: AddressFamily, into initial: State, _ each: (inout State, RuleReading) -> Void
    ) throws(NetlinkError) -> State {
        var header = fib_rule_hdr()
        header.family = family.number
        do {
            return try dump(MessageType(RTM_GETRULE), header, into: initial) { state, message throws(CodecError) in
                if let reading = try RuleReading(message) { each(&state, reading) }
            }
        } catch {
            // A kernel without IPv6 has no rules of that family.
            if family == .ipv6, error.isFamilyMissing { return initial }
            throw error
        }
    }
}
