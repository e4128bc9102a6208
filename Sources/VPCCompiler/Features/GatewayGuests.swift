import VPCModel
import VPCTopology
import KernelNames
import NFTables

extension FirewallFamily {
    static let gatewayGuests = FirewallFamily(
        "open_ports", "open_addresses", "own_ways", "gateway_out", "gateway_in", tightens: [])
}

/// Guests that may use any address (`sourceDestCheck: false`): gateways, middleboxes.
///
/// Of what they send only the port is certain. So nothing that has passed before spares a packet its judges, and what
/// looks like an answer is one where somebody else's packet has asked for it. docs/security.md says what they can do.
struct GatewayGuests: HostFeature {
    let names = [FirewallFamily.gatewayGuests]

    private static let ports = NFSet("open_ports", of: .interfaceName, grows: true)
    /// What of the packets of such a port is the guest's own.
    private static let addresses = NFSet("open_addresses", of: .interfaceName, .ipv4Address, grows: true)
    /// From an interface of such a guest to an interface of the same guest.
    private static let ways = NFSet("own_ways", of: .interfaceName, .interfaceName, grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece, !host.topology.interfaces[number].sourceDestCheck else { return }
        let (origin, port) = (piece.origin, host.portName(number))
        part.rows(of: Self.ports) { $0.add(port, origin: origin) }
        part.rows(of: Self.addresses) { $0.add(port, host.topology.interfaces[number].address, origin: origin) }
        part.rows(of: Self.ways) { set in
            for other in host.portsOfGuest(of: number) where !host.topology.interfaces[other].sourceDestCheck {
                set.add(port, host.portName(other), origin: origin)
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.filter.sets += [Self.ports, Self.addresses, Self.ways]
        guard host.traits.hasForwarders else { return }
        firewall.rules(at: Forwarded.gatewayGuests) { chain in
            chain.rule(.match(.sdifname, in: "open_ports"), .goto(FromGatewayGuest.chain))
            chain.rule(.match(.oifname, in: "open_ports"), .goto(ToGatewayGuest.chain))
        }
        // On its way through a gateway.
        firewall.rule(
            at: RelatedErrors.gatewayGuests, .match(.oifname, in: "open_ports"),
            .match(.oifname, .ipDestination, notIn: "open_addresses"), .accept)
        firewall.rules(at: FromGatewayGuest.groups) { chain in
            chain.rule(.jump("gateway_out"))
            chain.rule(.match(.oifname, in: "open_ports"), .jump("gateway_in"))
            chain.rule(.match(.oifname, notIn: "open_ports"), .jump(SecurityGroups.chain(of: .arriving)))
        }
        firewall.rules(at: ToGatewayGuest.groups) { chain in
            chain.rule(.jump(SecurityGroups.chain(of: .leaving)))
            chain.rule(.jump("gateway_in"))
        }
        addMarks(to: &firewall)
        addGroups(to: &firewall)
    }

    private static let originator = ConnectionMark.allowed(.original, [.leaving])
    private static let responder = ConnectionMark.allowed(.original, [.arriving])
    private static let given = ConnectionMark.given

    private func addMarks(to firewall: inout Firewall) {
        let isFirst = NFStatement.match(.ctDirection, NFDirection.original)
        func mark(_ bits: UInt32) -> NFStatement { .set(.ctMark, keeping: .max, adding: bits) }
        firewall.rules(at: FromGatewayGuest.mark) { chain in
            chain.rule(ConnectionMark.has(ConnectionMark.found), .accept)
            chain.rule(isFirst, .match(.sdifname, .ipSource, in: "open_addresses"), mark(Self.originator))
            chain.rule(
                isFirst, .match(.oifname, in: "open_ports"), .match(.sdifname, .oifname, notIn: "own_ways"),
                mark(Self.given), .accept)
            chain.rule(
                isFirst, .match(.oifname, in: "ports"), .match(.oifname, notIn: "open_ports"), mark(Self.responder))
            chain.rule(.accept)
        }
        firewall.rules(at: ToGatewayGuest.mark) { chain in
            chain.rule(ConnectionMark.has(ConnectionMark.found), .accept)
            chain.rule(isFirst, .match(.sdifname, in: "ports"), mark(Self.originator | Self.given), .accept)
            chain.rule(isFirst, mark(Self.given))
            chain.rule(.accept)
        }
    }

    private func addGroups(to firewall: inout Firewall) {
        firewall.filter.chain("gateway_out", origin: firewall.origin) { chain in
            // It answers, or passes an answer on, where somebody else has asked.
            chain.rule(
                .match(.ctDirection, NFDirection.reply), .match([.established]),
                .match(.ctMark, masked: Self.given | Self.originator, .notEqual, 0), .return)
            chain.rule(.vmap(.sdifname, map: "sg_out"))
        }
        firewall.filter.chain("gateway_in", origin: firewall.origin) { chain in
            chain.rule(
                .match(.oifname, .ipDestination, in: "open_addresses"), .goto(SecurityGroups.chain(of: .arriving)))
            // It is to pass it on: whose answer it is cannot be known here.
            chain.rule(.match(.ctDirection, NFDirection.reply), .match([.established]), .return)
            chain.rule(.vmap(.oifname, map: "sg_in"))
        }
    }
}
