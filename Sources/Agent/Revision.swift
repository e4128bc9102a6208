public import VPCManifest

/// One accepted state of all manifests.
public struct Revision: Sendable, Hashable {
    /// Counts from 1, never given twice.
    public var number: Int
    /// Seconds since 1970, by the machine's clock when it was accepted.
    public var time: Int
    public var cause: Cause
    /// FNV-1a of the names and the contents' digests of the files.
    public var digest: UInt64
    /// The digest of what the manifest directory held then; what it holds counts again as soon as that is another.
    public var directoryDigest: UInt64?
    /// In the order of the set.
    public var files: [RevisionFile]
    /// Of the files with the addresses that were chosen for interfaces (``AddressFile``), by name, the contents' digests.
    var addressFiles: [String: UInt64] = [:]
    /// Until when, in seconds since 1970, it has to be confirmed; nil: it is confirmed.
    public var confirmBy: Int?

    /// Where it came from.
    public enum Cause: Sendable, Hashable, CustomStringConvertible {
        /// The manifest directory changed.
        case directory
        /// `vpcctl apply`.
        case apply
        /// Resources were made, replaced or deleted by API.
        case resources
        /// Back to that revision, because somebody said so.
        case rollback(Int)
        /// Back to that revision, because another one was not confirmed, or a probe of it failed.
        case revert(Int)

        public var description: String {
            switch self {
            case .directory: "directory"
            case .apply: "apply"
            case .resources: "resources"
            case .rollback(let number): "rollback to \(number)"
            case .revert(let number): "reverted to \(number)"
            }
        }

        /// Reads its description back.
        public init?(_ text: String) {
            let number = text.split(separator: " ").last.flatMap { Int($0) }
            switch text {
            case "directory": self = .directory
            case "apply": self = .apply
            case "resources": self = .resources
            case let text where text.hasPrefix("rollback to "):
                guard let number else { return nil }
                self = .rollback(number)
            case let text where text.hasPrefix("reverted to "):
                guard let number else { return nil }
                self = .revert(number)
            default: return nil
            }
        }
    }
}

extension Revision {
    /// As in the API.
    public var structured: StructuredValue {
        [
            "apiVersion": "vpcctl.dev/v1", "kind": "Revision", "number": .integer(number), "time": .integer(time),
            "cause": .string(cause.description), "digest": .string(String(digest, radix: 16)),
            "directoryDigest": directoryDigest.map { .string(String($0, radix: 16)) } ?? .null,
            "files": .list(files.map { .string($0.name) }), "confirmBy": confirmBy.map { .integer($0) } ?? .null,
        ]
    }

    /// `revision.json`: what is known of it, with the digest of the list of its files, and a checksum.
    func note(list: [UInt8]) -> [UInt8] {
        var revision = self
        revision.files = []
        guard case .object(var members) = revision.structured else { return [] }
        members.removeAll { $0.name == "files" }
        if !addressFiles.isEmpty {
            let digests = addressFiles.sorted { $0.key < $1.key }.map { name, digest in
                StructuredValue.Member(name, .string(String(digest, radix: 16)))
            }
            members.append(StructuredValue.Member("addressFiles", .object(digests)))
        }
        members.append(StructuredValue.Member("list", .string(String(list.contentDigest, radix: 16))))
        return Self.checked(.object(members))
    }

    /// Reads ``note(list:)`` back; nil where a single bit of it or of the list is another.
    init?(note bytes: [UInt8], list: [UInt8]?) {
        guard var revision = (try? StructuredValue(json: bytes)).flatMap({ Revision($0) }) else { return nil }
        if let list {
            guard let files = [RevisionFile](list: list) else { return nil }
            revision.files = files
            guard bytes == revision.note(list: list) else { return nil }
        } else {
            // As it was written when every revision had files of its own, and before there was a checksum.
            guard bytes == Self.checked(revision.structured) || bytes == Array(revision.structured.json.utf8) else {
                return nil
            }
        }
        self = revision
    }

    private static func checked(_ value: StructuredValue) -> [UInt8] {
        guard case .object(let members) = value else { return [] }
        let checksum = String(Array(value.compactJSON.utf8).fnv1a, radix: 16)
        return Array(StructuredValue.object(members + [.init("checksum", .string(checksum))]).json.utf8)
    }

    private init?(_ value: StructuredValue) {
        guard let number = value["number"]?.number, let time = value["time"]?.number, Self.times.contains(time),
            value["confirmBy"]?.number.map({ Self.times.contains($0) }) ?? true,
            let cause = value["cause"]?.text.flatMap({ Cause($0) }), let digest = Self.digest(value["digest"])
        else { return nil }
        self.init(
            number: number, time: time, cause: cause, digest: digest,
            directoryDigest: Self.digest(value["directoryDigest"]),
            files: value["files"]?.elements.compactMap(\.text).map { RevisionFile(name: $0) } ?? [],
            confirmBy: value["confirmBy"]?.number)
        guard case .object(let digests)? = value["addressFiles"] else { return }
        addressFiles = Dictionary(
            digests.compactMap { digest in Self.digest(digest.value).map { (digest.name, $0) } },
            uniquingKeysWith: { first, _ in first })
    }

    /// Up to the end of the year 9999: what is computed with them has no overflow.
    private static let times = 0...253_402_300_799

    private static func digest(_ value: StructuredValue?) -> UInt64? { value?.text.flatMap { UInt64($0, radix: 16) } }
}
