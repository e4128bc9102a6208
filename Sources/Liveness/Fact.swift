/// What one host knows and tells others: of each name of each kind one value.
public struct FactKey: Hashable, Sendable, Comparable {
    public var kind: FactKind
    /// At most 253 bytes.
    public var name: String

    public static let longestName = 253

    public init(_ kind: FactKind, _ name: String) { (self.kind, self.name) = (kind, name) }

    public static func < (left: FactKey, right: FactKey) -> Bool {
        (left.kind.rawValue, left.name) < (right.kind.rawValue, right.name)
    }
}

/// What facts are about. A number that a host does not know is kept and handed on to nobody.
public struct FactKind: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Whether a next hop lives, by the interface's name, as BFD says.
    public static let bfd = FactKind(rawValue: 1)
    /// The same, as echo requests say.
    public static let echo = FactKind(rawValue: 2)
}

/// The bytes of a fact; what they mean is the kind's business. At most ``longest``.
public typealias FactValue = [UInt8]

/// What hosts say to each other about facts. One host owns facts, and tells readers; each pair and direction stands alone.
///
/// An owner numbers its changes: its version is that of the last one. A reader acknowledges versions, and is sent
/// what it lacks, beginning with everything. Both sides begin anew with every start: an owner by another `epoch`, a reader
/// by another `challenge`, which the owner has to repeat, so that nothing that was said to an earlier reader, or by an
/// earlier owner, is taken for new.
public struct FactMessage: Hashable, Sendable {
    /// Of the owner, whoever speaks: of a reader that knows none 0.
    public var epoch: UInt64
    /// Of the reader, whoever speaks: of an owner that knows none 0.
    public var challenge: UInt64
    /// Rises with each message of an owner's; of a reader's 0.
    public var sequence: UInt64
    public var content: Content

    public enum Content: Hashable, Sendable {
        /// The owner is there, and its facts are those of this version.
        case beat(version: UInt64)
        case update(FactUpdate)
        /// The reader has all up to this version: the answer to an update, and how it asks for what it lacks.
        /// - Parameter base: Of what it has (``FactUpdate/base``).
        case acknowledgement(version: UInt64, base: UInt64)
    }

    public init(epoch: UInt64, challenge: UInt64, sequence: UInt64, _ content: Content) {
        (self.epoch, self.challenge, self.sequence) = (epoch, challenge, sequence)
        self.content = content
    }
}

/// All changes after one version up to another; after 0: all facts, in parts.
public struct FactUpdate: Hashable, Sendable {
    public var after: UInt64
    public var upTo: UInt64
    /// The version when the reader was last sent everything, or the first part of it.
    public var base: UInt64
    /// The owner's version. Where it is ``upTo`` nothing is missing.
    public var latest: UInt64
    /// Nil: there is no such fact any more.
    public var changes: [Change]

    public struct Change: Hashable, Sendable {
        public var key: FactKey
        public var value: FactValue?

        public init(_ key: FactKey, _ value: FactValue?) { (self.key, self.value) = (key, value) }
    }

    public init(after: UInt64, upTo: UInt64, latest: UInt64, base: UInt64, _ changes: [Change]) {
        (self.after, self.upTo, self.latest, self.base, self.changes) = (after, upTo, latest, base, changes)
    }
}
