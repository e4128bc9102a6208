import IPAddressing
public import KernelModel
public import VPCTopology
import KernelNames

extension Compilation {
    /// Follows a topology in which interfaces of other hosts have moved to other hosts, the most frequent change by far:
    /// only the routes to them are others. Gives what compiling anew gives where the kernel keeps its numbers.
    ///
    /// - Parameters:
    ///   - change: What has changed since the topology that this was compiled from.
    ///   - topology: As it is now.
    /// - Returns: Which routes lead elsewhere now; nil, with nothing changed, where everything has to be compiled.
    public mutating func follow(_ change: TopologyChange, in topology: Topology, host: Int) -> [Route.Key]? {
        let moved = change.interfaces.changed
        guard aggregation == nil, change.isOfInterfaces, change.interfaces.added.isEmpty,
            change.interfaces.removed.isEmpty
        else { return nil }
        var edits: [(route: Int, nexthop: NexthopID)] = []
        for (number, former) in moved {
            let interface = topology.interfaces[number]
            guard former.host != host, interface.host != host,
                (former.vpc, former.address) == (interface.vpc, interface.address),
                former.gatewayKey == nil, interface.gatewayKey == nil,
                former.securityGroups == interface.securityGroups,
                former.sourceDestCheck == interface.sourceDestCheck
            else { return nil }
            if former.host == interface.host { continue }
            for context in contexts where context.vpc == interface.vpc {
                if topology.hasCustomRoutesInside(context) { return nil }
                // Who is on the host already says which nexthop leads there; the nexthop to the former one must stay in use.
                guard topology.hasInterface(of: interface.vpc, on: former.host),
                    let neighbour = topology.interfaces(of: interface.vpc, on: interface.host)
                        .first(where: { moved[$0] == nil }),
                    let route = self.route(to: interface.address, context.table),
                    let other = self.route(to: topology.interfaces[neighbour].address, context.table)
                else { return nil }
                edits.append((route, intent.host.routes[other].object.nexthop))
            }
        }
        for (route, nexthop) in edits { intent.host.routes[route].object.nexthop = nexthop }
        policy = policy.following(topology)
        return edits.map { intent.host.routes[$0.route].object.key }
    }

    /// Lets go of the topology, so that it can be changed in place; only ``follow(_:in:host:)`` is possible then, or
    /// ``keep(_:)``.
    public mutating func releaseTopology() { policy = policy.following(Topology()) }

    /// Takes the topology back that it was compiled from.
    public mutating func keep(_ topology: Topology) { policy = policy.following(topology) }

    private func route(to address: IPAddress, _ table: TableID) -> Int? {
        intent.host.routes.position(of: Route.Key(table: table, destination: IPPrefix(address)))
    }
}
