import IPAddressing
import NFTables
import VPCTopology

/// A box as the fields of an interval set's element.
extension TrafficBox {
    var addressKey: ClosedRange<IPAddress> { ClosedRange(bits: addresses) }
}

extension ServiceRange {
    var protocolKey: ClosedRange<NFProtocol> {
        NFProtocol(UInt8(lowerBound >> 16))...NFProtocol(UInt8(upperBound >> 16))
    }
    var selectorKey: ClosedRange<NFPort> {
        NFPort(UInt16(truncatingIfNeeded: lowerBound))...NFPort(UInt16(truncatingIfNeeded: upperBound))
    }
}

/// Names and epochs that depend on what they stand for and on nothing else.
struct Digest {
    private var hash = FNV1a()
    var value: UInt64 { hash.value }

    init() {}
    init(_ text: String) { add(text) }

    mutating func add(_ text: String) {
        hash.add(text.utf8)
        // Where a text ends; UTF-8 has no such byte.
        hash.add(symbol: 0xFF)
    }

    mutating func add(_ number: UInt64) { hash.add(number: number) }

    var hex: String { String(value, radix: 16) }
}
