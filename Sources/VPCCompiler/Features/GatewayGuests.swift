import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let gatewayGuests = FirewallFamily(
        "open_ports", "open_addresses", "open_prefixes", "own_ways", "gateway_out", "gateway_in", tightens: [])
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
    /// What of it is delegated in blocks.
    private static let prefixes = NFSet("open_prefixes", of: .interfaceName, .ipv4Address, isInterval: true)
    /// From an interface of such a guest to an interface of the same guest.
    private static let ways = NFSet("own_ways", of: .interfaceName, .interfaceName, grows: true)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece, !host.topology.interfaces[number].sourceDestCheck else { return }
        let (origin, port) = (piece.origin, host.portName(number))
        let interface = host.topology.interfaces[number]
        part.rows(of: Self.ports) { $0.add(port, origin: origin) }
        part.rows(of: Self.addresses) { set in
            for address in interface.addresses { set.add(port, address, origin: origin) }
        }
        if interface.hasPrefixes {
            part.rows(of: Self.prefixes) { set in
                for prefix in interface.prefixes { set.add(port, prefix, origin: origin) }
            }
        }
        part.rows(of: Self.ways) { set in
            for other in host.portsOfGuest(of: number) where !host.topology.interfaces[other].sourceDestCheck {
                set.add(port, host.portName(other), origin: origin)
            }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.filter.sets += [Self.ports, Self.addresses, Self.ways]
        guard host.traits.hasForwarders else { return }
        let owned = Self.owned(host.traits)
        if owned.count > 1 { firewall.filter.sets.append(Self.prefixes) }
        firewall.rules(at: Forwarded.gatewayGuests) { chain in
            chain.rule(.match(.sdifname, in: "open_ports"), .goto(FromGatewayGuest.chain))
            chain.rule(.match(.oifname, in: "open_ports"), .goto(ToGatewayGuest.chain))
        }
        // On its way through a gateway.
        let isNotOwn = owned.map { NFStatement.match(.oifname, .ipDestination, notIn: $0) }
        firewall.rules(at: RelatedErrors.gatewayGuests) { chain in
            chain.rule([.match(.oifname, in: "open_ports")] + isNotOwn + [.accept])
        }
        firewall.rules(at: FromGatewayGuest.groups) { chain in
            chain.rule(.jump("gateway_out"))
            chain.rule(.match(.oifname, in: "open_ports"), .jump("gateway_in"))
            chain.rule(.match(.oifname, notIn: "open_ports"), .jump(SecurityGroups.chain(of: .arriving)))
        }
        firewall.rules(at: ToGatewayGuest.groups) { chain in
            chain.rule(.jump(SecurityGroups.chain(of: .leaving)))
            chain.rule(.jump("gateway_in"))
        }
        addMarks(owned, to: &firewall)
        addGroups(owned, to: &firewall)
    }

    /// The sets of what is such a guest's own: blocks have to be ranges, and as long as there are none nobody asks for them.
    private static func owned(_ traits: HostTraits) -> [String] {
        ["open_addresses"] + (traits.hasPrefixesOfForwarders ? ["open_prefixes"] : [])
    }

    private static let originator = ConnectionMark.allowed(.original, [.leaving])
    private static let responder = ConnectionMark.allowed(.original, [.arriving])
    private static let given = ConnectionMark.given

    private func addMarks(_ owned: [String], to firewall: inout Firewall) {
        let isFirst = NFStatement.match(.ctDirection, NFDirection.original)
        func mark(_ bits: UInt32) -> NFStatement { .set(.ctMark, keeping: .max, adding: bits) }
        firewall.rules(at: FromGatewayGuest.mark) { chain in
            chain.rule(ConnectionMark.has(ConnectionMark.found), .accept)
            for set in owned { chain.rule(isFirst, .match(.sdifname, .ipSource, in: set), mark(Self.originator)) }
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

    private func addGroups(_ owned: [String], to firewall: inout Firewall) {
        firewall.filter.chain("gateway_out", origin: firewall.origin) { chain in
            // It answers, or passes an answer on, where somebody else has asked.
            chain.rule(
                .match(.ctDirection, NFDirection.reply), .match([.established]),
                .match(.ctMark, masked: Self.given | Self.originator, .notEqual, 0), .return)
            chain.rule(SecurityGroups.dispatch(.leaving))
        }
        firewall.filter.chain("gateway_in", origin: firewall.origin) { chain in
            for set in owned {
                chain.rule(.match(.oifname, .ipDestination, in: set), .goto(SecurityGroups.chain(of: .arriving)))
            }
            // It is to pass it on: whose answer it is cannot be known here.
            chain.rule(.match(.ctDirection, NFDirection.reply), .match([.established]), .return)
            chain.rule(SecurityGroups.dispatch(.arriving))
        }
    }
}
