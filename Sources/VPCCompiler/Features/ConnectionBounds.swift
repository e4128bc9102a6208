public import KernelModel
import NFTables
import KernelNames
import VPCModel

extension FirewallFamily {
    static let bounds = FirewallFamily(
        ConnectionBound.setName, "begin_rate", "newcomer", "refused", tightens: [])
    static let refusals = FirewallFamily("refused", of: .one(.vpc), tightens: [])
}

extension RuleCounter {
    /// Of the first packets that a VPC's bound, or its rate, has refused.
    public static func refused(vpc name: String) -> FirewallName { FirewallName(.refusals, name) }
}

/// All VPCs of a host share one table of tracked connections, so each has a bound on those that it may have in it, and a
/// rate at which it may begin them.
///
/// The kernel cannot count a VPC's connections in time that does not grow with their number (`ct count` walks a list), so
/// who looks after the host counts them now and then, and puts a VPC that is over its bound into a set
/// (``ConnectionBound``). The rate is the kernel's own: it says by how much a bound can be passed between two counts.
struct ConnectionBounds: HostFeature {
    let names = [FirewallFamily.bounds, .refusals]

    private static let rates = NFSet("begin_rate", of: .zone, grows: true, limit: ConnectionBound.rate)
    private static let counters = NFSet("refused", of: .zone, to: .counter, grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, key.isMain else { return }
        let (zone, origin) = (host.zone(ofVPC: key.vpc), piece.origin)
        let counter = RuleCounter.refused(vpc: host.topology.vpcs[key.vpc].name).description
        part.filter.counters.append(NFCounter(counter, origin: origin))
        part.rows(of: Self.rates) { $0.add(zone, origin: origin) }
        part.rows(of: Self.counters) { $0.add(zone, counter: counter, origin: origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.filter.sets += [ConnectionBound.set(origin: firewall.origin), Self.rates, Self.counters]
        // What the policy denies begins no connection, and takes nothing of the rate.
        firewall.rules(at: Forwarded.mark, Self.addJump)
        firewall.rules(at: Arriving.mark, Self.addJump)
        firewall.rules(at: Staying.mark, Self.addJump)
        if host.traits.hasForwarders {
            firewall.rules(at: FromGatewayGuest.mark, Self.addJump)
            firewall.rules(at: ToGatewayGuest.mark, Self.addJump)
        }
        // Pings of the gateway have a rate of their own.
        firewall.rule(
            at: GuestToHost.services, .match(.icmpType, NFICMPType(8)), .match([.new]),
            .match(.ctZone, in: ConnectionBound.setName), .goto("refused"))
        firewall.filter.chain("newcomer", origin: firewall.origin) { chain in
            chain.rule(.match(.ctZone, in: ConnectionBound.setName), .goto("refused"))
            chain.rule(.match(.ctZone, in: "begin_rate"), .goto("refused"))
        }
        firewall.filter.chain("refused", origin: firewall.origin) { chain in
            chain.rule(.counter(map: "refused", .ctZone))
            chain.rule(.drop)
        }
    }

    /// A connection that has begun goes on, also where only one side has spoken so far and the policy is another one now.
    private static func addJump(to chain: inout NFChainBuilder) {
        chain.rule(.match([.new]), .match(.ctMark, masked: ConnectionMark.lasting, .equal, 0), .jump("newcomer"))
    }
}

/// What the firewall of a host has for whoever counts its connections.
public enum ConnectionBound {
    /// Connections that a VPC may begin on a host in a second, and at once.
    public static let (beginsPerSecond, beginsAtOnce) = (20_000, 4_000)
    static let rate = NFLimit(UInt64(beginsPerSecond), burst: UInt32(beginsAtOnce), isOver: true)

    /// The zones whose VPCs begin no connections. What is not put there again is gone after this time: when nobody counts
    /// any more, nobody is refused for ever.
    public static let refusalSeconds: UInt32 = 10

    public static let setName = "full"

    static func set(origin: Origin) -> NFSet {
        NFSet(setName, of: .zone, seconds: refusalSeconds, origin: origin)
    }

    /// Has the VPCs of these zones refused from now on, for ``refusalSeconds``.
    /// - Parameter name: What the kernel calls the set.
    public static func refusal(of zones: [UInt16], in name: String = setName) -> ChangePlan {
        var set = Self.set(origin: .none)
        for zone in zones.sorted() { set.add(NFZone(zone)) }
        let change = NFOperation.renewElements(set: name, set.shape, set.elements)
        var plan = ChangePlan()
        plan.steps = [
            .init(.firewall([NFChangeSet(FirewallTables.filter, [change])], generation: nil))
        ]
        return plan
    }
}
