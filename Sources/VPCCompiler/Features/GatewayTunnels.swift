import KernelModel
import VPCModel
import VPCTopology
import KernelNames

/// What routes lead to gateways by: a key and a VRF for each that is here, with one route. Whatever arrives with the key
/// goes to that gateway, as the sender's choice among several was. Nothing is hashed twice.
struct GatewayTunnels: HostFeature {
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .gateway(let number) = piece, let gateway = host.gateways[number] else { return }
        let (interface, origin) = (host.topology.interfaces[number], piece.origin)
        let alias = gateway.alias
        let zone = host.zone(ofVPC: interface.vpc)
        let vrf = host.vrf(gateway.table, alias: alias, from: origin)
        let receiver = Conventions.gatewayReceiver(gateway.key.rawValue & 0x7FFF_FFFF)
        part.links.append(vrf)
        part.links.append(
            host.receiver(receiver, key: gateway.key.rawValue, master: vrf.object.name, alias: alias, from: origin))
        part.rows(of: RoutingContexts.zones) { zones in
            zones.add(receiver, data: zone, origin: origin)
            zones.add(vrf.object.name, data: zone, origin: origin)
        }
    }
}

/// A guest here that is the target of a route.
struct Gateway: Equatable, Sendable {
    var key: GatewayKey
    var table: TableID
    var alias: String
}

extension HostCompiler {
    /// The nexthop that hands packets to a gateway, here or on its host; nil where it should be here and is not.
    mutating func nexthop(toGateway index: Int) -> NexthopID? {
        let interface = topology.interfaces[index]
        if interface.host == host { return isAttachedHere(index) ? nexthop(toGuest: index) : nil }
        guard let key = interface.gatewayKey else { preconditionFailure("\(interface.name) is the target of no route") }
        return tunnel(to: interface.host, key: key.rawValue, from: Origin(.networkInterface, index))
    }

    func gatewayAlias(_ number: Int) -> String {
        Conventions.alias(ResourceReference(.networkInterface, topology.interfaces[number].name))
    }
}
