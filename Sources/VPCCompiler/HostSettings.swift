import IPAddressing
import KernelModel
import KernelNames

/// What a host's namespace needs whatever the VPCs: parameters, rules, and the device that sends everything.
enum HostSettings {
    /// Global parameters. Those of single devices are settings of the links.
    static let sysctls: [Sysctl] = [
        // Services of the host that listen on every address must not be reachable from a VRF.
        Sysctl("net/ipv4/tcp_l3mdev_accept", "0"),
        Sysctl("net/ipv4/udp_l3mdev_accept", "0"),
        Sysctl("net/ipv4/raw_l3mdev_accept", "0"),
        // The 5-tuple itself: policy 1 takes a local socket's random hash, and flows would change their gateway.
        Sysctl("net/ipv4/fib_multipath_hash_policy", "3"),
        Sysctl("net/ipv4/fib_multipath_hash_fields", "55"),
        // Else a changed nexthop is announced once per route that uses it.
        Sysctl("net/ipv4/nexthop_compat_mode", "0"),
        // What docs/datapath.md says of each holds on devices of ours only if `all` does not say otherwise.
        Sysctl("net/ipv4/conf/all/rp_filter", "0"),
        Sysctl("net/ipv4/conf/all/send_redirects", "0"),
        Sysctl("net/ipv4/conf/all/arp_ignore", "0"),
        Sysctl("net/ipv4/conf/all/arp_filter", "0"),
    ]

    // What they shall be depends on the ports: see `fragmentSysctls`.
    static let fragmentTime = "net/ipv4/ipfrag_time"
    static let fragmentMemory = "net/ipv4/ipfrag_high_thresh"

    private static let owner = Conventions.ownership.routeProtocol

    /// VRFs first and closed; then local addresses, else a guest reaches the host before its VRF is asked.
    static let rules: [Rule] = [
        // Made by the kernel with the first VRF; looks the same when it has to be made here.
        Rule(priority: 1000, l3mdev: true, action: .lookup(TableID(0)), routeProtocol: .kernel),
        Rule(priority: 1001, l3mdev: true, action: .unreachable, routeProtocol: owner),
        movedLocalRule,
    ]

    static let movedLocalRule = Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner)
    static let kernelLocalRule = Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)

    /// Sends for every VPC: key and remote host are in the nexthop object.
    static func external(underlay: InterfaceName, mtu: UInt32, alias: String) -> Link {
        Link(
            name: Conventions.external, kind: .greExternal(underlay: underlay), alias: alias,
            group: Conventions.LinkGroup.overlayTransmit, mtu: mtu,
            // What comes in by it has a key that nobody here receives: not forwarding, it gets nowhere.
            ipv4: IPv4DeviceConfiguration(), ipv6Disabled: true)
    }
}
