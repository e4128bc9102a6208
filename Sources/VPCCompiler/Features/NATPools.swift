public import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
public import VPCTopology

extension FirewallFamily {
    static let natPools = FirewallFamily(
        "nat_address", "nat_addresses", "nat_address_low", "nat_addresses_low", "nat_address_high",
        "nat_addresses_high", "nat_ports", "nat_blocks", "port_protocols", tightens: [])
}

/// What NAT gateways make of inside addresses: a public one, or some ports of one.
///
/// What there is of ports is a range in every case (``PublicPorts``): who is to have a part of it gets a narrower one.
struct NATPools: HostFeature {
    let names = [FirewallFamily.natPools]

    private static let whole = NFSet("nat_address", of: .interfaceName, to: .values(.ipv4Address), grows: true)
    /// Of gateways with several addresses: by the VRF and a hash of the inside address.
    private static let several = NFSet(
        "nat_addresses", of: .interfaceName, .mark, to: .values(.ipv4Address), grows: true)
    /// Of gateways with ports of an address.
    private static let ports = NFSet(
        "nat_ports", of: .interfaceName, to: .ranges(.ipv4Address, .internetService), grows: true)
    /// By the VRF and the inside address.
    private static let blocks = NFSet(
        "nat_blocks", of: .interfaceName, .ipv4Address, to: .ranges(.ipv4Address, .internetService), grows: true)
    /// So many places share the addresses of one gateway, as evenly as they can.
    static let places: UInt32 = 256
    static let seed: UInt32 = 0x5EED_0A7A

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .context(let key) = piece, let number = key.natGateway, let context = host.contexts[key] else {
            return
        }
        let (gateway, origin, device) = (host.topology.natGateways[number], context.origin, context.device)
        let half = host.portHalf(of: gateway)
        if gateway.portsPerInterface != nil {
            part.rows(of: Self.blocks) { set in
                for block in host.topology.portBlocks(ofNATGateway: number) {
                    set.add(device, block.inside, data: NFKey(range: block.ports.part(half)), origin: origin)
                }
            }
            return
        }
        switch gateway.pool {
        case .shared(let shared):
            part.rows(of: Self.ports) { $0.add(device, data: NFKey(range: shared.part(half)), origin: origin) }
        case .addresses(let addresses) where addresses.count == 1:
            part.rows(of: Self.whole.of(half)) { $0.add(device, data: addresses[0], origin: origin) }
        case .addresses(let addresses):
            part.rows(of: Self.several.of(half)) { set in
                for place in 0..<Self.places {
                    set.add(device, NFMark(place), data: addresses[ofPlace: place], origin: origin)
                }
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.hasNATGateways else { return }
        for half in host.traits.portHalves { firewall.filter.sets += [Self.whole.of(half), Self.several.of(half)] }
        if host.traits.dividesPorts {
            var protocols = NFSet("port_protocols", of: .internetProtocol, size: 4, origin: firewall.origin)
            for number in [.icmp, .tcp, .udp] as [NFProtocol] { protocols.add(number, origin: firewall.origin) }
            firewall.filter.sets += [Self.ports, Self.blocks, protocols]
        }
        let isLeaving: [NFStatement] = [
            .match(.oifgroup, LinkGroups.uplink), .match(.iifgroup, LinkGroups.gatewayVRF),
        ]
        firewall.rules(at: NATAfterRouting.sources) { Self.addSources(where: isLeaving, of: host, to: &$0) }
    }

    /// The public addresses of gateways as sources.
    static func addSources(where conditions: [NFStatement], of host: HostCompiler, to chain: inout NFChainBuilder) {
        for half in host.traits.portHalves {
            chain.rule(conditions + [.translate(.source, map: whole.of(half).name, .iifname, toPorts: half.ports)])
            chain.rule(
                conditions + [
                    .translate(
                        .source, map: several.of(half).name, .iifname, by: NFHash(modulus: places, seed: seed),
                        of: .ipSource, toPorts: half.ports)
                ])
        }
        guard host.traits.dividesPorts else { return }
        // Of other protocols there is nothing by which an answer would find the gateway.
        let hasPorts = conditions + [.match(.l4proto, in: "port_protocols")]
        chain.rule(hasPorts + [.translate(.source, .ip, .ports, map: ports.name, .iifname)])
        chain.rule(hasPorts + [.translate(.source, .ip, .ports, map: blocks.name, .iifname, .ipSource)])
    }
}

extension PublicPorts {
    /// What one of a pair of gateways translates into.
    fileprivate func part(_ half: PortHalf) -> PublicPorts {
        let middle = ports.lowerBound + UInt16(ports.count / 2)
        var part = self
        switch half {
        case .all: break
        case .low: part.ports = ports.lowerBound...(middle - 1)
        case .high: part.ports = middle...ports.upperBound
        }
        return part
    }
}

extension NFKey {
    /// First and last, as maps of ranges have them.
    fileprivate init(range: PublicPorts) {
        self.init(
            range.address, NFPort(range.ports.lowerBound), range.address, NFPort(range.ports.upperBound))
    }
}

extension [IPAddress] {
    /// Which of the addresses has a place among ``NATPools/places``.
    fileprivate subscript(ofPlace place: UInt32) -> IPAddress { self[Int(place) % count] }
}

// MARK: - Which address

extension ResolvedNATGateway {
    /// The public address of an inside one, as the kernel chooses it; where each has ports of its own, see
    /// ``VPCTopology/Topology/portBlock(of:byNATGateway:)``.
    public func publicAddress(of inside: IPAddress) -> IPAddress {
        if addresses.count == 1 { return addresses[0] }
        let hash = JenkinsHash.of(inside.v4.bigEndian, seed: NATPools.seed)
        return addresses[ofPlace: JenkinsHash.scaled(hash, to: NATPools.places)]
    }
}
