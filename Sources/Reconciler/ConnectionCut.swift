import KernelModel
import KernelNames
import NFTables
import VPCCompiler
import VPCModel

extension ChangePlan {
    /// Whether the firewall may forbid what it allowed: something is taken from it, an interface gets groups, or it was
    /// gone and nobody knows what was allowed before.
    var mayTightenPolicy: Bool {
        steps.contains { step in
            guard case .firewall(let tables, _) = step.work else { return false }
            return tables.contains {
                $0.table != FirewallTables.flow && $0.operations.contains(where: \.mayTightenPolicy)
            }
        }
    }

    /// The ports of guests that come to this host. Where the firewall was gone, nobody has come because of that.
    var arrivingPorts: Set<InterfaceName> {
        var ports: Set<InterfaceName> = []
        for case .firewall(let tables, _) in steps.map(\.work) {
            for case .renewElements(let set, _, let elements) in tables.filter({ !$0.isFirstLoad }).flatMap(\.turn)
            where NFSet.wantedName(ofSetNamed: set) == Conventions.arrivals {
                ports.formUnion((0..<elements.count).map(elements.device))
            }
        }
        return ports
    }

    /// The same plan, with `connections` ended as soon as the new policy is in.
    func cutting(_ connections: [Connection]) -> ChangePlan {
        guard !connections.isEmpty, let position = steps.lastIndex(where: \.changesPolicy) else { return self }
        var plan = self
        plan.steps.insert(contentsOf: Step.cutting(connections), at: position + 1)
        return plan
    }
}

extension ChangePlan {
    /// This plan, with connections forgotten when nothing leads to where they led.
    func forgetting(_ connections: [Connection]) -> ChangePlan {
        guard !connections.isEmpty, let position = steps.lastIndex(where: \.changesPolicy) else { return self }
        var plan = self
        plan.steps.insert(Step(.connections(connections, .forgotten)), at: position + 1)
        return plan
    }
}

extension ChangePlan.Step {
    /// TCP, SCTP and ICMP connections are forgotten, because only a first packet can begin one. All others are kept closed for a
    /// while: their next packet, from whichever end, would be a beginning.
    static func cutting(_ connections: [Connection]) -> [ChangePlan.Step] {
        let hasFirstPackets = { (connection: Connection) in
            [IPProtocol.tcp, .sctp, .icmp].contains { $0.rawValue == connection.ipProtocol }
        }
        let end = ConnectionEnd.marked(Conventions.cutMark, seconds: Conventions.cutSeconds)
        return [
            (connections.filter(hasFirstPackets), ConnectionEnd.forgotten),
            (connections.filter { !hasFirstPackets($0) }, end),
        ].filter { !$0.0.isEmpty }.map { Self(.connections($0.0, $0.1)) }
    }

    /// Whether connections are ended by what the rules make of their marks.
    var marksConnections: Bool { if case .connections(_, .marked) = work { true } else { false } }

    fileprivate var changesPolicy: Bool {
        guard case .firewall(let tables, _) = work else { return false }
        return tables.contains { !$0.turn.isEmpty }
    }
}
