import Glibc
import IPAddressing
import VPCTopology

/// One of the files in which a revision has the addresses that were chosen for interfaces and elastic IPs: a line each, such
/// as `web2 blue-web 10.0.1.12`, ordered by the interface's name.
///
/// There are few of them, and each has a part of the interfaces, so that changing one of many is little work.
struct AddressFile {
    private var lines: [ArraySlice<UInt8>]

    /// Into how many files interfaces are distributed.
    private static let fileCount: UInt64 = 64
    private static let lineEnd = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")

    /// The name of the file that has an interface, if any has.
    static func name(for interface: String) -> String {
        var digest = FNV1a()
        digest.add(interface.utf8)
        let number = digest.value % fileCount
        return (number < 16 ? "0" : "") + String(number, radix: 16)
    }

    static func isName(_ name: String) -> Bool {
        UInt64(name, radix: 16).map { $0 < fileCount } == true && name.utf8.count == 2
    }

    /// - Parameter addresses: In any order, one for an interface.
    init(_ addresses: [ChosenAddress] = []) {
        lines = addresses.map { Self.line($0) }.sorted {
            Self.key(of: $0).lexicographicallyPrecedes(Self.key(of: $1))
        }
    }

    /// - Parameter bytes: As this type has written them.
    init(_ bytes: [UInt8]) { lines = bytes.split(separator: Self.lineEnd) }

    /// Nil where nothing is left to be kept.
    var bytes: [UInt8]? {
        if lines.isEmpty { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(lines.reduce(0) { $0 + $1.count + 1 })
        for line in lines {
            bytes += line
            bytes.append(Self.lineEnd)
        }
        return bytes
    }

    /// All; nil where a line is none.
    var addresses: [ChosenAddress]? {
        let all = lines.compactMap { Self.address($0) }
        return all.count == lines.count ? all : nil
    }

    /// That of an interface; nil where it is not in this file. Setting it keeps the order.
    subscript(interface: String) -> ChosenAddress? {
        get {
            let (place, isThere) = place(of: interface)
            return isThere ? Self.address(lines[place]) : nil
        }
        set {
            let (place, isThere) = place(of: interface)
            lines.replaceSubrange(place..<place + (isThere ? 1 : 0), with: newValue.map { [Self.line($0)] } ?? [])
        }
    }

    private func place(of interface: String) -> (place: Int, isThere: Bool) {
        let key = Array(interface.utf8)
        let place = lines.partitionPoint { Self.key(of: $0).lexicographicallyPrecedes(key) }
        return (place, place < lines.count && Self.key(of: lines[place]).elementsEqual(key))
    }

    private static func key(of line: ArraySlice<UInt8>) -> ArraySlice<UInt8> { line.prefix { $0 != space } }

    private static func line(_ address: ChosenAddress) -> ArraySlice<UInt8> {
        Array("\(address.interface) \(address.subnet) \(address.address)".utf8)[...]
    }

    private static func address(_ line: ArraySlice<UInt8>) -> ChosenAddress? {
        let words = line.split(separator: space).map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 3, let address = IPAddress(words[2]) else { return nil }
        return ChosenAddress(interface: words[0], subnet: words[1], address: address)
    }
}

/// The addresses that a revision is to keep, in files. Most of them may be those of another revision: these are not written
/// again.
struct AddressFiles {
    /// By name.
    private(set) var digests: [String: UInt64] = [:]
    /// By name, those that are others than `base` has.
    private(set) var contents: [String: [UInt8]] = [:]
    /// Which has the others.
    private(set) var base: Revision?

    /// All of a topology.
    init(_ addresses: [ChosenAddress] = []) {
        var lines: [String: [ChosenAddress]] = [:]
        for address in addresses { lines[AddressFile.name(for: address.interface), default: []].append(address) }
        for (name, addresses) in lines { put(AddressFile(addresses).bytes, as: name) }
    }

    /// Those of a revision, with what has changed since.
    /// - Parameter topology: As it is now.
    /// - Throws: where the revision is damaged.
    init(
        of base: Revision, _ store: RevisionStore, changedBy change: TopologyChange, in topology: Topology
    ) throws(AgentError) {
        self.base = base
        digests = base.addressFiles
        let interfaces = change.interfaces
        let former = interfaces.removed.values.map { $0 } + interfaces.changed.values
        let now = interfaces.added + interfaces.changed.keys
        var open: [String: AddressFile] = [:]
        func edit(_ interface: String, _ address: ChosenAddress?) throws(AgentError) {
            let name = AddressFile.name(for: interface)
            if open[name] == nil { open[name] = try store.addressFile(name, of: base) ?? AddressFile() }
            open[name]?[interface] = address
        }
        for interface in former where interface.hasChosenAddress { try edit(interface.name, nil) }
        for number in now {
            if let address = topology.chosenAddress(of: number) { try edit(address.interface, address) }
        }
        let elastic = change.elasticIPs
        for former in Array(elastic.removed.values) + elastic.changed.values where former.hasChosenAddress {
            try edit(ChosenAddress.name(ofElasticIP: former.name), nil)
        }
        for number in elastic.added + elastic.changed.keys {
            if let address = topology.chosenAddress(of: topology.elasticIPs[number]) {
                try edit(address.interface, address)
            }
        }
        for (name, file) in open { put(file.bytes, as: name) }
    }

    private mutating func put(_ bytes: [UInt8]?, as name: String) {
        digests[name] = bytes?.contentDigest
        contents[name] = bytes
    }
}

extension RevisionStore {
    /// All addresses that were chosen for interfaces of a revision.
    /// - Throws: where they are not as they were written.
    func addresses(of revision: Revision) throws(AgentError) -> [ChosenAddress] {
        var all: [ChosenAddress] = []
        for name in revision.addressFiles.keys.sorted() {
            guard let addresses = try addressFile(name, of: revision)?.addresses else {
                throw damage(name, of: revision)
            }
            all += addresses
        }
        return all
    }

    /// The address that was chosen for an interface; nil where none was.
    func address(of interface: String, in revision: Revision) throws(AgentError) -> IPAddress? {
        try addressFile(AddressFile.name(for: interface), of: revision)?[interface]?.address
    }

    /// - Returns: nil where the revision has none of that name.
    fileprivate func addressFile(_ name: String, of revision: Revision) throws(AgentError) -> AddressFile? {
        guard let digest = revision.addressFiles[name] else { return nil }
        guard AddressFile.isName(name), let bytes = try Files.read(addressPath(name, of: revision)),
            bytes.contentDigest == digest
        else { throw damage(name, of: revision) }
        return AddressFile(bytes)
    }

    private func damage(_ name: String, of revision: Revision) -> AgentError {
        AgentError(
            .storage,
            "revision \(revision.number) is damaged: \(addressPath(name, of: revision)) is not as it was written")
    }

    func addressPath(_ name: String, of revision: Revision) -> String {
        "\(path)/\(revision.number)/addresses/\(name)"
    }

    /// Keeps files with addresses in the folder of a revision that is being written.
    func write(_ addresses: AddressFiles, into folder: String) throws(AgentError) {
        if addresses.digests.isEmpty { return }
        let folder = folder + "/addresses"
        try Files.makeDirectory(folder)
        for (name, _) in addresses.digests.sorted(by: { $0.key < $1.key }) {
            if let bytes = addresses.contents[name] {
                try Files.write(bytes, to: folder + "/" + name)
            } else if let base = addresses.base, link(addressPath(name, of: base), folder + "/" + name) != 0 {
                // The file system knows of no second names, or of no more.
                guard let bytes = try addressFile(name, of: base)?.bytes else { throw damage(name, of: base) }
                try Files.write(bytes, to: folder + "/" + name)
            }
        }
        try Files.sync(directory: folder)
    }
}
