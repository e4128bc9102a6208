import IPAddressing

/// The fewest routes that lead every address of a block where a list of single addresses leads it.
///
/// Optimal Routing Table Constructor (Draves, King, Venkatachary, Zill: "Constructing optimal IP routing tables",
/// INFOCOM 1999): upwards each node of the binary trie learns with which next hops its part costs least, the ones both
/// halves agree upon or else all of them; downwards a route is written only where what is inherited is none of them.
/// The trie is compressed: of n addresses at most 2n nodes are looked at, whatever the size of the block.
enum RouteAggregator {
    /// Where addresses lead.
    enum Target: Hashable {
        case unreachable
        /// An index below `hosts`.
        case host(Int)
    }

    /// Addresses that do not lead to `unreachable`.
    struct Leaf {
        var prefix: IPPrefix
        /// Nil: a route of its own has them, so that what covers it does not matter.
        var target: Target?
    }

    struct Aggregate: Hashable {
        var prefix: IPPrefix
        var target: Target
        /// Where the route is that of a leaf itself, the leaf's position.
        var leaf: Int?
    }

    /// - Parameters:
    ///   - block: Always gets a route.
    ///   - leaves: Inside the block, ascending, disjoint.
    ///   - hosts: How many there are.
    /// - Returns: ascending, by address and then by length.
    static func aggregates(of block: IPPrefix, leaves: [Leaf], hosts: Int) -> [Aggregate] {
        switch block.family {
        case .ipv4: AggregatingTrie<IPv4Bits>.aggregates(of: block, leaves, hosts: hosts)
        case .ipv6: AggregatingTrie<IPv6Bits>.aggregates(of: block, leaves, hosts: hosts)
        }
    }
}

/// The trie of one block.
private struct AggregatingTrie<Bits: AddressBits> {
    private typealias Leaf = RouteAggregator.Leaf
    private typealias Aggregate = RouteAggregator.Aggregate

    static func aggregates(
        of block: IPPrefix, _ leaves: [RouteAggregator.Leaf], hosts: Int
    ) -> [RouteAggregator.Aggregate] {
        var trie = AggregatingTrie(leaves, hosts: hosts)
        let top = leaves.isEmpty ? nil : trie.node(of: 0..<leaves.count)
        trie.writeBlock(block, top)
        return trie.aggregates.sorted { $0.prefix < $1.prefix }
    }

    /// Targets by number: 0 is unreachable, host h is h + 1. A set is a range of the pool, ascending; what any target
    /// will do for is an empty one.
    private typealias Targets = Range<Int>

    private struct Node {
        var bits: Bits
        var depth: Int
        var targets: Targets
        var kind: Kind

        enum Kind {
            case leaf(Int)
            case branch(Int, Int)
        }
    }

    private let leaves: [Leaf]
    private var pool: [Int]
    private var nodes: [Node] = []
    private var aggregates: [Aggregate] = []

    private static var unreachable: Targets { 0..<1 }
    private static var any: Targets { 0..<0 }

    private init(_ leaves: [Leaf], hosts: Int) {
        self.leaves = leaves
        pool = Array(0...hosts)
        nodes.reserveCapacity(2 * leaves.count)
    }

    // MARK: Upwards

    /// Adds the node that is over some leaves, and all below it.
    /// - Returns: its position.
    private mutating func node(of range: Range<Int>) -> Int {
        let first = leaves[range.lowerBound]
        let (bits, length) = (Bits(bitsOf: first.prefix.address), Int(first.prefix.length))
        guard range.count > 1 else {
            let targets: Targets =
                switch first.target {
                case nil: Self.any
                case .unreachable: Self.unreachable
                case .host(let host): (host + 1)..<(host + 2)
                }
            nodes.append(Node(bits: bits, depth: length, targets: targets, kind: .leaf(range.lowerBound)))
            return nodes.count - 1
        }
        let depth = (bits ^ Bits(bitsOf: leaves[range.upperBound - 1].prefix.address)).leadingZeroBitCount
        let half = Self.bit(depth + 1)
        var (middle, end) = (range.lowerBound, range.upperBound)
        while middle < end {
            let probe = (middle + end) / 2
            if Bits(bitsOf: leaves[probe].prefix.address) & half == 0 { middle = probe + 1 } else { end = probe }
        }
        let left = node(of: range.lowerBound..<middle)
        let right = node(of: middle..<range.upperBound)
        let targets = merged(targets(of: left, at: depth + 1), targets(of: right, at: depth + 1))
        nodes.append(
            Node(bits: bits.masked(to: depth), depth: depth, targets: targets, kind: .branch(left, right)))
        return nodes.count - 1
    }

    /// What is best for the part of the trie at some depth that has nothing but this node in it.
    private mutating func targets(of node: Int, at depth: Int) -> Targets {
        let (own, levels) = (nodes[node].targets, nodes[node].depth - depth)
        // The other halves on the way are all unreachable: the second agrees with whatever came of the first.
        return levels == 0 ? own : levels == 1 ? merged(own, Self.unreachable) : Self.unreachable
    }

    /// What both have, or else what either has.
    private mutating func merged(_ left: Targets, _ right: Targets) -> Targets {
        if left.isEmpty || left == right { return right }
        if right.isEmpty { return left }
        let start = pool.count
        var (a, b) = (left.lowerBound, right.lowerBound)
        while a < left.upperBound, b < right.upperBound {
            let (one, other) = (pool[a], pool[b])
            if one == other { pool.append(one) }
            if one <= other { a += 1 }
            if other <= one { b += 1 }
        }
        if pool.count > start { return start..<pool.count }
        (a, b) = (left.lowerBound, right.lowerBound)
        while a < left.upperBound || b < right.upperBound {
            if b == right.upperBound || (a < left.upperBound && pool[a] < pool[b]) {
                pool.append(pool[a])
                a += 1
            } else {
                pool.append(pool[b])
                b += 1
            }
        }
        return start..<pool.count
    }

    // MARK: Downwards

    private mutating func writeBlock(_ block: IPPrefix, _ top: Int?) {
        let (bits, depth) = (Bits(bitsOf: block.address), Int(block.length))
        let targets = top.map { self.targets(of: $0, at: depth) } ?? Self.unreachable
        // Nothing is inherited: the block has a route in any case.
        let target = targets.isEmpty ? 0 : pool[targets.lowerBound]
        write(bits, depth, target)
        if let top { write(top, from: depth, inherited: target) }
    }

    /// Writes what a node and the way to it need.
    /// - Parameter depth: Where that way begins.
    private mutating func write(_ index: Int, from depth: Int, inherited: Int) {
        let node = nodes[index]
        var target = inherited
        if node.depth - depth >= 2 { choose(Self.unreachable, at: depth, of: node, &target) }
        if node.depth - depth >= 1 {
            choose(merged(node.targets, Self.unreachable), at: node.depth - 1, of: node, &target)
            // The other half.
            if target != 0 { write(node.bits ^ Self.bit(node.depth), node.depth, 0) }
        }
        choose(node.targets, at: node.depth, of: node, &target)
        guard case .branch(let left, let right) = node.kind else { return }
        write(left, from: node.depth + 1, inherited: target)
        write(right, from: node.depth + 1, inherited: target)
    }

    /// Keeps what is inherited where it is as good as any, or else writes the first.
    private mutating func choose(_ targets: Targets, at depth: Int, of node: Node, _ target: inout Int) {
        if targets.isEmpty || pool[targets].contains(target) { return }
        target = pool[targets.lowerBound]
        var leaf: Int?
        if case .leaf(let position) = node.kind, depth == node.depth { leaf = position }
        write(node.bits.masked(to: depth), depth, target, leaf)
    }

    private mutating func write(_ bits: Bits, _ depth: Int, _ target: Int, _ leaf: Int? = nil) {
        aggregates.append(
            Aggregate(
                prefix: IPPrefix(containing: IPAddress(bits: bits), length: depth),
                target: target == 0 ? .unreachable : .host(target - 1), leaf: leaf))
    }

    // MARK: Bits

    /// The bit that two halves at a depth differ in.
    private static func bit(_ depth: Int) -> Bits { 1 << (Bits.bitWidth - depth) }
}
