public import IPAddressing
import KernelModel
import KernelNames
public import NFTables
import VPCCompiler

/// A rule of the machine's own that keeps tunnels from other hosts, or may do so.
public struct TunnelObstacle: Sendable, Hashable {
    /// `from` or `to` other hosts.
    public var way: String
    /// Of which hosts packets are dropped; empty: of all.
    public var hosts: [IPAddress]
    public var table: NFTable
    public var chain: String
    /// The kernel's number of the rule (`nft -a list chain …`); nil: it is the chain's policy.
    public var handle: UInt64?
    /// The rule as nft(8) would list it.
    public var rule: String
    /// Whether only packets that the underlay has cut into fragments are concerned.
    public var isAboutFragments: Bool
    /// Else it depends on what cannot be told from here.
    public var isCertain: Bool
}

extension TunnelObstacle: CustomStringConvertible {
    /// One sentence.
    public var description: String {
        let subject = isAboutFragments ? "fragments of GRE packets" : "GRE packets"
        let peers = hosts.isEmpty ? "other hosts" : hosts.map(\.description).joined(separator: ", ")
        let place = handle.map { "rule \($0) of chain \(table) \(chain)" } ?? "the policy of chain \(table) \(chain)"
        return "\(subject) \(way) \(peers) \(isCertain ? "are" : "may be") dropped by \(place): \(rule)"
    }

    /// What to do.
    public var remedy: String {
        guard let handle else {
            return
                "let them pass: nft add rule \(table) \(chain) meta l4proto gre accept, or what the program that made"
                + " the chain has for it"
        }
        return
            "take it away (nft delete rule \(table) \(chain) handle \(handle)), or let GRE pass before it: nft insert"
            + " rule \(table) \(chain) position \(handle) meta l4proto gre accept"
    }
}

extension HostReconciler {
    /// Follows the tunnels' packets through the filters of the machine's own network namespace: which rules drop them,
    /// and which may. That ours accept them saves none from others' chains.
    /// - Returns: nil where this machine is no host.
    public func tunnelObstacles() throws -> [TunnelObstacle]? {
        let filters = try kernel.filters(readingSetsOf: FirewallTables.underlay)
        guard let own = filters.tables.first(where: { $0.table == FirewallTables.underlay }),
            let address = own.underlayAddress
        else { return nil }
        var survey = FilterSurvey(filters: filters, address: address, peers: own.peers, kernel: kernel)
        try survey.run()
        return survey.obstacles
    }
}

/// All the packets that there are to follow.
private struct FilterSurvey {
    let filters: PresentFilters
    let address: IPAddress
    let peers: [(device: InterfaceName, address: IPAddress)]
    let kernel: any KernelAccess
    private(set) var obstacles: [TunnelObstacle] = []

    /// Of so many hosts each is asked for; where there are more, all are taken for one.
    private static let limit = 64

    init(
        filters: PresentFilters, address: IPAddress, peers: [(device: InterfaceName, address: IPAddress)],
        kernel: any KernelAccess
    ) {
        self.filters = filters
        self.address = address
        self.peers = peers
        self.kernel = kernel
    }

    mutating func run() throws {
        let devices = Set(peers.map(\.device)).sorted { $0.description < $1.description }
        for table in filters.tables where table.table != FirewallTables.underlay && !table.isDormant {
            for chain in table.chains where chain.base.map({ $0.kind != .nat }) ?? false {
                for way in [TunnelPacket.Way.received, .sent] {
                    for device in devices { try survey(table, chain, way, device) }
                }
            }
        }
    }

    private mutating func survey(
        _ table: NFObservedTable, _ chain: NFObservedChain, _ way: TunnelPacket.Way, _ device: InterfaceName
    ) throws {
        guard let base = chain.base, base.devices.isEmpty || base.devices.contains(device) else { return }
        for part in [TunnelPacket.Part.whole, .firstFragment, .laterFragment] {
            var packet = TunnelPacket(way: way, part: part, isUntracked: base.priority > Self.ownPriority)
            packet.device = filters.devices.first { $0.name == device }
            (packet.source, packet.destination) = way == .received ? (nil, address) : (address, nil)
            guard packet.hooks.contains(base.hook) else { continue }
            let ofAll = try outcome(table, chain, packet)
            if ofAll.drops.isEmpty { continue }
            if ofAll.isCertainDrop {
                note(ofAll, nil, packet)
                // What becomes of fragments is no news.
                return
            }
            let local = peers.filter { $0.device == device }
            if local.count > Self.limit { note(ofAll, nil, packet) }
            for peer in local.prefix(Self.limit) where local.count <= Self.limit {
                var packet = packet
                if way == .received { packet.source = peer.address } else { packet.destination = peer.address }
                note(try outcome(table, chain, packet), peer.address, packet)
            }
        }
    }

    private func outcome(
        _ table: NFObservedTable, _ chain: NFObservedChain, _ packet: TunnelPacket
    ) throws -> FilterOutcome {
        var failure: (any Error)?
        let walk = FilterWalk(table: table, packet: packet) { registers, register, set in
            do {
                return try kernel.lookUp(registers.bytes(register, 64).map(\.byte), in: set, of: table.table)
            } catch {
                failure = error
                return .unknown
            }
        }
        let outcome = walk.outcome(of: chain)
        if let failure { throw failure }
        return outcome
    }

    private mutating func note(_ outcome: FilterOutcome, _ peer: IPAddress?, _ packet: TunnelPacket) {
        // The last one is where it ends for certain; those before it only may.
        let drops = outcome.isCertainDrop ? Array(outcome.drops.suffix(1)) : outcome.drops
        for drop in drops {
            let obstacle = TunnelObstacle(
                way: packet.way == .received ? "from" : "to", hosts: peer.map { [$0] } ?? [], table: drop.table,
                chain: drop.chain, handle: drop.handle, rule: drop.text, isAboutFragments: packet.part != .whole,
                isCertain: outcome.isCertainDrop)
            guard let known = obstacles.firstIndex(where: obstacle.isSame) else {
                obstacles.append(obstacle)
                continue
            }
            // Who loses whole packets loses fragments as well.
            let isNews = obstacles[known].isAboutFragments == obstacle.isAboutFragments
            if isNews, let peer, !obstacles[known].hosts.contains(peer) { obstacles[known].hosts.append(peer) }
        }
    }

    /// That of our own chain, which takes the packets out of the connection tracking.
    private static let ownPriority: Int32 = -450
}

extension TunnelObstacle {
    /// Whether it is the same place, and the packets go the same way.
    fileprivate func isSame(as other: TunnelObstacle) -> Bool {
        (way, chain, handle, isCertain) == (other.way, other.chain, other.handle, other.isCertain)
            && table == other.table
    }
}

extension NFObservedTable {
    /// The host's own, from the rule that lets tunnels in.
    fileprivate var underlayAddress: IPAddress? {
        for rule in chains.first(where: { $0.base?.hook == .prerouting })?.rules ?? [] {
            for (position, expression) in rule.rule.expressions.enumerated().dropFirst() {
                guard case .compare(_, .equal, let value) = expression, value.count == 4,
                    case .payload(NFPayload(.network, 16, 4), _) = rule.rule.expressions[position - 1]
                else { continue }
                return IPAddress(v4: value.reduce(0) { $0 << 8 | UInt32($1) })
            }
        }
        return nil
    }

    /// The other hosts, and by which device each comes.
    fileprivate var peers: [(device: InterfaceName, address: IPAddress)] {
        guard let set = sets.first(where: { NFSet.wantedName(ofSetNamed: $0.name) == "hosts" }),
            set.elements.layout.keySlots == 5
        else { return [] }
        return (0..<set.elements.count).map { index in
            let start = index * set.elements.layout.stride
            return (set.elements.device(of: index), IPAddress(v4: UInt32(bigEndian: set.elements.slots[start + 4])))
        }
    }
}
