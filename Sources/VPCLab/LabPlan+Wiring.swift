import IPAddressing
import KernelModel
import KernelNames
import VPCModel
import VPCTopology

/// The devices that join the lab's namespaces, as intents of the same kind that the hosts get. They carry marks of
/// their own, so that the controller under test takes them for somebody else's.
extension LabPlan {
    /// Several wirings can concern one namespace: each knows its own work and leaves the others' alone.
    private static let underlayOwnership = Ownership(routeProtocol: RouteProtocol(119), aliasPrefix: "vpclab-underlay:")
    private static let tapOwnership = Ownership(routeProtocol: RouteProtocol(120), aliasPrefix: "vpclab-tap:")
    private static let internetOwnership = Ownership(routeProtocol: RouteProtocol(121), aliasPrefix: "vpclab-inet:")
    private static let blockOwnership = Ownership(routeProtocol: RouteProtocol(122), aliasPrefix: "vpclab-block:")

    static let bridge = device("br0")
    static let loopback = device("lo")
    /// The leg of a gateway guest to its internet, and that one's leg back.
    private static let internetLeg = device("inet0")
    private static let internetDevice = device("eth0")
    private static let gatewaySide = IPAddress(v4: 0xA9FE_FF01)  // 169.254.255.1
    private static let internetSide = IPAddress(v4: 0xA9FE_FF02)
    private static let tapGuestDevice = device("eth0")

    /// One pair of namespaces to be joined, seen from the first.
    struct Wiring {
        /// The namespace that counts as the host of the intent.
        var namespace: String
        var intent: KernelIntent
        var ownership: Ownership
        /// Whether the devices are there for the controller to adopt.
        var devicesAreAdopted = false

        /// The part with these devices, and with the guests behind them.
        func limited(to isWanted: (InterfaceName) -> Bool) -> Wiring {
            var part = self
            part.intent.host.links.removeAll { !isWanted($0.object.name) }
            let guests = part.intent.host.links.compactMap { link -> NamespaceName? in
                if case .veth(let peer) = link.object.kind { peer.namespace } else { nil }
            }
            part.intent.guests.removeAll { !guests.contains($0.namespace) }
            return part
        }
    }

    /// The bridge with its ports, and the hosts' ends of these.
    var underlayWiring: Wiring {
        var intent = KernelIntent()
        intent.host.links = [
            Self.attributed(
                Link(
                    name: Self.bridge, kind: .bridge, alias: Self.underlayOwnership.aliasPrefix + "bridge",
                    mtu: options.underlayMTU, ipv6Disabled: true))
        ]
        for host in hosts {
            let peer = VethPeer(
                name: host.device, namespace: NamespaceName(host.namespace),
                hardwareAddress: Self.mac(of: host.address),
                mtu: options.underlayMTU)
            intent.host.links.append(
                Self.attributed(
                    Link(
                        name: host.port, kind: .veth(peer: peer),
                        alias: Self.alias(Self.underlayOwnership, host.name, peer), master: Self.bridge,
                        mtu: options.underlayMTU, ipv6Disabled: true)))
            intent.guests.append(
                .init(namespace: NamespaceName(host.namespace), intent: underlayEnd(of: host)))
        }
        intent.normalize()
        return Wiring(namespace: underlay, intent: intent, ownership: Self.underlayOwnership)
    }

    private func underlayEnd(of host: HostNode) -> NamespaceIntent {
        var end = NamespaceIntent()
        end.links = [
            Self.attributed(
                Link(
                    name: host.device, kind: .adopted, mtu: options.underlayMTU,
                    hardwareAddress: Self.mac(of: host.address),
                    ipv6Disabled: true))
        ]
        let network = IPPrefix(containing: host.address, length: 24)
        let fits = host.address != network.address && host.address != network.last
        end.addresses = [
            Self.attributed(Address(device: host.device, address: host.address, prefixLength: fits ? 24 : 32))
        ]
        for other in hosts where other.address != host.address && !(fits && network.contains(other.address)) {
            let key = Route.Key(table: .main, destination: IPPrefix(other.address))
            end.routes.append(Self.attributed(.link(host.device, key)))
        }
        return end
    }

    /// Guests with delegated blocks, and the addresses of these that probes ask for: the lab is what is behind a guest.
    var blockWirings: [Wiring] {
        guests.compactMap { guest in
            let interfaces = guest.interfaces.map { topology.interfaces[$0] }.filter(\.hasPrefixes)
            if interfaces.isEmpty { return nil }
            var intent = KernelIntent()
            for address in Set(topology.probes.map(\.toAddress)).sorted()
            where interfaces.contains(where: { $0.has(address) && !$0.hasItself(address) }) {
                intent.host.addresses.append(
                    Self.attributed(
                        Address(
                            device: Self.loopback, address: address, prefixLength: UInt8(address.family.bitWidth))))
            }
            intent.normalize()
            return Wiring(namespace: guest.namespace, intent: intent, ownership: Self.blockOwnership)
        }
    }

    /// Gateway guests and their internets.
    var internetWirings: [Wiring] {
        guests.compactMap { guest in guest.internet.map { wiring(of: guest, to: $0) } }
    }

    private func wiring(of guest: GuestNode, to internet: InternetNode) -> Wiring {
        var intent = KernelIntent()
        let namespace = NamespaceName(internet.namespace)
        let peer = VethPeer(
            name: Self.internetDevice, namespace: namespace, hardwareAddress: Self.mac(of: Self.internetSide), mtu: 1500
        )
        intent.host.links = [
            Self.attributed(
                Link(
                    name: Self.internetLeg, kind: .veth(peer: peer),
                    alias: Self.alias(Self.internetOwnership, internet.name, peer), mtu: 1500,
                    ipv6Disabled: true))
        ]
        intent.host.addresses = [
            Self.attributed(Address(device: Self.internetLeg, address: Self.gatewaySide, prefixLength: 30))
        ]
        var far = NamespaceIntent()
        far.links = [
            Self.attributed(Link(name: Self.internetDevice, kind: .adopted, mtu: 1500, ipv6Disabled: true))
        ]
        far.addresses = [
            Self.attributed(Address(device: Self.internetDevice, address: Self.internetSide, prefixLength: 30))
        ]
        for address in internet.addresses {
            let key = Route.Key(table: .main, destination: IPPrefix(address))
            intent.host.routes.append(
                Self.attributed(.gateway(Self.internetSide, device: Self.internetLeg, key)))
            far.addresses.append(Self.attributed(Address(device: Self.loopback, address: address, prefixLength: 32)))
        }
        let back = Route.Key(table: .main, destination: .defaultIPv4)
        far.routes = [Self.attributed(.gateway(Self.gatewaySide, device: Self.internetDevice, back))]
        intent.guests = [.init(namespace: namespace, intent: far)]
        intent.normalize()
        return Wiring(namespace: guest.namespace, intent: intent, ownership: Self.internetOwnership)
    }

    /// For every host with interfaces that name a device, these devices: each a veth whose other end is in a guest
    /// that is configured as a virtual machine would configure itself.
    /// - Parameter ofAllHosts: Those without such an interface too: they may have had one.
    func tapWirings(ofAllHosts: Bool) -> [Wiring] {
        hosts.indices.compactMap { host in
            let interfaces = topology.interfacesOfHost[host].filter { isTap($0) }
            if interfaces.isEmpty, !ofAllHosts { return nil }
            var intent = KernelIntent()
            for index in interfaces { addTap(index, to: &intent) }
            intent.normalize()
            return Wiring(
                namespace: hosts[host].namespace, intent: intent, ownership: Self.tapOwnership,
                devicesAreAdopted: true)
        }
    }

    private func isTap(_ interface: Int) -> Bool {
        if case .device = topology.interfaces[interface].attachment { true } else { false }
    }

    private func addTap(_ index: Int, to intent: inout KernelIntent) {
        let interface = topology.interfaces[index]
        guard case .device(let name) = interface.attachment, let device = InterfaceName(name) else { return }
        let subnet = topology.subnets[interface.subnet]
        let namespace = NamespaceName(guests[guestOfInterface[index]].namespace)
        let mtu = UInt32(interface.mtu)
        let peer = VethPeer(
            name: Self.tapGuestDevice, namespace: namespace, hardwareAddress: interface.mac, mtu: mtu)
        intent.host.links.append(
            Self.attributed(
                Link(
                    name: device, kind: .veth(peer: peer), alias: Self.alias(Self.tapOwnership, interface.name, peer),
                    mtu: mtu)))
        var guest = NamespaceIntent()
        guest.links = [
            Self.attributed(
                Link(
                    name: Self.tapGuestDevice, kind: .adopted, mtu: mtu, hardwareAddress: interface.mac,
                    ipv6Disabled: true))
        ]
        guest.addresses = [
            Self.attributed(
                Address(
                    device: Self.tapGuestDevice, address: interface.address, prefixLength: subnet.cidr.length))
        ]
        guest.addresses += interface.furtherAddresses.map { address in
            Self.attributed(
                Address(
                    device: Self.tapGuestDevice, address: address, prefixLength: UInt8(address.family.bitWidth)))
        }
        let key = Route.Key(table: .main, destination: .defaultIPv4)
        guest.routes = [Self.attributed(.gateway(subnet.gateway, device: Self.tapGuestDevice, key))]
        intent.guests.append(.init(namespace: namespace, intent: guest))
    }

    // MARK: Pieces

    static func attributed<Object>(_ object: Object) -> Attributed<Object> {
        Attributed(object, from: .none)
    }

    static func alias(_ owner: Ownership, _ what: String, _ peer: VethPeer) -> String {
        "\(owner.aliasPrefix)\(what) " + VethPeer.note(name: peer.name, namespace: peer.namespace)
    }

    /// A locally administered address, different for each address.
    static func mac(of address: IPAddress) -> MACAddress {
        MACAddress(rawValue: 0x026C_0000_0000 | UInt64(address.v4))
    }

    private static func device(_ name: String) -> InterfaceName {
        guard let name = InterfaceName(name) else { preconditionFailure("'\(name)' is no device name") }
        return name
    }
}
