import Glibc
public import VPCManifest

/// Revisions on disk: a directory each, `revisions/7`, with a `revision.json` and the list of its `files`. What these say is
/// beside them, `manifests/7`, once: a later revision that has the same file names that place. So a revision costs what
/// has changed in it.
///
/// A revision appears by a rename, whole or not at all, and is on the disk before anybody acts on it.
public struct RevisionStore: Sendable {
    /// `…/revisions`.
    public let path: String
    /// `…/manifests`.
    private let contents: String
    /// How many to keep.
    public let limit: Int

    /// Makes the directory where it is missing and removes what a crash left half done.
    public init(stateDirectory: String, limit: Int) throws(AgentError) {
        path = stateDirectory + "/revisions"
        contents = stateDirectory + "/manifests"
        self.limit = limit
        try Files.makeDirectory(path)
        try Files.makeDirectory(contents)
        for name in try Files.names(in: path) where name.hasPrefix(Self.unfinished) {
            try Files.removeTree(path + "/" + name)
        }
        try? sweep()
    }

    private static let unfinished = "new-"

    /// A link that says which revision is the newest: so it is missed when it is gone.
    private var newestLink: String { path + "/newest" }

    /// There as long as the newest revision may have resources made by API: so they are missed when that is damaged.
    var apiMark: String { Files.directory(of: path) + "/api-resources" }

    private static let apiMarkText = """
        The newest revision has resources that were made by API and are in no manifest. As long as this file is there, they
        are not given up where that revision is damaged.

        """

    /// Numbers end long before arithmetic does.
    private static let numbers = 1...999_999_999_999

    /// The number that a directory's name stands for; nil where it is none as we write them.
    static func number(_ name: String) -> Int? {
        guard let number = Int(name), numbers.contains(number), String(number) == name else { return nil }
        return number
    }

    /// The numbers of the revisions that are kept, ascending.
    public func numbers() throws(AgentError) -> [Int] {
        try Files.names(in: path).compactMap { Self.number($0) }.sorted()
    }

    /// Names beside the revisions that nobody of us has given.
    func strangers() throws(AgentError) -> [String] {
        try Files.names(in: path).filter { Self.number($0) == nil && path + "/" + $0 != newestLink }
    }

    /// All that are kept, ascending. One that cannot be read is left out.
    public func revisions() throws(AgentError) -> [Revision] {
        var list: [Revision] = []
        for number in try numbers() {
            if let revision = try? revision(number) { list.append(revision) }
        }
        return list
    }

    /// The number of the newest, whether or not it is still there.
    func newest() throws(AgentError) -> Int? { newest(of: try numbers()) }

    private func newest(of numbers: [Int]) -> Int? {
        [numbers.last, Files.link(at: newestLink).flatMap { Self.number($0) }].compactMap(\.self).max()
    }

    /// The newest revision.
    /// - Throws: where it is damaged or gone. None before it is what was wanted last.
    public func latest() throws(AgentError) -> Revision? {
        guard let number = try newest() else { return nil }
        return try revision(number)
    }

    /// The newest before a number that is whole, manifests and all.
    func intact(before number: Int) -> Int? {
        let numbers = (try? numbers()) ?? []
        return numbers.last { candidate in
            guard candidate < number, let revision = try? revision(candidate) else { return false }
            return (try? sources(of: revision)) != nil && (try? addresses(of: revision)) != nil
        }
    }

    public func revision(_ number: Int) throws(AgentError) -> Revision {
        guard let bytes = try Files.read(note(number)) else {
            var status = stat()
            let isThere = lstat(directory(number), &status) == 0
            let newest = try newest()
            if isThere || number == newest {
                throw AgentError(.storage, "revision \(number) is damaged: \(note(number)) is missing")
            }
            throw AgentError(.notFound, "there is no revision \(number); 'vpcctl history' lists those that are kept")
        }
        let list = try Files.read(list(number))
        guard let revision = Revision(note: bytes, list: list), revision.number == number else {
            throw AgentError(
                .storage, "revision \(number) is damaged: \(note(number)) is not as it was written")
        }
        return revision
    }

    /// The manifests of a revision under the names that they had.
    public func sources(of revision: Revision) throws(AgentError) -> [ManifestSource] {
        var sources: [ManifestSource] = []
        for (index, file) in revision.files.enumerated() {
            sources.append(ManifestSource(name: file.name, bytes: try bytes(of: revision, index)))
        }
        guard sources.isWhole(revision.digest) else {
            throw AgentError(
                .storage, "revision \(revision.number) is damaged: its manifests are not as they were written")
        }
        return sources
    }

    /// Keeps a new revision under the next number and forgets the oldest ones.
    /// - Parameter keeping: A number that must not be forgotten, however old.
    func add(
        _ sources: [ManifestSource], _ addresses: AddressFiles = AddressFiles(), cause: Revision.Cause,
        directoryDigest: UInt64?, confirmBy: Int? = nil, keeping: Int? = nil
    ) throws(AgentError) -> Revision {
        try add(
            RevisionDraft(sources), addresses, cause: cause, directoryDigest: directoryDigest, confirmBy: confirmBy,
            keeping: keeping)
    }

    /// `add` of files of which most may be those of another revision: these are not written again.
    func add(
        _ draft: RevisionDraft, _ addresses: AddressFiles = AddressFiles(), cause: Revision.Cause,
        directoryDigest: UInt64?, confirmBy: Int? = nil, keeping: Int? = nil
    ) throws(AgentError) -> Revision {
        let numbers = try numbers()
        let number = (newest(of: numbers) ?? 0) + 1
        guard Self.numbers.contains(number) else {
            throw AgentError(.storage, "there is no number left for a revision in \(path)")
        }
        var revision = Revision(
            number: number, time: time(nil), cause: cause, digest: draft.files.lazy.map(\.digest).digest,
            directoryDigest: directoryDigest, files: draft.files, addressFiles: addresses.digests, confirmBy: confirmBy)
        for index in draft.bytes.keys { revision.files[index].place = .init(revision: number, index: index) }
        let unfinished = path + "/" + Self.unfinished + String(number)
        try Files.removeTree(unfinished)
        let hasMadeByAPI = draft.files.last?.isMadeByAPI == true
        do throws(AgentError) {
            if hasMadeByAPI, !Files.exists(apiMark) { try Files.replace(apiMark, with: Array(Self.apiMarkText.utf8)) }
            try write(draft, of: revision)
            try write(revision, addresses, into: unfinished)
            guard rename(unfinished, directory(number)) == 0 else { throw .system("rename \(unfinished)") }
            pointNewest(to: number)
            try Files.sync(directory: path)
        } catch {
            try? Files.removeTree(unfinished)
            throw error
        }
        if !hasMadeByAPI { unlink(apiMark) }
        try? prune(numbers + [number], keeping: [number, keeping ?? number])
        return revision
    }

    /// After the revision itself: never does the link name one that was not there.
    private func pointNewest(to number: Int) {
        let temporary = path + "/" + Self.unfinished + "newest"
        unlink(temporary)
        if symlink(String(number), temporary) == 0 { rename(temporary, newestLink) }
    }

    /// Changes what is known about a revision; its manifests stay as they are.
    public func update(_ revision: Revision) throws(AgentError) {
        try Files.replace(note(revision.number), with: revision.note(list: revision.files.list))
    }

    /// What no revision has so far.
    private func write(_ draft: RevisionDraft, of revision: Revision) throws(AgentError) {
        if draft.bytes.isEmpty { return }
        let folder = contents(of: revision.number)
        // Of one that did not come to be.
        try Files.removeTree(folder)
        try Files.makeDirectory(folder)
        for index in draft.bytes.keys.sorted() {
            guard let bytes = draft.bytes[index] else { continue }
            try Files.write(bytes, to: folder + "/" + Self.fileName(index, revision.files[index].name))
        }
        try Files.sync(directory: folder)
        try Files.sync(directory: contents)
    }

    private func write(
        _ revision: Revision, _ addresses: AddressFiles, into folder: String
    ) throws(AgentError) {
        try Files.makeDirectory(folder)
        try write(addresses, into: folder)
        let list = revision.files.list
        try Files.write(list, to: folder + "/files")
        try Files.write(revision.note(list: list), to: folder + "/revision.json")
        try Files.sync(directory: folder)
    }

    /// The content of one file.
    func bytes(of revision: Revision, _ index: Int) throws(AgentError) -> [UInt8] {
        let name = revision.files[index].name
        let file =
            revision.files[index].place.map { contents(of: $0.revision) + "/" + Self.fileName($0.index, name) }
            ?? directory(revision.number) + "/manifests/" + Self.fileName(index, name)
        guard let bytes = try Files.read(file) else {
            throw AgentError(.storage, "revision \(revision.number) is damaged: \(file) is missing")
        }
        return bytes
    }

    // MARK: - Forgetting

    private func prune(_ numbers: [Int], keeping kept: Set<Int>) throws(AgentError) {
        for number in numbers.dropLast(limit) where !kept.contains(number) {
            // Renamed first, so that a revision is never there in part.
            let doomed = path + "/" + Self.unfinished + "gone-\(number)"
            guard rename(directory(number), doomed) == 0 else { throw .system("rename \(directory(number))") }
            try Files.removeTree(doomed)
        }
        // It looks at all revisions: not each time.
        if let newest = numbers.last, newest % Self.sweepInterval == 0 { try sweep() }
    }

    private static let sweepInterval = 32

    /// Removes what no revision has any more. Where one is missing or cannot be read, nothing: it may be put right.
    private func sweep() throws(AgentError) {
        let numbers = try numbers()
        guard let newest = newest(of: numbers), newest == numbers.last else { return }
        var needed: [Int: Set<String>] = [:]
        for number in numbers {
            guard let bytes = try Files.read(list(number)) else {
                if Files.exists(directory(number) + "/manifests") { continue }
                return
            }
            guard let files = [RevisionFile](list: bytes) else { return }
            for file in files {
                guard let place = file.place else { continue }
                needed[place.revision, default: []].insert(Self.fileName(place.index, file.name))
            }
        }
        for name in try Files.names(in: contents) {
            guard let number = Self.number(name), number <= newest else { continue }
            guard let files = needed[number] else {
                try Files.removeTree(contents(of: number))
                continue
            }
            for name in try Files.names(in: contents(of: number)) where !files.contains(name) {
                try Files.removeTree(contents(of: number) + "/" + name)
            }
        }
    }

    private func directory(_ number: Int) -> String { "\(path)/\(number)" }
    private func note(_ number: Int) -> String { directory(number) + "/revision.json" }
    private func list(_ number: Int) -> String { directory(number) + "/files" }
    /// What was said first in a revision.
    private func contents(of number: Int) -> String { "\(contents)/\(number)" }

    /// In the order of the set, and with the ending that says how it is read: `0001-web.yaml`.
    private static func fileName(_ index: Int, _ name: String) -> String {
        let digits = String(index + 1)
        let safe = safeName(name)
        let isKnown = [".yaml", ".yml", ".json"].contains { safe.hasSuffix($0) }
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits + "-" + safe.suffix(200)
            + (isKnown ? "" : ".yaml")
    }
}

extension RevisionStore {
    /// The last part of a path, with an underscore for what is not fit for a name.
    private static func safeName(_ path: String) -> String {
        // Nearly always it is as it has to be, and characters are dear where there are many files.
        let base = path.utf8.suffix(while: { $0 != UInt8(ascii: "/") })
        if !base.isEmpty, base.allSatisfy(isFit) { return String(Substring(base)) }
        let last = path.split(separator: "/").last ?? "manifest"
        return String(last.map { $0.asciiValue.map(isFit) == true ? $0 : "_" })
    }

    private static func isFit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

extension BidirectionalCollection {
    /// The longest end of which all elements are so.
    func suffix(while isSuch: (Element) -> Bool) -> SubSequence {
        var start = endIndex
        while start > startIndex {
            let before = index(before: start)
            if !isSuch(self[before]) { break }
            start = before
        }
        return self[start...]
    }
}
