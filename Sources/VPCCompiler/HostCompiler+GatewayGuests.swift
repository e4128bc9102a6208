import KernelModel
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let gatewayGuests = FirewallFamily(
        "open_ports", "open_addresses", "own_ways", "from_gateway", "to_gateway", "gateway_out", "gateway_in",
        tightens: [])
}

/// Guests that may use any address (`sourceDestCheck: false`): gateways, middleboxes.
///
/// Of what they send only the port is certain. So nothing that has passed before spares a packet its judges, and what
/// looks like an answer is one where somebody else's packet has asked for it. docs/security.md says what they can do.
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

    // MARK: - Sets

    /// `open_addresses`: what of the packets of such a port is the guest's own. `own_ways`: from an interface of such a
    /// guest to an interface of the same guest.
    func addGatewaySets(to table: inout NFTableIntent) {
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

    // MARK: - Chains

    func addGateways(to table: inout NFTableIntent, _ origin: Origin) {
        guard hasForwarders else { return }
        let (guest, _, _, _) = LinkGroups.numbers
        let isFirst = NFStatement.match(.ctDirection, NFDirection.original)
        let originator = ConnectionMark.allowed(.original, [.leaving])
        let responder = ConnectionMark.allowed(.original, [.arriving])
        let given = ConnectionMark.given
        table.chain("from_gateway", origin: origin) { chain in
            addCut(to: &chain)
            chain.rule(.match(.oifgroup, guest), .jump("known_port"))
            addACLs(to: &chain, relays: true)
            chain.rule(.jump("gateway_out"))
            chain.rule(.match(.oifname, in: "open_ports"), .jump("gateway_in"))
            chain.rule(.match(.oifname, notIn: "open_ports"), .jump(Self.chain(of: .arriving)))
            addFound(to: &chain)
            chain.rule(
                isFirst, .match(.sdifname, .ipSource, in: "open_addresses"),
                .set(.ctMark, keeping: .max, adding: originator))
            chain.rule(
                isFirst, .match(.oifname, in: "open_ports"), .match(.sdifname, .oifname, notIn: "own_ways"),
                .set(.ctMark, keeping: .max, adding: given), .accept)
            chain.rule(
                isFirst, .match(.oifname, in: "ports"), .match(.oifname, notIn: "open_ports"),
                .set(.ctMark, keeping: .max, adding: responder))
            chain.rule(.accept)
        }
        table.chain("to_gateway", origin: origin) { chain in
            addCut(to: &chain)
            chain.rule(.jump("known_port"))
            addACLs(to: &chain)
            chain.rule(.jump(Self.chain(of: .leaving)))
            chain.rule(.jump("gateway_in"))
            addFound(to: &chain)
            chain.rule(
                isFirst, .match(.sdifname, in: "ports"),
                .set(.ctMark, keeping: .max, adding: originator | given), .accept)
            chain.rule(isFirst, .set(.ctMark, keeping: .max, adding: given))
            chain.rule(.accept)
        }
        table.chain("gateway_out", origin: origin) { chain in
            // It answers, or passes an answer on, where somebody else has asked.
            chain.rule(
                .match(.ctDirection, NFDirection.reply), .match([.established]),
                .match(.ctMark, masked: given | originator, .notEqual, 0), .return)
            chain.rule(.vmap(.sdifname, map: "sg_out"))
        }
        table.chain("gateway_in", origin: origin) { chain in
            chain.rule(
                .match(.oifname, .ipDestination, in: "open_addresses"), .goto(Self.chain(of: .arriving)))
            // It is to pass it on: whose answer it is cannot be known here.
            chain.rule(.match(.ctDirection, NFDirection.reply), .match([.established]), .return)
            chain.rule(.vmap(.oifname, map: "sg_in"))
        }
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
