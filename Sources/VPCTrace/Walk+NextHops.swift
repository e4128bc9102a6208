import IPAddressing
import VPCModel
import VPCTopology

/// What routes lead to.
extension Walk {
    /// Where a route with next hops leads a packet. What is no interface stands alone in its route.
    /// - Parameter path: The route's place in its table.
    mutating func follow(
        _ route: ResolvedRoute, in context: RoutingContext, _ path: FieldPath, from port: Int?, _ way: inout Way
    ) -> TraceVerdict {
        switch route.nextHops[0].target {
        case .interface: followToGateways(route, in: context, path, from: port, &way)
        case .natGateway(let gateway): followOut(by: gateway, route, in: context, path, from: port, &way)
        case .peering(let peering): followToPeer(peering, route, in: context, path, from: port, &way)
        }
    }

    // MARK: Interfaces

    private mutating func followToGateways(
        _ route: ResolvedRoute, in context: RoutingContext, _ path: FieldPath, from port: Int?, _ way: inout Way
    ) -> TraceVerdict {
        let (name, resource) = (topology.name(of: context), topology.resource(of: context))
        let destination = way.packet.destination
        let interfaces = route.nextHops.compactMap(\.interface)
        if let port, isOnlyBackToSender(interfaces, port, destination) {
            way.add(
                .route, .deny,
                "\(name): \(route.destination) leads back to \(topology.interfaces[port].name) itself, and"
                    + " \(destination) is in its own subnet: ARP is not answered", resource, path)
            return .unreachable
        }
        let gateways = share(of: route).joined(separator: ", ")
        way.add(.route, .allow, "\(name): \(route.destination) goes to \(gateways)", resource, path)
        return branch(over: interfaces, from: port, &way)
    }

    /// Each gateway in turn: which one a flow takes is decided by a hash that is not known here.
    private mutating func branch(over gateways: [Int], from port: Int?, _ way: inout Way) -> TraceVerdict {
        var reached: [Int] = []
        var dropped: [Int] = []
        let host = way.host
        let before = seen
        var after = seen
        for gateway in gateways {
            way.host = host
            way.gateway = gateways.count > 1 ? gateway : nil
            seen = before
            if transit(to: gateway, among: gateways, from: port, &way) {
                reached.append(gateway)
            } else {
                dropped.append(gateway)
            }
            after.merge(seen) { $0.union($1) }
        }
        seen = after
        way.gateway = nil
        if dropped.isEmpty { return .deliveredToGateways(reached) }
        return reached.isEmpty ? .dropped : .dependsOnGateway(reaching: reached, dropped: dropped)
    }

    /// `fw-a on h1 (75 %)`.
    private func share(of route: ResolvedRoute) -> [String] {
        let total = route.nextHops.reduce(0) { $0 + $1.weight }
        return route.nextHops.compactMap { hop in
            guard let interface = hop.interface.map({ topology.interfaces[$0] }) else { return nil }
            let name = "\(interface.name) on \(hostName(interface.host))"
            guard route.nextHops.count > 1, total > 0 else { return name }
            let tenths = (hop.weight * 1000 + total / 2) / total
            return name + " (\(tenths / 10)" + (tenths % 10 == 0 ? "" : ".\(tenths % 10)") + " %)"
        }
    }

    /// The route's position in its manifest; the topology has its own order.
    func path(ofRoute destination: IPPrefix, in context: RoutingContext) -> FieldPath {
        guard let table = context.routeTable,
            let source = model?.routeTables.first(where: { $0.metadata.name == topology.routeTables[table].name }),
            let position = source.routes.firstIndex(where: { $0.destination == destination })
        else { return ["spec", "routes"] }
        return ["spec", "routes", .index(position)]
    }

    /// Proxy ARP does not answer for what lies behind the port that asks.
    private func isOnlyBackToSender(_ interfaces: [Int], _ port: Int, _ destination: IPAddress) -> Bool {
        interfaces == [port]
            && topology.subnets[topology.interfaces[port].subnet].cidr.contains(destination)
    }
}
