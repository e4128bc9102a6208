import IPAddressing
import VPCCompiler
import VPCModel
import VPCTopology

/// What leaves for another VPC.
extension Walk {
    mutating func followToPeer(
        _ number: Int, _ route: ResolvedRoute, in context: RoutingContext, _ path: FieldPath, from port: Int?,
        _ way: inout Way
    ) -> TraceVerdict {
        let peering = topology.peerings[number]
        let (name, resource) = (topology.name(of: context), topology.resource(of: context))
        let destination = way.packet.destination
        let own = ResourceReference(.vpcPeering, peering.name)
        guard peering.isAccepted, let far = peering.far(from: context.vpc) else {
            way.add(
                .route, .deny,
                "\(name): \(route.destination) goes to the peering \(peering.name), which is not accepted",
                resource, path)
            return .unreachable
        }
        let vpc = topology.vpcs[far.vpc].name
        way.add(
            .route, .allow, "\(name): \(route.destination) goes to VPC \(vpc), by the peering \(peering.name)",
            resource,
            path)
        guard far.prefixes.contains(where: { $0.contains(destination) }) else {
            way.add(
                .route, .deny,
                "\(destination) is not what VPC \(vpc) lets reach:"
                    + " \(far.prefixes.map(\.description).joined(separator: ", "))", own, ["spec"])
            return .unreachable
        }
        guard let target = topology.interface(at: destination, inVPC: far.vpc) else {
            way.add(.route, .deny, "no interface of VPC \(vpc) has \(destination)", own, ["spec"])
            return .unreachable
        }
        if let port, !judge(from: port, to: nil, &way) { return .dropped }
        return arrive(at: target, &way)
    }
}
