internal import IPAddressing
internal import VPCModel

/// How a value is read out of a document, written into one, and what the manual calls it.
struct FieldType<Value>: Sendable {
    /// One phrase, such as `CIDR block`; Markdown.
    let name: String
    /// Nil where the node is no such value, which is reported.
    let read: @Sendable (inout DocumentReader, Int) -> Value?
    let write: @Sendable (Value) -> StructuredValue
    /// Of an object, or of the objects of a list.
    let fields: [FieldDescription]
    /// Whether these are those of a list's elements.
    let isList: Bool

    init(
        _ name: String, fields: [FieldDescription] = [], isList: Bool = false,
        read: @escaping @Sendable (inout DocumentReader, Int) -> Value?,
        write: @escaping @Sendable (Value) -> StructuredValue
    ) {
        self.name = name
        self.fields = fields
        self.isList = isList
        self.read = read
        self.write = write
    }
}

// MARK: - Scalars

extension FieldType<String> {
    static let string = FieldType("string", read: { $0.string($1) }, write: { .string($0) })

    /// A DNS label that names nothing else of the set.
    static let name = FieldType("name", read: { $0.name($1) }, write: { .string($0) })

    /// A reference to a resource.
    static func name<Kind: ResourceType>(of _: Kind.Type) -> FieldType {
        let kind = Kind.names.name
        return FieldType(
            "name of a [\(kind)](#\(kind.lowercased()))", read: { $0.name($1) }, write: { .string($0) })
    }
}

extension FieldType<Bool> {
    static let boolean = FieldType("boolean", read: { $0.boolean($1) }, write: { .boolean($0) })
}

extension FieldType where Value: FixedWidthInteger & Sendable {
    static func integer(in range: ClosedRange<Value>) -> FieldType {
        let bounds = Int(range.lowerBound)...Int(range.upperBound)
        return FieldType(
            "integer", read: { $0.integer($1, in: bounds).map { Value($0) } }, write: { .integer(Int($0)) })
    }
}

extension FieldType where Value: RawRepresentable<String> & CaseIterable & Sendable {
    /// One of a few words: the cases of an enum.
    static var word: FieldType {
        FieldType(
            alternatives(Value.allCases.map { "`\($0.rawValue)`" }), read: { $0.word($1, Value.self) },
            write: { .string($0.rawValue) })
    }
}

extension FieldType<IPAddress> {
    static let address = FieldType("address", read: { $0.address($1) }, write: { .string($0.description) })
}

extension FieldType<IPPrefix> {
    static let prefix = FieldType("CIDR block", read: { $0.prefix($1) }, write: { .string($0.description) })
}

extension FieldType<MACAddress> {
    static let mac = FieldType("MAC address", read: { $0.mac($1) }, write: { .string($0.description) })
}

// MARK: - Lists and objects

extension FieldType {
    /// - Parameters:
    ///   - elements: What a complaint calls them: `CIDR blocks`.
    ///   - emptyHint: Where there has to be one at least: what to do about an empty list.
    static func list<Element>(
        of type: FieldType<Element>, _ elements: String, emptyHint: String? = nil
    ) -> FieldType where Value == [Element] {
        FieldType(
            "list of \(elements)", fields: type.fields, isList: true,
            read: { reader, node in
                let values = reader.list(node, of: elements) { type.read(&$0, $1) }
                if let emptyHint, reader.isEmptyList(node) {
                    reader.report("empty-list", "\(reader.path(node)) is empty", hint: emptyHint, at: node)
                }
                return values
            },
            write: { .list($0.map(type.write)) })
    }

    /// A mapping of free keys to values of one type.
    static func map<Element>(of type: FieldType<Element>, _ elements: String) -> FieldType
    where Value == [String: Element] {
        FieldType(
            "map of \(elements)", read: { reader, node in reader.map(node) { type.read(&$0, $1) } },
            write: {
                .object($0.sorted { $0.key < $1.key }.map { StructuredValue.Member($0.key, type.write($0.value)) })
            })
    }

    /// - Parameters:
    ///   - blank: What reading begins with. Nobody sees what is left of it: a resource that lacks a field is dropped.
    ///   - hint: What to do about something that is no mapping.
    static func object(_ fields: FieldList<Value>, from blank: Value, hint: String? = nil) -> FieldType
    where Value: Sendable {
        FieldType(
            "mapping", fields: fields.descriptions,
            read: { reader, node in
                var value = blank
                return fields.read(&reader, node, into: &value, hint: hint) ? value : nil
            },
            write: { .object(fields.members(of: $0)) })
    }
}
