public import IPAddressing
public import KernelNames

/// One part of a rule, in the words of nft(8). Registers and the tests for the right protocol are found when the rule
/// is made.
///
/// ```swift
/// // iifgroup 10 ct zone set iifname . ether saddr . ip saddr map @port_zone accept
/// NFRule(in: .inet, .match(.iifgroup, 10), .set(.ctZone, map: "port_zone", .iifname, .etherSource, .ipSource), .accept)
/// ```
public struct NFStatement: Sendable {
    let lower: @Sendable (inout NFLowering) -> Void

    init(_ lower: @escaping @Sendable (inout NFLowering) -> Void) { self.lower = lower }

    private init(_ expression: NFExpression) { self.init { $0.expressions.append(expression) } }

    // MARK: Matching

    /// `FIELD NUMBER`.
    public static func match(_ field: NFField, _ number: UInt32) -> NFStatement { match(field, .equal, number) }

    /// `FIELD < NUMBER`.
    public static func match(_ field: NFField, _ comparison: NFComparison, _ number: UInt32) -> NFStatement {
        var key = NFKey()
        key.append(field.type, number: number)
        let value = key
        return NFStatement { $0.compare(field, comparison, value.bytes) }
    }

    /// `FIELD VALUE`, `FIELD PREFIX`, `FIELD FROM-TO`.
    public static func match(_ field: NFField, _ value: some NFKeyField) -> NFStatement { match(field, .equal, value) }

    /// `FIELD != VALUE`; of a range and a prefix only equality and its opposite make sense.
    public static func match(
        _ field: NFField, _ comparison: NFComparison, _ value: some NFKeyField
    ) -> NFStatement {
        precondition(value.type == field.type, "the value is of the field's type")
        let lower = NFKey(value).bytes
        let upper = NFKey(upperOf: value).bytes
        if let prefix = value as? IPPrefix {
            return NFStatement { $0.compare(field, comparison, lower, prefixLength: Int(prefix.length)) }
        }
        if lower == upper { return NFStatement { $0.compare(field, comparison, lower) } }
        return NFStatement { $0.compareRange(field, comparison, lower, upper) }
    }

    /// `FIELD "PREFIX*"`: a name that begins with `prefix`.
    public static func match(_ field: NFField, beginsWith prefix: String) -> NFStatement {
        NFStatement { $0.compare(field, .equal, Array(prefix.utf8)) }
    }

    /// `FIELD & MASK == VALUE`, for numbers.
    public static func match(
        _ field: NFField, masked mask: UInt32, _ comparison: NFComparison, _ value: UInt32
    ) -> NFStatement {
        NFStatement { lowering in
            lowering.load([field], at: 0)
            lowering.mask(field, mask)
            lowering.expressions.append(.compare(0, comparison, NFLowering.bytes(field.type, value)))
        }
    }

    /// `ct state STATE,STATE`.
    public static func match(_ states: NFConnectionState) -> NFStatement {
        match(.ctState, masked: states.rawValue, .notEqual, 0)
    }

    /// `FIELD . FIELD @SET`.
    public static func match(_ fields: NFField..., in set: String) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, at: 0)
            lowering.expressions.append(.lookup(set: set, 0))
        }
    }

    /// `FIELD . FIELD != @SET`.
    public static func match(_ fields: NFField..., notIn set: String) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, at: 0)
            lowering.expressions.append(.lookup(set: set, 0, isNegated: true))
        }
    }

    // MARK: Deciding

    public static let accept = NFStatement(.verdict(.accept))
    public static let drop = NFStatement(.verdict(.drop))
    public static let `return` = NFStatement(.verdict(.return))
    public static func jump(_ chain: String) -> NFStatement { NFStatement(.verdict(.jump(chain))) }
    public static func goto(_ chain: String) -> NFStatement { NFStatement(.verdict(.goto(chain))) }

    /// `FIELD . FIELD vmap @MAP`.
    public static func vmap(_ fields: NFField..., map: String) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, at: 0)
            lowering.expressions.append(.verdictMap(set: map, 0))
        }
    }

    /// `FIELD . OTHER & MASK vmap @MAP`.
    public static func vmap(_ field: NFField, _ other: NFField, masked mask: UInt32, map: String) -> NFStatement {
        NFStatement { lowering in
            lowering.load([field, other], at: 0)
            lowering.mask(other, mask, at: UInt8(field.type.slots))
            lowering.expressions.append(.verdictMap(set: map, 0))
        }
    }

    /// `A . B . C vmap @MAP`, or with `first` `(A . B map @FIRST) . B . C vmap @MAP`: what `first` has for the first two
    /// fields takes the place of the first one; it is of its type.
    public static func vmap(_ fields: NFField..., through first: String?, map: String) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, through: first)
            lowering.expressions.append(.verdictMap(set: map, 0))
        }
    }

    // MARK: Doing

    /// `FIELD set NUMBER`: a mark or the zone.
    public static func set(_ field: NFField, _ number: UInt32) -> NFStatement {
        NFStatement { lowering in
            lowering.expressions.append(.immediate(NFLowering.bytes(field.type, number), into: 0))
            lowering.store(field)
        }
    }

    /// `FIELD set VALUE`.
    public static func set(_ field: NFField, _ value: some NFKeyField) -> NFStatement {
        precondition(value.type == field.type, "the value is of the field's type")
        let bytes = NFKey(value).bytes
        return NFStatement { lowering in
            lowering.requireContext(of: field)
            lowering.expressions.append(.immediate(bytes, into: 0))
            lowering.store(field)
        }
    }

    /// `FIELD set FIELD . FIELD map @MAP`. A miss ends the rule.
    public static func set(_ field: NFField, map: String, _ fields: NFField...) -> NFStatement {
        NFStatement { lowering in
            lowering.requireContext(of: field)
            lowering.load(fields, at: 0)
            lowering.expressions.append(.lookup(set: map, 0, into: 0))
            lowering.store(field)
        }
    }

    /// `FIELD set FIELD & MASK | BITS`: for marks.
    public static func set(_ field: NFField, keeping mask: UInt32, adding bits: UInt32) -> NFStatement {
        NFStatement { lowering in
            lowering.load([field], at: 0)
            lowering.mask(field, mask & ~bits, bits)
            lowering.store(field)
        }
    }

    public static let counter = NFStatement(.counter)
    /// `counter name NAME`.
    public static func counter(_ name: String) -> NFStatement { NFStatement(.namedCounter(name)) }

    /// `counter name FIELD . FIELD map @MAP`.
    public static func counter(map: String, _ fields: NFField...) -> NFStatement { object(map: map, fields) }
    public static func counter(map: String, _ fields: [NFField]) -> NFStatement { object(map: map, fields) }

    /// `counter name A . B . C map @MAP`, with `first` as `vmap(_:through:map:)`.
    public static func counter(map: String, _ fields: NFField..., through first: String?) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, through: first)
            lowering.expressions.append(.objectMap(set: map, 0))
        }
    }

    /// `log group GROUP snaplen LENGTH prefix PREFIX`.
    public static func log(group: UInt16, prefix: String = "", snapLength: UInt32? = nil) -> NFStatement {
        NFStatement(.log(NFLog(group: group, prefix: prefix, snapLength: snapLength)))
    }

    /// `limit name FIELD . FIELD map @MAP`: of limits that match what is over the rate, what is within ends the rule, and so
    /// does what has none.
    public static func limit(map: String, _ fields: [NFField]) -> NFStatement { object(map: map, fields) }
    public static func limit(map: String, _ fields: NFField...) -> NFStatement { object(map: map, fields) }

    /// `ct timeout set FIELD . FIELD map @MAP`: for a connection that is not confirmed yet.
    public static func timeout(map: String, _ fields: NFField...) -> NFStatement { object(map: map, fields) }

    private static func object(map: String, _ fields: [NFField]) -> NFStatement {
        NFStatement { lowering in
            lowering.load(fields, at: 0)
            lowering.expressions.append(.objectMap(set: map, 0))
        }
    }

    public static func limit(_ limit: NFLimit) -> NFStatement { NFStatement(.limit(limit)) }
    public static let notrack = NFStatement(.notrack)

    /// `flow add @FLOWTABLE`: an established TCP or UDP connection needs no rules from here on. Of any other packet the rule
    /// ends here.
    public static func offload(to flowtable: String) -> NFStatement { NFStatement(.offload(flowtable: flowtable)) }

    /// `fwd to DEVICE`, by the device's number.
    public static func forward(to number: UInt32) -> NFStatement {
        NFStatement { lowering in
            lowering.expressions.append(.immediate(NFLowering.bytes(.interfaceIndex, number), into: 0))
            lowering.expressions.append(.forward(0))
        }
    }
    public static func reject(_ reject: NFReject) -> NFStatement { NFStatement(.reject(reject)) }

    // MARK: Translating

    /// `snat ip to ADDRESS`, `dnat ip to ADDRESS`.
    public static func translate(
        _ kind: NFTranslation.Kind, to address: IPAddress, options: NFTranslation.Options = []
    ) -> NFStatement {
        NFStatement { lowering in
            let family: NFFamily = address.family == .ipv4 ? .ip : .ip6
            lowering.requireNetwork(family == .ip ? .ipv4 : .ipv6)
            lowering.expressions.append(.immediate(NFKey(address).bytes, into: 0))
            lowering.expressions.append(
                .translate(NFTranslation(kind, family, address: 0, options: options)))
        }
    }

    /// What the data of a map of translations is.
    public enum TranslationData: Sendable {
        case address
        case addressAndPort
        /// Of an address to that of another, and of ports.
        case ports
    }

    /// `snat ip to FIELD . FIELD map @MAP`, `dnat ip addr . port to FIELD . FIELD map @MAP`.
    /// - Parameter ports: `:FROM-TO` behind the address; identifiers of ICMP as well.
    public static func translate(
        _ kind: NFTranslation.Kind, _ family: NFFamily = .ip, _ data: TranslationData = .address, map: String,
        _ fields: NFField..., options: NFTranslation.Options = [], toPorts ports: ClosedRange<UInt16>? = nil
    ) -> NFStatement {
        NFStatement { lowering in
            lowering.requireNetwork(family == .ip ? .ipv4 : .ipv6)
            lowering.load(fields, at: 0)
            lowering.translate(kind, family, data, map, options, ports)
        }
    }

    /// `dnat ip addr . port to jhash FIELD . FIELD mod N seed SEED map @MAP`.
    public static func translate(
        _ kind: NFTranslation.Kind, _ family: NFFamily = .ip, _ data: TranslationData, map: String, by hash: NFHash,
        _ fields: NFField...
    ) -> NFStatement {
        NFStatement { lowering in
            lowering.requireNetwork(family == .ip ? .ipv4 : .ipv6)
            lowering.load(fields, at: 4)
            let length = fields.count == 1 ? fields[0].type.width : fields.reduce(0) { $0 + $1.type.slots * 4 }
            lowering.expressions.append(.hash(4, length: UInt32(length), into: 0, hash))
            lowering.translate(kind, family, data, map, [])
        }
    }

    /// `snat ip to FIELD . (jhash OTHER mod N seed SEED) map @MAP`.
    public static func translate(
        _ kind: NFTranslation.Kind, _ family: NFFamily = .ip, map: String, _ field: NFField, by hash: NFHash,
        of other: NFField, toPorts ports: ClosedRange<UInt16>? = nil
    ) -> NFStatement {
        NFStatement { lowering in
            lowering.requireNetwork(family == .ip ? .ipv4 : .ipv6)
            lowering.requireContext(of: other)
            lowering.load([field], at: 0)
            let number = NFRegister(UInt8(field.type.slots))
            lowering.expressions.append(other.load(into: 8))
            lowering.expressions.append(.hash(8, length: UInt32(other.type.width), into: number, hash))
            lowering.translate(kind, family, .address, map, [], ports)
        }
    }

    /// `snat ip to FIELD`, `dnat ip to FIELD`.
    public static func translate(_ kind: NFTranslation.Kind, to field: NFField) -> NFStatement {
        NFStatement { lowering in
            lowering.requireNetwork(field.type == .ipv6Address ? .ipv6 : .ipv4)
            lowering.load([field], at: 0)
            lowering.expressions.append(
                .translate(NFTranslation(kind, field.type == .ipv6Address ? .ip6 : .ip, address: 0)))
        }
    }

    /// `dnat ip addr . port to FIELD . … . (jhash OTHER . … mod N seed SEED) map @MAP`.
    public static func translate(
        _ kind: NFTranslation.Kind, _ data: TranslationData, map: String, _ fields: [NFField], by hash: NFHash,
        of others: [NFField]
    ) -> NFStatement {
        NFStatement { lowering in
            lowering.requireNetwork(.ipv4)
            lowering.load(fields, at: 0)
            let number = UInt8(fields.reduce(0) { $0 + $1.type.slots })
            lowering.load(others, at: 8)
            let length = others.count == 1 ? others[0].type.width : others.reduce(0) { $0 + $1.type.slots * 4 }
            lowering.expressions.append(.hash(8, length: UInt32(length), into: NFRegister(number), hash))
            lowering.translate(kind, .ip, data, map, [])
        }
    }

    public static func masquerade(_ options: NFTranslation.Options = []) -> NFStatement {
        NFStatement(.masquerade(options))
    }

    /// Expressions as they are.
    public static func raw(_ expressions: NFExpression...) -> NFStatement {
        NFStatement { $0.expressions.append(contentsOf: expressions) }
    }
}

extension NFRule {
    /// - Parameter family: That of the rule's table; which tests for a protocol are needed depends on it.
    public init(in family: NFFamily, _ statements: NFStatement..., comment: String? = nil, origin: Origin = .none) {
        self.init(in: family, statements, comment: comment, origin: origin)
    }

    public init(in family: NFFamily, _ statements: [NFStatement], comment: String? = nil, origin: Origin = .none) {
        var lowering = NFLowering(family: family)
        for statement in statements { statement.lower(&lowering) }
        self.init(expressions: lowering.expressions, comment: comment, origin: origin)
    }
}

/// Turns the statements of one rule into expressions.
///
/// The expressions are those that nft(8) makes of the same words, so that its listing shows these words again: it hides
/// the tests that a field implies.
struct NFLowering {
    let family: NFFamily
    var expressions: [NFExpression] = []
    /// What earlier parts of the rule made sure of.
    private var known = NFField.Context()

    init(family: NFFamily) {
        self.family = family
        switch family {
        case .ip: known.network = .ipv4
        case .ip6: known.network = .ipv6
        case .arp: known.network = .arp
        case .bridge: known.isEthernet = true
        case .inet, .netdev: break
        }
    }

    static func bytes(_ type: NFType, _ number: UInt32) -> [UInt8] {
        var key = NFKey()
        key.append(type, number: number)
        return key.bytes
    }

    // MARK: Context

    mutating func requireContext(of field: NFField) {
        if field.context.isEthernet, !known.isEthernet {
            expressions.append(.meta(.iiftype, into: 0))
            // ARPHRD_ETHER, 16 bits in host order as a zone is.
            expressions.append(.compare(0, .equal, Self.bytes(.zone, 1)))
            known.isEthernet = true
        }
        if let network = field.context.network { requireNetwork(network) }
        if let transport = field.context.transport, known.transport != transport {
            expressions.append(.meta(.l4proto, into: 0))
            expressions.append(.compare(0, .equal, [transport.rawValue]))
            known.transport = transport
        }
    }

    mutating func requireNetwork(_ network: NFEtherType) {
        if known.network == network { return }
        let type = Self.bytes(.etherType, UInt32(network.rawValue))
        if known.isEthernet {
            expressions.append(.payload(NFPayload(.link, 12, 2), into: 0))
            expressions.append(.compare(0, .equal, type))
        } else if family == .inet, network != .arp {
            expressions.append(.meta(.nfproto, into: 0))
            // NFPROTO_IPV4, NFPROTO_IPV6.
            expressions.append(.compare(0, .equal, [network == .ipv4 ? 2 : 10]))
        } else {
            expressions.append(.meta(.protocol, into: 0))
            expressions.append(.compare(0, .equal, type))
        }
        known.network = network
    }

    /// What follows from a field having a value.
    private mutating func learn(_ field: NFField, _ value: [UInt8]) {
        switch field {
        case .l4proto, .ipProtocol, .ip6NextHeader: known.transport = value.first.map { NFProtocol($0) }
        case .etherType, .protocol: known.network = NFEtherType(UInt16(value[0]) << 8 | UInt16(value[1]))
        default: break
        }
    }

    // MARK: Loading, comparing, storing

    /// Loads fields one behind the other, from that register on.
    mutating func load(_ fields: [NFField], at first: UInt8) {
        for field in fields { requireContext(of: field) }
        var register = first
        for field in fields {
            expressions.append(field.load(into: NFRegister(register)))
            register += UInt8(field.type.slots)
        }
        precondition(register <= 16, "there are 16 registers")
    }

    /// Loads fields, and puts what a map has for the first two in the place of the first.
    mutating func load(_ fields: [NFField], through map: String?) {
        load(fields, at: 0)
        if let map { expressions.append(.lookup(set: map, 0, into: 0)) }
    }

    mutating func compare(_ field: NFField, _ comparison: NFComparison, _ value: [UInt8]) {
        load([field], at: 0)
        var value = value
        if comparison != .equal, comparison != .notEqual, field.type.isHostOrder {
            // The kernel orders by bytes.
            let size = UInt32(field.type.width)
            expressions.append(.byteOrder(0, into: 0, toNetwork: true, length: size, size: size))
            if UInt32(1).littleEndian == 1 { value.reverse() }
        }
        expressions.append(.compare(0, comparison, value))
        if comparison == .equal { learn(field, value) }
    }

    mutating func compare(_ field: NFField, _ comparison: NFComparison, _ value: [UInt8], prefixLength length: Int) {
        let width = field.type.width
        if length == width * 8 { return compare(field, comparison, value) }
        requireContext(of: field)
        if length == 0 {
            // Every address; what remains of the match is the test for the protocol.
            precondition(comparison == .equal, "there is no address outside of all of them")
            return
        }
        if length % 8 == 0, case .payload(var payload) = field.source {
            payload.length = UInt32(length / 8)
            expressions.append(.payload(payload, into: 0))
            expressions.append(.compare(0, comparison, Array(value.prefix(length / 8))))
            return
        }
        expressions.append(field.load(into: 0))
        let mask = (0..<width).map { index -> UInt8 in
            let bits = min(max(length - index * 8, 0), 8)
            return UInt8(truncatingIfNeeded: 0xFF00 >> bits)
        }
        expressions.append(.bitwise(0, into: 0, and: mask, xor: Array(repeating: 0, count: width)))
        expressions.append(.compare(0, comparison, value))
    }

    mutating func compareRange(_ field: NFField, _ comparison: NFComparison, _ lower: [UInt8], _ upper: [UInt8]) {
        load([field], at: 0)
        var (lower, upper) = (lower, upper)
        if field.type.isHostOrder {
            let size = UInt32(field.type.width)
            expressions.append(.byteOrder(0, into: 0, toNetwork: true, length: size, size: size))
            if UInt32(1).littleEndian == 1 {
                lower.reverse()
                upper.reverse()
            }
        }
        if comparison == .notEqual {
            expressions.append(.range(0, isNegated: true, lower, upper))
        } else {
            expressions.append(.compare(0, .greaterOrEqual, lower))
            expressions.append(.compare(0, .lessOrEqual, upper))
        }
    }

    mutating func mask(_ field: NFField, _ mask: UInt32, _ bits: UInt32 = 0, at register: UInt8 = 0) {
        expressions.append(
            .bitwise(
                NFRegister(register), into: NFRegister(register), and: Self.bytes(field.type, mask),
                xor: Self.bytes(field.type, bits)))
    }

    mutating func store(_ field: NFField) {
        switch field.source {
        case .meta(let key): expressions.append(.setMeta(key, from: 0))
        case .connection(let key, let direction): expressions.append(.setConnection(key, direction, from: 0))
        case .payload(let payload):
            var checksum: NFChecksum?
            // The IPv4 header's own checksum at byte 10; the addresses are part of what TCP and UDP sum up.
            if field == .ipSource || field == .ipDestination {
                checksum = NFChecksum(offset: 10, coversPseudoHeader: true)
            }
            expressions.append(.writePayload(payload, from: 0, checksum))
        }
    }

    mutating func translate(
        _ kind: NFTranslation.Kind, _ family: NFFamily, _ data: NFStatement.TranslationData, _ map: String,
        _ options: NFTranslation.Options, _ ports: ClosedRange<UInt16>? = nil
    ) {
        expressions.append(.lookup(set: map, 0, into: 0))
        var translation = NFTranslation(kind, family, address: 0, options: options)
        if let ports {
            // Two registers of 16 bytes behind the address.
            (translation.port, translation.lastPort) = (4, 8)
            expressions.append(.immediate(Self.bytes(.internetService, UInt32(ports.lowerBound)), into: 4))
            expressions.append(.immediate(Self.bytes(.internetService, UInt32(ports.upperBound)), into: 8))
        }
        let next: NFRegister = family == .ip ? 1 : 4
        switch data {
        case .address: break
        case .addressAndPort: translation.port = next
        case .ports:
            precondition(family == .ip, "two addresses and two ports of IPv6 are more than is needed so far")
            (translation.port, translation.lastAddress, translation.lastPort) = (next, 2, 3)
        }
        expressions.append(.translate(translation))
    }
}
