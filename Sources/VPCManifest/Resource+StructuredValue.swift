public import VPCModel

extension StructuredValue {
    /// A resource as its manifest; fields that have their default are left out.
    public init(_ resource: Resource) {
        self = .object([
            Member("apiVersion", .string(DocumentReader.apiVersion)),
            Member("kind", .string(resource.kind.rawValue)),
            Member("metadata", .object(Metadata.fields.members(of: resource.metadata))),
            Member("spec", .object(resource.specMembers)),
        ])
    }

    /// Several resources as one document, which can be read back.
    public init(list resources: [Resource]) {
        self = .object([
            Member("apiVersion", .string(DocumentReader.apiVersion)),
            Member("kind", .string(DocumentReader.listKind)),
            Member("items", .list(resources.map(StructuredValue.init))),
        ])
    }
}

/// Resources as text that `ManifestSet` reads back.
public enum ManifestText {
    /// One document per resource, each after a line `---`.
    public static func yaml(_ resources: [Resource]) -> String {
        resources.map { "---\n" + StructuredValue($0).yaml }.joined()
    }

    /// One object whose `items` are the resources; `kind: List`, as kubectl prints it.
    public static func json(_ resources: [Resource]) -> String { StructuredValue(list: resources).json }
}
