/// A named part of a table.
public struct NFPart: Sendable, Hashable {
    /// Counters are objects.
    public enum Kind: Sendable, Hashable { case set, chain, object, flowtable }

    public var table: NFTable
    public var kind: Kind
    /// The wanted one: a set in the kernel may have another, such as `web.1`.
    public var name: String

    public init(_ table: NFTable, _ kind: Kind, _ name: String) {
        (self.table, self.kind, self.name) = (table, kind, name)
    }
}
