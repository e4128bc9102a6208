internal import IPAddressing
internal import VPCModel

/// Reads typed values out of a node tree and collects everything that is wrong with them.
///
/// Reading goes on after a problem, so that one run shows them all. The value of a broken field is nil; whoever
/// assembles a resource must drop it when `problemCount` grew meanwhile.
struct DocumentReader {
    var tree = NodeTree()
    /// How many problems to keep; any further ones are only counted.
    let capacity: Int
    /// The node whose content is being read: the document's root, or an item of a list.
    var root = 0
    /// What is being read, once its kind and name are known.
    var resource: ResourceReference?
    private(set) var problems: [Problem] = []
    private(set) var problemCount = 0
    /// See ``ManifestLimits/allowsAnswers``.
    var allowsAnswers = false
    /// The `resourceVersion` that resources state.
    var versions: [ResourceReference: String] = [:]
    /// Of `tree`; made for the first problem.
    private var ancestry: Ancestry?
    /// Where the fields of the mappings are that are being read, see ``open(_:_:hint:)``. On one pile, for there are half a
    /// million mappings in a large manifest.
    private var slots: [Int32] = []

    init(capacity: Int) { self.capacity = capacity }

    /// A complaint about a node.
    struct Problem {
        var rule: String
        var message: String
        var hint: String?
        var resource: ResourceReference?
        var path: FieldPath
        /// The node to point at.
        var mark: Int
        var related: Related?

        var relatedNode: Int? { if case .node(let node, _) = related { node } else { nil } }
    }

    /// A second place that explains a problem.
    enum Related {
        case node(Int, message: String)
        case resource(Diagnostic.Related)
    }

    /// Prepares for the document that is in `tree` now.
    mutating func begin() {
        root = 0
        resource = nil
        problems.removeAll()
        problemCount = 0
        ancestry = nil
        slots.removeAll(keepingCapacity: true)
    }

    mutating func report(
        _ rule: String, _ text: String, hint: String? = nil, at node: Int, related: Related? = nil
    ) {
        problemCount += 1
        guard problems.count < capacity else { return }
        let subject = resource.map { "\($0.kind.rawValue) \($0.name): " } ?? ""
        problems.append(
            Problem(
                rule: rule, message: subject + text, hint: hint, resource: resource,
                path: upwards().path(to: node, from: root, in: tree),
                mark: upwards().mark(of: node, from: root, in: tree), related: related))
    }

    /// The path to a node, for messages.
    mutating func path(_ node: Int) -> String {
        let path = upwards().path(to: node, from: root, in: tree).description
        return path.isEmpty ? "the document" : short(path, 120)
    }

    private mutating func upwards() -> Ancestry {
        if let ancestry { return ancestry }
        let made = Ancestry(of: tree)
        ancestry = made
        return made
    }

    // MARK: Scalars

    /// What a node is, for messages: `the integer 101`.
    func description(_ node: Int) -> String {
        switch tree[node].kind {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .scalar: break
        }
        let text = short(tree.text(node))
        switch tree.type(node) {
        case .null: return "empty"
        case .boolean: return text
        case .integer: return "the integer \(text)"
        case .floatingPoint: return "the number \(text)"
        case .string: return "the string \(quoted(text))"
        }
    }

    mutating func reportType(_ expected: String, at node: Int, hint: String? = nil) {
        report("wrong-type", "\(path(node)) must be \(expected), not \(description(node))", hint: hint, at: node)
    }

    mutating func string(_ node: Int) -> String? {
        guard tree[node].kind == .scalar else {
            reportType("a string", at: node)
            return nil
        }
        switch tree.type(node) {
        case .string: return tree.text(node)
        case .null: reportType("a string", at: node)
        default: reportType("a string", at: node, hint: "quote it: \(quoted(short(tree.text(node))))")
        }
        return nil
    }

    mutating func integer(_ node: Int, in range: ClosedRange<Int>) -> Int? {
        guard tree[node].kind == .scalar, tree.type(node) == .integer else {
            let text = tree[node].kind == .scalar && tree.type(node) == .string ? tree.text(node) : ""
            let isQuoted = text.utf8.count < 20 && ScalarType.integer(text) != nil
            reportType("an integer", at: node, hint: isQuoted ? "remove the quotes: \(text)" : nil)
            return nil
        }
        guard let value = ScalarType.integer(tree.text(node)), range.contains(value) else {
            report(
                "out-of-range",
                "\(path(node)) must be from \(range.lowerBound) to \(range.upperBound), not \(short(tree.text(node)))",
                at: node)
            return nil
        }
        return value
    }

    mutating func boolean(_ node: Int) -> Bool? {
        guard tree[node].kind == .scalar, tree.type(node) == .boolean else {
            let words = ["true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"]
            let meant = tree[node].kind == .scalar ? words[tree.text(node).lowercased()] : nil
            reportType("true or false", at: node, hint: meant.map { "write \($0), without quotes" })
            return nil
        }
        return tree.withText(node) { $0.first.map { $0 | 0x20 } == UInt8(ascii: "t") }
    }

    /// One of a few words.
    mutating func word<Word: RawRepresentable<String> & CaseIterable>(_ node: Int, _: Word.Type) -> Word? {
        guard let text = string(node) else { return nil }
        if let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map(\.rawValue)
        report(
            "invalid-value", "\(path(node)) must be \(alternatives(words)), not \(quoted(short(text)))",
            hint: Spelling.nearest(to: text, among: words).map { "did you mean \($0)?" }, at: node)
        return nil
    }

    /// A resource's name.
    mutating func name(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if isDNSLabel(text) { return text }
        report(
            "invalid-name", "\(path(node)): \(quoted(short(text))) is not a valid name",
            hint: "a name has 1 to 63 characters of a-z, 0-9 and '-', and neither begins nor ends with '-'", at: node)
        return nil
    }

    // MARK: Addresses

    mutating func address(_ node: Int) -> IPAddress? {
        guard let text = string(node) else { return nil }
        guard let address = IPAddress(text) else {
            report(
                "invalid-address", "\(path(node)): \(quoted(short(text))) is not an IP address",
                hint: addressHint(text),
                at: node)
            return nil
        }
        return isSupported(address.family, at: node) ? address : nil
    }

    mutating func prefix(_ node: Int) -> IPPrefix? {
        guard let text = string(node) else { return nil }
        do throws(IPPrefixError) {
            let prefix = try IPPrefix.parse(text)
            return isSupported(prefix.family, at: node) ? prefix : nil
        } catch {
            switch error {
            case .hostBitsSet(let meant):
                guard isSupported(meant.family, at: node) else { return nil }
                report(
                    "host-bits", "\(path(node)): \(text) has bits set beyond its prefix length",
                    hint: "did you mean \(meant)?", at: node)
            case .lengthOutOfRange(let maximum):
                report(
                    "invalid-cidr", "\(path(node)): the prefix length of \(text) must be from 0 to \(maximum)", at: node
                )
            case .malformed:
                let hint =
                    IPAddress(text).map { "add the prefix length: \($0)/\($0.family.bitWidth) is this one address" }
                    ?? "write ADDRESS/LENGTH, such as 10.0.0.0/16"
                report(
                    "invalid-cidr", "\(path(node)): \(quoted(short(text))) is not a CIDR block", hint: hint, at: node)
            }
            return nil
        }
    }

    mutating func mac(_ node: Int) -> MACAddress? {
        guard let text = string(node) else { return nil }
        guard let mac = MACAddress(text) else {
            report(
                "invalid-mac", "\(path(node)): \(quoted(short(text))) is not a MAC address",
                hint: "write six two-digit hexadecimal octets, such as \"02:00:0a:00:01:0a\"", at: node)
            return nil
        }
        guard !mac.isMulticast, mac.rawValue != 0 else {
            report(
                "invalid-mac", "\(path(node)): \(text) is not the address of one station",
                hint: "the first octet must be even, and not all octets zero", at: node)
            return nil
        }
        return mac
    }

    private mutating func isSupported(_ family: AddressFamily, at node: Int) -> Bool {
        if family == .ipv4 { return true }
        report("unsupported", "\(path(node)): IPv6 is not supported yet", hint: "use an IPv4 address", at: node)
        return false
    }

    private func addressHint(_ text: String) -> String? {
        let octets = text.split(separator: ".", omittingEmptySubsequences: false)
        if octets.count == 4, octets.contains(where: { $0.count > 1 && $0.first == "0" }) {
            return "write the octets without leading zeros"
        }
        return text.contains("/") ? "leave out the prefix length" : nil
    }

    // MARK: Containers

    mutating func list<Element>(
        _ node: Int, of expected: String, _ element: (inout DocumentReader, Int) -> Element?
    ) -> [Element]? {
        guard tree[node].kind == .sequence else {
            reportType(
                "a list of \(expected)", at: node,
                hint: tree[node].kind == .scalar && !tree.isNull(node) ? "write [\(short(tree.text(node)))]" : nil)
            return nil
        }
        var values: [Element] = []
        var index = node + 1
        let end = tree.next(node)
        while index < end {
            if let value = element(&self, index) { values.append(value) }
            index = tree.next(index)
        }
        return values
    }

    /// A mapping of arbitrary keys: labels.
    mutating func map<Value>(
        _ node: Int, _ value: (inout DocumentReader, Int) -> Value?
    ) -> [String: Value]? {
        guard tree[node].kind == .mapping else {
            reportType("a mapping", at: node)
            return nil
        }
        var values: [String: Value] = [:]
        var places: [String: Int] = [:]
        var merges: [Int] = []
        for key in tree.keys(of: node) {
            if tree.isMergeKey(key) {
                merges.append(tree.next(key))
                continue
            }
            guard let name = keyText(key) else { continue }
            if let first = places.updateValue(key, forKey: name) { reportDuplicate(key, first: first) }
            values[name] = value(&self, tree.next(key))
        }
        for mapping in merged(merges) {
            for (name, value) in map(mapping, value) ?? [:] where places[name] == nil { values[name] = value }
        }
        return values
    }

    /// Finds the fields of a mapping that may have no others. Whoever opens a mapping closes it.
    /// - Parameter hint: What to do about a node that is no mapping.
    /// - Returns: nil where the node is no mapping.
    mutating func open(_ node: Int, _ names: FieldNames, hint: String? = nil) -> FieldNodes? {
        guard tree[node].kind == .mapping else {
            reportType("a mapping", at: node, hint: hint)
            return nil
        }
        let nodes = FieldNodes(mapping: node, first: slots.count)
        slots.append(contentsOf: repeatElement(Self.absent, count: names.names.count))
        fill(nodes, names)
        return nodes
    }

    /// Forgets the fields of the mapping that was opened last.
    mutating func close(_ nodes: FieldNodes) { slots.removeLast(slots.count - nodes.first) }

    private static let absent: Int32 = -1
    /// An unknown key was probably meant to be this field.
    private static let misspelt: Int32 = -2

    private mutating func fill(_ nodes: FieldNodes, _ names: FieldNames) {
        let mapping = nodes.mapping
        var merges: [Int] = []
        let end = tree.next(mapping)
        var key = mapping + 1
        while key < end {
            let value = tree.next(key)
            if tree[key].kind == .scalar, let position = tree.withText(key, names.position(of:)) {
                let slot = nodes.first + position
                if slots[slot] >= 0 {
                    reportDuplicate(key, first: Int(slots[slot]) - 1)
                } else {
                    slots[slot] = Int32(value)
                }
            } else if tree.isMergeKey(key) {
                merges.append(value)
            } else if let name = keyText(key) {
                reportUnknown(key, name, nodes, names)
            }
            key = tree.next(value)
        }
        // A field that is set here wins over one that is merged in, wherever the merge key stands.
        for mapping in merged(merges) {
            guard let other = open(mapping, names) else { continue }
            for position in names.names.indices where slots[nodes.first + position] < 0 {
                let found = slots[other.first + position]
                if found != Self.absent { slots[nodes.first + position] = found }
            }
            close(other)
        }
    }

    private mutating func reportUnknown(_ key: Int, _ name: String, _ nodes: FieldNodes, _ names: FieldNames) {
        if allowsAnswers, isOfAnswer(key, name, in: nodes.mapping) { return }
        let meant = Spelling.nearest(to: name, among: names.listed)
        report(
            "unknown-field", "\(path(nodes.mapping)) has no field \(quoted(short(name)))",
            hint: meant.map { "did you mean \($0)?" } ?? "the fields are \(names.listed.joined(separator: ", "))",
            at: key)
        guard let meant, let position = names.names.firstIndex(of: meant) else { return }
        if slots[nodes.first + position] < 0 { slots[nodes.first + position] = Self.misspelt }
    }

    private mutating func keyText(_ key: Int) -> String? {
        if tree[key].kind == .scalar { return tree.text(key) }
        report("wrong-type", "a key must be a string, not \(description(key))", at: key)
        return nil
    }

    private mutating func reportDuplicate(_ key: Int, first: Int) {
        report(
            "duplicate-key", "\(path(key)) is set twice", hint: "remove one of them", at: key,
            related: .node(first, message: "it is first set here"))
    }

    /// The mappings that merge keys (`<<`) name, the strongest first.
    private mutating func merged(_ values: [Int]) -> [Int] {
        var mappings: [Int] = []
        for value in values {
            let sources = tree[value].kind == .sequence ? Array(tree.elements(of: value)) : [value]
            for source in sources {
                if tree[source].kind == .mapping {
                    mappings.append(source)
                } else {
                    report(
                        "merge-key", "only mappings can be merged with <<, not \(description(source))",
                        hint: "write <<: *anchor, where &anchor marks a mapping", at: source)
                }
            }
        }
        return mappings
    }

    /// The node of a field that may be left out or empty.
    /// - Parameter position: Among the nodes.
    func optional(_ nodes: FieldNodes, _ position: Int) -> Int? {
        let value = Int(slots[nodes.first + position])
        return value < 0 || tree.isNull(value) ? nil : value
    }

    /// The node of a field that must be there.
    mutating func required(_ nodes: FieldNodes, _ position: Int, _ name: @autoclosure () -> String) -> Int? {
        let value = Int(slots[nodes.first + position])
        guard value >= 0 else {
            // One error for one mistake.
            if isMisspelt(nodes, position) { return nil }
            report("missing-field", "\(path(nodes.mapping)) lacks \(name())", at: nodes.mapping)
            return nil
        }
        guard !tree.isNull(value) else {
            report("missing-field", "\(path(value)) is empty", hint: "give it a value", at: value)
            return nil
        }
        return value
    }

    /// Whether a field is absent, and an unknown one was probably meant to be it.
    func isMisspelt(_ nodes: FieldNodes, _ position: Int) -> Bool { slots[nodes.first + position] == Self.misspelt }

    /// Whether there is anything, be it empty.
    func isSet(_ nodes: FieldNodes, _ position: Int) -> Bool { slots[nodes.first + position] >= 0 }

    func isEmptyList(_ node: Int) -> Bool { tree[node].kind == .sequence && tree.next(node) == node + 1 }
}

// MARK: - Text

/// A DNS label (RFC 1123) in lower case.
func isDNSLabel(_ text: String) -> Bool {
    let bytes = text.utf8
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-") else {
        return false
    }
    return bytes.allSatisfy { byte in
        (byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z"))
            || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
            || byte == UInt8(ascii: "-")
    }
}

/// Text to quote in a message.
func short(_ text: String, _ limit: Int = 40) -> String {
    guard text.utf8.count > limit, text.count > limit else { return text }
    return text.prefix(limit) + "…"
}

/// `a, b or c`.
func alternatives(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " or " + last
}

/// Text in double quotes, with control characters as escapes: what JSON and YAML both read back.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _
        where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            || [0x2028, 0x2029, 0xFEFF].contains(scalar.value):
            result += "\\u" + hexadecimal(Int32(scalar.value), digits: 4)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
