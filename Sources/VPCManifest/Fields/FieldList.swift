/// The fields of a kind of mapping: what reads it, writes it, and tells the manual of it.
struct FieldList<Object>: Sendable {
    private let names: FieldNames
    private let fields: [Placed]
    /// See ``init(_:listed:check:)``.
    typealias Check = @Sendable (inout DocumentReader, NamedNodes, Object) -> Void
    private let check: Check?

    private struct Placed: Sendable {
        var field: Field<Object>
        /// The position of its first name.
        var position: Int
    }

    /// - Parameters:
    ///   - listed: The names in the order in which a complaint lists them, where that is not the order of writing.
    ///   - check: Reports what breaks the rules that are about several fields, when all of these are read. Of a field that
    ///     is wrong or missing the object has what the blank one had.
    init(_ fields: [Field<Object>], listed: [String]? = nil, check: Check? = nil) {
        names = FieldNames(fields.flatMap(\.names), listed: listed)
        var position = 0
        self.fields = fields.map { field in
            defer { position += field.names.count }
            return Placed(field: field, position: position)
        }
        self.check = check
    }

    var descriptions: [FieldDescription] { fields.flatMap(\.field.descriptions) }

    /// Reads a mapping. What is wrong with it is reported, and its field left as it is.
    /// - Parameter hint: What to do about something that is no mapping.
    /// - Returns: false where it is none.
    func read(_ reader: inout DocumentReader, _ node: Int, into object: inout Object, hint: String? = nil) -> Bool {
        guard let nodes = reader.open(node, names, hint: hint) else { return false }
        for placed in fields {
            placed.field.read(
                &reader, FieldNodes(mapping: node, first: nodes.first + placed.position), &object)
        }
        check?(&reader, NamedNodes(nodes: nodes, names: names), object)
        reader.close(nodes)
        return true
    }

    func members(of object: Object) -> [StructuredValue.Member] {
        var members: [StructuredValue.Member] = []
        for placed in fields { placed.field.write(object, &members) }
        return members
    }
}
