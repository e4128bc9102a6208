package import IPAddressing

extension IPPrefix {
    /// The ranges that no host or guest can have as its own.
    static let reserved: [(block: IPPrefix, use: String)] = [
        (IPPrefix(containing: IPAddress(v4: 0x0000_0000), length: 8), "\"this network\""),
        (IPPrefix(containing: IPAddress(v4: 0x7F00_0000), length: 8), "loopback"),
        (IPPrefix(containing: IPAddress(v4: 0xE000_0000), length: 4), "multicast"),
        (IPPrefix(containing: IPAddress(v4: 0xF000_0000), length: 4), "reserved"),
    ]

    /// The address after the network's own.
    var firstUsable: IPAddress { address.advanced(by: 1) ?? address }

    /// The address for all of the block; IPv6 has none.
    var broadcast: IPAddress? { family == .ipv4 ? last : nil }

    /// The last address, or the one before the broadcast address.
    var lastUsable: IPAddress {
        broadcast == nil ? last : IPAddress(family: family, high: last.high, low: last.low & ~1)
    }
}

/// For prefixes in ascending order.
extension [IPPrefix] {
    /// Those that are in no other one: what is left is disjoint.
    package var outermost: [IPPrefix] {
        var result: [IPPrefix] = []
        for prefix in self where result.last?.contains(prefix) != true { result.append(prefix) }
        return result
    }

    /// The block that an address is in, where the blocks are disjoint.
    func block(containing address: IPAddress) -> IPPrefix? {
        var range = indices
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if self[middle].contains(address) { return self[middle] }
            range = self[middle].address < address ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return nil
    }
}
