import Agent
import Presentation
import VPCManifest
import VPCModel

/// Resources in the body of a request: manifests, and as the API itself tells of them.
extension RequestDocument {
    /// The member of the metadata that the API adds.
    static let version = "resourceVersion"
    /// What diagnostics call a body.
    private static let name = "request"

    /// One resource, with the version that the body states, if any.
    /// - Throws: `HTTPProblem` where it is none, or several; `AgentError` where it is not valid.
    func resource() throws -> (resource: Resource, version: String?) {
        switch self {
        case .none: throw HTTPProblem.badRequest("the request has no body; it takes a resource")
        case .yaml(let bytes): return (try Self.one(Self.resources(in: bytes)), nil)
        case .json(let value):
            let (manifest, version) = Self.manifest(value)
            return (try Self.one(Self.resources(in: Array(manifest.json.utf8))), version)
        }
    }

    /// Changes of resources, or what ``manifests()`` reads.
    /// - Throws: as ``resource()``.
    func planSubject() throws -> Agent.PlanSubject {
        if case .json(let value) = self, ["create", "replace", "delete"].contains(where: { value[$0] != nil }) {
            return .changes(try changes())
        }
        return .manifests(try manifests())
    }

    /// `{"create": [RESOURCE…], "replace": [RESOURCE…], "delete": [{"kind": …, "name": …, "resourceVersion": …}…]}`.
    /// - Throws: as ``resource()``.
    func changes() throws -> [ResourceChange] {
        guard case .json(let value) = self else {
            throw HTTPProblem.badRequest("the body must be a JSON object with create, replace, delete")
        }
        let members = try value.members(["create", "replace", "delete"], of: "the body")
        let created = try Self.resources(members["create"], "create").map { ResourceChange.create($0.resource) }
        let replaced = try Self.resources(members["replace"], "replace").map {
            ResourceChange.replace($0.resource, version: $0.version)
        }
        let deleted = try Self.list(members["delete"], "delete").enumerated().map { position, element in
            let subject = "delete[\(position)]"
            let members = try element.members(["kind", "name", Self.version], of: subject)
            guard let word = members["kind"]?.text, let kind = ResourceKind(word: word),
                let name = members["name"]?.text
            else { throw HTTPProblem.badRequest("\(subject) must have a kind that there is, and a name") }
            return ResourceChange.delete(
                ResourceReference(kind, name),
                version: try Self.text(members[Self.version], "\(subject).\(Self.version)"))
        }
        let changes = created + replaced + deleted
        if changes.isEmpty { throw HTTPProblem.badRequest("the body names no resource: nothing is to be changed") }
        return changes
    }

    private static func resources(
        _ value: StructuredValue?, _ subject: String
    ) throws -> [(resource: Resource, version: String?)] {
        let manifests = try list(value, subject).map(manifest)
        if manifests.isEmpty { return [] }
        let list: StructuredValue = [
            "apiVersion": .apiVersion, "kind": "List", "items": .list(manifests.map(\.manifest)),
        ]
        let resources = try resources(in: Array(list.json.utf8))
        let byReference = Dictionary(
            resources.map { ($0.reference, $0) }, uniquingKeysWith: { first, _ in first })
        return try manifests.enumerated().map { position, item in
            let name = item.manifest["metadata"]?["name"]?.text ?? ""
            guard let kind = ResourceKind(rawValue: item.manifest["kind"]?.text ?? ""),
                let resource = byReference[ResourceReference(kind, name)]
            else { throw HTTPProblem.badRequest("\(subject)[\(position)] must be one resource") }
            return (resource, item.version)
        }
    }

    private static func list(_ value: StructuredValue?, _ subject: String) throws(HTTPProblem) -> [StructuredValue] {
        switch value {
        case nil: return []
        case .list(let elements)?: return elements
        default: throw .badRequest("\(subject) must be a list")
        }
    }

    private static func text(_ value: StructuredValue?, _ subject: String) throws(HTTPProblem) -> String? {
        guard let value else { return nil }
        guard let text = value.text else { throw .badRequest("\(subject) must be a string") }
        return text
    }

    /// What is a manifest of what the API has told, and the version apart: so that it can be sent back as it came.
    private static func manifest(_ value: StructuredValue) -> (manifest: StructuredValue, version: String?) {
        guard case .object(var members) = value else { return (value, nil) }
        members.removeAll { ["origin", "status"].contains($0.name) }
        var stated: String?
        if let index = members.firstIndex(where: { $0.name == "metadata" }),
            case .object(var metadata) = members[index].value, let text = members[index].value[Self.version]?.text
        {
            stated = text
            metadata.removeAll { $0.name == Self.version }
            members[index].value = .object(metadata)
        }
        return (.object(members), stated)
    }

    private static func resources(in bytes: [UInt8]) throws(AgentError) -> [Resource] {
        let set = ManifestSet([ManifestSource(name: name, bytes: bytes)])
        guard set.isValid else {
            let errors = set.diagnostics.filter { $0.severity == .error }
            throw AgentError(
                .invalidManifest, errors.first?.description ?? "the resource is not valid", diagnostics: errors)
        }
        return set.model.resources
    }

    private static func one(_ resources: [Resource]) throws(HTTPProblem) -> Resource {
        guard let resource = resources.first, resources.count == 1 else {
            throw .badRequest("the body has \(resources.count) resources; it takes one: POST /v1/changes takes several")
        }
        return resource
    }
}
