public import VPCModel

/// A next hop whose guest has to answer.
public struct WatchedInterface: Hashable, Sendable {
    /// A number of `Topology.interfaces`.
    public var interface: Int
    public var liveness: NextHop.Liveness
}

extension Topology {
    /// The next hops that say `liveness`, each once.
    public var watchedInterfaces: Set<WatchedInterface> {
        var found: Set<WatchedInterface> = []
        for table in routeTables {
            for route in table.routes {
                for hop in route.nextHops where hop.liveness != .none {
                    if let interface = hop.interface {
                        found.insert(WatchedInterface(interface: interface, liveness: hop.liveness))
                    }
                }
            }
        }
        return found
    }

    /// The targets that are asked whether they are healthy, as numbers of groups and of interfaces.
    public var watchedTargets: [(group: Int, interface: Int)] {
        targetGroups.indices.flatMap { number -> [(group: Int, interface: Int)] in
            let group = targetGroups[number]
            // Those of HTTP are asked by the instances of balancers, each for itself.
            let isAsked = group.healthCheck != nil && !group.transport.isHTTP
            return isAsked ? group.targets.map { (number, $0.interface) } : []
        }
    }

    /// Whether a host sends to such a next hop, or has its guest.
    public func readsLiveness(on host: Int) -> Bool {
        let vpcs = Set(watchedInterfaces.map { interfaces[$0.interface].vpc })
        return interfacesOfHost[host].contains { vpcs.contains(interfaces[$0].vpc) }
    }
}
