internal import VPCModel

/// What one document, or one item of a list, says beside its spec.
struct DecodedDocument {
    var kind: ResourceKind?
    var name: String?
    /// The node of the name.
    var nameNode: Int?
    /// Nil where it is not known what it is to be a spec of, or there is none.
    var spec: Int?
    /// Where the real one is broken, one to go on with: the spec is to be checked all the same.
    var metadata = Metadata(name: "")
    /// How many problems there were before it.
    let problemsBefore: Int
}

extension DocumentReader {
    static let apiVersion = "vpcctl.dev/v1"
    /// A document that holds other documents under `items`, as kubectl writes it; the only way to put several
    /// resources into one JSON file.
    static let listKind = "List"

    private enum DocumentField: Int, FieldKey {
        case apiVersion, kind, metadata, spec
        static let names = caseNames()
    }

    private enum ListField: Int, FieldKey {
        case apiVersion, kind, metadata, items
        static let names = caseNames()
    }

    /// The items where the document is a list; nil where it is one resource.
    ///
    /// - Parameter apiVersion: what a document without one has.
    mutating func listItems(apiVersion: inout String?) -> [Int]? {
        guard tree[0].kind == .mapping, let kind = tree.key(named: "kind", of: 0),
            tree.isText(tree.next(kind), Self.listKind), let nodes = open(0, ListField.names)
        else { return nil }
        defer { close(nodes) }
        readAPIVersion(nodes, ListField.apiVersion.rawValue, inherited: &apiVersion)
        guard let items = required(nodes, ListField.items.rawValue, "items") else { return [] }
        return list(items, of: "resources") { $1 } ?? []
    }

    /// Reads the resource at `root`, but for its spec.
    mutating func document(apiVersion: inout String?) -> DecodedDocument {
        var decoded = DecodedDocument(problemsBefore: problemCount)
        resource = nil
        guard tree[root].kind == .mapping else {
            report(
                "wrong-type",
                "a document must be a mapping with apiVersion, kind, metadata and spec, not \(description(root))",
                at: root)
            return decoded
        }
        // The subject of all further messages, so that even a misspelt top-level field says whose it is.
        identify(&decoded)
        guard let nodes = open(root, DocumentField.names) else { return decoded }
        defer { close(nodes) }
        readAPIVersion(nodes, DocumentField.apiVersion.rawValue, inherited: &apiVersion)
        let kind = required(nodes, DocumentField.kind.rawValue, "kind").flatMap { self.kind($0) }
        decoded.metadata.name = decoded.name ?? ""
        if let node = required(nodes, DocumentField.metadata.rawValue, "metadata") {
            _ = Metadata.fields.read(&self, node, into: &decoded.metadata)
        }
        if kind != nil { decoded.spec = required(nodes, DocumentField.spec.rawValue, "spec") }
        return decoded
    }

    /// Finds out kind and name without complaining about anything.
    private mutating func identify(_ decoded: inout DecodedDocument) {
        if let key = tree.key(named: "kind", of: root), tree[tree.next(key)].kind == .scalar {
            decoded.kind = ResourceKind(rawValue: tree.text(tree.next(key)))
        }
        if let key = tree.key(named: "metadata", of: root), tree[tree.next(key)].kind == .mapping,
            let name = tree.key(named: "name", of: tree.next(key)), tree[tree.next(name)].kind == .scalar
        {
            let node = tree.next(name)
            let text = tree.text(node)
            if isDNSLabel(text) { (decoded.name, decoded.nameNode) = (text, node) }
        }
        if let kind = decoded.kind, let name = decoded.name { resource = ResourceReference(kind, name) }
    }

    /// - Parameter position: That of the version among the nodes.
    mutating func readAPIVersion(_ nodes: FieldNodes, _ position: Int, inherited: inout String?) {
        // Only the first document of a file needs it: the others are of the same make. If that lacks it too, one error
        // is enough.
        if !isSet(nodes, position), inherited != nil { return }
        inherited = Self.apiVersion
        guard let node = required(nodes, position, "apiVersion"), let version = string(node) else { return }
        guard version != Self.apiVersion else { return }
        report(
            "api-version", "apiVersion \(quoted(short(version))) is not known",
            hint: "write apiVersion: \(Self.apiVersion)",
            at: node)
    }

    /// Whether a field is one that an agent adds; notes the version.
    mutating func isOfAnswer(_ key: Int, _ name: String, in mapping: Int) -> Bool {
        if mapping == root { return name == "status" || name == "origin" }
        guard name == "resourceVersion", let metadata = tree.key(named: "metadata", of: root),
            tree.next(metadata) == mapping, let version = string(tree.next(key))
        else { return false }
        if let resource { versions[resource] = version }
        return true
    }

    private mutating func kind(_ node: Int) -> ResourceKind? {
        guard let text = string(node) else { return nil }
        guard let kind = ResourceKind(rawValue: text) else {
            let kinds = ResourceKind.allCases.map(\.rawValue)
            report(
                "unknown-kind", "there is no kind \(quoted(short(text)))",
                hint: Spelling.nearest(to: text, among: kinds).map { "did you mean \($0)?" }
                    ?? "the kinds are \(kinds.joined(separator: ", "))",
                at: node)
            return nil
        }
        return kind
    }
}

extension Metadata {
    static let fields = FieldList<Metadata>([
        .required("name", \.name, .name),
        .optional("labels", \.labels, .map(of: .string, "strings"), default: [:]),
        .optional("annotations", \.annotations, .map(of: .string, "strings"), default: [:]),
    ])
}
