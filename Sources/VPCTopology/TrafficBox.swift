public import IPAddressing
package import VPCModel

/// A set of packets as a product of ranges: far address, IP protocol, and a 16-bit selector.
///
/// The selector is the destination port for protocols that have one, type and code for ICMP; for the others all 16 bits
/// are covered. ICMP boxes are kept apart from the rest, because the kernel reads their selector elsewhere.
@usableFromInline
package struct TrafficBox<Bits: AddressBits>: Hashable, Sendable {
    @usableFromInline package var addresses: ClosedRange<Bits>
    @usableFromInline package var protocols: ClosedRange<UInt8>
    @usableFromInline package var selectors: ClosedRange<UInt16>

    package init(
        addresses: ClosedRange<Bits>, protocols: ClosedRange<UInt8> = 0...255,
        selectors: ClosedRange<UInt16> = 0...65535
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
        addresses: ClosedRange<Bits>? = nil, protocols: ClosedRange<UInt8>? = nil,
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

extension TrafficMatch {
    /// The boxes of this match for one far block.
    func boxes<Bits: AddressBits>(_ addresses: ClosedRange<Bits>) -> [TrafficBox<Bits>] {
        services.map { TrafficBox(addresses: addresses, services: $0) }
    }

    /// What the match is about, whatever the addresses.
    package var services: [ServiceRange] {
        guard let ipProtocol else { return [.all] }
        let selectors = ipProtocol == .icmp ? [icmpSelectors] : ports.isEmpty ? [0...65535] : ports
        return selectors.map { ServiceRange(ipProtocol, $0) }
    }

    private var icmpSelectors: ClosedRange<UInt16> {
        guard let icmpType else { return 0...65535 }
        let first = UInt16(icmpType) << 8
        guard let icmpCode else { return first...(first | 0xFF) }
        return (first | UInt16(icmpCode))...(first | UInt16(icmpCode))
    }
}
