import VPCManifest
import VPCModel
import VPCTopology

/// What a source holds, by files.
struct DirectoryContent {
    private(set) var files: [FileDigest] = []
    /// Of those that need not be read again as long as they have it.
    private(set) var stamps: [String: FileStamp] = [:]
    private var places: [String: Int] = [:]
    private var sizes: [Int] = []
    private var byteCount = 0
    /// Whether what one file says can be known without the others.
    private(set) var isPlain = false
    /// Of files that have changed since, by place.
    var marks: [Int: ListMarks] = [:]

    init() {}

    /// Of files that were all read.
    init(_ read: ManifestFiles) { self.init(read, read.sources.fileDigests) }

    init(_ read: ManifestFiles, _ files: [FileDigest]) {
        self.files = files
        isPlain = read.isPlain && read.diagnostics.isEmpty && read.files.count == files.count
        for (place, file) in read.files.enumerated() {
            stamps[file.name] = file.stamp
            places[file.name] = place
            sizes.append(file.size)
            byteCount += file.size
        }
    }

    /// Nil where there is no such file.
    func place(of name: String) -> Int? { places[name] }

    /// Takes in that one file is another.
    /// - Returns: whether it says something else; nil, where more has to be looked at.
    mutating func note(_ file: ManifestFile, _ digest: UInt64, at place: Int) -> Bool? {
        stamps[file.name] = file.stamp
        byteCount += file.size - sizes[place]
        sizes[place] = file.size
        guard byteCount <= ManifestLimits.ofDaemon.setSize else { return nil }
        if files[place].content == digest { return false }
        files[place].content = digest
        return true
    }
}

/// A change of few resources: what differs from the desired state, and the files of the revision to come.
struct DesiredChange {
    var resources = ResourceChanges()
    var draft: RevisionDraft
}

/// The way of a change that concerns little: what is not changed is neither read nor resolved again.
extension ReconcileLoop {
    /// Takes in what has changed in the source.
    func loadChanges() {
        // Nobody may hold the topology when the change is taken in.
        guard let source, let revision = desired?.revision, !directory.files.isEmpty, !isSourceProposed else {
            return loadSource()
        }
        if directory.isPlain, agent.status.rejected.isEmpty, isOf(directory, revision),
            let files = source.readChanged({ directory.place(of: $0) != nil })
        {
            return takeChanged(files, revision) ? () : loadSource()
        }
        let read = source.read(known: directory.stamps)
        noteWarnings(of: source)
        guard read.diagnostics.isEmpty else { return loadSource() }
        var files: [FileDigest] = []
        files.reserveCapacity(read.files.count)
        for file in read.files {
            let known = directory.place(of: file.name).map { directory.files[$0].content }
            guard let content = file.bytes?.contentDigest ?? known else { return loadSource() }
            files.append(FileDigest(name: file.name, content: content))
        }
        let next = DirectoryContent(read, files)
        if files == directory.files, revision.directoryDigest != nil, agent.status.rejected.isEmpty {
            return directory = next
        }
        guard takeIn(changes(to: files, read), of: next) else { return loadSource() }
    }

    /// Takes in other contents of files that were known before.
    /// - Returns: false where the whole source has to be looked at.
    private func takeChanged(_ files: [ManifestFile], _ revision: Revision) -> Bool {
        var next = directory
        var change = DesiredChange(draft: RevisionDraft(revision))
        var budget = Self.largestChange
        for file in files {
            guard let bytes = file.bytes, let place = next.place(of: file.name),
                let isOther = next.note(file, bytes.contentDigest, at: place)
            else { return false }
            if !isOther { continue }
            guard let old = formerBytes(place, revision),
                change.resources.add(
                    from: old, to: bytes, budget: &budget, marks: &next.marks[place, default: ListMarks()])
            else { return false }
            change.draft.replace(place, with: bytes)
        }
        if change.draft.bytes.isEmpty {
            directory = next
            return true
        }
        change.resources.cancel()
        return takeIn(change, of: next)
    }

    /// Whether a revision was made of what the source held when it was read last.
    private func isOf(_ directory: DirectoryContent, _ revision: Revision) -> Bool {
        let (count, files) = (directory.files.count, revision.files)
        guard files.count >= count, files.count == count || files[count].isMadeByAPI else { return false }
        for place in 0..<count where files[place].digest != directory.files[place] { return false }
        return true
    }

    /// Where it cannot be written down, that is said, counted and tried again by who looks at the whole set.
    private func takeIn(_ change: DesiredChange?, of next: DirectoryContent) -> Bool {
        guard let change,
            (try? accept(change, cause: .directory, directoryDigest: next.files.digest)) ?? nil != nil
        else { return false }
        directory = next
        return true
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
                change.draft, addressFiles(after: taken), cause: cause, directoryDigest: directoryDigest)
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
        guard let revision = desired?.revision else { return nil }
        var former: [String: Int] = [:]
        for (index, file) in revision.files.enumerated() where !file.isMadeByAPI {
            if former.updateValue(index, forKey: file.name) != nil { return nil }
        }
        var change = DesiredChange(draft: RevisionDraft(revision))
        change.draft.files.removeAll { !$0.isMadeByAPI }
        var budget = Self.largestChange
        var kept: [RevisionFile] = []
        for (file, content) in zip(files, read.files) {
            let index = former.removeValue(forKey: file.name)
            if let index, revision.files[index].content == file.content {
                kept.append(revision.files[index])
                continue
            }
            guard let bytes = content.bytes, let old = formerBytes(index, revision),
                change.resources.add(from: old, to: bytes, budget: &budget)
            else { return nil }
            change.draft.bytes[kept.count] = bytes
            kept.append(RevisionFile(name: file.name, content: file.content))
        }
        for index in former.values {
            guard let old = formerBytes(index, revision),
                change.resources.add(from: old, to: [], budget: &budget)
            else { return nil }
        }
        change.draft.files.insert(contentsOf: kept, at: 0)
        change.resources.cancel()
        return change
    }

    /// Bytes of documents. Of more than that resolving everything is not the larger part.
    static let largestChange = 4 << 20

    /// What a file of the desired state holds; nothing where it has none.
    private func formerBytes(_ index: Int?, _ revision: Revision) -> [UInt8]? {
        guard let index else { return [] }
        let bytes = try? agent.revisions.bytes(of: revision, index)
        // Of what somebody has damaged nothing is known.
        return bytes.flatMap { $0.contentDigest == revision.files[index].content ? $0 : nil }
    }

    /// Reads the whole source, to know later whether it has changed since.
    /// - Returns: its digest.
    func readDirectory() -> UInt64? {
        guard let source else { return nil }
        directory = DirectoryContent(source.read(known: [:]))
        return directory.files.digest
    }
}
