package import IPAddressing
package import VPCModel

/// A line of an ordered list: it matches each of its services from each of its blocks.
package struct TrafficLine: Hashable, Sendable {
    package var blocks: [IPPrefix]
    package var services: [ServiceRange]

    package init(_ traffic: TrafficMatch, from blocks: [IPPrefix]) {
        self.blocks = blocks
        services = traffic.services
    }

    /// Elements that the line takes by itself in a family: each block with each service, or a set of both.
    func size(in family: AddressFamily) -> Int {
        let count = blocks.reduce(0) { $0 + ($1.family == family ? 1 : 0) }
        return min(count * services.count, count + services.count)
    }
}

/// IP protocol and selector as one number of 24 bits: `protocol << 16 | selector`. In it a protocol with some ports is a
/// range, and so is a protocol as a whole, and all of them.
@usableFromInline package typealias ServiceRange = ClosedRange<UInt32>

extension ServiceRange {
    static var all: ServiceRange { 0...0xFF_FFFF }

    init(_ ipProtocol: IPProtocol, _ selectors: ClosedRange<UInt16>) {
        let number = UInt32(ipProtocol.rawValue) << 16
        self = (number | UInt32(selectors.lowerBound))...(number | UInt32(selectors.upperBound))
    }
}

extension TrafficBox {
    /// Of several protocols a box has all selectors.
    @inlinable package var services: ServiceRange {
        let lower = UInt32(protocols.lowerBound) << 16 | UInt32(selectors.lowerBound)
        return lower...(UInt32(protocols.upperBound) << 16 | UInt32(selectors.upperBound))
    }

    /// - Parameter services: What ``forEachBox(of:_:)`` gives.
    init(addresses: ClosedRange<Bits>, services: ServiceRange) {
        let (lower, upper) = (services.lowerBound, services.upperBound)
        self.init(
            addresses: addresses, protocols: UInt8(lower >> 16)...UInt8(upper >> 16),
            selectors: UInt16(truncatingIfNeeded: lower)...UInt16(truncatingIfNeeded: upper))
    }
}

/// Calls `body` with the parts of a range of services that are boxes: some of one protocol, or whole protocols. Three at
/// most.
func forEachBox(of services: ServiceRange, _ body: (ServiceRange) -> Void) {
    var rest = services
    if !rest.isBox, rest.lowerBound & 0xFFFF != 0 {
        let end = rest.lowerBound | 0xFFFF
        body(rest.lowerBound...end)
        rest = (end + 1)...rest.upperBound
    }
    if !rest.isBox {
        let last = rest.upperBound & ~0xFFFF
        body(rest.lowerBound...(last - 1))
        rest = last...rest.upperBound
    }
    body(rest)
}

extension ServiceRange {
    fileprivate var isBox: Bool {
        lowerBound >> 16 == upperBound >> 16 || lowerBound & 0xFFFF == 0 && upperBound & 0xFFFF == 0xFFFF
    }
}
