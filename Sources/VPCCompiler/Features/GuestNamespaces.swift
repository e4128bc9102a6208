import IPAddressing
import KernelModel
import KernelNames
import VPCModel
import VPCTopology

/// What is set inside the guests' namespaces.
extension HostCompiler {
    /// Makes what one guest's namespace shall hold anew.
    mutating func bringGuest(_ namespace: NamespaceName) {
        let place = intent.guests.partitionPoint { $0.namespace < namespace }
        let isHeld = place < intent.guests.count && intent.guests[place].namespace == namespace
        let interfaces = topology.inOrder(guests[namespace] ?? [], of: \.interfaces)
        if interfaces.isEmpty {
            if isHeld { intent.guests.remove(at: place) }
        } else {
            var guest = KernelIntent.Guest(namespace: namespace, intent: guest(interfaces))
            guest.intent.normalize()
            if isHeld { intent.guests[place] = guest } else { intent.guests.insert(guest, at: place) }
        }
        changed.guests.insert(namespace)
    }

    private func guest(_ interfaces: [Int]) -> NamespaceIntent {
        var guest = NamespaceIntent()
        // eth2 before eth10.
        let ordered = interfaces.map { (index: $0, device: guestDevice(of: topology.interfaces[$0])) }.sorted {
            ($0.device.bytes.count, $0.device) < ($1.device.bytes.count, $1.device)
        }
        for (position, (index, device)) in ordered.enumerated() {
            let interface = topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            let subnet = topology.subnets[interface.subnet]
            // Another address of the same subnet comes before the one that it replaces goes, and shall stay then.
            let link = Link(
                name: device, kind: .adopted, mtu: UInt32(interface.mtu), hardwareAddress: interface.mac,
                promotesSecondaries: true)
            guest.links.append(Attributed(link, from: origin))
            let address = Address(device: device, address: interface.address, prefixLength: subnet.cidr.length)
            guest.addresses.append(Attributed(address, from: origin))
            // Whole: the kernel chooses the source among the addresses of the gateway's block, and that is the first one.
            for further in interface.furtherAddresses {
                let address = Address(device: device, address: further, prefixLength: UInt8(further.family.bitWidth))
                guest.addresses.append(Attributed(address, from: origin))
            }
            if position == 0 {
                let key = Route.Key(table: .main, destination: .defaultIPv4)
                guest.routes.append(Attributed(.gateway(subnet.gateway, device: device, key), from: origin))
            }
            if ordered.count > 1 {
                addSourceRouting(to: &guest, position, device, interface, subnet, from: origin)
            }
        }
        return guest
    }

    /// A guest with several interfaces answers by the one it was asked on: another VPC, or another subnet's policy, is
    /// behind each of them.
    private func addSourceRouting(
        to guest: inout NamespaceIntent, _ position: Int, _ device: InterfaceName, _ interface: ResolvedInterface,
        _ subnet: ResolvedSubnet, from origin: Origin
    ) {
        let table = TableID(Conventions.tables.lowerBound + UInt32(position))
        for block in interface.blocks {
            let rule = Rule(
                priority: 10_000 + UInt32(position), source: block, action: .lookup(table),
                routeProtocol: Conventions.ownership.routeProtocol)
            guest.rules.append(Attributed(rule, from: origin))
        }
        let local = Route.link(device, Route.Key(table: table, destination: subnet.cidr))
        let rest = Route.gateway(
            subnet.gateway, device: device, Route.Key(table: table, destination: .defaultIPv4))
        guest.routes += [Attributed(local, from: origin), Attributed(rest, from: origin)]
    }

    private func guestDevice(of interface: ResolvedInterface) -> InterfaceName {
        guard case .namespace(_, let device) = interface.attachment, let name = InterfaceName(device) else {
            preconditionFailure("\(interface.name) is in no namespace")
        }
        return name
    }
}
