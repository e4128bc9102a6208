import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let sharedAddresses = FirewallFamily("port_blocks", "shared_in", "shared_error", tightens: [])
}

/// Public addresses that several NAT gateways share: whose an arriving packet is says its port, in blocks of
/// ``PublicPorts/block``, so that it is found at once however many there are.
///
/// Of an ICMP error that is the source port of the packet that it quotes, of an echo's answer the identifier. A fragment but
/// the first has no port, and nobody gets it.
struct SharedAddresses: HostFeature {
    let names = [FirewallFamily.sharedAddresses]

    /// To the leg of the gateway that has a block of an address: by the address and the block's first port.
    private static let blocks = NFSet("port_blocks", of: .ipv4Address, .internetService, to: .verdict, grows: true)
    private static let mask = UInt32(UInt16.max) & ~UInt32(PublicPorts.block - 1)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        switch piece {
        case .context(let key):
            guard let number = key.natGateway else { return }
            addBlocks(of: host.topology.natGateways[number], piece.origin, to: &part, host)
        case .uplink(let number): addAddresses(of: number, piece.origin, to: &part, host)
        default: break
        }
    }

    private func addBlocks(
        of gateway: ResolvedNATGateway, _ origin: Origin, to part: inout Part, _ host: HostCompiler
    ) {
        guard case .shared(let shared) = gateway.pool, host.uplinks[gateway.network]?.isPresent ?? false else { return }
        let leg = FirewallName(.natGatewayLeg, gateway.name).description
        part.rows(of: Self.blocks, in: FirewallTables.devices) { set in
            for port in stride(
                from: Int(shared.ports.lowerBound), through: Int(shared.ports.upperBound), by: PublicPorts.block)
            { set.add(shared.address, NFPort(UInt16(port)), verdict: .goto(leg), origin: origin) }
        }
    }

    /// What nobody has alone belongs to the network.
    private func addAddresses(of number: Int, _ origin: Origin, to part: inout Part, _ host: HostCompiler) {
        guard let uplink = host.uplinks[number], uplink.isPresent else { return }
        for address in host.sharedAddresses(of: number) {
            part.rows(of: ExternalUplinks.sources, in: FirewallTables.devices) { $0.add(address, origin: origin) }
            guard uplink.mode == .ipvlan else { continue }
            part.addresses.append(
                Attributed(Address(device: uplink.device, address: address, prefixLength: 32), from: origin))
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.sharesAddresses else { return }
        firewall.devices.sets.append(Self.blocks)
        firewall.devices.chain("shared_in", origin: firewall.origin) { chain in
            for transport in [.tcp, .udp] as [NFProtocol] {
                chain.rule(
                    .match(.protocol, NFEtherType.ipv4), .match(.l4proto, transport), Self.toBlock(.destinationPort))
            }
            for answer in [0, 14] as [NFICMPType] {
                chain.rule(.match(.icmpType, answer), Self.toBlock(Self.word(at: 4)))
            }
            for error in [3, 11, 12] as [NFICMPType] { chain.rule(.match(.icmpType, error), .goto("shared_error")) }
        }
        firewall.devices.chain("shared_error", origin: firewall.origin) { chain in
            // Behind the ICMP header an IP header, which we have sent, and the first bytes of what it bore.
            let quoted = NFField.bytes(.transport, offset: 8 + 9, .internetProtocol)
            for transport in [.tcp, .udp] as [NFProtocol] {
                chain.rule(.match(quoted, transport), Self.toBlock(Self.word(at: 8 + 20)))
            }
            chain.rule(.match(quoted, NFProtocol.icmp), Self.toBlock(Self.word(at: 8 + 20 + 4)))
        }
    }

    private static func word(at offset: UInt32) -> NFField { .bytes(.transport, offset: offset, .internetService) }

    private static func toBlock(_ port: NFField) -> NFStatement {
        .vmap(.ipDestination, port, masked: mask, map: blocks.name)
    }
}

extension HostCompiler {
    /// Those of a network that several NAT gateways of this host have ports of, or one.
    func sharedAddresses(of network: Int) -> [IPAddress] {
        let gateways = natGateways.keys.filter { topology.natGateways[$0].network == network }
        return Set(
            gateways.compactMap { number in
                if case .shared(let shared) = topology.natGateways[number].pool { shared.address } else { nil }
            }
        ).sorted()
    }

    /// Of those who share an address one speaks for it.
    func isFirst(ofSharing gateway: ResolvedNATGateway) -> Bool {
        guard case .shared(let own) = gateway.pool else { return true }
        return !natGateways.keys.contains { number in
            guard case .shared(let other) = topology.natGateways[number].pool else { return false }
            return other.address == own.address && other.ports.lowerBound < own.ports.lowerBound
        }
    }
}
