import KernelModel
public import Reconciler
public import VPCManifest

extension [OwnedObject] {
    /// The list as `vpcctl get --host` prints it.
    public func structured(host: String?) -> StructuredValue {
        [
            "apiVersion": .apiVersion, "kind": "KernelObjectList", "host": .string(orNull: host),
            "items": .list(map(\.structured)),
        ]
    }

    /// Reads such a list back; nil where it is none.
    public init?(_ value: StructuredValue) {
        guard value["kind"]?.text == "KernelObjectList", let items = value["items"]?.elements else { return nil }
        self = items.compactMap { OwnedObject($0) }
        if count != items.count { return nil }
    }
}

extension OwnedObject {
    public var structured: StructuredValue {
        [
            "kind": .string(kind.rawValue), "object": .string(object), "detail": .string(orNull: detail),
            "resource": .string(orNull: resource),
        ]
    }

    init?(_ value: StructuredValue) {
        guard let kind = value["kind"]?.text.flatMap({ ObjectKind(rawValue: $0) }), let object = value["object"]?.text
        else { return nil }
        self.init(kind: kind, object: object, detail: value["detail"]?.text, resource: value["resource"]?.text)
    }
}
