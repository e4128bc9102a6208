public import KernelModel
public import KernelNames
import NFTables

/// Host-local numbers: which routing table a context has, which id a nexthop has, which epoch a policy is, by which number ports
/// are led to a chain.
///
/// The kernel is where they are kept. What is there is read back from a snapshot and stays as it is; only what is new
/// takes the lowest free number. So one new interface never renumbers others, and no file has to survive a crash.
public struct Numbering: Sendable {
    private var tables: [String: TableID] = [:]
    private var usedTables: Set<UInt32> = []
    private var nextTable = Conventions.tables.lowerBound

    private var nexthops: [Nexthop.Body: NexthopID] = [:]
    private var groups: [Route.Key: (id: NexthopID, algorithm: NexthopGroup.Algorithm)] = [:]
    private var usedNexthops: Set<UInt32> = []
    /// Those of others among them.
    private var foreignNexthops: Set<UInt32> = []
    private var nextNexthop = Conventions.nexthops.lowerBound

    /// That of the policy in force.
    private var epoch: PolicyEpoch?

    /// Of chains that ports are led to (``ChainDispatch``).
    private var chains: [String: UInt32] = [:]
    /// Above all that are there: one that is given back with a change is not given again by the same change, for a packet on its
    /// way may still bear it.
    private var nextChain: UInt32 = 1

    /// Nothing is numbered yet.
    public init() {}

    /// The numbers in use on a host.
    /// - Parameter foreignTables: tables of our range that somebody else uses.
    public init(from snapshot: NamespaceSnapshot, foreignTables: Set<TableID> = []) {
        for seen in snapshot.links {
            guard case .vrf(let table) = seen.link.kind else { continue }
            usedTables.insert(table.rawValue)
            if seen.isOwned, tables[seen.link.alias] == nil { tables[seen.link.alias] = table }
        }
        for rule in snapshot.rules {
            if case .lookup(let table) = rule.action { usedTables.insert(table.rawValue) }
        }
        usedTables.formUnion(foreignTables.map(\.rawValue))
        epoch = PolicyEpoch(in: snapshot.firewall)
        readChains(snapshot.firewall)
        foreignNexthops = Set(snapshot.foreignNexthops.map(\.rawValue))
        usedNexthops = foreignNexthops
        var algorithms: [NexthopID: NexthopGroup.Algorithm] = [:]
        for nexthop in snapshot.nexthops {
            usedNexthops.insert(nexthop.id.rawValue)
            if case .group(let group) = nexthop.body {
                algorithms[nexthop.id] = group.algorithm
            } else if nexthops[nexthop.body] == nil {
                nexthops[nexthop.body] = nexthop.id
            }
        }
        // A group is known by the route that uses it: its members come and go.
        if algorithms.isEmpty { return }
        for route in snapshot.routes {
            if let algorithm = algorithms[route.nexthop] { groups[route.key] = (route.nexthop, algorithm) }
        }
    }

    /// The table of the VRF with that alias.
    mutating func table(forAlias alias: String) -> TableID {
        if let table = tables[alias] { return table }
        while usedTables.contains(nextTable) { nextTable += 1 }
        let table = TableID(nextTable)
        usedTables.insert(nextTable)
        nextTable += 1
        tables[alias] = table
        return table
    }

    /// Gives back what the kernel has and nobody wants: it is about to go.
    /// - Parameters:
    ///   - wanted: Nexthops that are.
    ///   - aliases: Of the tables that are.
    mutating func forgetAll(but wanted: Set<UInt32>, aliases: Set<String>) {
        nexthops = nexthops.filter { wanted.contains($0.value.rawValue) }
        groups = groups.filter { wanted.contains($0.value.id.rawValue) }
        usedNexthops = foreignNexthops.union(wanted)
        nextNexthop = Conventions.nexthops.lowerBound
        for alias in tables.keys where !aliases.contains(alias) { release(tableOfAlias: alias) }
    }

    /// Gives the number of a table back.
    mutating func release(tableOfAlias alias: String) {
        guard let table = tables.removeValue(forKey: alias) else { return }
        usedTables.remove(table.rawValue)
        nextTable = min(nextTable, table.rawValue)
    }

    /// Gives the number of a nexthop back.
    mutating func release(_ id: NexthopID, _ body: Nexthop.Body) {
        if body.isGroup {
            groups = groups.filter { $0.value.id != id }
        } else if nexthops[body] == id {
            nexthops[body] = nil
        }
        usedNexthops.remove(id.rawValue)
        nextNexthop = min(nextNexthop, id.rawValue)
    }

    /// Makes room for so many nexthops in all.
    mutating func reserveNexthops(_ count: Int) {
        nexthops.reserveCapacity(count)
        usedNexthops.reserveCapacity(count)
    }

    /// The id of a single nexthop.
    mutating func nexthop(_ body: Nexthop.Body) -> NexthopID {
        if let id = nexthops[body] { return id }
        let id = newNexthop()
        nexthops[body] = id
        return id
    }

    /// The id of the group behind a route. The kernel cannot change the algorithm of a group: another one is a new group.
    mutating func group(of route: Route.Key, _ algorithm: NexthopGroup.Algorithm) -> NexthopID {
        if let known = groups[route], known.algorithm == algorithm { return known.id }
        let id = newNexthop()
        groups[route] = (id, algorithm)
        return id
    }

    private mutating func readChains(_ firewall: NFSnapshot) {
        for set in firewall.table(FirewallTables.filter)?.sets ?? []
        where set.shape.data == .verdict && set.shape.keyCode == NFType.mark.code {
            for index in 0..<set.elements.count {
                guard case .goto(let chain) = set.elements.verdicts[index] else { continue }
                let number = set.elements.slots[index * set.elements.layout.stride]
                if chains[chain] == nil { chains[chain] = number }
                nextChain = max(nextChain, number &+ 1)
            }
        }
    }

    /// Gives a chain a number, unless it has one.
    mutating func number(chain: String) {
        if chains[chain] != nil { return }
        chains[chain] = nextChain
        nextChain &+= 1
    }

    /// Nil: no port is led to it.
    func number(ofChain name: String) -> UInt32? { chains[name] }

    /// Gives back the numbers of chains that are no longer there.
    mutating func releaseChains(but names: Set<String>) {
        chains = chains.filter { names.contains($0.key) }
        nextChain = (chains.values.max() ?? 0) &+ 1
    }

    /// Knows which epoch is in force now.
    mutating func keep(_ epoch: PolicyEpoch) { self.epoch = epoch }

    /// The epoch of the policy with that digest: that in force where it is the same policy, else another one.
    func epoch(ofPolicy digest: UInt64) -> PolicyEpoch {
        if let epoch, epoch.digest == digest { return epoch }
        let number = UInt32(digest % UInt64(ConnectionMark.epochs))
        return PolicyEpoch(
            number: number == epoch?.number ? (number + 1) % ConnectionMark.epochs : number, digest: digest)
    }

    private mutating func newNexthop() -> NexthopID {
        while usedNexthops.contains(nextNexthop) { nextNexthop += 1 }
        let id = NexthopID(nextNexthop)
        usedNexthops.insert(nextNexthop)
        nextNexthop += 1
        return id
    }
}
