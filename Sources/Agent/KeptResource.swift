public import IPAddressing
import VPCManifest
public import VPCModel
public import VPCTopology

/// A resource of the desired state, where it comes from, and what tells it from what it was before.
public struct KeptResource: Sendable {
    public var resource: Resource
    public var origin: Origin
    /// That which was chosen for an interface that states none.
    public var chosenAddress: IPAddress?
    /// Opaque; another one as soon as the resource says something else.
    public var version: String { ResourceText(resource).version }

    public enum Origin: Sendable, Hashable {
        /// It was made by API, and can be changed so.
        case api
        /// A file of manifests, and the line where its document begins.
        case manifest(file: String, line: Int)
    }

    init(_ resource: Resource, _ origin: Origin, _ address: IPAddress? = nil) {
        (self.resource, self.origin, chosenAddress) = (resource, origin, address)
    }

    /// One that was made by API.
    /// - Parameter address: That was chosen for it.
    public init(_ resource: Resource, _ address: IPAddress?) { self.init(resource, .api, address) }

    /// - Parameter set: That has the resource.
    init(_ resource: Resource, in set: ManifestSet, _ address: IPAddress?) {
        let place = set.document(of: resource.reference).flatMap { $0.source.isMadeByAPI ? nil : $0 }
        self.init(resource, place.map { .manifest(file: $0.source.name, line: $0.line) } ?? .api, address)
    }
}

extension KeptFiles {
    /// Those that were chosen for interfaces, by name.
    fileprivate func chosenAddresses() throws(AgentError) -> [String: IPAddress] {
        guard let revision else { return [:] }
        let list = try store.addresses(of: revision)
        return Dictionary(list.map { ($0.interface, $0.address) }, uniquingKeysWith: { first, _ in first })
    }
}

extension Agent {
    /// The addresses that were chosen for interfaces of a revision. Reads the disk on the calling thread.
    public func chosenAddresses(of revision: Revision) throws(AgentError) -> [ChosenAddress] {
        try revisions.addresses(of: revision)
    }

    /// That which was chosen for an interface of a revision; nil where it states one. Reads the disk.
    public func chosenAddress(of interface: String, in revision: Revision) throws(AgentError) -> IPAddress? {
        try revisions.address(of: interface, in: revision)
    }

    /// One resource of the desired state. Reads the disk on the calling thread: of those made by API one file, else all.
    /// - Returns: it, and the number of the revision; no resource where there is none of that name.
    public func resource(_ reference: ResourceReference) throws(AgentError) -> (KeptResource?, revision: Int?) {
        let kept = keptFiles
        guard let revision = kept.revision else { return (nil, nil) }
        let number = revision.number
        let address =
            reference.kind == .networkInterface
            ? try kept.store.address(of: reference.name, in: revision) : nil
        let name = ResourceFile.name(for: reference)
        if let bytes = try kept.bytes(name), let text = ResourceFile(bytes)?[reference] {
            guard let resource = text.resource else {
                throw AgentError(.storage, "revision \(number) is damaged: \(name) is not as it was written")
            }
            return (KeptResource(resource, .api, address), number)
        }
        let set = try kept.set()
        let found = set.model.resources(of: reference.kind).first { $0.metadata.name == reference.name }
        return (found.map { KeptResource($0, in: set, address) }, number)
    }

    /// Resources of the desired state. Reads the disk on the calling thread.
    /// - Returns: those of some kinds, by kind, and the number of the revision.
    public func resources(of kinds: [ResourceKind]) throws(AgentError) -> (list: [KeptResource], revision: Int?) {
        let kept = keptFiles
        guard let number = kept.revision?.number else { return ([], nil) }
        let set = try kept.set()
        let addresses = kinds.contains(.networkInterface) ? try kept.chosenAddresses() : [:]
        let list = kinds.flatMap { set.model.resources(of: $0) }.map { resource in
            KeptResource(
                resource, in: set, resource.kind == .networkInterface ? addresses[resource.metadata.name] : nil)
        }
        return (list, number)
    }

    /// The files of the desired state, without its topology: who holds that has it copied when it is changed.
    var keptFiles: KeptFiles { KeptFiles(revisions, publication.desired?.revision) }
}
