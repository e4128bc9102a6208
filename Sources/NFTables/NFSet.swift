public import KernelNames

/// A set's or map's declaration (`NFTA_SET_*`), all of which is fixed when it is made.
public struct NFSetShape: Hashable, Sendable {
    /// What the elements of a map bear.
    public enum Data: Hashable, Sendable {
        case verdict
        /// A value: the number of its type and its bytes.
        case value(code: UInt32, length: Int)
        /// A named object (`NFT_OBJECT_*`).
        case object(UInt32)
    }

    /// The number of the key's type, see ``NFType/code(of:)``.
    public var keyCode: UInt32
    /// Bytes of a key.
    public var keyLength: Int
    /// Bytes of each field, of a concatenation of ranges; else empty.
    public var fieldLengths: [Int]
    public var isInterval: Bool
    /// Elements cannot be changed once a rule refers to it.
    public var isConstant: Bool
    /// Flags that are not known here: a foreign set's.
    public var otherFlags: UInt32
    /// Nil: a set, not a map.
    public var data: Data?
    /// The most elements there can be (`NFTA_SET_DESC_SIZE`); a set without grows without limit.
    public var size: UInt32?
    /// What a packet that finds an element has to pass, with a state for each element (`NFTA_SET_EXPR`).
    public var expression: NFExpression?
    /// Milliseconds after which an element is gone (`NFTA_SET_TIMEOUT`). What is in such a set is nobody's to compare.
    public var timeout: UInt64?

    public init(
        keyCode: UInt32, keyLength: Int, fieldLengths: [Int] = [], isInterval: Bool = false, isConstant: Bool = false,
        otherFlags: UInt32 = 0, data: Data? = nil, size: UInt32? = nil, expression: NFExpression? = nil,
        timeout: UInt64? = nil
    ) {
        self.keyCode = keyCode
        self.keyLength = keyLength
        self.fieldLengths = fieldLengths
        self.isInterval = isInterval
        self.isConstant = isConstant
        self.otherFlags = otherFlags
        self.data = data
        self.size = size
        self.expression = expression
        self.timeout = timeout
    }

    public var dataLength: Int {
        if case .value(_, let length) = data { return length }
        return 0
    }

    public var layout: NFElements.Layout {
        .init(keySlots: (keyLength + 3) / 4, hasUpper: isInterval, dataSlots: (dataLength + 3) / 4)
    }
}

/// A set, verdict map, map of values or map of counters, with its elements.
///
/// ```swift
/// var zones = NFSet("port_zone", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone), size: 65536)
/// zones.add(port, mac, address, data: NFZone(7))
/// ```
public struct NFSet: Hashable, Sendable {
    public enum Data: Hashable, Sendable {
        case verdict
        case values([NFType])
        /// First and last of each value, all the first ones before the last ones.
        case ranges([NFType])
        case counter

        public static func values(_ types: NFType...) -> Data { .values(types) }
        public static func ranges(_ types: NFType...) -> Data { .ranges(types) }
    }

    /// The kernel's set may be called `name.1` or the like: one that cannot be changed in place is made anew beside it.
    public var name: String
    public package(set) var shape: NFSetShape
    public var elements: NFElements
    /// Whether the set has a size with room to grow (64, 1,024, 16,384, … elements) and is made anew when it is full.
    public let grows: Bool
    /// Whether its elements let packets pass that are dropped without: a first load in several transactions ends with
    /// them.
    public let admits: Bool
    /// The set whose new elements are put into this one too, to be in it for ``NFSetShape/timeout``. Nothing else is ever
    /// put there, and an element that is gone is not put back.
    public let newcomersTo: String?
    public var origin: Origin

    /// - Parameters:
    ///   - key: The fields of a key.
    ///   - data: What the elements bear; nil makes a set, not a map.
    ///   - isInterval: Whether elements are ranges.
    ///   - isConstant: Whether the elements are fixed: to change them the set and the rules that use it are made anew.
    ///   - size: The most elements there can be. A set with a size takes a fixed table: it is faster to look up, and to
    ///     list while it changes. One without grows in the background.
    ///   - grows: See ``grows``; instead of a size.
    ///   - admits: See ``admits``.
    ///   - limit: A rate for each element by itself: a packet that is over it finds nothing; of a limit that matches what is
    ///     over, a packet that is within. The kernel's counts of it are no part of what is compared.
    public init(
        _ name: String, of key: NFType..., to data: Data? = nil, isInterval: Bool = false, isConstant: Bool = false,
        size: UInt32? = nil, grows: Bool = false, admits: Bool = false, limit: NFLimit? = nil, origin: Origin = .none
    ) {
        self.name = name
        self.grows = grows
        self.admits = admits
        newcomersTo = nil
        self.origin = origin
        precondition(!grows || size == nil && !isInterval, "a size is either fixed or grows")
        // The kernel orders keys by their bytes.
        precondition(!isInterval || !key.contains(where: \.isHostOrder), "numbers in host order have no intervals")
        let length = Self.length(of: key)
        shape = NFSetShape(
            keyCode: NFType.code(of: key), keyLength: length,
            fieldLengths: isInterval && key.count > 1 ? key.map(\.width) : [], isInterval: isInterval,
            isConstant: isConstant,
            data: data.map { data in
                switch data {
                case .verdict: .verdict
                case .values(let types): .value(code: NFType.code(of: types), length: Self.length(of: types))
                case .ranges(let types):
                    .value(code: NFType.code(of: types), length: 2 * types.reduce(0) { $0 + $1.slots * 4 })
                case .counter: .object(1)
                }
            }, size: size, expression: limit.map { .limit($0) })
        elements = NFElements(layout: shape.layout)
    }

    /// The new elements of `set`, each for so many seconds, see ``newcomersTo``.
    public init(_ name: String, newcomersTo set: NFSet, seconds: UInt32, origin: Origin = .none) {
        self.name = name
        grows = false
        admits = false
        newcomersTo = set.name
        self.origin = origin
        precondition(!set.shape.isInterval && set.shape.data == nil, "intervals and data do not go by themselves")
        shape = NFSetShape(
            keyCode: set.shape.keyCode, keyLength: set.shape.keyLength, timeout: UInt64(seconds) * 1000)
        elements = NFElements(layout: shape.layout)
    }

    /// Elements that somebody puts in as things are, each to be there for so many seconds: whoever compares and repairs the
    /// table leaves them alone.
    public init(_ name: String, of key: NFType..., seconds: UInt32, origin: Origin = .none) {
        self.name = name
        grows = false
        admits = false
        newcomersTo = nil
        self.origin = origin
        shape = NFSetShape(
            keyCode: NFType.code(of: key), keyLength: Self.length(of: key), timeout: UInt64(seconds) * 1000)
        elements = NFElements(layout: shape.layout)
    }

    /// One field is as long as it is; several are padded to registers.
    private static func length(of types: [NFType]) -> Int {
        types.count == 1 ? types[0].width : types.reduce(0) { $0 + $1.slots * 4 }
    }

    // MARK: Elements

    /// Adds an element to a set. `fields` are ranges or values in a set of intervals, values in another.
    @inlinable
    public mutating func add<each Field: NFKeyField>(
        _ fields: repeat each Field, comment: String? = nil, origin: Origin = .none
    ) {
        let (lower, upper) = bounds(repeat each fields)
        elements.append(lower, through: upper, comment: comment, origin: origin)
    }

    /// Adds an element to a map of values.
    @inlinable
    public mutating func add<each Field: NFKeyField>(
        _ fields: repeat each Field, data: some NFKeyField, comment: String? = nil, origin: Origin = .none
    ) {
        let (lower, upper) = bounds(repeat each fields)
        elements.append(lower, through: upper, data: NFKey(data), comment: comment, origin: origin)
    }

    /// Adds an element to a map of several values: `ip . port`.
    @inlinable
    public mutating func add<each Field: NFKeyField>(
        _ fields: repeat each Field, data: NFKey, comment: String? = nil, origin: Origin = .none
    ) {
        let (lower, upper) = bounds(repeat each fields)
        elements.append(lower, through: upper, data: data, comment: comment, origin: origin)
    }

    /// Adds an element to a verdict map.
    @inlinable
    public mutating func add<each Field: NFKeyField>(
        _ fields: repeat each Field, verdict: NFVerdict, comment: String? = nil, origin: Origin = .none
    ) {
        let (lower, upper) = bounds(repeat each fields)
        elements.append(lower, through: upper, verdict: verdict, comment: comment, origin: origin)
    }

    /// Adds an element to a map of counters.
    @inlinable
    public mutating func add<each Field: NFKeyField>(
        _ fields: repeat each Field, counter: String, comment: String? = nil, origin: Origin = .none
    ) {
        let (lower, upper) = bounds(repeat each fields)
        elements.append(lower, through: upper, object: counter, comment: comment, origin: origin)
    }

    @inlinable
    func bounds<each Field: NFKeyField>(_ fields: repeat each Field) -> (NFKey, NFKey?) {
        let lower = NFKey(repeat each fields)
        precondition(lower.code == shape.keyCode, "the fields are of the set's types")
        return (lower, shape.isInterval ? NFKey(upperOf: repeat each fields) : nil)
    }
}
