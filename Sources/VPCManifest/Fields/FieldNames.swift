/// The names of the fields that a mapping may have, prepared for looking keys up.
struct FieldNames: Sendable {
    let names: [String]
    /// Of each name, its first eight bytes: most keys are found and told apart by these.
    private let beginnings: [UInt64]
    /// The order in which a complaint lists them.
    let listed: [String]

    /// - Parameter listed: Where it is another order.
    init(_ names: [String], listed: [String]? = nil) {
        self.names = names
        self.listed = listed ?? names
        beginnings = names.map { name in Array(name.utf8).withUnsafeBufferPointer(Self.beginning(of:)) }
    }

    /// Which of the names a text is.
    func position(of text: UnsafeBufferPointer<UInt8>) -> Int? {
        let beginning = Self.beginning(of: text)
        return beginnings.indices.first { position in
            beginnings[position] == beginning
                && (text.count < 8 || text.elementsEqual(names[position].utf8))
        }
    }

    private static func beginning(of text: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var beginning: UInt64 = 0
        for byte in text.prefix(8) { beginning = beginning << 8 | UInt64(byte) }
        return beginning
    }
}

/// Where the values of a mapping's fields are; lies in the reader's `slots`, in the order of the names.
struct FieldNodes {
    let mapping: Int
    /// The slot of the first field.
    var first: Int
}

/// The nodes of a mapping's fields by their names.
struct NamedNodes {
    let nodes: FieldNodes
    let names: FieldNames

    fileprivate func position(_ name: String) -> Int {
        guard let position = names.names.firstIndex(of: name) else {
            preconditionFailure("a check asks for \(name), which its fields have not")
        }
        return position
    }
}

extension DocumentReader {
    /// The node of a field that may be left out or empty.
    func optional(_ fields: NamedNodes, _ name: String) -> Int? { optional(fields.nodes, fields.position(name)) }

    /// The node of a field that must be there.
    mutating func required(_ fields: NamedNodes, _ name: String) -> Int? {
        required(fields.nodes, fields.position(name), name)
    }
}

/// The fields of a mapping that is read field by field; raw values count from zero.
protocol FieldKey: CaseIterable, RawRepresentable<Int> {
    static var names: FieldNames { get }
}

extension FieldKey {
    /// What `names` is to be initialised with; the enum's own spelling is the manifest's.
    static func caseNames() -> FieldNames { FieldNames(allCases.map { "\($0)" }) }
}
