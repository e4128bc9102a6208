import VPCManifest
import VPCModel

/// The files of the desired state: a value, to be read on any thread.
struct KeptFiles: Sendable {
    let store: RevisionStore
    /// Nil as long as no desired state is known.
    let revision: Revision?

    init(_ store: RevisionStore, _ revision: Revision?) { (self.store, self.revision) = (store, revision) }

    /// One file of the desired state; nil where it has none of that name.
    /// - Throws: where it is damaged.
    func bytes(_ name: String) throws(AgentError) -> [UInt8]? {
        guard let revision, let index = revision.files.firstIndex(where: { $0.name == name }) else { return nil }
        let bytes = try store.bytes(of: revision, index)
        guard bytes.contentDigest == revision.files[index].content else {
            throw AgentError(.storage, "revision \(revision.number) is damaged: \(name) is not as it was written")
        }
        return bytes
    }

    /// The files with resources made by API: whatever becomes of the manifests, they stay.
    ///
    /// Where the newest revision cannot be taken up they are read from that one all the same.
    /// - Throws: where they are not known.
    func madeByAPI() throws(AgentError) -> [ManifestSource] {
        guard let revision else { return try store.newestMadeByAPI() }
        var sources: [ManifestSource] = []
        for file in revision.files where file.isMadeByAPI {
            if let bytes = try bytes(file.name) { sources.append(ManifestSource(name: file.name, bytes: bytes)) }
        }
        return sources
    }

    private func sources() throws(AgentError) -> [ManifestSource] {
        guard let revision else { return [] }
        return try store.sources(of: revision)
    }

    /// Everything.
    func set() throws(AgentError) -> ManifestSet { ManifestSet(try sources()) }

    /// Everything, with some resources changed.
    func set(changing changes: [ResourceChange]) throws(AgentError) -> ManifestSet {
        let edit = try ResourceEdit(changes) { name throws(AgentError) in try bytes(name) }
        let sources = try sources()
        if !edit.missing.isEmpty { throw Self.refusal(of: edit.missing, in: ManifestSet(sources)) }
        let set = ManifestSet(sources.replaced(by: edit.files))
        let created = Set(changes.map(\.reference)).subtracting(edit.resources.removed.keys)
        let doubles = set.diagnostics.filter { diagnostic in
            diagnostic.rule == "duplicate-name" && diagnostic.resource.map { created.contains($0) } ?? false
        }
        guard let first = doubles.first else { return set }
        let place = first.notes.first.map { " (\($0.location.position))" } ?? ""
        throw AgentError(
            .conflict, "\(first.resource.map { "\($0)" } ?? "a resource") is in the manifests already\(place)",
            diagnostics: doubles)
    }

    /// Why resources cannot be changed that were not made by API.
    private static func refusal(of missing: [ResourceReference], in set: ManifestSet) -> AgentError {
        let places = set.locations(of: missing.map { ($0, ["metadata", "name"]) })
        let found = zip(missing, places).compactMap { reference, place in
            place.map { place in
                LocatedDiagnostic(
                    rule: "in-manifests",
                    message: "\(reference.kind.rawValue) \(reference.name) is in the manifests, not made by API",
                    hint: "change it in \(place.position.file)", resource: reference, location: place)
            }
        }
        if let first = found.first, let place = first.position {
            return AgentError(
                .conflict, "\(first.message): change it where it is, in \(place)", diagnostics: found)
        }
        return AgentError(.notFound, "there is no \(missing.map(\.description).joined(separator: ", "))")
    }
}

extension [ManifestSource] {
    /// These with other files of resources made by API, which are the last ones, by name.
    func replaced(by files: [String: [UInt8]?]) -> [ManifestSource] {
        let rest = filter { files[$0.name] == nil }
        let others = files.compactMap { name, bytes in bytes.map { ManifestSource(name: name, bytes: $0) } }
        return rest.filter { !$0.isMadeByAPI } + (rest.filter(\.isMadeByAPI) + others).sorted { $0.name < $1.name }
    }
}

extension RevisionStore {
    /// The files with resources made by API of the newest revision, read from the disk.
    /// - Throws: where they are not known: that revision is damaged, and had some, or may have had.
    func newestMadeByAPI() throws(AgentError) -> [ManifestSource] {
        guard let number = try newest() else { return [] }
        do throws(AgentError) {
            let revision = try revision(number)
            guard revision.files.contains(where: \.isMadeByAPI) else { return [] }
            return try sources(of: revision).filter(\.isMadeByAPI)
        } catch {
            guard Files.exists(apiMark) else { return [] }
            let back = intact(before: number).map { "go back with 'vpcctl rollback \($0)', " } ?? ""
            throw AgentError(
                .storage,
                "\(error); it had resources made by API, which are in no manifest: \(back)put its files right, or remove \(apiMark) to give these resources up"
            )
        }
    }
}
