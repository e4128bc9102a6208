internal import IPAddressing

/// Finds the routes of a table that no packet can ever follow, because something else decides about each of their
/// addresses: longer routes of the table, blocks of the VPC that the destination is not inside of, or the kernel, which
/// forwards nothing to some addresses at all.
struct ShadowedRoutes {
    /// What takes all of a route's traffic.
    enum Cause: Equatable {
        /// Prefixes of the VPC and of other routes, which together are the destination.
        case prefixes([IPPrefix])
        /// No packet to this block is forwarded.
        case unforwarded(IPPrefix)
    }

    /// By position in the list of destinations.
    private(set) var causes: [Int: Cause] = [:]

    /// IPv4 destinations to which the kernel forwards nothing, see ip_route_input_slow in net/ipv4/route.c: this network,
    /// loopback, multicast without a multicast router, limited broadcast.
    static let unforwarded = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"].compactMap {
        IPPrefix($0)
    }

    /// Prefixes lie inside of each other or apart, so that what is in one is a tree, and its parts add up.
    private struct Node {
        var prefix: IPPrefix
        /// Nil: no route.
        var position: Int?
        var parts: [IPPrefix] = []
        /// Addresses of its parts; 0 where these are all IPv6 addresses there are.
        var covered: UInt128 = 0

        var isCovered: Bool { !parts.isEmpty && covered == prefix.size }
    }

    /// - Parameters:
    ///   - destinations: Each once.
    ///   - cidrs: The VPC's blocks, none of which is a destination.
    init(_ destinations: [IPPrefix], cidrs: [IPPrefix]) {
        let routes = destinations.enumerated().map { Node(prefix: $0.element, position: $0.offset) }
        let others = (cidrs + Self.unforwarded).map { Node(prefix: $0) }
        var open: [Node] = []
        // From the left, the larger before what is in it; of equal ones what is no route.
        let nodes = (others + routes).sorted {
            ($0.prefix.address, $0.prefix.length, $0.position ?? -1)
                < ($1.prefix.address, $1.prefix.length, $1.position ?? -1)
        }
        for node in nodes {
            while let last = open.last, !last.prefix.contains(node.prefix) { close(&open) }
            if let position = node.position,
                let block = Self.unforwarded.first(where: { $0.contains(node.prefix) })
            {
                causes[position] = .unforwarded(block)
            }
            open.append(node)
        }
        while !open.isEmpty { close(&open) }
    }

    private mutating func close(_ open: inout [Node]) {
        guard let node = open.popLast() else { return }
        if let position = node.position, causes[position] == nil, node.isCovered {
            causes[position] = .prefixes(node.parts)
        }
        guard let parent = open.indices.last else { return }
        open[parent].parts.append(node.prefix)
        open[parent].covered &+= node.prefix.size
    }
}

extension IPPrefix {
    /// How many addresses it has; 0 where these are all IPv6 addresses there are.
    fileprivate var size: UInt128 { 1 << (family.bitWidth - Int(length)) }
}
