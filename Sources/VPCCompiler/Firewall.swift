import KernelNames
public import NFTables

/// The tables of nf_tables that are ours.
public enum FirewallTables {
    public static let filter = NFTable(.inet, "vpcctl")
    public static let arp = NFTable(.arp, "vpcctl")
    /// By which established connections pass the rules; only where that is possible and wanted.
    public static let flow = NFTable(.inet, "vpcctl_flow")
    /// Chains of devices; only where there is an uplink.
    public static let devices = NFTable(.netdev, "vpcctl")
    /// Those of the host's namespace.
    public static let all = [filter, arp, flow, devices]
    /// In the namespace in which the packets of tunnels travel.
    public static let underlay = NFTable(.ip, "vpcctl_underlay")
}

/// A place in a chain that features fill with rules: the chain is an enumeration, its places are the cases in the order
/// in which packets pass them.
///
/// Chains that one feature fills alone need no places. A chain in which nobody has put a rule is not made.
protocol FirewallPlace: RawRepresentable<Int>, Sendable {
    static var table: NFTable { get }
    static var chain: String { get }
    /// Nil: only reached from another chain.
    static var base: NFBaseChain? { get }
}

extension FirewallPlace {
    static var table: NFTable { FirewallTables.filter }
    static var base: NFBaseChain? { nil }
}

/// What a host's firewall is made of while its features contribute to it.
struct Firewall {
    /// The host: where everything comes from that nothing else is said of.
    let origin: Origin
    /// Sets, counters and chains that have no places.
    var filter = NFTableIntent(FirewallTables.filter)
    var arp = NFTableIntent(FirewallTables.arp)
    var flow = NFTableIntent(FirewallTables.flow)
    var underlay = NFTableIntent(FirewallTables.underlay)
    var devices = NFTableIntent(FirewallTables.devices)
    /// Few: looking at all of them takes less than a dictionary.
    private var chains: [DraftedChain] = []

    private struct DraftedChain {
        /// The type of its places.
        let key: ObjectIdentifier
        let table: NFTable
        let name: String
        let base: NFBaseChain?
        /// By place; those of one place as they came.
        private(set) var rules: [NFRule] = []
        private var places: [Int] = []

        init<Place: FirewallPlace>(_: Place.Type) {
            key = ObjectIdentifier(Place.self)
            table = Place.table
            name = Place.chain
            base = Place.base
        }

        mutating func add(_ new: [NFRule], at place: Int) {
            // Features come nearly in the order of the places.
            let position = places.lastIndex { $0 <= place }.map { $0 + 1 } ?? 0
            rules.insert(contentsOf: new, at: position)
            places.insert(contentsOf: repeatElement(place, count: new.count), at: position)
        }
    }

    init(origin: Origin) { self.origin = origin }

    /// Adds a rule at a place, behind those that are there.
    mutating func rule<Place: FirewallPlace>(at place: Place, _ statements: NFStatement...) {
        rules(at: place) { $0.rule(statements) }
    }

    /// Adds the rules that `body` gives to a place.
    mutating func rules<Place: FirewallPlace>(at place: Place, _ body: (inout NFChainBuilder) -> Void) {
        var builder = NFChainBuilder(family: Place.table.family, chain: NFChain(Place.chain, origin: origin))
        body(&builder)
        let held = chains.firstIndex { $0.key == ObjectIdentifier(Place.self) }
        if held == nil { chains.append(DraftedChain(Place.self)) }
        chains[held ?? chains.count - 1].add(builder.chain.rules, at: place.rawValue)
    }

    mutating func counters(_ names: String...) { filter.counters += names.map { NFCounter($0, origin: origin) } }

    /// The tables with all that was contributed.
    consuming func completed() -> [NFTableIntent] {
        for chain in chains {
            let whole = NFChain(chain.name, chain.base, rules: chain.rules, origin: origin)
            switch chain.table {
            case FirewallTables.arp: arp.chains.append(whole)
            case FirewallTables.flow: flow.chains.append(whole)
            case FirewallTables.underlay: underlay.chains.append(whole)
            default: filter.chains.append(whole)
            }
        }
        filter.normalize()
        arp.normalize()
        flow.normalize()
        underlay.normalize()
        devices.normalize()
        return [filter, arp, flow, devices, underlay]
    }
}

/// The classes of devices, as rules compare them.
enum LinkGroups {
    static let guest = NFInterfaceGroup(Conventions.LinkGroup.guestPort)
    static let overlayReceive = NFInterfaceGroup(Conventions.LinkGroup.overlayReceive)
    static let overlayTransmit = NFInterfaceGroup(Conventions.LinkGroup.overlayTransmit)
    static let vrf = NFInterfaceGroup(Conventions.LinkGroup.vrf)
    static let gatewayVRF = NFInterfaceGroup(Conventions.LinkGroup.gatewayVRF)
    static let leg = NFInterfaceGroup(Conventions.LinkGroup.leg)
    static let gatewayReceive = NFInterfaceGroup(Conventions.LinkGroup.gatewayReceive)
    static let uplink = NFInterfaceGroup(Conventions.LinkGroup.uplink)
}
