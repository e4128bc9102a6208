/// The names of the fields that a mapping may have, prepared for looking keys up.
struct FieldNames: Sendable {
    let names: [String]
    /// By these most keys are found and told apart.
    private let outlines: [Outline]

    private struct Outline: Equatable {
        var length: Int
        /// The first eight bytes.
        var beginning: UInt64 = 0

        init(_ text: UnsafeBufferPointer<UInt8>) {
            length = text.count
            for byte in text.prefix(8) { beginning = beginning << 8 | UInt64(byte) }
        }
    }

    /// The order in which a complaint lists them.
    let listed: [String]

    /// - Parameter listed: Where it is another order.
    init(_ names: [String], listed: [String]? = nil) {
        self.names = names
        self.listed = listed ?? names
        outlines = names.map { Array($0.utf8).withUnsafeBufferPointer { Outline($0) } }
    }

    /// Which of the names a text is.
    func position(of text: UnsafeBufferPointer<UInt8>) -> Int? {
        let outline = Outline(text)
        return outlines.indices.first { position in
            outlines[position] == outline && (text.count <= 8 || text.elementsEqual(names[position].utf8))
        }
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
