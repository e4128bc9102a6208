import IPAddressing
import KernelModel
import VPCTopology

/// A box as the fields of an interval set's element.
extension TrafficBox {
    var addressKey: ClosedRange<IPAddress> {
        IPAddress(v4: addresses.lowerBound)...IPAddress(v4: addresses.upperBound)
    }
    var protocolKey: ClosedRange<NFProtocol> { NFProtocol(protocols.lowerBound)...NFProtocol(protocols.upperBound) }
    var selectorKey: ClosedRange<NFPort> { NFPort(selectors.lowerBound)...NFPort(selectors.upperBound) }
}

/// FNV-1a, 64 bits: names and epochs that depend on what they stand for and on nothing else.
struct Digest {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    init() {}
    init(_ text: String) { add(text) }

    mutating func add(_ text: String) {
        for byte in text.utf8 { add(byte) }
        // Where a text ends; UTF-8 has no such byte.
        add(0xFF as UInt8)
    }

    mutating func add(_ number: UInt64) {
        for shift in stride(from: 0 as UInt64, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    private mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }

    var hex: String { String(value, radix: 16) }
}
