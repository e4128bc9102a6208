import IPAddressing
public import KernelModel
import NFTables
import VPCModel
import VPCTopology

/// What the load balancers of the VPCs that are here lead to, to judge connections by: whoever has a target keeps it until
/// somebody ends the connection, whatever the places say by then.
public struct BalancedConnections: Sendable {
    public struct Service: Hashable, Sendable {
        var zone: UInt16
        var address: IPAddress
        var ipProtocol: UInt8
        var port: UInt16
    }

    public struct Target: Hashable, Sendable {
        var address: IPAddress
        var port: UInt16
    }

    /// From where to where connections are led.
    public struct Way: Hashable, Sendable {
        var service: Service
        var target: Target
    }

    struct Targets: Sendable {
        var targets: Set<Target>
        /// Those of them that are not healthy.
        var ill: Set<Target>
        var drain: Duration
    }

    /// Of VPCs.
    var zones: Set<UInt16> = []
    var services: [Service: Targets] = [:]

    /// Those that have ended, because what they were for is balanced no longer, or their target has left a group that does not
    /// drain, or is not healthy any more.
    public func ended(_ connections: [Connection]) -> [Connection] {
        connections.filter { connection in
            guard isBalanced(connection) else { return false }
            guard let service = services[Service(connection)] else { return true }
            let target = Target(connection)
            return service.ill.contains(target) || service.drain == .zero && !service.targets.contains(target)
        }
    }

    /// Those to targets that have left their groups, and how long they may go on from then.
    public func draining(_ connections: [Connection]) -> [(connection: Connection, way: Way, time: Duration)] {
        connections.compactMap { connection in
            let way = Way(service: Service(connection), target: Target(connection))
            guard isBalanced(connection), let service = services[way.service],
                !service.targets.contains(way.target)
            else { return nil }
            return (connection, way, service.drain)
        }
    }

    /// Nothing else gives connections of a VPC another destination, but what leads to the host itself.
    private func isBalanced(_ connection: Connection) -> Bool {
        zones.contains(connection.zone) && connection.replySource != connection.destination
            && [IPProtocol.tcp.rawValue, IPProtocol.udp.rawValue].contains(connection.ipProtocol)
    }
}

extension BalancedConnections.Service {
    fileprivate init(_ connection: Connection) {
        self.init(
            zone: connection.zone, address: connection.destination, ipProtocol: connection.ipProtocol,
            port: connection.destinationPort)
    }
}

extension BalancedConnections.Target {
    fileprivate init(_ connection: Connection) {
        self.init(address: connection.replySource, port: connection.replySourcePort)
    }
}

extension HostCompiler {
    /// Whether a target that gets no connections any more may take those with it that it has.
    var endsWithTargets: Bool {
        let (all, groups) = (topology.loadBalancers, topology.targetGroups)
        return balancers.contains {
            all[$0].targetGroups.contains { groups[$0].drain == .zero || groups[$0].healthCheck != nil }
        }
    }

    var balancedConnections: BalancedConnections {
        var balanced = BalancedConnections()
        for key in contexts.keys where key.isMain { balanced.zones.insert(zone(ofVPC: key.vpc).rawValue) }
        let (all, groups) = (topology.loadBalancers, topology.targetGroups)
        for balancer in balancers.map({ all[$0] }) {
            guard let address = balancer.inside?.address else { continue }
            for listener in balancer.listeners {
                guard let group = listener.rules.first.map({ groups[$0.targetGroup] }) else { continue }
                let service = BalancedConnections.Service(
                    zone: zone(ofVPC: balancer.vpc).rawValue, address: address,
                    ipProtocol: listener.transport.ipProtocol.rawValue, port: listener.port)
                let places = { (targets: [ResolvedTargetGroup.Target]) in
                    Set(
                        targets.map {
                            BalancedConnections.Target(
                                address: topology.interfaces[$0.interface].address, port: group.port)
                        })
                }
                let targets = places(group.targets)
                balanced.services[service] = .init(
                    targets: targets,
                    ill: targets.subtracting(places(group.usableTargets(facts.liveness, in: topology))),
                    drain: group.drain)
            }
        }
        return balanced
    }
}

extension ChangePlan {
    /// Whether connections of load balancers may have to end with it: it takes something away that they lead to, or changes
    /// targets of a group that does not drain.
    public func endsConnections(of compilation: Compilation) -> Bool {
        steps.contains { step in
            guard case .firewall(let tables, _) = step.work else { return false }
            return tables.contains { $0.operations.endBalancing { compilation.compiler.endsWithTargets } }
        }
    }
}

extension [NFOperation] {
    fileprivate func endBalancing(_ endsAtOnce: () -> Bool) -> Bool {
        let isOfBalancers = { (set: String) in
            FirewallName(set).map { $0.family === FirewallFamily.loadBalancers } ?? false
        }
        return contains { operation in
            switch operation {
            case .flushSet(let set), .deleteSet(let set): return isOfBalancers(set)
            case .removeElements(let set, _, let removed) where isOfBalancers(set):
                if endsAtOnce() { return true }
                // A place that changes hands goes and comes.
                let added = self.reduce(0) { sum, operation in
                    if case .addElements(set, _, let elements) = operation { sum + elements.count } else { sum }
                }
                return added < removed.count
            default: return false
            }
        }
    }
}
