public import VPCModel

/// A diagnostic with its place in the sources; complete in itself, so that it outlives them.
public struct LocatedDiagnostic: Error, Hashable, Sendable {
    public var severity: Diagnostic.Severity
    /// A stable identifier of the rule, such as `unknown-field`.
    public var rule: String
    public var message: String
    public var hint: String?
    /// Nil where the complaint is about no resource, such as an unreadable file.
    public var resource: ResourceReference?
    public var path: FieldPath
    /// Nil where the complaint is about no line, such as a missing file.
    public var location: SourceSpan?
    /// Other places that explain the complaint.
    public var notes: [Note]

    public struct Note: Hashable, Sendable {
        public var message: String
        public var location: SourceSpan

        public init(message: String, location: SourceSpan) {
            self.message = message
            self.location = location
        }
    }

    public init(
        severity: Diagnostic.Severity = .error, rule: String, message: String, hint: String? = nil,
        resource: ResourceReference? = nil, path: FieldPath = [], location: SourceSpan? = nil, notes: [Note] = []
    ) {
        self.severity = severity
        self.rule = rule
        self.message = message
        self.hint = hint
        self.resource = resource
        self.path = path
        self.location = location
        self.notes = notes
    }

    public var position: SourcePosition? { location?.position }
}

// MARK: - Text

/// How diagnostics are rendered.
public enum DiagnosticStyle: Hashable, Sendable {
    case plain
    /// With ANSI colours.
    case colored
}

extension LocatedDiagnostic: CustomStringConvertible {
    /// The first line of the plain rendering: `blue.yaml:12:8: error: … [rule]`.
    public var description: String {
        (position.map { "\($0): " } ?? "") + "\(severity.rawValue): \(message) [\(rule)]"
    }

    /// The diagnostic as a compiler prints it, several lines, each with a line end:
    ///
    ///     blue.yaml:12:8: error: Subnet web: there is no VPC named "bleu" [dangling-reference]
    ///       vpc: bleu
    ///            ^~~~
    ///     hint: did you mean blue?
    public func rendered(style: DiagnosticStyle = .plain) -> String {
        let color: (String, String) -> String = { code, text in
            style == .colored ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
        }
        var text = position.map { color("1", "\($0):") + " " } ?? ""
        text += severity == .error ? color("1;31", "error:") : color("1;35", "warning:")
        text += " " + color("1", printable(message)) + " [\(rule)]\n"
        if let location { text += location.rendered(caret: { color("1;32", $0) }) }
        if let hint { text += color("1;36", "hint:") + " \(printable(hint))\n" }
        for note in notes {
            text +=
                color("1", "\(note.location.position):") + " " + color("1;36", "note:")
                + " \(printable(note.message))\n"
            text += note.location.rendered(caret: { color("1;32", $0) })
        }
        return text
    }
}

extension StructuredValue {
    /// A diagnostic for programs: severity, rule, message, and where known hint, resource, path, place and notes.
    public init(_ diagnostic: LocatedDiagnostic) {
        var members = [
            Member("severity", .string(diagnostic.severity.rawValue)), Member("rule", .string(diagnostic.rule)),
            Member("message", .string(diagnostic.message)),
        ]
        if let hint = diagnostic.hint { members.append(Member("hint", .string(hint))) }
        if let resource = diagnostic.resource {
            members.append(
                Member("resource", ["kind": .string(resource.kind.rawValue), "name": .string(resource.name)]))
        }
        if !diagnostic.path.components.isEmpty { members.append(Member("path", .string(diagnostic.path.description))) }
        members += Self.place(diagnostic.position)
        if !diagnostic.notes.isEmpty {
            let notes = diagnostic.notes.map { note in
                StructuredValue.object([Member("message", .string(note.message))] + Self.place(note.location.position))
            }
            members.append(Member("notes", .list(notes)))
        }
        self = .object(members)
    }

    private static func place(_ position: SourcePosition?) -> [Member] {
        guard let position else { return [] }
        return [
            Member("file", .string(position.file)), Member("line", .integer(position.line)),
            Member("column", .integer(position.column)),
        ]
    }
}

extension SourceSpan {
    /// The excerpt and, below, a caret at the place: `^~~~`.
    func rendered(caret: (String) -> String) -> String {
        guard !excerpt.isEmpty else { return "" }
        var line = ""
        var padding = ""
        var mark = ""
        for (index, scalar) in excerpt.unicodeScalars.enumerated() {
            let isShown = scalar == "\t" || !isControl(scalar)
            line.unicodeScalars.append(isShown ? scalar : "\u{FFFD}")
            let columns = isShown ? columns(of: scalar) : 1
            if index < indent {
                padding += scalar == "\t" ? "\t" : String(repeating: " ", count: columns)
            } else if index < indent + width {
                mark += String(repeating: "~", count: columns)
            }
        }
        let underline = "^" + mark.dropFirst()
        return line + "\n" + padding + caret(underline) + "\n"
    }
}

/// Text for a terminal: control characters, which could drive it, are replaced.
private func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(isControl(scalar) ? "\u{FFFD}" : scalar) }
    return String(result)
}

private func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    // Format characters too: they may reverse the order of what follows.
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
}

/// The columns a terminal gives a character: Chinese, Japanese and Korean ones take two.
private func columns(of scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
        0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
        return 2
    default: return 1
    }
}
