import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let fragments = FirewallFamily(
        "fragment", "own_fragment", "fragment_rate", "excess_fragments", tightens: [])
}

/// Fragments wait for each other in memory that all of a namespace's devices share, and when it is full nobody's are put
/// together any more. So a port has a rate of them, and the memory has room for what all ports can bring at their rates.
struct GuestFragments: HostFeature {
    let names = [FirewallFamily.fragments]

    /// Fragments of one port: so many a second, and so many at once.
    fileprivate static let rate = NFLimit(1024, burst: 256)
    /// Seconds that a datagram waits for its missing fragments (net.ipv4.ipfrag_time). They come one right behind the
    /// other, or never.
    fileprivate static let patience = 2

    /// Identification, flags and offset of an IPv4 header (RFC 791): more fragments follow, or some came before. Read as
    /// four bytes, for which the kernel has fast operations: every packet of a guest comes this way.
    private static let isFragment = NFStatement.match(
        .bytes(.network, offset: 4, .ipv4Address), masked: 0x3FFF, .notEqual, 0)

    private static let rates = NFSet("fragment_rate", of: .interfaceName, grows: true, limit: rate)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece else { return }
        part.rows(of: Self.rates) { $0.add(host.portName(number), origin: piece.origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters("excess_fragments")
        firewall.filter.sets.append(Self.rates)
        firewall.rule(at: FromGuest.exceptions, Self.isFragment, .goto("fragment"))
        // What is forged takes nothing of the rate, and counts as forged.
        firewall.filter.chain("fragment", origin: firewall.origin) { chain in
            GuestPorts.addSpeakers(to: &chain, of: host, .goto("own_fragment"))
            chain.rule(.goto(Spoofed.chain))
        }
        firewall.filter.chain("own_fragment", origin: firewall.origin) { chain in
            chain.rule(
                .match(.length, .lessOrEqual, host.longestFragment), .match(.iifname, in: "fragment_rate"), .accept)
            chain.rule(.counter("excess_fragments"), .drop)
        }
    }
}

extension HostCompiler {
    /// Bytes: what fits through the port with the largest MTU. No fragment is longer, but what a guest gives to its device
    /// to be cut later can be.
    fileprivate var longestFragment: UInt32 {
        UInt32(traits.largestMTU ?? NetworkInterface.defaultMTU)
    }

    // MARK: - Memory

    /// How long fragments wait, and how much memory they may take.
    var fragmentSysctls: [Sysctl] {
        [
            Sysctl(HostSettings.fragmentTime, "\(GuestFragments.patience)"),
            Sysctl(HostSettings.fragmentMemory, "\(fragmentMemory)"),
        ]
    }

    /// Bytes: the kernel's own 4 MiB for the host, and for each port what it can have waiting at once. Of ports there is a
    /// number with room to grow, so that this is not written for each that comes.
    private var fragmentMemory: Int {
        let waiting = Int(GuestFragments.rate.burst) + Int(GuestFragments.rate.rate) * GuestFragments.patience
        var ports = 16
        while ports < traits.ports { ports *= 2 }
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
