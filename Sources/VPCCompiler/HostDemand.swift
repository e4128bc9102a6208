import VPCModel
import VPCTopology

/// What is asked for by what is here.
struct HostDemand: Sendable {
    var contexts = Demand<Context.Key>()
    var lists = Demand<[Int]>()
    var groups = Demand<Int>()
    var members = Demand<Int>()
    /// With an ACL.
    var subnets = Demand<Int>()
    var acls = Demand<ACLDirection>()
    var relays = Demand<Int>()
    var reports = Demand<Int>()
    var mtus = Demand<Int>()
    var vpcs = Demand<Int>()
    var forwarders = 0
    var bfd = 0
    var dhcp = 0
    /// Ports with blocks of addresses, by whether they are forwarders'.
    var prefixes = (speakers: 0, forwarders: 0)

    struct ACLDirection: Hashable, Sendable {
        var acl: Int
        var direction: TrafficDirection
    }
}

extension HostDemand {
    mutating func add(_ port: HostCompiler.Port) { count(port, 1) }
    mutating func drop(_ port: HostCompiler.Port) { count(port, -1) }

    /// A NAT gateway that is here or no longer.
    mutating func count(natGateway key: Context.Key, _ number: Int) {
        contexts.count(key, number)
        vpcs.count(key.vpc, number)
    }

    private mutating func count(_ port: HostCompiler.Port, _ number: Int) {
        contexts.count(port.context, number)
        contexts.count(Context.Key(vpc: port.context.vpc, routeTable: nil), number)
        vpcs.count(port.context.vpc, number)
        if !port.list.isEmpty { lists.count(port.list, number) }
        if let subnet = port.subnet { subnets.count(subnet, number) }
        if let acl = port.acl {
            for direction in TrafficDirection.allCases {
                acls.count(ACLDirection(acl: acl, direction: direction), number)
            }
        }
        if let relay = port.relay { relays.count(relay, number) }
        if let report = port.report { reports.count(report, number) }
        mtus.count(port.mtu, number)
        if port.isForwarder { forwarders += number }
        if port.speaksBFD { bfd += number }
        if port.servesDHCP { dhcp += number }
        guard port.hasPrefixes else { return }
        if port.isForwarder { prefixes.forwarders += number } else { prefixes.speakers += number }
    }
}
