/// A field as the manual has it: a row of a table.
struct FieldDescription: Sendable {
    let name: String
    /// Markdown, as the others.
    let type: String
    /// What holds without it, or `required`.
    let absent: String
    let about: String
    /// Those of its value, or of the elements of its value.
    let fields: [FieldDescription]
    private let isList: Bool

    init(
        _ name: String, _ type: String, _ absent: String, _ about: String, _ fields: [FieldDescription] = [],
        isList: Bool = false
    ) {
        self.name = name
        self.type = type
        self.absent = absent
        self.about = about
        self.fields = fields
        self.isList = isList
    }

    init<Value>(_ name: String, _ type: FieldType<Value>, _ absent: String, _ about: String) {
        self.init(name, type.name, absent, about, type.fields, isList: type.isList)
    }

    /// The row, and those of the fields inside: `routes[].destination`.
    func rows(below prefix: String = "") -> [String] {
        let path = prefix + name
        let cells = ["`\(path)`", type, absent, about].map { $0.isEmpty ? " " : " \($0) " }
        return ["|" + cells.joined(separator: "|") + "|"]
            + fields.flatMap { $0.rows(below: path + (isList ? "[]." : ".")) }
    }
}
