public import IPAddressing
import KernelNames

/// What the alias of an uplink says of the pair of gateways that it is part of: all that the process which decides who is
/// active has to know. So that process needs no manifest, and no other process of ours: it reads what is in the kernel.
///
/// The uplink's address on such a device is that process's, and so is whether it answers for others by ARP: plans leave both
/// alone.
public struct PairNote: Hashable, Sendable {
    /// The underlay address of whoever is active.
    public var endpoint: IPAddress
    /// What the provider knows whoever is active by, and the length of the block that it has in common with the router.
    public var uplinkAddress: IPAddress
    public var prefixLength: UInt8
    public var router: IPAddress
    /// Underlay addresses of this host and of the other one.
    public var own: IPAddress
    public var peer: IPAddress
    /// 0: preferred.
    public var rank: UInt8
    /// Milliseconds between two signs of life, and after how many of them silence is death.
    public var interval: UInt32
    public var multiplier: UInt32
    public var announcesRoutes: Bool

    public init(
        endpoint: IPAddress, uplinkAddress: IPAddress, prefixLength: UInt8, router: IPAddress, own: IPAddress,
        peer: IPAddress, rank: UInt8, interval: UInt32, multiplier: UInt32, announcesRoutes: Bool
    ) {
        self.endpoint = endpoint
        self.uplinkAddress = uplinkAddress
        self.prefixLength = prefixLength
        self.router = router
        self.own = own
        self.peer = peer
        self.rank = rank
        self.interval = interval
        self.multiplier = multiplier
        self.announcesRoutes = announcesRoutes
    }

    private static let first = "pair="

    /// What follows the resource in the alias. With the longest name and the longest numbers less than the 255 bytes that
    /// the kernel takes.
    public var text: String {
        "\(Self.first)\(endpoint) address=\(uplinkAddress)/\(prefixLength) router=\(router) own=\(own) peer=\(peer)"
            + " rank=\(rank) interval=\(interval) times=\(multiplier) announce=\(announcesRoutes ? "routes" : "arp")"
    }

    /// Nil where the alias says nothing of a pair.
    public init?(in alias: String) {
        let words = alias.split(separator: " ").dropFirst()
        guard words.first?.hasPrefix(Self.first) == true else { return nil }
        var values: [Substring: Substring] = [:]
        for word in words {
            guard let place = word.firstIndex(of: "=") else { return nil }
            values[word[..<place]] = word[word.index(after: place)...]
        }
        func address(_ key: Substring) -> IPAddress? { values[key].flatMap { IPAddress(String($0)) } }
        func number<Number: FixedWidthInteger>(_ key: Substring) -> Number? { values[key].flatMap { Number($0) } }
        let uplink = values["address"]?.split(separator: "/") ?? []
        guard let endpoint = address("pair"), let router = address("router"), let own = address("own"),
            let peer = address("peer"), let rank: UInt8 = number("rank"), let interval: UInt32 = number("interval"),
            let multiplier: UInt32 = number("times"), uplink.count == 2, let address = IPAddress(String(uplink[0])),
            let length = UInt8(uplink[1]), length <= 32, interval > 0, multiplier > 0
        else { return nil }
        self.init(
            endpoint: endpoint, uplinkAddress: address, prefixLength: length, router: router, own: own, peer: peer,
            rank: rank, interval: interval, multiplier: multiplier, announcesRoutes: values["announce"] == "routes")
    }
}

extension Link {
    /// What it says of a pair of gateways; nil: it is no uplink of one.
    public var pair: PairNote? {
        switch kind {
        case .macvlan, .ipvlan: PairNote(in: alias)
        default: nil
        }
    }

    /// Of an uplink of a pair: by what the process that decides who is active says whether it answers for public addresses.
    fileprivate var answering: IPv4DeviceConfiguration.Setting {
        // They are on the device itself.
        if case .ipvlan = kind { .arpIgnore } else { .proxyARP }
    }
}

extension KernelIntent {
    /// What is to be compared: without what is left to the process that decides who of a pair is active.
    func lending(_ snapshot: KernelSnapshot) -> (KernelIntent, KernelSnapshot) {
        guard host.links.contains(where: { $0.object.pair != nil }) else { return (self, snapshot) }
        var (intent, snapshot) = (self, snapshot)
        intent.host = host.lending(snapshot.host)
        snapshot.host = snapshot.host.lending(host)
        return (intent, snapshot)
    }
}

extension NamespaceIntent {
    /// What is wanted of devices of pairs, apart from what is left to the process that decides who is active.
    func lending(_ observed: NamespaceSnapshot) -> NamespaceIntent {
        var changed = self
        for index in links.indices where links[index].object.pair != nil {
            let link = links[index].object
            guard let seen = observed.link(named: link.name)?.link.ipv4 else { continue }
            changed.links[index].object.ipv4?[link.answering] = seen[link.answering]
        }
        return changed
    }
}

extension NamespaceSnapshot {
    /// Without the addresses that are left to that process.
    func lending(_ wanted: NamespaceIntent) -> NamespaceSnapshot {
        let lent = wanted.links.compactMap { link in link.object.pair.map { (link.object.name, $0.uplinkAddress) } }
        var changed = self
        changed.addresses.removeAll { seen in lent.contains { $0.0 == seen.device && $0.1 == seen.address } }
        return changed
    }
}
