package import IPAddressing
package import VPCModel

/// A set of packets as a product of ranges: far address, IP protocol, and a 16-bit selector.
///
/// The selector is the destination port for protocols that have one, type and code for ICMP; for the others all 16 bits
/// are covered. ICMP boxes are kept apart from the rest, because the kernel reads their selector elsewhere.
package struct TrafficBox: Hashable, Sendable {
    package var addresses: ClosedRange<UInt32>
    package var protocols: ClosedRange<UInt8>
    package var selectors: ClosedRange<UInt16>

    package static let allProtocols: ClosedRange<UInt8> = 0...255
    package static let allSelectors: ClosedRange<UInt16> = 0...65535

    package init(
        addresses: ClosedRange<UInt32>, protocols: ClosedRange<UInt8> = Self.allProtocols,
        selectors: ClosedRange<UInt16> = Self.allSelectors
    ) {
        self.addresses = addresses
        self.protocols = protocols
        self.selectors = selectors
    }

    package func overlaps(_ other: TrafficBox) -> Bool {
        addresses.overlaps(other.addresses) && protocols.overlaps(other.protocols)
            && selectors.overlaps(other.selectors)
    }

    package func contains(_ other: TrafficBox) -> Bool {
        addresses.covers(other.addresses) && protocols.covers(other.protocols) && selectors.covers(other.selectors)
    }

    /// What of this box is not in `other`: at most six disjoint boxes, cut by address first, then protocol, then selector.
    func subtracting(_ other: TrafficBox) -> [TrafficBox] {
        guard overlaps(other) else { return [self] }
        var rest: [TrafficBox] = []
        var core = self
        for part in addresses.outside(other.addresses) { rest.append(core.with(addresses: part)) }
        core.addresses = addresses.clamped(to: other.addresses)
        for part in protocols.outside(other.protocols) { rest.append(core.with(protocols: part)) }
        core.protocols = protocols.clamped(to: other.protocols)
        for part in selectors.outside(other.selectors) { rest.append(core.with(selectors: part)) }
        return rest
    }

    private func with(
        addresses: ClosedRange<UInt32>? = nil, protocols: ClosedRange<UInt8>? = nil,
        selectors: ClosedRange<UInt16>? = nil
    ) -> TrafficBox {
        TrafficBox(
            addresses: addresses ?? self.addresses, protocols: protocols ?? self.protocols,
            selectors: selectors ?? self.selectors)
    }
}

extension ClosedRange where Bound: FixedWidthInteger {
    fileprivate func covers(_ other: ClosedRange) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }

    /// The parts below and above `other`, which must overlap this range.
    fileprivate func outside(_ other: ClosedRange) -> [ClosedRange] {
        var parts: [ClosedRange] = []
        if lowerBound < other.lowerBound { parts.append(lowerBound...(other.lowerBound - 1)) }
        if upperBound > other.upperBound { parts.append((other.upperBound + 1)...upperBound) }
        return parts
    }
}

extension IPPrefix {
    /// The block as numbers (IPv4).
    package var range: ClosedRange<UInt32> { address.v4...last.v4 }
}

extension TrafficMatch {
    /// The boxes of this match for one far block.
    package func boxes(_ addresses: ClosedRange<UInt32>) -> [TrafficBox] {
        guard let ipProtocol else {
            return [TrafficBox(addresses: addresses)]
        }
        let number = ipProtocol.rawValue...ipProtocol.rawValue
        let selectors: [ClosedRange<UInt16>] =
            if ipProtocol == .icmp {
                [icmpSelectors]
            } else {
                ports.isEmpty ? [TrafficBox.allSelectors] : ports
            }
        return selectors.map { TrafficBox(addresses: addresses, protocols: number, selectors: $0) }
    }

    private var icmpSelectors: ClosedRange<UInt16> {
        guard let icmpType else { return TrafficBox.allSelectors }
        let first = UInt16(icmpType) << 8
        guard let icmpCode else { return first...(first | 0xFF) }
        return (first | UInt16(icmpCode))...(first | UInt16(icmpCode))
    }
}
