import VPCManifest
public import VPCModel

/// What is asked to become of one resource that is, or is to be, made by API.
public enum ResourceChange: Sendable {
    case create(Resource)
    /// - Parameter version: That of the resource which it takes the place of (``KeptResource``).
    case replace(Resource, version: String?)
    case delete(ResourceReference, version: String?)

    public var reference: ResourceReference {
        switch self {
        case .create(let resource), .replace(let resource, _): resource.reference
        case .delete(let reference, _): reference
        }
    }
}

/// What changes of resources come to: in which files others stand, and what these say.
struct ResourceEdit {
    /// By name; nil where nothing is left of a file.
    private(set) var files: [String: [UInt8]?] = [:]
    private(set) var resources = ResourceChanges()
    /// Of the texts of what is changed, before and after.
    private(set) var byteCount = 0
    /// Resources that are to be replaced or deleted, and are not among those made by API.
    private(set) var missing: [ResourceReference] = []

    /// - Parameter file: The content of a file of resources made by API; nil where there is none of that name.
    /// - Throws: where a resource is there already, or is not as the client believes.
    init(_ changes: [ResourceChange], file: (_ name: String) throws(AgentError) -> [UInt8]?) throws(AgentError) {
        var open: [String: ResourceFile] = [:]
        var seen: Set<ResourceReference> = []
        for change in changes {
            let reference = change.reference
            guard seen.insert(reference).inserted else {
                throw AgentError(.conflict, "\(reference) is named twice: one request changes a resource once")
            }
            let name = ResourceFile.name(for: reference)
            if open[name] == nil { open[name] = try Self.opened(name, file(name)) }
            guard let (old, new) = try texts(of: change, former: open[name]?[reference]) else { continue }
            try note(old, new, of: reference)
            open[name]?[reference] = new
        }
        resources.cancel()
        for (name, file) in open {
            let bytes = file.bytes
            guard bytes?.count ?? 0 <= ResourceFile.largest else {
                throw AgentError(
                    .conflict,
                    "there is no room for more resources made by API: those that share a file have at most \(ResourceFile.largest >> 20) MiB; keep large ones in manifests"
                )
            }
            files[name] = .some(bytes)
        }
    }

    private static func opened(_ name: String, _ bytes: [UInt8]?) throws(AgentError) -> ResourceFile {
        guard let bytes else { return ResourceFile() }
        guard let file = ResourceFile(bytes) else { throw AgentError(.storage, "\(name) is not as it was written") }
        return file
    }

    /// A resource's text before and after; nil where it is not here.
    private mutating func texts(
        of change: ResourceChange, former: ResourceText?
    ) throws(AgentError) -> (ResourceText?, ResourceText?)? {
        let reference = change.reference
        switch change {
        case .create(let resource):
            guard let former else { return (nil, ResourceText(resource)) }
            throw AgentError(
                .conflict, "\(reference) is there already, made by API, with resourceVersion \(former.version)")
        case .replace(_, let version), .delete(_, let version):
            guard let former else {
                missing.append(reference)
                return nil
            }
            try Self.check(version, of: reference, former)
            if case .replace(let resource, _) = change { return (former, ResourceText(resource)) }
            return (former, nil)
        }
    }

    private static func check(
        _ version: String?, of reference: ResourceReference, _ former: ResourceText
    ) throws(AgentError) {
        guard let version else {
            throw AgentError(
                .conflict,
                "the request does not say which \(reference) it is about: read it, and give its resourceVersion")
        }
        if version == former.version { return }
        throw AgentError(
            .conflict,
            "\(reference) was changed since: its resourceVersion is \(former.version), not \(version.prefix(64)); read it again"
        )
    }

    private mutating func note(
        _ old: ResourceText?, _ new: ResourceText?, of reference: ResourceReference
    ) throws(AgentError) {
        byteCount += (old?.line.count ?? 0) + (new?.line.count ?? 0)
        for (text, isNew) in [(old, false), (new, true)] {
            guard let text else { continue }
            guard let resource = text.resource, resource.reference == reference else {
                throw AgentError(.storage, "\(ResourceFile.name(for: reference)) is not as it was written")
            }
            _ = isNew ? resources.add(resource) : resources.remove(resource)
        }
    }
}
