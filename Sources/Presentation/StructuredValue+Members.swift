public import KernelModel
public import VPCManifest

extension StructuredValue {
    /// Of everything that we print.
    public static let apiVersion: StructuredValue = "vpcctl.dev/v1"

    public static func string(orNull text: String?) -> StructuredValue { text.map { .string($0) } ?? .null }
    public static func integer(orNull number: Int?) -> StructuredValue { number.map { .integer($0) } ?? .null }

    /// The strings of a list.
    public var texts: [String] { elements.compactMap(\.text) }
}

extension ChangePlan.Counts {
    public var structured: StructuredValue {
        ["created": .integer(created), "changed": .integer(changed), "deleted": .integer(deleted)]
    }

    public init?(_ value: StructuredValue) {
        guard let created = value["created"]?.number, let changed = value["changed"]?.number,
            let deleted = value["deleted"]?.number
        else { return nil }
        self.init(created: created, changed: changed, deleted: deleted)
    }
}
