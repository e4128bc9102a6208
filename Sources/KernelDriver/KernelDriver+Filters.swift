import CLinux
import Glibc
public import KernelModel
public import NFTables
public import Netlink

extension KernelDriver {
    public func filters(readingSetsOf table: NFTable) throws(NetlinkError) -> PresentFilters {
        var filters = PresentFilters()
        var firewall = try FirewallDriver(in: underlay)
        filters.tables = try firewall.filters(readingSetsOf: table)
        var socket = try NetlinkSocket(in: underlay)
        filters.devices = try socket.links().map {
            PresentFilters.Device(name: $0.name, index: $0.index, group: $0.group)
        }
        return filters
    }

    public func lookUp(_ key: [UInt8?], in set: String, of table: NFTable) throws(NetlinkError) -> NFLookup {
        var firewall = try FirewallDriver(in: underlay)
        return try firewall.lookUp(key, in: set, of: table)
    }
}

extension FirewallDriver {
    /// Whose chains packets of IPv4 meet.
    private static let families: [NFFamily] = [.ip, .inet, .netdev]

    /// Everybody's tables, with chains and rules, without sets.
    fileprivate mutating func filters(readingSetsOf own: NFTable) throws(NetlinkError) -> [NFObservedTable] {
        try consistently { driver throws(NetlinkError) in
            var tables: [NFObservedTable] = []
            for family in Self.families {
                for table in try driver.tables(of: family) {
                    if table.table == own {
                        if let whole = try driver.observe(own) { tables.append(whole) }
                        continue
                    }
                    var table = table
                    table.chains = try driver.readChains(of: table.table)
                    tables.append(table)
                }
            }
            return tables
        }.0
    }

    /// Without what they hold.
    private mutating func tables(of family: NFFamily) throws(NetlinkError) -> [NFObservedTable] {
        try socket.dump(NFT_MSG_GETTABLE, family: FirewallCodes.family(family), into: []) {
            tables, message throws(CodecError) in
            guard let name = try NFTable(of: message) else { return }
            var table = NFObservedTable(name)
            try table.read(message)
            tables.append(table)
        }
    }

    /// What a set has for a key, asked for alone: there may be a million elements.
    // nft get element TABLE SET { KEY }
    fileprivate mutating func lookUp(
        _ key: [UInt8?], in set: String, of table: NFTable
    ) throws(NetlinkError) -> NFLookup {
        guard let length = try keyLength(of: set, in: table), length <= key.count else { return .unknown }
        let bytes = key.prefix(length).compactMap(\.self)
        guard bytes.count == length else { return .unknown }
        if let answer = try element(in: set, of: table, { $0.nestedData(bytes) }) { return answer }
        // What holds for all other keys.
        return try element(in: set, of: table, { $0.put(NFTA_SET_ELEM_FLAGS, number: NFT_SET_ELEM_CATCHALL.rawValue) })
            ?? .absent
    }

    private mutating func keyLength(of set: String, in table: NFTable) throws(NetlinkError) -> Int? {
        var length: Int?
        try socket.query(NFT_MSG_GETSET, family: FirewallCodes.family(table.family)) {
            $0.put(NFTA_SET_TABLE, table.name)
            $0.put(NFTA_SET_NAME, set)
        } each: { message throws(CodecError) in
            var attributes = message.attributes(after: nfgenmsg.self)
            while let attribute = try attributes.next() {
                if attribute.type == Int(NFTA_SET_KEY_LEN.rawValue) { length = Int(try attribute.number() as UInt32) }
            }
        }
        return length
    }

    /// Nil where there is no such element.
    private mutating func element(
        in set: String, of table: NFTable, _ body: (inout MessageWriter) -> Void
    ) throws(NetlinkError) -> NFLookup? {
        var answer: NFLookup?
        do throws(NetlinkError) {
            try socket.query(NFT_MSG_GETSETELEM, family: FirewallCodes.family(table.family)) { writer in
                writer.put(NFTA_SET_ELEM_LIST_TABLE, table.name)
                writer.put(NFTA_SET_ELEM_LIST_SET, set)
                writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS) { list in
                    list.nested(NFTA_LIST_ELEM) { element in body(&element) }
                }
            } each: { message throws(CodecError) in
                answer = .found(try NFVerdict.ofElement(in: message))
            }
        } catch {
            // Kernels before 5.13 do not know what holds for all others.
            guard [ENOENT, EINVAL, EOPNOTSUPP].contains(error.errno) else { throw error }
        }
        return answer
    }
}

extension MessageWriter {
    fileprivate mutating func nestedData(_ bytes: [UInt8]) {
        nested(NFTA_SET_ELEM_KEY) { $0.put(NFTA_DATA_VALUE, bytes: bytes.span.bytes) }
    }
}

extension NFVerdict {
    /// What an element of a verdict map decides.
    fileprivate static func ofElement(in message: borrowing Message) throws(CodecError) -> NFVerdict? {
        var attributes = message.attributes(after: nfgenmsg.self)
        while let attribute = try attributes.next() {
            guard attribute.type == Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) else { continue }
            var list = attribute.nested
            while let element = try list.next() {
                var parts = element.nested
                while let part = try parts.next() {
                    guard part.type == Int(NFTA_SET_ELEM_DATA.rawValue) else { continue }
                    return try FirewallElementReader.verdict(part.nested)
                }
            }
        }
        return nil
    }
}
