import IPAddressing
import KernelModel
import VPCModel
import VPCTopology

extension HostCompiler {
    /// A port per interface: enslaved to its context, with the subnet's gateway address, answering ARP for everything
    /// that is reachable, and with a permanent neighbour entry for its guest.
    mutating func addPorts() {
        for index in attached {
            let interface = topology.interfaces[index]
            guard let context = context(of: interface) else { continue }
            let origin = Origin(.networkInterface, index)
            let port = port(of: interface)
            intent.host.links.append(Attributed(link(port, interface, master: context.device), from: origin))
            let gateway = Address(
                device: port, address: topology.subnets[interface.subnet].gateway, prefixLength: 32)
            intent.host.addresses.append(Attributed(gateway, from: origin))
            let guest = Neighbor(device: port, address: interface.address, hardwareAddress: interface.mac)
            intent.host.neighbors.append(Attributed(guest, from: origin))
        }
    }

    private func link(_ name: InterfaceName, _ interface: ResolvedInterface, master: InterfaceName) -> Link {
        var link = Link(
            name: name, kind: .adopted, master: master, group: Conventions.LinkGroup.guestPort,
            ipv4: IPv4DeviceConfiguration(forwarding: true, proxyARP: true, acceptLocal: true), proxyDelay: 0,
            ipv6Disabled: true)
        guard case .namespace(let namespace, let device) = interface.attachment, let far = InterfaceName(device) else {
            return link
        }
        let peer = VethPeer(
            name: far, namespace: NamespaceName(namespace), hardwareAddress: interface.mac, mtu: UInt32(interface.mtu))
        let resource = ResourceReference(.networkInterface, interface.name)
        link.kind = .veth(peer: peer)
        link.alias = Conventions.alias(resource) + " " + VethPeer.note(name: far, namespace: peer.namespace)
        link.mtu = peer.mtu
        link.hardwareAddress = Conventions.gatewayMAC
        return link
    }
}
