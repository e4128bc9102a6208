import KernelModel
public import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let dhcp = FirewallFamily("dhcp_rate", "dhcp", tightens: [])
}

/// What guests ask by DHCP is handed to the host's daemon, and goes no further.
///
/// Nobody else's packets are looked at for it: a guest without an address fails the check of sources, and one that renews
/// its lease speaks to its gateway.
struct DHCPRequests: HostFeature {
    let names = [FirewallFamily.dhcp]

    /// Of one port: a client needs two messages, and sends them again after seconds.
    private static let rate = NFLimit(5, burst: 20)
    /// A message without options that nobody has is shorter than this by far.
    private static let snapLength: UInt32 = 1600

    private static let clients = NFSet(
        "dhcp_rate", of: .interfaceName, .etherAddress, grows: true, limit: rate)

    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .port(let number) = piece else { return }
        let interface = host.topology.interfaces[number]
        guard host.topology.subnets[interface.subnet].servesDHCP else { return }
        part.rows(of: Self.clients) { $0.add(host.portName(number), interface.mac, origin: piece.origin) }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        guard host.traits.servesDHCP else { return }
        let log = NFStatement.log(group: Conventions.guestRequests, prefix: "dhcp", snapLength: Self.snapLength)
        firewall.filter.sets.append(Self.clients)
        firewall.rule(at: FromGuest.unaddressed, .match(.udpDestination, NFPort(67)), .jump("dhcp"))
        firewall.filter.chain("dhcp", origin: firewall.origin) { chain in
            chain.rule(.match(.iifname, .etherSource, in: "dhcp_rate"), log, .drop)
        }
        firewall.rule(
            at: GuestToHost.services, .match(.udpDestination, NFPort(67)),
            .match(.sdifname, .etherSource, in: "dhcp_rate"), log, .drop)
    }
}

extension Compilation {
    /// A port whose guest is answered when it asks by DHCP, and the VRF in which it asks.
    public struct ServedPort: Sendable, Hashable {
        /// A number of `Topology.interfaces`.
        public var interface: Int
        public var name: InterfaceName
        public var vrf: InterfaceName
    }

    public var servesDHCP: Bool { compiler.traits.servesDHCP }

    public var servedPorts: [ServedPort] {
        guard servesDHCP else { return [] }
        return compiler.ports.compactMap { number, port in
            guard port.servesDHCP, let context = compiler.contexts[port.context] else { return nil }
            return ServedPort(interface: number, name: port.name, vrf: context.device)
        }
    }
}
