public import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
public import VPCTopology

extension FirewallFamily {
    static let uplink = FirewallFamily(
        "uplink", of: .one(.externalNetwork), isDirected: true, tightens: [])
    static let uplinks = FirewallFamily(
        "legs", "public", "stray_packet", "private_source", "inside_source", tightens: [])
}

/// Where a host is connected to a provider.
struct Uplink: Equatable, Sendable {
    /// In the host's namespace.
    var device: InterfaceName
    /// What that sits upon, in the machine's own.
    var base: InterfaceName
    var mode: ExternalNetwork.Mode
    /// Whether it is there.
    var isPresent: Bool
}

/// The devices that lead to providers. What comes in is led to the gateway that has its address before anything else looks
/// at it, and nothing goes out that has no public one.
struct ExternalUplinks: HostFeature {
    let names = [FirewallFamily.uplink, .uplinks]

    /// To the leg of the gateway that has an address, by that.
    static let legs = NFSet("legs", of: .ipv4Address, to: .verdict, grows: true)
    /// What packets that go out may have as their source.
    static let sources = NFSet("public", of: .ipv4Address, grows: true)

    /// Echo requests to the uplink's own address that are answered in a second.
    private static let echoRate = NFLimit(100, burst: 100)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .uplink(let number) = piece, let uplink = host.uplinks[number], uplink.isPresent else { return }
        let (network, origin) = (host.topology.externalNetworks[number], piece.origin)
        let name = host.topology.hosts[host.host].metadata.name
        var link = link(uplink, network, of: name)
        if let pair = host.pairNote(of: network) {
            link.alias += " " + pair.text
            // Whoever stands by answers for nothing.
            link.ipv4?[.proxyARP] = 0
            if uplink.mode == .ipvlan { link.ipv4?[.arpIgnore] = IPv4DeviceConfiguration.answersNothing }
        }
        part.links.append(Attributed(link, from: origin))
        part.addresses.append(Attributed(address(of: network, on: uplink.device), from: origin))
        part.rows(of: Self.sources, in: FirewallTables.devices) { $0.add(network.uplinkAddress, origin: origin) }
        var table = NFTableIntent(FirewallTables.devices)
        addChains(of: network, uplink.device, sharing: host.traits.sharesAddresses, origin, to: &table)
        part.tables.append(table)
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasUplinks else { return }
        firewall.devices.sets = [Self.legs, Self.sources]
        firewall.devices.counters = ["stray_packet", "private_source", "inside_source"].map {
            NFCounter($0, origin: firewall.origin)
        }
    }

    private func address(of network: ResolvedExternalNetwork, on device: InterfaceName) -> Address {
        // Of a pair only who is active has the uplink's. With its last address a device loses all routes (fib_inetaddr_event
        // of net/ipv4/fib_frontend.c): this one stays.
        if network.pair != nil {
            return Address(device: device, address: Conventions.dummyAddress, prefixLength: 32)
        }
        // In a block with the router: that is what the kernel chooses the address by that it asks for the router with.
        let length = network.uplinkAddress.block(with: network.nextHop)
        return Address(device: device, address: network.uplinkAddress, prefixLength: length)
    }

    private func link(_ uplink: Uplink, _ network: ResolvedExternalNetwork, of hostName: String) -> Link {
        var link = Link(
            name: uplink.device, kind: .macvlan(upon: uplink.base),
            alias: Conventions.alias(ResourceReference(.externalNetwork, network.name)),
            group: Conventions.LinkGroup.uplink,
            // It answers for what leads on from here.
            ipv4: IPv4DeviceConfiguration(forwarding: true, proxyARP: true, acceptLocal: true), proxyDelay: 0,
            ipv6Disabled: true)
        switch uplink.mode {
        case .macvlan, .move: link.hardwareAddress = Conventions.uplinkMAC(network.name, hostName)
        case .ipvlan: link.kind = .ipvlan(upon: uplink.base)
        }
        return link
    }

    private func addChains(
        of network: ResolvedExternalNetwork, _ device: InterfaceName, sharing: Bool, _ origin: Origin,
        to table: inout NFTableIntent
    ) {
        func name(_ direction: TrafficDirection) -> String {
            FirewallName(.uplink, network.name, direction: direction).description
        }
        let isARP = NFStatement.match(.protocol, NFEtherType.arp)
        table.chain(name(.ingress), NFBaseChain(.filter, .ingress, priority: 0, devices: [device]), origin: origin) {
            $0.rule(.vmap(.ipDestination, map: Self.legs.name))
            if sharing { $0.rule(.jump("shared_in")) }
            $0.rule(isARP, .accept)
            $0.rule(
                .match(.ipDestination, network.uplinkAddress), .match(.icmpType, NFICMPType(8)),
                .limit(Self.echoRate), .accept)
            $0.rule(.counter("stray_packet"), .drop)
        }
        table.chain(name(.egress), NFBaseChain(.filter, .egress, priority: 0, devices: [device]), origin: origin) {
            $0.rule(.match(.ipSource, in: Self.sources.name), .accept)
            $0.rule(isARP, .accept)
            $0.rule(.counter("private_source"), .drop)
        }
    }
}

extension ResolvedExternalNetwork {
    /// What the uplink reaches without the router.
    public var segment: IPPrefix {
        IPPrefix(containing: uplinkAddress, length: Int(uplinkAddress.block(with: nextHop)))
    }
}

extension IPAddress {
    /// The length of the smallest block that has both addresses, neither of them at its beginning or end.
    func block(with other: IPAddress) -> UInt8 {
        for length in (1...30).reversed() {
            let block = IPPrefix(containing: self, length: length)
            let isInside = { (address: IPAddress) in
                block.contains(address) && address != block.address && address != block.last
            }
            if isInside(self), isInside(other) { return UInt8(length) }
        }
        return 0
    }
}

extension HostCompiler {
    /// How this host is connected to a network; nil where it is not.
    func uplink(of number: Int) -> Uplink? {
        guard topology.externalNetworks.contains(number: number) else { return nil }
        let network = topology.externalNetworks[number]
        guard let own = network.uplink(of: host), let base = InterfaceName(own.device) else { return nil }
        return Uplink(
            device: Conventions.uplink(network.name), base: base, mode: own.mode,
            isPresent: !facts.missingUplinks.contains(base))
    }

    /// Networks whose device is not there, in their order.
    var disconnected: [Int] {
        topology.inOrder(uplinks.filter { !$0.value.isPresent }.map(\.key), of: \.externalNetworks)
    }
}
