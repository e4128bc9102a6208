import AgentClient
import CommandOptions
import Console
import KernelModel
import Presentation
import VPCManifest
import VPCModel

/// Resources one by one, through the agent.
extension LocalAgent {
    /// A resource as the agent tells of it.
    struct Kept {
        var resource: Resource
        var version: String
        /// The file of manifests that it is in, with the line; nil where it was made by API.
        var file: String?
    }

    /// - Returns: nil where there is none of that name.
    func kept(_ reference: ResourceReference) throws(AgentClientError) -> Kept? {
        let value: StructuredValue
        do throws(AgentClientError) {
            value = try patientClient.get(Self.path(reference))
        } catch {
            if error.status == 404, error.reason == "notFound" { return nil }
            throw error
        }
        guard let version = value["metadata"]?["resourceVersion"]?.text, let resource = Self.resource(value) else {
            throw Self.unknownAnswer
        }
        let file = value["origin"]?["file"]?.text.map { "\($0):\(value["origin"]?["line"]?.number ?? 1)" }
        return Kept(resource: resource, version: version, file: file)
    }

    private static func path(_ reference: ResourceReference) -> String {
        "/v1/resources/\(reference.kind.rawValue)/\(reference.name)"
    }

    /// What is a manifest of what the agent has told.
    private static func resource(_ value: StructuredValue) -> Resource? {
        guard var members = value.members(changingMetadata: { $0.removeAll { $0.name == "resourceVersion" } }) else {
            return nil
        }
        members.removeAll { ["origin", "status"].contains($0.name) }
        return ManifestSet(text: StructuredValue.object(members).json).model.resources.first
    }

    func plan(_ request: ResourceRequest) throws(AgentClientError) -> PresentedPlan {
        guard let plan = PresentedPlan(try patientClient.post("/v1/plan", request.structured)) else {
            throw Self.unknownAnswer
        }
        return plan
    }

    func change(_ request: ResourceRequest, while waiting: () -> Void = {}) throws(AgentClientError) -> ChangeOutcome {
        guard let outcome = ChangeOutcome(try patientClient.post("/v1/changes", request.structured, while: waiting))
        else { throw Self.unknownAnswer }
        return outcome
    }
}

/// What is asked for: all of it or nothing.
struct ResourceRequest: Equatable {
    var changes: [Change] = []

    struct Change: Equatable {
        var reference: ResourceReference
        /// What it is to be; nil: nothing any more.
        var resource: Resource?
        /// That of what is there; nil where nothing is.
        var version: String?

        /// What becomes of it.
        func verb(_ outcome: ChangeOutcome? = nil) -> String {
            guard resource != nil else { return outcome == nil ? "delete" : "deleted" }
            guard let version else { return outcome == nil ? "create" : "created" }
            guard let outcome else { return "replace" }
            return outcome.versions[reference.description] == version ? "unchanged" : "replaced"
        }
    }

    var structured: StructuredValue {
        let made = changes.filter { $0.resource != nil }
        let doomed = changes.filter { $0.resource == nil }.map { change -> StructuredValue in
            [
                "kind": .string(change.reference.kind.rawValue), "name": .string(change.reference.name),
                "resourceVersion": .string(change.version ?? ""),
            ]
        }
        let lists: [(String, [StructuredValue])] = [
            ("create", made.filter { $0.version == nil }.compactMap(\.manifest)),
            ("replace", made.filter { $0.version != nil }.compactMap(\.manifest)), ("delete", doomed),
        ]
        return .object(lists.filter { !$0.1.isEmpty }.map { StructuredValue.Member($0.0, .list($0.1)) })
    }
}

extension ResourceRequest.Change {
    /// The resource with the version of what it takes the place of.
    fileprivate var manifest: StructuredValue? {
        guard let resource else { return nil }
        return StructuredValue(resource).members { metadata in
            if let version { metadata.append(StructuredValue.Member("resourceVersion", .string(version))) }
        }.map { .object($0) }
    }
}

extension StructuredValue {
    /// The members of a resource, with other metadata; nil where it is no object.
    fileprivate func members(changingMetadata change: (inout [Member]) -> Void) -> [Member]? {
        guard case .object(var members) = self else { return nil }
        for index in members.indices where members[index].name == "metadata" {
            guard case .object(var metadata) = members[index].value else { continue }
            change(&metadata)
            members[index].value = .object(metadata)
        }
        return members
    }
}

/// What became of it, in the agent's words.
struct ChangeOutcome {
    let structured: StructuredValue
    let revision: Int
    let applied: ChangePlan.Counts
    let remaining: ChangePlan.Counts
    let failures: [String]
    /// Of what there is now, by reference.
    let versions: [String: String]
    /// Those that were chosen for interfaces, by reference.
    let addresses: [String: String]
    /// What is not ready, a line each.
    let obstacles: [String]

    init?(_ value: StructuredValue) {
        guard value["kind"]?.text == "ChangeResult", let revision = value["revision"]?.number,
            let applied = value["applied"].flatMap({ ChangePlan.Counts($0) }),
            let remaining = value["remaining"].flatMap({ ChangePlan.Counts($0) })
        else { return nil }
        (structured, self.revision, self.applied, self.remaining) = (value, revision, applied, remaining)
        failures = value["failures"]?.texts ?? []
        let resources = value["resources"]?.elements ?? []
        versions = Dictionary(
            resources.map { (LocalAgent.reference($0), $0["metadata"]?["resourceVersion"]?.text ?? "") },
            uniquingKeysWith: { first, _ in first })
        addresses = Dictionary(
            resources.compactMap { item in item["status"]?["address"]?.text.map { (LocalAgent.reference(item), $0) } },
            uniquingKeysWith: { first, _ in first })
        obstacles = resources.compactMap { item in
            let status = ResourceStatus(item)
            return status.phase == "Pending"
                ? "\(LocalAgent.reference(item)): \(status.reason ?? status.phase)" : nil
        }
    }
}
