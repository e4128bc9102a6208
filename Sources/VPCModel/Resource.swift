/// One resource of any kind. For the edges, where resources come and go one by one: what reads or resolves many of them
/// knows their type.
public struct Resource: Hashable, Sendable {
    public let value: any ResourceType

    public init(_ value: any ResourceType) { self.value = value }

    public var kind: ResourceKind { type(of: value).kind }
    public var metadata: Metadata { value.metadata }
    public var reference: ResourceReference { value.reference }

    public static func == (left: Resource, right: Resource) -> Bool { left.value.isEqual(to: right.value) }
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

extension ResourceType {
    fileprivate func isEqual(to other: any ResourceType) -> Bool { other as? Self == self }
}
