extension StructuredValue {
    /// Reads one document of JSON or YAML, such as an answer of the agent.
    ///
    /// Numbers with a fraction are kept as strings: nothing of ours has any.
    /// - Returns: nil where it is none, or several.
    public init?(reading bytes: [UInt8], limits: ManifestLimits = ManifestLimits()) {
        var tree = NodeTree()
        let isRead = bytes.withUnsafeBufferPointer { bytes -> Bool in
            var yaml = YAMLReader(bytes, limits: limits, aliasBudget: limits.aliasedNodes + bytes.count)
            do throws(YAMLReader.Failure) {
                guard try yaml.readDocument(into: &tree), !tree.isEmpty else { return false }
                var rest = NodeTree()
                return try !yaml.readDocument(into: &rest)
            } catch {
                return false
            }
        }
        guard isRead else { return nil }
        self = StructuredValue(tree, 0)
    }

    private init(_ tree: NodeTree, _ node: Int) {
        switch tree[node].kind {
        case .sequence:
            self = .list(tree.elements(of: node).map { StructuredValue(tree, $0) })
        case .mapping:
            self = .object(
                tree.keys(of: node).map { Member(tree.text($0), StructuredValue(tree, tree.next($0))) })
        case .scalar:
            let text = tree.text(node)
            switch tree.type(node) {
            case .null: self = .null
            case .boolean: self = .boolean(text.lowercased() == "true")
            case .integer: self = ScalarType.integer(text).map { .integer($0) } ?? .string(text)
            case .floatingPoint, .string: self = .string(text)
            }
        }
    }

    // MARK: Members

    /// A member of an object; nil where this is none, or has none of that name.
    public subscript(name: String) -> StructuredValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    public var text: String? { if case .string(let text) = self { text } else { nil } }
    public var number: Int? { if case .integer(let number) = self { number } else { nil } }
    public var flag: Bool? { if case .boolean(let flag) = self { flag } else { nil } }
    public var elements: [StructuredValue] { if case .list(let elements) = self { elements } else { [] } }
}
