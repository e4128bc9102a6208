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
    /// Ports with blocks of addresses, by whether they are forwarders'.
    var prefixes = (speakers: 0, forwarders: 0)

    struct ACLDirection: Hashable, Sendable {
        var acl: Int
        var direction: TrafficDirection
    }
}

extension HostDemand {
    mutating func add(_ port: HostCompiler.Port) {
        contexts.add(port.context)
        contexts.add(Context.Key(vpc: port.context.vpc, routeTable: nil))
        vpcs.add(port.context.vpc)
        if !port.list.isEmpty { lists.add(port.list) }
        if let subnet = port.subnet { subnets.add(subnet) }
        if let acl = port.acl {
            for direction in TrafficDirection.allCases { acls.add(ACLDirection(acl: acl, direction: direction)) }
        }
        if let relay = port.relay { relays.add(relay) }
        if let report = port.report { reports.add(report) }
        mtus.add(port.mtu)
        count(port, 1)
    }

    mutating func drop(_ port: HostCompiler.Port) {
        contexts.drop(port.context)
        contexts.drop(Context.Key(vpc: port.context.vpc, routeTable: nil))
        vpcs.drop(port.context.vpc)
        if !port.list.isEmpty { lists.drop(port.list) }
        if let subnet = port.subnet { subnets.drop(subnet) }
        if let acl = port.acl {
            for direction in TrafficDirection.allCases { acls.drop(ACLDirection(acl: acl, direction: direction)) }
        }
        if let relay = port.relay { relays.drop(relay) }
        if let report = port.report { reports.drop(report) }
        mtus.drop(port.mtu)
        count(port, -1)
    }

    private mutating func count(_ port: HostCompiler.Port, _ number: Int) {
        if port.isForwarder { forwarders += number }
        guard port.hasPrefixes else { return }
        if port.isForwarder { prefixes.forwarders += number } else { prefixes.speakers += number }
    }
}
