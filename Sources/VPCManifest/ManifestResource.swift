internal import VPCModel

/// What a document has to say of a kind.
protocol ManifestResource: ResourceType {
    /// What reading begins with. Nobody sees what is left of it: a resource that lacks a field is dropped.
    static var blank: Self { get }
    static var spec: FieldList<Self> { get }

    /// Reads a spec and adds the resource to the model, where nothing is wrong with its document.
    /// - Parameter isWanted: False of a resource that is only to be checked.
    /// - Returns: whether it was added.
    static func read(
        _ document: DecodedDocument, _ spec: Int, _ reader: inout DocumentReader, into model: inout Model,
        isWanted: Bool
    ) -> Bool

    /// The spec as it is written.
    var specMembers: [StructuredValue.Member] { get }
}

// Requirements, though nobody has others: so they are compiled for each kind.
extension ManifestResource {
    static func read(
        _ document: DecodedDocument, _ spec: Int, _ reader: inout DocumentReader, into model: inout Model,
        isWanted: Bool
    ) -> Bool {
        var resource = blank
        _ = self.spec.read(&reader, spec, into: &resource)
        guard isWanted, reader.problemCount == document.problemsBefore else { return false }
        resource.metadata = document.metadata
        model[Self.self].append(resource)
        return true
    }

    var specMembers: [StructuredValue.Member] { Self.spec.members(of: self) }
}

extension ResourceKind {
    /// What documents say of the kind.
    var inManifests: any ManifestResource.Type { Self.inManifests[ordinal] }

    private static let inManifests = DeclaredKinds.inManifests
}

extension Resource {
    /// The spec as it is written.
    var specMembers: [StructuredValue.Member] { (value as? any ManifestResource)?.specMembers ?? [] }
}

extension KindList where repeat each Kind: ManifestResource {
    fileprivate static var inManifests: [any ManifestResource.Type] {
        var kinds: [any ManifestResource.Type] = []
        repeat kinds.append((each Kind).self)
        return kinds
    }
}
