/// Keys at which something may be another than before; of all others it is known that nothing is.
public enum ChangedKeys<Key: Hashable & Sendable>: Sendable, Hashable {
    case some(Set<Key>)
    case any

    @inlinable public static var none: ChangedKeys { .some([]) }

    @inlinable public init(_ keys: some Collection<Key>) {
        self = .none
        insert(keys)
    }

    @inlinable public var isNone: Bool { if case .some(let keys) = self { keys.isEmpty } else { false } }

    @inlinable public func contains(_ key: Key) -> Bool {
        switch self {
        case .some(let keys): keys.contains(key)
        case .any: true
        }
    }

    /// Of more than this many, looking at all objects is not the larger part.
    @usableFromInline static var limit: Int { 1000 }

    @inlinable
    public mutating func insert(_ key: Key) {
        if case .any = self { return }
        insert(CollectionOfOne(key))
    }

    @inlinable
    public mutating func insert(_ keys: some Collection<Key>) {
        guard case .some(var all) = self, !keys.isEmpty else { return }
        if keys.count > Self.limit { return self = .any }
        // Not to be copied.
        self = .none
        all.formUnion(keys)
        self = all.count > Self.limit ? .any : .some(all)
    }

    @inlinable
    public mutating func formUnion(_ other: ChangedKeys) {
        switch other {
        case .some(let keys): insert(keys)
        case .any: self = .any
        }
    }
}
