import KernelModel
import VPCModel
import VPCTopology
import KernelNames

/// What routes lead to gateways by: a key and a VRF for each that is here.
struct GatewayTunnels: HostFeature {
    func contribute(to host: inout HostCompiler) { host.addGateways() }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        for (index, interface, key) in host.localGateways {
            let origin = Origin(.networkInterface, index)
            let zone = host.zone(ofVPC: interface.vpc)
            let table = host.numbering.knownTable(forAlias: host.gatewayAlias(interface))
            firewall.deviceZones.add(
                Conventions.gatewayReceiver(key.rawValue & 0x7FFF_FFFF), data: zone, origin: origin)
            firewall.deviceZones.add(Conventions.vrf(table), data: zone, origin: origin)
        }
    }
}

extension HostCompiler {
    /// The guests here that are the target of a route.
    var localGateways: [(index: Int, interface: ResolvedInterface, key: GatewayKey)] {
        attached.compactMap { index in
            let interface = topology.interfaces[index]
            return interface.gatewayKey.map { (index, interface, $0) }
        }
    }

    /// For each gateway here a key of its own and a VRF with one route: whatever arrives with the key goes to that
    /// gateway, as the sender's choice among several was. Nothing is hashed twice.
    mutating func addGateways() {
        for (index, interface, key) in localGateways {
            let alias = gatewayAlias(interface)
            let origin = Origin(.networkInterface, index)
            let (_, device) = addVRF(alias: alias, from: origin)
            addReceiver(
                Conventions.gatewayReceiver(key.rawValue & 0x7FFF_FFFF), key: key.rawValue, master: device,
                alias: alias,
                from: origin)
        }
    }

    /// The tables of the gateways' VRFs with their only route.
    mutating func gatewayRoutes() -> [(table: TableID, route: Attributed<Route>)] {
        localGateways.compactMap { index, interface, _ in
            let table = numbering.table(forAlias: gatewayAlias(interface))
            guard let id = nexthop(toGateway: index) else { return nil }
            let route = Route.via(id, Route.Key(table: table, destination: .defaultIPv4))
            return (table, Attributed(route, from: Origin(.networkInterface, index)))
        }
    }

    var gatewayTables: [TableID] {
        localGateways.map { numbering.knownTable(forAlias: gatewayAlias($0.interface)) }
    }

    /// The nexthop that hands packets to a gateway, here or on its host; nil where it should be here and is not.
    mutating func nexthop(toGateway index: Int) -> NexthopID? {
        let interface = topology.interfaces[index]
        let origin = Origin(.networkInterface, index)
        if interface.host == host {
            guard isAttachedHere(index) else { return nil }
            return nexthop(.gateway(interface.address, device: port(of: interface)), from: origin)
        }
        guard let key = interface.gatewayKey else { preconditionFailure("\(interface.name) is the target of no route") }
        return tunnel(to: interface.host, key: key.rawValue, from: origin)
    }

    func gatewayAlias(_ interface: ResolvedInterface) -> String {
        Conventions.alias(ResourceReference(.networkInterface, interface.name))
    }
}
