/// The resources by which two sets of manifests differ. One that is changed is removed as it was and added as it is.
public struct ResourceChanges: Sendable, Equatable {
    public private(set) var removed: [ResourceReference: Resource] = [:]
    public private(set) var added: [ResourceReference: Resource] = [:]

    public init() {}

    public var isEmpty: Bool { removed.isEmpty && added.isEmpty }

    /// - Returns: false where another one of this name was removed.
    public mutating func remove(_ resource: Resource) -> Bool {
        removed.updateValue(resource, forKey: resource.reference) == nil
    }

    /// - Returns: false where another one of this name was added.
    public mutating func add(_ resource: Resource) -> Bool {
        added.updateValue(resource, forKey: resource.reference) == nil
    }

    /// Leaves out what was removed in one place and added in another as it was.
    public mutating func cancel() {
        for (reference, resource) in removed where added[reference] == resource {
            removed[reference] = nil
            added[reference] = nil
        }
    }
}
