import VPCModel
import VPCTopology

extension Walk {
    /// To the host of that interface, with the key that says how it is delivered there.
    func enterTunnel(to interface: ResolvedInterface, isGateway: Bool, _ way: inout Way) {
        let key = isGateway ? interface.gatewayKey?.rawValue ?? 0 : topology.vpcs[interface.vpc].id.rawValue
        let meaning = isGateway ? "gateway \(interface.name)" : "VPC \(topology.vpcs[interface.vpc].name)"
        way.add(
            .tunnel, .note,
            "GRE from \(topology.hosts[way.host].underlayAddress) to \(topology.hosts[interface.host].underlayAddress)"
                + " (\(hostName(interface.host))), key \(key) (\(meaning))",
            ResourceReference(.host, hostName(interface.host)))
        way.host = interface.host
    }
}
