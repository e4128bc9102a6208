import VPCManifest
import VPCModel
import VPCTopology

/// What a source holds, by files.
struct DirectoryContent {
    var files: [FileDigest] = []
    /// Of those that need not be read again as long as they have it.
    var stamps: [String: FileStamp] = [:]

    init() {}

    /// Of files that were all read.
    init(_ read: ManifestFiles) {
        files = read.sources.fileDigests
        note(read)
    }

    fileprivate mutating func note(_ read: ManifestFiles) {
        stamps.removeAll(keepingCapacity: true)
        for file in read.files { stamps[file.name] = file.stamp }
    }
}

/// A change of few resources: what differs from the desired state, and the files of the revision to come.
struct DesiredChange {
    var resources = ResourceChanges()
    var files: [RevisionFile] = []
}

/// The way of a change that concerns little: what is not changed is neither read nor resolved again.
extension ReconcileLoop {
    /// Takes in what has changed in the source.
    func loadChanges() {
        guard let source, desired != nil, !directory.files.isEmpty, !isSourceProposed else { return loadSource() }
        let read = source.read(known: directory.stamps)
        noteWarnings(of: source)
        guard read.diagnostics.isEmpty else { return loadSource() }
        let known = Dictionary(
            directory.files.map { ($0.name, $0.content) }, uniquingKeysWith: { first, _ in first })
        var files: [FileDigest] = []
        files.reserveCapacity(read.files.count)
        for file in read.files {
            guard let content = file.bytes?.contentDigest ?? known[file.name] else { return loadSource() }
            files.append(FileDigest(name: file.name, content: content))
        }
        if files == directory.files, desired?.revision.directoryDigest != nil, agent.status.rejected.isEmpty {
            return directory.note(read)
        }
        // Where it cannot be written down, that is said, counted and tried again by who looks at the whole set.
        guard let change = changes(to: files, read),
            (try? accept(change, cause: .directory, directoryDigest: files.digest)) ?? nil != nil
        else { return loadSource() }
        directory.files = files
        directory.note(read)
    }

    /// Makes what differs in little from the desired state the new one.
    /// - Returns: nil, with nothing changed, where the whole set has to be looked at.
    /// - Throws: with nothing changed, where it cannot be written down.
    func accept(
        _ change: DesiredChange, cause: Revision.Cause, directoryDigest: UInt64?
    ) throws(AgentError) -> Desired? {
        guard let taken = takeIn(change.resources) else { return nil }
        let revision: Revision
        do throws(AgentError) {
            revision = try agent.revisions.add(
                change.files, addressFiles(after: taken), cause: cause, directoryDigest: directoryDigest)
        } catch {
            revert(taken)
            throw error
        }
        // A revision that awaits confirmation gives way: somebody has changed the manifests meanwhile.
        endProbing()
        confirmation = nil
        hostPass.compiled.expect(taken, in: desired?.revision.number, for: revision.number)
        changeInPlace { desired in
            desired?.revision = revision
            desired?.files = change.files.map(\.digest)
            desired?.resourceCount += change.resources.added.count - change.resources.removed.count
        }
        if let desired { announce(desired) }
        return desired
    }

    /// What the next revision keeps of addresses that were chosen.
    /// - Parameter taken: What has become of the topology since the last one.
    private func addressFiles(after taken: TopologyChange) throws(AgentError) -> AddressFiles {
        guard let desired else { return AddressFiles() }
        return try AddressFiles(of: desired.revision, agent.revisions, changedBy: taken, in: desired.topology)
    }

    /// Changes the topology of the desired state. Nothing is done by it before there is a revision that says so.
    /// - Returns: nil, with nothing changed, where the whole set has to be looked at.
    private func takeIn(_ changes: ResourceChanges) -> TopologyChange? {
        let isNamed = agent.configuration.host != nil
        return changeTopology { desired in
            guard let change = desired.index.apply(changes, to: &desired.topology) else { return nil }
            // Which host this is may be another question now.
            let isSame = isNamed ? change.hosts.removed[desired.host] == nil : change.hosts.isEmpty
            if isSame { return change }
            desired.index.revert(change, in: &desired.topology)
            return nil
        }
    }

    /// What the source holds, as far as it differs from the desired state.
    /// - Returns: nil where that is not known without looking at the whole set.
    private func changes(to files: [FileDigest], _ read: ManifestFiles) -> DesiredChange? {
        guard let desired, desired.files.count == desired.revision.files.count else { return nil }
        var former: [String: Int] = [:]
        for (index, file) in desired.files.enumerated() where !file.isMadeByAPI {
            if former.updateValue(index, forKey: file.name) != nil { return nil }
        }
        var changes = DesiredChange()
        var budget = Self.largestChange
        for (file, content) in zip(files, read.files) {
            let index = former.removeValue(forKey: file.name)
            if let index, desired.files[index].content == file.content {
                let content = RevisionFile.Content.kept(desired.revision, index: index)
                changes.files.append(RevisionFile(digest: file, content: content))
                continue
            }
            guard let bytes = content.bytes, let old = formerBytes(index, desired),
                changes.resources.add(from: old, to: bytes, budget: &budget)
            else { return nil }
            changes.files.append(RevisionFile(digest: file, content: .bytes(bytes)))
        }
        for index in former.values {
            guard let old = formerBytes(index, desired),
                changes.resources.add(from: old, to: [], budget: &budget)
            else { return nil }
        }
        for (index, file) in desired.files.enumerated() where file.isMadeByAPI {
            changes.files.append(RevisionFile(digest: file, content: .kept(desired.revision, index: index)))
        }
        changes.resources.cancel()
        return changes
    }

    /// Bytes of documents. Of more than that resolving everything is not the larger part.
    static let largestChange = 4 << 20

    /// What a file of the desired state holds; nothing where it has none.
    private func formerBytes(_ index: Int?, _ desired: Desired) -> [UInt8]? {
        guard let index else { return [] }
        let bytes = try? agent.revisions.bytes(of: desired.revision, index)
        // Of what somebody has damaged nothing is known.
        return bytes.flatMap { $0.contentDigest == desired.files[index].content ? $0 : nil }
    }

    /// Reads the whole source, to know later whether it has changed since.
    /// - Returns: its digest.
    func readDirectory() -> UInt64? {
        guard let source else { return nil }
        directory = DirectoryContent(source.read(known: [:]))
        return directory.files.digest
    }
}
