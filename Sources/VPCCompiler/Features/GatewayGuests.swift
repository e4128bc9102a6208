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

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        host.addGatewaySets(to: &firewall.filter)
        guard host.hasForwarders else { return }
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

extension HostCompiler {
    /// Whether a guest here is one.
    var hasForwarders: Bool { attached.contains { !topology.interfaces[$0].sourceDestCheck } }

    /// Whether somebody in a VPC of this host, here or elsewhere, may send with the address of a guest here.
    var hasMiddleboxes: Bool {
        contexts.contains { context in
            context.routeTable == nil
                && topology.interfacesOfVPC[context.vpc].contains { !topology.interfaces[$0].sourceDestCheck }
        }
    }

    /// `open_addresses`: what of the packets of such a port is the guest's own. `own_ways`: from an interface of such a
    /// guest to an interface of the same guest.
    fileprivate func addGatewaySets(to table: inout NFTableIntent) {
        var ports = NFSet("open_ports", of: .interfaceName, grows: true)
        var addresses = NFSet("open_addresses", of: .interfaceName, .ipv4Address, grows: true)
        var ways = NFSet("own_ways", of: .interfaceName, .interfaceName, grows: true)
        let open = attached.filter { !topology.interfaces[$0].sourceDestCheck }
        let guests = Dictionary(grouping: open) { topology.interfaces[$0].guest }
        for index in open {
            let interface = topology.interfaces[index]
            let origin = Origin(.networkInterface, index)
            let port = port(of: interface)
            ports.add(port, origin: origin)
            addresses.add(port, interface.address, origin: origin)
            for other in guests[interface.guest] ?? [] {
                ways.add(port, self.port(of: topology.interfaces[other]), origin: origin)
            }
        }
        table.sets += [ports, addresses, ways]
    }
}

extension ResolvedInterface {
    /// What tells guests of one host apart. A device is taken for a guest of its own: which devices are one machine's
    /// is not known.
    fileprivate var guest: String {
        switch attachment {
        case .namespace(let name, _): "netns/\(name)"
        case .device(let name): "device/\(name)"
        }
    }
}
