import Agent
import HTTPTypes
import Presentation
import VPCManifest
import VPCModel

/// Resources one by one.
extension API {
    private static let onePath = "/v1/resources/{kind}/{name}"

    var resourceRoutes: [Route] {
        [
            Route(method: .get, path: "/v1/resources", query: ["kind", "name", "phase"], isWork: true) {
                try await resources($0)
            },
            Route(method: .post, path: "/v1/resources", takesBody: true, isWork: true) { try await create($0) },
            Route(method: .get, path: Self.onePath, isWork: true) { try await resource($0) },
            Route(method: .put, path: Self.onePath, query: ["resourceVersion"], takesBody: true, isWork: true) {
                try await replace($0)
            },
            Route(method: .delete, path: Self.onePath, query: ["resourceVersion"], isWork: true) {
                try await delete($0)
            },
            Route(method: .post, path: "/v1/changes", takesBody: true, isWork: true) { call in
                let changes = try call.body.changes()
                return .json(try await structured(try await agent.change(changes), changes))
            },
        ]
    }

    // MARK: Reading

    private func resources(_ call: Route.Call) async throws -> HTTPAnswer {
        let kinds = try call.query["kind"].map { (word) throws(HTTPProblem) in [try kind(word)] }
        let phase = try call.query["phase"].map { (word) throws(HTTPProblem) in try self.phase(word) }
        let (kept, revision) = try await blocking { [agent] in
            try agent.resources(of: kinds ?? ResourceKind.allCases)
        }
        let status = agent.status
        var rows: [(kept: KeptResource, status: ResourceStatus)] = []
        for kept in kept {
            if let name = call.query["name"], kept.resource.metadata.name != name { continue }
            let found = status.status(of: kept.resource.reference, in: revision ?? 0)
            if phase == nil || found.phase == phase { rows.append((kept, found)) }
        }
        let list = rows.sorted { $0.kept.resource.reference < $1.kept.resource.reference }
        return .list(
            [
                ("apiVersion", .apiVersion), ("kind", "ResourceList"), ("revision", .integer(orNull: revision)),
            ], "items", count: list.count
        ) { list[$0].kept.structured(list[$0].status) }
    }

    private func resource(_ call: Route.Call) async throws -> HTTPAnswer {
        let reference = try reference(call)
        let (kept, revision) = try await blocking { [agent] in try agent.resource(reference) }
        guard let kept else { throw AgentError(.notFound, "there is no \(reference)") }
        return .json(kept.structured(agent.status.status(of: reference, in: revision ?? 0)))
    }

    private func reference(_ call: Route.Call) throws(HTTPProblem) -> ResourceReference {
        ResourceReference(try kind(call.parameters.first ?? ""), call.parameters.last ?? "")
    }

    private func kind(_ word: String) throws(HTTPProblem) -> ResourceKind {
        if let kind = ResourceKind(word: word) { return kind }
        let known = ResourceKind.allCases.map(\.rawValue).joined(separator: ", ")
        throw .badRequest("there is no kind \"\(word)\"; there are: \(known)")
    }

    private func phase(_ word: String) throws(HTTPProblem) -> AgentStatus.Phase {
        if let phase = AgentStatus.Phase(rawValue: word), phase != .loading { return phase }
        throw .badRequest("phase must be Ready, Pending or Failed, not \"\(word)\"")
    }

    // MARK: Changing

    private func create(_ call: Route.Call) async throws -> HTTPAnswer {
        let resource = try call.body.resource().resource
        let changed = try await agent.change([.create(resource)])
        var answer = HTTPAnswer.json(try await structured(resource, changed), .created)
        answer.location = "/v1/resources/\(resource.kind.rawValue)/\(resource.metadata.name)"
        return answer
    }

    private func replace(_ call: Route.Call) async throws -> HTTPAnswer {
        let reference = try reference(call)
        let (resource, stated) = try call.body.resource()
        guard resource.reference == reference else {
            throw HTTPProblem.badRequest("the body is \(resource.reference), and the path \(reference)")
        }
        let version = call.query["resourceVersion"]
        if let version, let stated, version != stated {
            throw HTTPProblem.badRequest("the resourceVersion of the query and that of the body are different ones")
        }
        let changed = try await agent.change([.replace(resource, version: version ?? stated)])
        return .json(try await structured(resource, changed))
    }

    private func delete(_ call: Route.Call) async throws -> HTTPAnswer {
        let changes = [ResourceChange.delete(try reference(call), version: call.query["resourceVersion"])]
        return .json(try await structured(try await agent.change(changes), changes))
    }

    private func structured(_ resource: Resource, _ changed: ChangedRevision) async throws -> StructuredValue {
        let kept = try await kept([resource], changed.revision)
        return kept[0].structured(agent.status.status(of: resource.reference, in: changed.revision.number))
    }

    /// Resources that were made by API, as a revision has them.
    private func kept(_ resources: [Resource], _ revision: Revision) async throws -> [KeptResource] {
        // Mostly there is nothing to be read.
        guard resources.contains(where: \.leavesAddressOut) else { return resources.map { KeptResource($0, nil) } }
        return try await blocking { [agent] in
            try resources.map { resource in
                let name = resource.leavesAddressOut ? resource.metadata.name : nil
                return KeptResource(resource, try name.flatMap { try agent.chosenAddress(of: $0, in: revision) })
            }
        }
    }

    private func structured(_ changed: ChangedRevision, _ changes: [ResourceChange]) async throws -> StructuredValue {
        let made = changes.compactMap { change -> Resource? in
            switch change {
            case .create(let resource), .replace(let resource, _): resource
            case .delete: nil
            }
        }
        let kept = try await kept(made, changed.revision)
        let status = agent.status
        return [
            "apiVersion": .apiVersion, "kind": "ChangeResult", "host": .string(changed.host),
            "revision": .integer(changed.revision.number), "applied": changed.applied.structured,
            "remaining": changed.remaining.structured, "failures": .list(changed.failures.map { .string($0) }),
            "resources": .list(
                kept.map { $0.structured(status.status(of: $0.resource.reference, in: changed.revision.number)) }),
        ]
    }
}

extension Resource {
    fileprivate var leavesAddressOut: Bool { (value as? NetworkInterface).map { $0.address == nil } ?? false }
}

extension KeptResource {
    /// As a manifest, and what the API adds: the version, where it comes from, how it is.
    func structured(_ status: ResourceStatus) -> StructuredValue {
        guard case .object(var members) = StructuredValue(resource), case .object(var status) = status.structured
        else { return .null }
        if let chosenAddress {
            status.append(StructuredValue.Member("address", .string(chosenAddress.description)))
        }
        if let index = members.firstIndex(where: { $0.name == "metadata" }),
            case .object(let metadata) = members[index].value
        {
            members[index].value = .object(
                metadata + [StructuredValue.Member(RequestDocument.version, .string(version))])
        }
        return .object(
            members + [
                StructuredValue.Member("origin", origin.structured),
                StructuredValue.Member("status", .object(status)),
            ])
    }
}

extension KeptResource.Origin {
    fileprivate var structured: StructuredValue {
        switch self {
        case .api: ["source": "api", "file": .null, "line": .null]
        case .manifest(let file, let line):
            ["source": "manifests", "file": .string(file), "line": .integer(line)]
        }
    }
}
