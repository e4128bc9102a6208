/// The form on the wire: all numbers with the most significant byte first.
///
/// | bytes | |
/// |---|---|
/// | 4 | `VPCF` |
/// | 1 | version of the form: 1 |
/// | 1 | what follows: 1 beat, 2 update, 3 acknowledgement |
/// | 2 | zero |
/// | 8, 8, 8 | epoch, challenge, sequence |
/// | 8 | version; of an acknowledgement then 8 `base` |
/// | 8, 8, 8, 8, 2 | instead, of an update: `after`, `upTo`, `latest`, `base`, the number of changes |
///
/// A change is a byte 1 (it is) or 0 (it is gone), its kind, the length of its name, the name, and where it is the length of
/// the value and that.
extension FactMessage {
    public struct Flaw: Error, Hashable, Sendable, CustomStringConvertible {
        public var description: String
        init(_ description: String) { self.description = description }
    }

    /// A datagram of this size passes every underlay that carries tunnels, unfragmented, with its authentication.
    public static let longestContent = 1200
    public static let longestValue = 255

    private static let mark: [UInt8] = Array("VPCF".utf8) + [1]

    public var bytes: [UInt8] {
        var bytes = Self.mark
        switch content {
        case .beat: bytes.append(1)
        case .update: bytes.append(2)
        case .acknowledgement: bytes.append(3)
        }
        bytes += [0, 0]
        for number in [epoch, challenge, sequence] { bytes.add(number) }
        switch content {
        case .beat(let version): bytes.add(version)
        case .acknowledgement(let version, let base): for number in [version, base] { bytes.add(number) }
        case .update(let update):
            for number in [update.after, update.upTo, update.latest, update.base] { bytes.add(number) }
            bytes += [UInt8(update.changes.count >> 8 & 0xFF), UInt8(update.changes.count & 0xFF)]
            for change in update.changes { bytes += change.bytes }
        }
        return bytes
    }

    /// - Throws: where they are not a message, whole and nothing else.
    public init(_ bytes: some Collection<UInt8>) throws(Flaw) {
        var rest = Rest(bytes: Array(bytes))
        guard try rest.take(Self.mark.count) == Self.mark[...] else { throw Flaw("it is no message of this version") }
        let form = try rest.byte()
        guard try rest.take(2) == [0, 0] else { throw Flaw("bytes that are kept for later are in use") }
        let (epoch, challenge, sequence) = (try rest.number(), try rest.number(), try rest.number())
        let content: Content
        switch form {
        case 1: content = .beat(version: try rest.number())
        case 2: content = .update(try FactUpdate(&rest))
        case 3: content = .acknowledgement(version: try rest.number(), base: try rest.number())
        default: throw Flaw("form \(form) is not known")
        }
        guard rest.isEmpty else { throw Flaw("something follows behind its end") }
        self.init(epoch: epoch, challenge: challenge, sequence: sequence, content)
    }

    fileprivate struct Rest {
        let bytes: [UInt8]
        var place = 0

        var isEmpty: Bool { place == bytes.count }

        mutating func take(_ count: Int) throws(Flaw) -> ArraySlice<UInt8> {
            guard bytes.count - place >= count else { throw Flaw("it ends too early") }
            defer { place += count }
            return bytes[place..<place + count]
        }

        mutating func byte() throws(Flaw) -> UInt8 { try take(1).reduce(0) { $1 | $0 } }

        mutating func number(_ size: Int = 8) throws(Flaw) -> UInt64 {
            try take(size).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}

extension FactUpdate {
    fileprivate init(_ rest: inout FactMessage.Rest) throws(FactMessage.Flaw) {
        let (after, upTo, latest) = (try rest.number(), try rest.number(), try rest.number())
        let base = try rest.number()
        guard after <= upTo, upTo <= latest else { throw FactMessage.Flaw("its versions are out of order") }
        var changes: [Change] = []
        for _ in 0..<(try rest.number(2)) { changes.append(try Change(&rest)) }
        self.init(after: after, upTo: upTo, latest: latest, base: base, changes)
    }
}

extension FactUpdate.Change {
    var bytes: [UInt8] {
        let name = Array(key.name.utf8)
        let head = [value == nil ? 0 : 1, key.kind.rawValue, UInt8(clamping: name.count)] + name
        guard let value else { return head }
        return head + [UInt8(clamping: value.count)] + value
    }

    fileprivate init(_ rest: inout FactMessage.Rest) throws(FactMessage.Flaw) {
        let isThere = try rest.byte()
        guard isThere <= 1 else { throw FactMessage.Flaw("a change neither is nor is gone") }
        let kind = FactKind(rawValue: try rest.byte())
        let name = try rest.take(Int(rest.byte()))
        guard let name = String(validating: name, as: UTF8.self), !name.isEmpty,
            name.utf8.count <= FactKey.longestName
        else { throw FactMessage.Flaw("a name is no text, or too long") }
        let value = isThere == 1 ? Array(try rest.take(Int(rest.byte()))) : nil
        self.init(FactKey(kind, name), value)
    }
}

extension [UInt8] {
    fileprivate mutating func add(_ number: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
    }
}
