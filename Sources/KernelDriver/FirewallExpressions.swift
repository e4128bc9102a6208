import CLinux
import KernelModel
import NFTables
import Netlink

// How expressions are written and read: `NFTA_EXPR_NAME` and, in `NFTA_EXPR_DATA`, the attributes of that expression
// (linux/netfilter/nf_tables.h).

extension MessageWriter {
    /// Writes an expression as a member of a list.
    mutating func put(expression: NFExpression) {
        nested(NFTA_LIST_ELEM) { $0.put(contentsOf: expression) }
    }

    /// Writes an expression's name and attributes.
    mutating func put(contentsOf expression: NFExpression) {
        put(NFTA_EXPR_NAME, expression.kernelName)
        if case .unknown(_, let bytes) = expression {
            put(NFTA_EXPR_DATA.rawValue | UInt32(NLA_F_NESTED), bytes: bytes.span.bytes)
        } else {
            nested(NFTA_EXPR_DATA) { $0.put(attributesOf: expression) }
        }
    }

    private mutating func put(_ type: some RawRepresentable<UInt32>, _ register: NFRegister) {
        put(type, number: FirewallCodes.register(register))
    }

    /// A value in the envelope that may also hold a verdict (`NFTA_DATA_VALUE`).
    private mutating func put(_ type: some RawRepresentable<UInt32>, data: [UInt8]) {
        nested(type) { $0.put(NFTA_DATA_VALUE, bytes: data.span.bytes) }
    }

    mutating func put(verdict: NFVerdict) {
        nested(NFTA_DATA_VERDICT) { data in
            data.put(NFTA_VERDICT_CODE, number: UInt32(bitPattern: FirewallCodes.verdict(verdict)))
            if let chain = verdict.chain { data.put(NFTA_VERDICT_CHAIN, chain) }
        }
    }

    private mutating func put(attributesOf expression: NFExpression) {
        switch expression {
        case .meta(let key, let register):
            put(NFTA_META_DREG, register)
            put(NFTA_META_KEY, number: FirewallCodes.meta(key))
        case .setMeta(let key, let register):
            put(NFTA_META_SREG, register)
            put(NFTA_META_KEY, number: FirewallCodes.meta(key))
        case .payload(let payload, let register):
            put(NFTA_PAYLOAD_DREG, register)
            put(payload)
        case .writePayload(let payload, let register, let checksum):
            put(NFTA_PAYLOAD_SREG, register)
            put(payload)
            if let checksum {
                put(NFTA_PAYLOAD_CSUM_TYPE, number: NFT_PAYLOAD_CSUM_INET.rawValue)
                put(NFTA_PAYLOAD_CSUM_OFFSET, number: checksum.offset)
                if checksum.coversPseudoHeader {
                    put(NFTA_PAYLOAD_CSUM_FLAGS, number: NFT_PAYLOAD_L4CSUM_PSEUDOHDR.rawValue)
                }
            }
        case .connection(let key, let direction, let register):
            put(NFTA_CT_DREG, register)
            put(NFTA_CT_KEY, number: FirewallCodes.connection(key))
            if let direction { put(NFTA_CT_DIRECTION, direction.rawValue) }
        case .setConnection(let key, let direction, let register):
            put(NFTA_CT_SREG, register)
            put(NFTA_CT_KEY, number: FirewallCodes.connection(key))
            if let direction { put(NFTA_CT_DIRECTION, direction.rawValue) }
        case .compare(let register, let comparison, let value):
            put(NFTA_CMP_SREG, register)
            put(NFTA_CMP_OP, number: FirewallCodes.comparison(comparison))
            put(NFTA_CMP_DATA, data: value)
        case .range(let register, let isNegated, let lower, let upper):
            put(NFTA_RANGE_SREG, register)
            put(NFTA_RANGE_OP, number: isNegated ? NFT_RANGE_NEQ.rawValue : NFT_RANGE_EQ.rawValue)
            put(NFTA_RANGE_FROM_DATA, data: lower)
            put(NFTA_RANGE_TO_DATA, data: upper)
        case .bitwise(let from, let into, let mask, let xor):
            put(NFTA_BITWISE_SREG, from)
            put(NFTA_BITWISE_DREG, into)
            put(NFTA_BITWISE_LEN, number: UInt32(mask.count))
            put(NFTA_BITWISE_MASK, data: mask)
            put(NFTA_BITWISE_XOR, data: xor)
        case .byteOrder(let from, let into, let toNetwork, let length, let size):
            put(NFTA_BYTEORDER_SREG, from)
            put(NFTA_BYTEORDER_DREG, into)
            put(NFTA_BYTEORDER_OP, number: toNetwork ? NFT_BYTEORDER_HTON.rawValue : NFT_BYTEORDER_NTOH.rawValue)
            put(NFTA_BYTEORDER_LEN, number: length)
            put(NFTA_BYTEORDER_SIZE, number: size)
        case .immediate(let value, let register):
            put(NFTA_IMMEDIATE_DREG, register)
            put(NFTA_IMMEDIATE_DATA, data: value)
        case .verdict(let verdict):
            put(NFTA_IMMEDIATE_DREG, number: NFT_REG_VERDICT.rawValue)
            nested(NFTA_IMMEDIATE_DATA) { $0.put(verdict: verdict) }
        case .lookup(let set, let key, let into, let isNegated):
            put(NFTA_LOOKUP_SET, set)
            put(NFTA_LOOKUP_SREG, key)
            if let into { put(NFTA_LOOKUP_DREG, into) }
            if isNegated { put(NFTA_LOOKUP_FLAGS, number: NFT_LOOKUP_F_INV.rawValue) }
        case .verdictMap(let set, let key):
            put(NFTA_LOOKUP_SET, set)
            put(NFTA_LOOKUP_SREG, key)
            put(NFTA_LOOKUP_DREG, number: NFT_REG_VERDICT.rawValue)
        case .counter, .notrack: break
        case .offload(let flowtable): put(NFTA_FLOW_TABLE_NAME, flowtable)
        case .namedCounter(let name):
            put(NFTA_OBJREF_IMM_TYPE, number: UInt32(NFT_OBJECT_COUNTER))
            put(NFTA_OBJREF_IMM_NAME, name)
        case .objectMap(let set, let key):
            put(NFTA_OBJREF_SET_SREG, key)
            put(NFTA_OBJREF_SET_NAME, set)
        case .log(let log): put(log)
        case .limit(let limit): put(limit)
        case .reject(let reject):
            switch reject {
            case .tcpReset:
                put(NFTA_REJECT_TYPE, number: NFT_REJECT_TCP_RST.rawValue)
                put(NFTA_REJECT_ICMP_CODE, UInt8(0))
            case .unreachable(let code):
                put(NFTA_REJECT_TYPE, number: NFT_REJECT_ICMPX_UNREACH.rawValue)
                put(NFTA_REJECT_ICMP_CODE, FirewallCodes.rejection(code))
            case .icmp(let code):
                put(NFTA_REJECT_TYPE, number: NFT_REJECT_ICMP_UNREACH.rawValue)
                put(NFTA_REJECT_ICMP_CODE, code)
            }
        case .translate(let translation): put(translation)
        case .masquerade(let options):
            if !options.isEmpty { put(NFTA_MASQ_FLAGS, number: options.kernelFlags) }
        case .hash(let from, let length, let into, let hash):
            put(NFTA_HASH_SREG, from)
            put(NFTA_HASH_DREG, into)
            put(NFTA_HASH_LEN, number: length)
            put(NFTA_HASH_MODULUS, number: hash.modulus)
            put(NFTA_HASH_SEED, number: hash.seed)
            if hash.offset != 0 { put(NFTA_HASH_OFFSET, number: hash.offset) }
            put(NFTA_HASH_TYPE, number: NFT_HASH_JENKINS.rawValue)
        case .forward(let device): put(NFTA_FWD_SREG_DEV, device)
        case .unknown: break
        }
    }

    private mutating func put(_ payload: NFPayload) {
        put(NFTA_PAYLOAD_BASE, number: FirewallCodes.base(payload.base))
        put(NFTA_PAYLOAD_OFFSET, number: payload.offset)
        put(NFTA_PAYLOAD_LEN, number: payload.length)
    }

    mutating func put(_ limit: NFLimit) {
        put(NFTA_LIMIT_RATE, BigEndian(limit.rate))
        put(NFTA_LIMIT_UNIT, BigEndian(limit.seconds))
        put(NFTA_LIMIT_BURST, number: limit.burst)
        put(NFTA_LIMIT_TYPE, number: limit.unit == .packets ? NFT_LIMIT_PKTS.rawValue : NFT_LIMIT_PKT_BYTES.rawValue)
        put(NFTA_LIMIT_FLAGS, number: limit.isOver ? NFT_LIMIT_F_INV.rawValue : 0)
    }

    private mutating func put(_ log: NFLog) {
        if let group = log.group { put(NFTA_LOG_GROUP, BigEndian(group)) }
        if !log.prefix.isEmpty { put(NFTA_LOG_PREFIX, log.prefix) }
        if let length = log.snapLength { put(NFTA_LOG_SNAPLEN, number: length) }
        if log.threshold != 0 { put(NFTA_LOG_QTHRESHOLD, BigEndian(log.threshold)) }
        if let level = log.level { put(NFTA_LOG_LEVEL, number: level) }
    }

    private mutating func put(_ translation: NFTranslation) {
        put(NFTA_NAT_TYPE, number: translation.kind == .source ? NFT_NAT_SNAT.rawValue : NFT_NAT_DNAT.rawValue)
        put(NFTA_NAT_FAMILY, number: UInt32(FirewallCodes.family(translation.family)))
        if let register = translation.address { put(NFTA_NAT_REG_ADDR_MIN, register) }
        if let register = translation.lastAddress { put(NFTA_NAT_REG_ADDR_MAX, register) }
        if let register = translation.port { put(NFTA_NAT_REG_PROTO_MIN, register) }
        if let register = translation.lastPort { put(NFTA_NAT_REG_PROTO_MAX, register) }
        if !translation.options.isEmpty { put(NFTA_NAT_FLAGS, number: translation.options.kernelFlags) }
    }
}

extension NFTranslation.Options {
    private static let flags: [(NFTranslation.Options, Int32)] = [
        (.random, NF_NAT_RANGE_PROTO_RANDOM), (.fullyRandom, NF_NAT_RANGE_PROTO_RANDOM_FULLY),
        (.persistent, NF_NAT_RANGE_PERSISTENT), (.networkMap, NF_NAT_RANGE_NETMAP),
    ]

    fileprivate var kernelFlags: UInt32 {
        Self.flags.reduce(0) { contains($1.0) ? $0 | UInt32($1.1) : $0 }
    }

    /// Nil when there are flags that are not among the options. Those that only say which registers are given
    /// (`NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`) are the kernel's own addition.
    fileprivate init?(kernelFlags: UInt32) {
        var rest = kernelFlags & ~UInt32(NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED)
        var options: NFTranslation.Options = []
        for (option, flag) in Self.flags where rest & UInt32(flag) != 0 {
            options.insert(option)
            rest &= ~UInt32(flag)
        }
        guard rest == 0 else { return nil }
        self = options
    }
}

extension NFExpression {
    fileprivate var kernelName: String {
        switch self {
        case .meta, .setMeta: "meta"
        case .payload, .writePayload: "payload"
        case .connection, .setConnection: "ct"
        case .compare: "cmp"
        case .range: "range"
        case .bitwise: "bitwise"
        case .byteOrder: "byteorder"
        case .immediate, .verdict: "immediate"
        case .lookup, .verdictMap: "lookup"
        case .counter: "counter"
        case .namedCounter, .objectMap: "objref"
        case .log: "log"
        case .limit: "limit"
        case .notrack: "notrack"
        case .offload: "flow_offload"
        case .reject: "reject"
        case .translate: "nat"
        case .masquerade: "masq"
        case .hash: "hash"
        case .forward: "fwd"
        case .unknown(let name, _): name
        }
    }

    /// Reads an expression's name and attributes.
    init(_ attributes: consuming AttributeReader) throws(CodecError) {
        var name = ""
        var expression: NFExpression?
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_EXPR_NAME.rawValue: name = attribute.string()
            case NFTA_EXPR_DATA.rawValue: expression = try NFExpression(name: name, attribute.payload)
            default: break
            }
        }
        if expression == nil { expression = try NFExpression(name: name, RawSpan()) }
        self = expression ?? .unknown(name: name, [])
    }

    /// Reads an expression; one that cannot be said in the words above becomes ``unknown(name:_:)``.
    init(name: String, _ data: RawSpan) throws(CodecError) {
        var attributes = FirewallAttributes()
        try attributes.read(AttributeReader(data))
        if let expression = Self.known(name, attributes) {
            self = expression
        } else {
            self = .unknown(name: name, data.withUnsafeBytes { Array($0) })
        }
    }

    private static func known(_ name: String, _ attributes: FirewallAttributes) -> NFExpression? {
        let read = attributes
        switch name {
        case "meta":
            guard let key = read.number(NFTA_META_KEY).flatMap(FirewallCodes.meta) else { return nil }
            if let register = read.register(NFTA_META_DREG) { return .meta(key, into: register) }
            return read.register(NFTA_META_SREG).map { .setMeta(key, from: $0) }
        case "payload": return payload(read)
        case "ct":
            guard let key = read.number(NFTA_CT_KEY).flatMap(FirewallCodes.connection) else { return nil }
            var direction: NFDirection?
            if let code = read.byte(NFTA_CT_DIRECTION) {
                guard let known = NFDirection(rawValue: code) else { return nil }
                direction = known
            }
            if let register = read.register(NFTA_CT_DREG) { return .connection(key, direction, into: register) }
            return read.register(NFTA_CT_SREG).map { .setConnection(key, direction, from: $0) }
        case "cmp":
            guard let register = read.register(NFTA_CMP_SREG), let value = read.data(NFTA_CMP_DATA),
                let comparison = read.number(NFTA_CMP_OP).flatMap(FirewallCodes.comparison)
            else { return nil }
            return .compare(register, comparison, value)
        case "range":
            guard let register = read.register(NFTA_RANGE_SREG), let operation = read.number(NFTA_RANGE_OP),
                let lower = read.data(NFTA_RANGE_FROM_DATA), let upper = read.data(NFTA_RANGE_TO_DATA)
            else { return nil }
            return .range(register, isNegated: operation == NFT_RANGE_NEQ.rawValue, lower, upper)
        case "bitwise":
            guard read.number(NFTA_BITWISE_OP) ?? NFT_BITWISE_MASK_XOR.rawValue == NFT_BITWISE_MASK_XOR.rawValue,
                let from = read.register(NFTA_BITWISE_SREG), let into = read.register(NFTA_BITWISE_DREG),
                let mask = read.data(NFTA_BITWISE_MASK), let xor = read.data(NFTA_BITWISE_XOR)
            else { return nil }
            return .bitwise(from, into: into, and: mask, xor: xor)
        case "byteorder":
            guard let from = read.register(NFTA_BYTEORDER_SREG), let into = read.register(NFTA_BYTEORDER_DREG),
                let operation = read.number(NFTA_BYTEORDER_OP), let length = read.number(NFTA_BYTEORDER_LEN),
                let size = read.number(NFTA_BYTEORDER_SIZE)
            else { return nil }
            return .byteOrder(
                from, into: into, toNetwork: operation == NFT_BYTEORDER_HTON.rawValue, length: length, size: size)
        case "immediate":
            if let verdict = read.verdict(NFTA_IMMEDIATE_DATA) { return .verdict(verdict) }
            guard let register = read.register(NFTA_IMMEDIATE_DREG), let value = read.data(NFTA_IMMEDIATE_DATA)
            else { return nil }
            return .immediate(value, into: register)
        case "lookup":
            guard let set = read.text(NFTA_LOOKUP_SET), let key = read.register(NFTA_LOOKUP_SREG) else { return nil }
            let flags = read.number(NFTA_LOOKUP_FLAGS) ?? 0
            if read.number(NFTA_LOOKUP_DREG) == NFT_REG_VERDICT.rawValue {
                return flags == 0 ? .verdictMap(set: set, key) : nil
            }
            return .lookup(
                set: set, key, into: read.register(NFTA_LOOKUP_DREG),
                isNegated: flags & NFT_LOOKUP_F_INV.rawValue != 0)
        case "counter": return .counter
        case "notrack": return .notrack
        case "flow_offload": return read.text(NFTA_FLOW_TABLE_NAME).map { .offload(flowtable: $0) }
        case "fwd":
            guard read.register(NFTA_FWD_SREG_ADDR) == nil else { return nil }
            return read.register(NFTA_FWD_SREG_DEV).map { .forward($0) }
        case "objref":
            if let set = read.text(NFTA_OBJREF_SET_NAME) {
                return read.register(NFTA_OBJREF_SET_SREG).map { .objectMap(set: set, $0) }
            }
            guard read.number(NFTA_OBJREF_IMM_TYPE) == UInt32(NFT_OBJECT_COUNTER) else { return nil }
            return read.text(NFTA_OBJREF_IMM_NAME).map { .namedCounter($0) }
        case "log": return log(read)
        case "limit":
            guard let rate = read.longNumber(NFTA_LIMIT_RATE), let seconds = read.longNumber(NFTA_LIMIT_UNIT)
            else { return nil }
            let isBytes = read.number(NFTA_LIMIT_TYPE) == NFT_LIMIT_PKT_BYTES.rawValue
            return .limit(
                NFLimit(
                    rate, per: seconds, burst: read.number(NFTA_LIMIT_BURST) ?? 0, unit: isBytes ? .bytes : .packets,
                    isOver: (read.number(NFTA_LIMIT_FLAGS) ?? 0) & NFT_LIMIT_F_INV.rawValue != 0))
        case "reject": return reject(read)
        case "nat": return translation(read)
        case "masq":
            guard read.register(NFTA_MASQ_REG_PROTO_MIN) == nil,
                let options = NFTranslation.Options(kernelFlags: read.number(NFTA_MASQ_FLAGS) ?? 0)
            else { return nil }
            return .masquerade(options)
        case "hash":
            guard read.number(NFTA_HASH_TYPE) ?? NFT_HASH_JENKINS.rawValue == NFT_HASH_JENKINS.rawValue,
                let from = read.register(NFTA_HASH_SREG), let into = read.register(NFTA_HASH_DREG),
                let length = read.number(NFTA_HASH_LEN), let modulus = read.number(NFTA_HASH_MODULUS)
            else { return nil }
            let hash = NFHash(
                modulus: modulus, seed: read.number(NFTA_HASH_SEED) ?? 0, offset: read.number(NFTA_HASH_OFFSET) ?? 0)
            return .hash(from, length: length, into: into, hash)
        default: return nil
        }
    }

    private static func payload(_ read: FirewallAttributes) -> NFExpression? {
        guard let base = read.number(NFTA_PAYLOAD_BASE).flatMap(FirewallCodes.base),
            let offset = read.number(NFTA_PAYLOAD_OFFSET), let length = read.number(NFTA_PAYLOAD_LEN)
        else { return nil }
        let payload = NFPayload(base, offset, length)
        if let register = read.register(NFTA_PAYLOAD_DREG) { return .payload(payload, into: register) }
        guard let register = read.register(NFTA_PAYLOAD_SREG) else { return nil }
        switch read.number(NFTA_PAYLOAD_CSUM_TYPE) ?? NFT_PAYLOAD_CSUM_NONE.rawValue {
        case NFT_PAYLOAD_CSUM_NONE.rawValue: return .writePayload(payload, from: register, nil)
        case NFT_PAYLOAD_CSUM_INET.rawValue:
            let flags = read.number(NFTA_PAYLOAD_CSUM_FLAGS) ?? 0
            return .writePayload(
                payload, from: register,
                NFChecksum(
                    offset: read.number(NFTA_PAYLOAD_CSUM_OFFSET) ?? 0,
                    coversPseudoHeader: flags & NFT_PAYLOAD_L4CSUM_PSEUDOHDR.rawValue != 0))
        default: return nil
        }
    }

    private static func log(_ read: FirewallAttributes) -> NFExpression? {
        guard read.number(NFTA_LOG_FLAGS) ?? 0 == 0 else { return nil }
        return .log(
            NFLog(
                group: read.shortNumber(NFTA_LOG_GROUP), prefix: read.text(NFTA_LOG_PREFIX) ?? "",
                snapLength: read.number(NFTA_LOG_SNAPLEN), threshold: read.shortNumber(NFTA_LOG_QTHRESHOLD) ?? 0,
                level: read.number(NFTA_LOG_LEVEL)))
    }

    private static func reject(_ read: FirewallAttributes) -> NFExpression? {
        let code = read.byte(NFTA_REJECT_ICMP_CODE) ?? 0
        switch read.number(NFTA_REJECT_TYPE) {
        case NFT_REJECT_TCP_RST.rawValue: return .reject(.tcpReset)
        case NFT_REJECT_ICMP_UNREACH.rawValue: return .reject(.icmp(code: code))
        case NFT_REJECT_ICMPX_UNREACH.rawValue: return FirewallCodes.rejection(code).map { .reject(.unreachable($0)) }
        default: return nil
        }
    }

    private static func translation(_ read: FirewallAttributes) -> NFExpression? {
        let kind: NFTranslation.Kind
        switch read.number(NFTA_NAT_TYPE) {
        case NFT_NAT_SNAT.rawValue: kind = .source
        case NFT_NAT_DNAT.rawValue: kind = .destination
        default: return nil
        }
        let family: NFFamily
        switch read.number(NFTA_NAT_FAMILY) {
        case UInt32(NFPROTO_IPV4): family = .ip
        case UInt32(NFPROTO_IPV6): family = .ip6
        default: return nil
        }
        guard let options = NFTranslation.Options(kernelFlags: read.number(NFTA_NAT_FLAGS) ?? 0) else { return nil }
        let (address, port) = (read.register(NFTA_NAT_REG_ADDR_MIN), read.register(NFTA_NAT_REG_PROTO_MIN))
        let (lastAddress, lastPort) = (read.register(NFTA_NAT_REG_ADDR_MAX), read.register(NFTA_NAT_REG_PROTO_MAX))
        return .translate(
            NFTranslation(
                kind, family, address: address, lastAddress: lastAddress == address ? nil : lastAddress, port: port,
                lastPort: lastPort == port ? nil : lastPort, options: options))
    }
}

/// The attributes of one expression; a handful, so they are looked for one by one.
private struct FirewallAttributes {
    private var values: [(type: Int, bytes: [UInt8])] = []

    mutating func read(_ attributes: consuming AttributeReader) throws(CodecError) {
        while let attribute = try attributes.next() {
            values.append((attribute.type, attribute.payload.withUnsafeBytes { Array($0) }))
        }
    }

    private func bytes(_ type: UInt32) -> [UInt8]? { values.first { $0.type == Int(type) }?.bytes }

    private func integer(_ type: UInt32, bytes count: Int) -> UInt64? {
        guard let value = bytes(type), value.count >= count else { return nil }
        return value.prefix(count).reduce(0) { $0 << 8 | UInt64($1) }
    }

    func byte(_ type: some RawRepresentable<UInt32>) -> UInt8? {
        integer(type.rawValue, bytes: 1).map { UInt8($0) }
    }

    func shortNumber(_ type: some RawRepresentable<UInt32>) -> UInt16? {
        integer(type.rawValue, bytes: 2).map { UInt16($0) }
    }

    func number(_ type: some RawRepresentable<UInt32>) -> UInt32? {
        integer(type.rawValue, bytes: 4).map { UInt32($0) }
    }

    func longNumber(_ type: some RawRepresentable<UInt32>) -> UInt64? { integer(type.rawValue, bytes: 8) }

    func register(_ type: some RawRepresentable<UInt32>) -> NFRegister? {
        number(type).flatMap(FirewallCodes.register)
    }

    func text(_ type: some RawRepresentable<UInt32>) -> String? {
        bytes(type.rawValue).map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private func nested(_ type: some RawRepresentable<UInt32>) -> FirewallAttributes? {
        guard let value = bytes(type.rawValue) else { return nil }
        var attributes = FirewallAttributes()
        guard (try? attributes.read(AttributeReader(value.span.bytes))) != nil else { return nil }
        return attributes
    }

    func data(_ type: some RawRepresentable<UInt32>) -> [UInt8]? {
        nested(type)?.bytes(NFTA_DATA_VALUE.rawValue)
    }

    func verdict(_ type: some RawRepresentable<UInt32>) -> NFVerdict? {
        guard let verdict = nested(type)?.nested(NFTA_DATA_VERDICT), let code = verdict.number(NFTA_VERDICT_CODE)
        else { return nil }
        return FirewallCodes.verdict(Int32(bitPattern: code), chain: verdict.text(NFTA_VERDICT_CHAIN))
    }
}
