/// One complaint about a manifest set: what is wrong, where, and what to do about it.
///
/// Pure stages name the place by resource and field path; `VPCManifest` turns that into file, line and column.
public struct Diagnostic: Error, Hashable, Sendable {
    public enum Severity: String, Hashable, Sendable {
        case error
        case warning
    }

    public var severity: Severity
    /// A stable identifier of the rule, such as `subnet-overlap`.
    public var rule: String
    /// One sentence, the object first, without a full stop.
    public var message: String
    /// The remedy, where one can be named.
    public var hint: String?
    public var resource: ResourceReference
    /// The field inside the resource's document, such as `["spec", "routes", 0, "destination"]`.
    public var path: FieldPath
    /// The other party, where two places contradict each other.
    public var related: Related?

    /// A second place that explains the complaint, such as the first of two equal ids.
    public struct Related: Hashable, Sendable {
        /// One phrase, such as `the other one is here`.
        public var message: String
        public var resource: ResourceReference
        public var path: FieldPath

        public init(_ message: String, at resource: ResourceReference, _ path: FieldPath = []) {
            self.message = message
            self.resource = resource
            self.path = path
        }
    }

    public init(
        _ severity: Severity = .error, rule: String, _ message: String, hint: String? = nil,
        at resource: ResourceReference, _ path: FieldPath = [], related: Related? = nil
    ) {
        self.severity = severity
        self.rule = rule
        self.message = message
        self.hint = hint
        self.resource = resource
        self.path = path
        self.related = related
    }
}

/// The way to a field from the root of its document.
public struct FieldPath: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
    public enum Component: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
        case key(String)
        case index(Int)

        public init(stringLiteral value: String) { self = .key(value) }
        public init(integerLiteral value: Int) { self = .index(value) }
    }

    public var components: [Component]

    public init(_ components: [Component]) { self.components = components }
    public init(arrayLiteral elements: Component...) { components = elements }

    /// `spec.routes[0].destination`.
    public var description: String {
        var text = ""
        for component in components {
            switch component {
            case .key(let key): text += (text.isEmpty ? "" : ".") + key
            case .index(let index): text += "[\(index)]"
            }
        }
        return text
    }
}
