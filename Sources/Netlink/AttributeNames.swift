/// The names of the attributes of one kind of message, so that an error can name what the kernel objects to.
public struct AttributeNames: Sendable {
    /// What an attribute contains.
    public indirect enum Content: Sendable {
        case value
        case attributes(AttributeNames)
        /// A structure of so many bytes, then attributes.
        case structure(Int, AttributeNames)
        /// Attributes whose meaning depends on the text of a sibling, as `IFLA_INFO_DATA` does on `IFLA_INFO_KIND`.
        case selectedByText(of: Int, [String: AttributeNames])
        /// Attributes whose meaning depends on the 16-bit number in a sibling, as `NHA_ENCAP` does on `NHA_ENCAP_TYPE`.
        case selectedByNumber(of: Int, [UInt16: AttributeNames])
    }

    let names: [Int: String]
    let contents: [Int: Content]

    /// - Parameters:
    ///   - prefix: What all the names begin with: `IFLA_`.
    ///   - names: Attribute number to the rest of its name.
    ///   - contents: What the attributes hold that are more than a value.
    public init(_ prefix: String, _ names: KeyValuePairs<Int, String>, contents: [Int: Content] = [:]) {
        self.names = Dictionary(names.map { ($0.key, prefix + $0.value) }, uniquingKeysWith: { first, _ in first })
        self.contents = contents
    }

    func name(_ type: Int) -> String { names[type] ?? "attribute \(type)" }

    /// The path to the attribute that starts at `offset` in `bytes`, which start with this table's attributes.
    ///
    /// With `missing`, `offset` is the attribute that lacks an attribute of that number; negative means the message
    /// itself. Nil when no attribute starts there: the kernel's offset may point at something else.
    func path(to offset: Int, missing: Int? = nil, in bytes: RawSpan) -> [String]? {
        if let missing, offset < 0 { return [name(missing)] }
        var position = 0
        while position + Wire.attributeHeader <= bytes.byteCount {
            let length = Int(bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt16.self))
            let type = Int(
                bytes.unsafeLoadUnaligned(fromByteOffset: position + 2, as: UInt16.self) & Wire.typeMask)
            guard length >= Wire.attributeHeader, position + length <= bytes.byteCount else { return nil }
            if offset == position {
                if let missing {
                    return [name(type), content(of: type, among: bytes)?.name(missing) ?? "attribute \(missing)"]
                }
                return [name(type)]
            }
            if offset < position + length {
                guard let inner = content(of: type, among: bytes) else { return [name(type)] }
                let start = position + Wire.attributeHeader + inner.skipped(contents[type])
                guard offset >= start, start <= position + length else { return [name(type)] }
                let tail = inner.path(
                    to: offset - start, missing: missing, in: bytes.extracting(start..<position + length))
                return [name(type)] + (tail ?? [])
            }
            position += Wire.aligned(length)
        }
        return nil
    }

    private func skipped(_ content: Content?) -> Int {
        if case .structure(let size, _) = content { return Wire.aligned(size) }
        return 0
    }

    private func content(of type: Int, among siblings: RawSpan) -> AttributeNames? {
        switch contents[type] {
        case nil, .value: return nil
        case .attributes(let names), .structure(_, let names): return names
        case .selectedByText(let sibling, let tables):
            var reader = AttributeReader(siblings)
            while let attribute = try? reader.next() {
                if attribute.type == sibling { return tables[attribute.string()] }
            }
            return nil
        case .selectedByNumber(let sibling, let tables):
            var reader = AttributeReader(siblings)
            while let attribute = try? reader.next() {
                if attribute.type == sibling, let number = try? attribute.value(as: UInt16.self) {
                    return tables[number]
                }
            }
            return nil
        }
    }
}

/// What a protocol calls its messages and their attributes.
public struct MessageNames: Sendable {
    public var name: String
    /// Bytes of the fixed structure before the attributes.
    public var headerLength: Int
    public var attributes: AttributeNames

    public init(name: String, headerLength: Int, attributes: AttributeNames) {
        self.name = name
        self.headerLength = headerLength
        self.attributes = attributes
    }
}
