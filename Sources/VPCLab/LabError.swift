/// Why something in the lab cannot be done.
public struct LabError: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// A namespace has a name that the lab needs, and is not the lab's.
        public static let nameTaken = Code(rawValue: "name-taken")
        /// Two nodes of one lab would have the same name.
        public static let nameClash = Code(rawValue: "name-clash")
        /// Another vpclab is at work on the same lab.
        public static let busy = Code(rawValue: "busy")
        /// There is no such lab, or it is not complete.
        public static let notUp = Code(rawValue: "not-up")
        /// There is no host or guest of that name.
        public static let unknownNode = Code(rawValue: "unknown-node")
        /// The manifest asks for something that the lab does not offer.
        public static let unsupported = Code(rawValue: "unsupported")
        /// A signal asked to stop.
        public static let interrupted = Code(rawValue: "interrupted")
        /// A system call failed.
        public static let system = Code(rawValue: "system")
    }

    public var code: Code
    /// One sentence, the object first, without a full stop.
    public var message: String
    /// The remedy, where one can be named.
    public var hint: String?

    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    public var description: String { hint.map { "\(message); \($0)" } ?? message }
}
