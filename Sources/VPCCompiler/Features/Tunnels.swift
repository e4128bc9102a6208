import IPAddressing
import KernelModel
import VPCModel
import VPCTopology
import KernelNames
import NFTables

extension FirewallFamily {
    static let tunnels = FirewallFamily("hosts", "unknown_key", "foreign_tunnel", tightens: [])
}

/// GRE of the hosts of the manifests, and of nobody else.
struct Tunnels: HostFeature {
    let names = [FirewallFamily.tunnels]

    func contribute(to firewall: inout Firewall, of host: HostCompiler) {
        firewall.counters("unknown_key", "foreign_tunnel")
        firewall.filter.sets.append(host.receivedHosts())
        firewall.rules(at: BeforeRouting.received) { chain in
            chain.rule(
                .match(.iifgroup, LinkGroups.overlayReceive), .set(.ctZone, map: "dev_zone", .iifname), .accept)
            // The sending device receives every key that no other device has.
            chain.rule(.match(.iifgroup, LinkGroups.overlayTransmit), .counter("unknown_key"), .drop)
        }
        let isTunnel: [NFStatement] = [
            .match(.l4proto, NFProtocol.gre), .match(.ipDestination, host.underlayAddress),
        ]
        firewall.rules(at: BeforeRouting.underlay) { chain in
            // Only by the devices that lead to that host: the kernel's tunnels do not ask by which one it comes.
            chain.rule(isTunnel + [.match(.iifname, .ipSource, in: "hosts"), .notrack, .accept])
            chain.rule(isTunnel + [.counter("foreign_tunnel"), .drop])
        }
        firewall.rule(
            at: FromHost.tunnels, .match(.l4proto, NFProtocol.gre), .match(.ipSource, host.underlayAddress), .notrack,
            .accept)
        firewall.rule(at: Forwarded.transit, .match(.sdifname, notIn: "ports"), .accept)
    }
}

/// What the ways to the other hosts mean for the tunnels: their MTU, the device they are bound to, and by which devices
/// they may come. docs/datapath.md says why.
extension HostCompiler {
    /// Finds the hosts that interfaces here can have to do with: those with interfaces of the same VPCs.
    mutating func findPeers() {
        let vpcs = Set(attached.map { topology.interfaces[$0].vpc })
        peers = topology.hosts.indices.filter { remote in
            remote != host && vpcs.contains { topology.hasInterface(of: $0, on: remote) }
        }
    }

    func path(to remote: Int) -> Path? { facts.paths.path(to: topology.hosts[remote].underlayAddress) }

    /// The peers that there is no route to, in their order: nobody speaks with the interfaces there, all else goes on.
    var unreachable: [Int] { topology.inOrder(peers.filter { path(to: $0) == nil }, of: \.hosts) }

    /// What fits through every way to a peer; where there is none, through the device that has the address.
    var overlayMTU: UInt32 {
        let mtu = peers.compactMap { path(to: $0)?.mtu }.min() ?? facts.underlayMTU
        let allowed = Conventions.tunnelMTUs
        return min(
            max(mtu, allowed.lowerBound + Conventions.tunnelOverhead) - Conventions.tunnelOverhead, allowed.upperBound)
    }

    /// What tunnels are bound to: the only device that leads to other hosts, else none.
    var tunnelDevice: InterfaceName {
        var devices = Set(facts.paths.lazy.flatMap(\.devices))
        if devices.isEmpty { devices = [facts.underlayDevice] }
        return devices.count == 1 ? devices.first ?? .none : .none
    }

    /// By which devices GRE of which hosts may come: by those of the way there, and by the one that the manifest names.
    func receivedHosts() -> NFSet {
        var set = NFSet("hosts", of: .interfaceName, .ipv4Address, grows: true)
        let loopback = InterfaceName("lo")
        let named = topology.hosts[host].underlayDevice.flatMap { InterfaceName($0) }
        for (index, remote) in topology.hosts.numbered where index != host {
            var devices = Set(path(to: index)?.devices ?? [])
            if let named, named != loopback { devices.insert(named) }
            for device in devices { set.add(device, remote.underlayAddress, origin: Origin(.host, index)) }
        }
        return set
    }
}
