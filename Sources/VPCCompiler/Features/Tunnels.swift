import IPAddressing
import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let tunnels = FirewallFamily("hosts", "unknown_key", "foreign_tunnel", tightens: [])
}

/// GRE of the hosts of the manifests, and of nobody else.
struct Tunnels: HostFeature {
    let names = [FirewallFamily.tunnels]

    static let hosts = NFSet("hosts", of: .interfaceName, .ipv4Address, grows: true)

    /// By which devices GRE of a host may come: by those of the way there, and by the one that the manifest names.
    func contribute(_ piece: Piece, to part: inout Part, of host: HostCompiler) {
        guard case .peer(let remote) = piece else { return }
        var devices = host.path(to: remote)?.devices ?? []
        let named = host.topology.hosts[host.host].underlayDevice.flatMap { InterfaceName($0) }
        if let named, named != InterfaceName("lo"), !devices.contains(named) { devices.append(named) }
        let address = host.topology.hosts[remote].underlayAddress
        part.rows(of: Self.hosts, in: FirewallTables.underlay) { hosts in
            for device in devices { hosts.add(device, address, origin: piece.origin) }
        }
    }

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters("unknown_key")
        firewall.underlay.counters.append(NFCounter("foreign_tunnel", origin: firewall.origin))
        firewall.underlay.sets.append(Self.hosts)
        firewall.rules(at: BeforeRouting.received) { chain in
            chain.rule(
                .match(.iifgroup, LinkGroups.overlayReceive), .set(.ctZone, map: "dev_zone", .iifname), .accept)
            // The sending device receives every key that no other device has.
            chain.rule(.match(.iifgroup, LinkGroups.overlayTransmit), .counter("unknown_key"), .drop)
        }
        let isTunnel: [NFStatement] = [
            .match(.l4proto, NFProtocol.gre), .match(.ipDestination, host.underlayAddress),
        ]
        firewall.rules(at: UnderlayReceived.tunnels) { chain in
            // Only by the devices that lead to that host: the kernel's tunnels do not ask by which one it comes.
            chain.rule(isTunnel + [.match(.iifname, .ipSource, in: "hosts"), .notrack, .accept])
            chain.rule(isTunnel + [.counter("foreign_tunnel"), .drop])
        }
        firewall.rule(
            at: UnderlaySent.tunnels, .match(.l4proto, NFProtocol.gre), .match(.ipSource, host.underlayAddress),
            .notrack,
            .accept)
        firewall.rule(at: Forwarded.transit, .match(.sdifname, notIn: "ports"), .accept)
    }
}

/// What the ways to the other hosts mean for the tunnels: their MTU, the device they are bound to, and by which devices
/// they may come. docs/datapath.md says why.
extension HostCompiler {
    func path(to remote: Int) -> Path? { facts.paths.path(to: topology.hosts[remote].underlayAddress) }

    /// The peers that there is no route to, in their order: nobody speaks with the interfaces there, all else goes on.
    var unreachable: [Int] { topology.inOrder(peers.filter { path(to: $0) == nil }, of: \.hosts) }

    /// What fits through every way to a peer; where there is none, through the device that has the address.
    var overlayMTU: UInt32 {
        let mtu = peers.lazy.compactMap { path(to: $0)?.mtu }.min() ?? facts.underlayMTU
        let allowed = Conventions.tunnelMTUs
        let taken = Conventions.tunnelOverhead + Conventions.tunnelMTUMargin
        return min(max(mtu, allowed.lowerBound + taken) - taken, allowed.upperBound)
    }

    /// What tunnels are bound to: the only device that leads to other hosts, else none.
    var tunnelDevice: InterfaceName {
        var only: InterfaceName?
        for path in facts.paths {
            for device in path.devices {
                if let only, only != device { return .none }
                only = device
            }
        }
        return only ?? facts.underlayDevice
    }
}
