import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let portForwards = FirewallFamily("forward_in", tightens: [])
}

/// Public ports of NAT gateways that lead to interfaces. Who comes keeps his address, so that the groups of the guest judge
/// him; guests of the VPC come by the same ports (``PublicHairpins``).
struct PortForwards: HostFeature {
    let names = [FirewallFamily.portForwards]

    /// Keyed by the device: an address means something for that gateway's VPC alone.
    private static let forwards = NFSet(
        "forward_in", of: .interfaceName, .ipv4Address, .internetProtocol, .internetService,
        to: .values(.ipv4Address, .internetService), grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, let number = key.natGateway, let context = host.contexts[key] else {
            return
        }
        let gateway = host.topology.natGateways[number]
        if gateway.portForwards.isEmpty { return }
        let devices = [Conventions.leg(context.table).near, Conventions.receiver(of: gateway)]
        part.rows(of: Self.forwards) { set in
            for forward in gateway.portForwards {
                let inside = NFKey(host.topology.interfaces[forward.interface].address, NFPort(forward.interfacePort))
                let transport = NFProtocol(forward.transport.ipProtocol.rawValue)
                for device in devices {
                    set.add(
                        device, forward.address, transport, NFPort(forward.port), data: inside, origin: context.origin)
                }
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasPortForwards else { return }
        firewall.filter.sets.append(Self.forwards)
        firewall.rule(
            at: NATBeforeRouting.destinations, NATGateways.isOfGateway,
            .translate(
                .destination, .ip, .addressAndPort, map: Self.forwards.name, .iifname, .ipDestination, .ipProtocol,
                .destinationPort))
    }
}
