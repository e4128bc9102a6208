import KernelModel
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let fragments = FirewallFamily(
        "fragment", "own_fragment", "fragment_rate", "excess_fragments", tightens: [])
}

/// Fragments wait for each other in memory that all of a namespace's devices share, and when it is full nobody's are put
/// together any more. So a port has a rate of them, and the memory has room for what all ports can bring at their rates.
extension HostCompiler {
    /// Fragments of one port: so many a second, and so many at once.
    static let fragmentRate = NFLimit(1024, burst: 256)
    /// Seconds that a datagram waits for its missing fragments (net.ipv4.ipfrag_time). They come one right behind the
    /// other, or never.
    private static let patience = 2

    /// Identification, flags and offset of an IPv4 header (RFC 791): more fragments follow, or some came before. Read as
    /// four bytes, for which the kernel has fast operations: every packet of a guest comes this way.
    static let isFragment = NFStatement.match(
        .bytes(.network, offset: 4, .ipv4Address), masked: 0x3FFF, .notEqual, 0)

    func addFragments(to table: inout NFTableIntent, _ origin: Origin) {
        var rates = NFSet("fragment_rate", of: .interfaceName, grows: true, limit: Self.fragmentRate)
        addPorts(to: &rates)
        table.sets.append(rates)
        // What is forged takes nothing of the rate, and counts as forged.
        table.chain("fragment", origin: origin) { chain in addSpeakers(to: &chain, .goto("own_fragment")) }
        table.chain("own_fragment", origin: origin) { chain in
            chain.rule(.match(.length, .lessOrEqual, longestFragment), .match(.iifname, in: "fragment_rate"), .accept)
            chain.rule(.counter("excess_fragments"), .drop)
        }
    }

    /// Bytes: what fits through the port with the largest MTU. No fragment is longer, but what a guest gives to its device
    /// to be cut later can be.
    private var longestFragment: UInt32 {
        UInt32(attached.map { topology.interfaces[$0].mtu }.max() ?? NetworkInterface.defaultMTU)
    }

    // MARK: - Memory

    /// How long fragments wait, and how much memory they may take.
    var fragmentSysctls: [Sysctl] {
        [
            Sysctl(HostSettings.fragmentTime, "\(Self.patience)"),
            Sysctl(HostSettings.fragmentMemory, "\(fragmentMemory)"),
        ]
    }

    /// Bytes: the kernel's own 4 MiB for the host, and for each port what it can have waiting at once. Of ports there is a
    /// number with room to grow, so that this is not written for each that comes.
    private var fragmentMemory: Int {
        let waiting = Int(Self.fragmentRate.burst) + Int(Self.fragmentRate.rate) * Self.patience
        var ports = 16
        while ports < attached.count { ports *= 2 }
        return 4 << 20 + ports * waiting * Self.memory(ofFragment: Int(longestFragment))
    }

    /// Bytes that the kernel counts for a fragment which waits alone, at most: buffers are powers of two, with a header
    /// before the packet and `struct skb_shared_info` behind it, and there are `struct sk_buff` and `struct ipq`.
    private static func memory(ofFragment length: Int) -> Int {
        var buffer = 512
        while buffer < length + 512 { buffer *= 2 }
        return buffer + 512
    }
}
