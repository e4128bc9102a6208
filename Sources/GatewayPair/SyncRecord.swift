internal import IPAddressing
internal import Netlink
internal import Traffic

/// What goes over the link between two gateways: records of one size.
enum SyncRecord: Equatable {
    /// First of all: which pair this is, and in which words.
    case hello(pair: IPAddress)
    /// A connection that the active gateway has, of the NAT gateway with that key.
    case put(ConntrackCopy, key: UInt32)
    case delete(ConntrackCopy, key: UInt32)
    /// Between these the active gateway names all it has.
    case begin
    case end
    /// One from the time when both were active, or none had heard of the other.
    case merge(ConntrackCopy, key: UInt32)
    /// All of those have come.
    case merged
    /// The reader says ``flushed`` with the same number when it has done all that came before.
    case flush(UInt64)
    case flushed(UInt64)
    /// Everything is wanted anew.
    case again

    static let size = 44
    private static let version: UInt32 = 1

    private var kind: UInt8 {
        switch self {
        case .hello: 1
        case .put: 2
        case .delete: 3
        case .begin: 4
        case .end: 5
        case .merge: 6
        case .merged: 7
        case .flush: 8
        case .flushed: 9
        case .again: 10
        }
    }

    func append(to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append(kind)
        switch self {
        case .hello(let pair):
            bytes.append(contentsOf: [0, 0, 0])
            bytes.append(bigEndian: Self.version)
            bytes.append(bigEndian: pair.v4)
        case .put(let copy, let key), .delete(let copy, let key), .merge(let copy, let key):
            bytes.append(copy.protocol)
            bytes.append(copy.tcpState)
            bytes.append(0)
            for number in [key, copy.mark, copy.status, copy.timeout] { bytes.append(bigEndian: number) }
            for way in [copy.original, copy.reply] {
                for number in [way.source, way.destination] { bytes.append(bigEndian: number) }
                for number in [way.sourcePort, way.destinationPort] { bytes.append(bigEndian: number) }
            }
        case .flush(let number), .flushed(let number):
            bytes.append(contentsOf: [0, 0, 0])
            bytes.append(bigEndian: number)
        case .begin, .end, .merged, .again: break
        }
        bytes.append(contentsOf: repeatElement(0, count: start + Self.size - bytes.count))
    }

    /// Nil: it is none, or of another version.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count == Self.size else { return nil }
        var reader = ByteReader(bytes.dropFirst())
        switch bytes.first {
        case 1:
            reader.skip(3)
            guard reader.number(UInt32.self) == Self.version else { return nil }
            self = .hello(pair: IPAddress(v4: reader.number()))
        case 2, 3, 6:
            var copy = ConntrackCopy()
            (copy.protocol, copy.tcpState) = (reader.number(), reader.number())
            reader.skip(1)
            let key = reader.number(UInt32.self)
            (copy.mark, copy.status, copy.timeout) = (reader.number(), reader.number(), reader.number())
            (copy.original, copy.reply) = (reader.way(), reader.way())
            self =
                switch bytes.first {
                case 2: .put(copy, key: key)
                case 3: .delete(copy, key: key)
                default: .merge(copy, key: key)
                }
        case 4: self = .begin
        case 5: self = .end
        case 7: self = .merged
        case 8, 9:
            reader.skip(3)
            self = bytes.first == 8 ? .flush(reader.number()) : .flushed(reader.number())
        case 10: self = .again
        default: return nil
        }
    }
}

private struct ByteReader {
    private let bytes: ArraySlice<UInt8>
    private var place: Int

    init(_ bytes: ArraySlice<UInt8>) { (self.bytes, place) = (bytes, bytes.startIndex) }

    mutating func skip(_ count: Int) { place += count }

    mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number {
        var value: Number = 0
        for _ in 0..<Number.bitWidth / 8 {
            value = Number.bitWidth == 8 ? Number(truncatingIfNeeded: bytes[place]) : value << 8 | Number(bytes[place])
            place += 1
        }
        return value
    }

    mutating func way() -> ConntrackCopy.Way {
        var way = ConntrackCopy.Way()
        (way.source, way.destination) = (number(), number())
        (way.sourcePort, way.destinationPort) = (number(), number())
        return way
    }
}
