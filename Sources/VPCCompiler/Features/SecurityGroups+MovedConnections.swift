import KernelNames
import NFTables
import VPCModel
import VPCTopology

extension FirewallFamily {
    static let foundAnswers = FirewallFamily("found_answer", of: .host, isDirected: true, tightens: [])
}

/// The TCP connections of a guest that has moved here: this host has not seen them begin.
///
/// While its port is new (``Conventions/arrivals``), a segment from the middle of a connection is judged by what its first
/// one must have been. That is one of two: the far end has asked the guest's port, or the guest has asked from a port
/// that clients use. Whose question it was the guest's own port tells, never the far end's, which may have chosen it.
///
/// The kernel takes the first segment that it sees for the first there was. If that is an answer, its idea of the
/// connection is the wrong way round, and a later SYN of the answering end would pass as known: so such a connection
/// is not remembered, but marked as ``ConnectionMark/found``, and every packet of it is asked for.
extension HostCompiler {
    /// Client ports begin here: Linux gives 32768 and up, RFC 6335 says 49152 and up.
    private static let clientPorts: UInt32 = 32768

    private func port(_ direction: TrafficDirection) -> NFField { direction == .ingress ? .oifname : .sdifname }

    /// Leads to `chain` what is no beginning, of ports that are new here.
    func addMoved(_ direction: TrafficDirection, _ moved: String, to chain: inout NFChainBuilder) {
        chain.rule(
            .match(.l4proto, NFProtocol.tcp), .match(port(direction), in: Conventions.arrivals), .goto(moved))
    }

    func addMovedChain(
        _ name: String, _ groups: [Int], _ direction: TrafficDirection, strays: String, unmatched: String,
        to table: inout NFTableIntent
    ) {
        let origin = Origin(.securityGroup, groups[0])
        // The guest's own port, and the far end's.
        let (own, far): (NFField, NFField) =
            direction == .ingress ? (.destinationPort, .sourcePort) : (.sourcePort, .destinationPort)
        let answer = NFStatement.goto(Self.foundAnswer(direction))
        table.chain(name, origin: origin) { chain in
            // SYN alone begins a connection.
            chain.rule(.match(Self.tcpFlags, masked: 0x12, .equal, 0x02), .goto(unmatched))
            // Of a connection that is known the right way round this is no answer.
            chain.rule(
                .match(.ctDirection, NFDirection.original), .match([.established]),
                ConnectionMark.hasNot(ConnectionMark.found), .goto(unmatched))
            for group in groups {
                guard let rules = groupRules[group]?[.ingress] else { continue }
                addQuestions(
                    to: rules, group, direction.farAddress, port: own,
                    then: direction == .ingress ? .return : answer, to: &chain)
            }
            chain.rule(.match(own, .less, Self.clientPorts), .goto(strays))
            for group in groups where !services(of: group).isEmpty {
                chain.rule(.match(own, in: servicesName(group)), .goto(strays))
            }
            for group in groups {
                guard let rules = groupRules[group]?[.egress] else { continue }
                addQuestions(
                    to: rules, group, direction.farAddress, port: far,
                    then: direction == .egress ? .return : answer, to: &chain)
            }
            chain.rule(.goto(strays))
        }
    }

    private static func foundAnswer(_ direction: TrafficDirection) -> String {
        FirewallName(.foundAnswers, direction: direction).description
    }

    /// An answer has been found.
    func addFoundAnswers(_ direction: TrafficDirection, to table: inout NFTableIntent) {
        let bits = ConnectionMark.allowed(.reply, [direction == .ingress ? .arriving : .leaving])
        table.chain(Self.foundAnswer(direction), origin: Origin(.host, host)) { chain in
            chain.rule(
                .match([.new]), .set(.ctMark, keeping: ConnectionMark.free, adding: ConnectionMark.found), .return)
            // The other end is here, too: the kernel knows which of them has begun it.
            chain.rule(
                .match([.established]), ConnectionMark.hasNot(ConnectionMark.found),
                .set(.ctMark, keeping: .max, adding: bits))
        }
    }

    // MARK: - Services

    /// Client ports that rules name are services: no client of the guest's speaks from there. Who allows them all names none.
    /// - Returns: ascending and disjoint.
    private func services(of group: Int) -> [ClosedRange<UInt16>] {
        let named = topology.securityGroups[group].ingress.flatMap(\.traffic.ports).filter {
            $0.upperBound >= Self.clientPorts && !($0.lowerBound <= Self.clientPorts && $0.upperBound == .max)
        }
        var services: [ClosedRange<UInt16>] = []
        for range in named.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = services.last, range.lowerBound <= last.upperBound {
                services[services.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                services.append(range)
            }
        }
        return services
    }

    private func servicesName(_ group: Int) -> String {
        FirewallName(.group, topology.securityGroups[group].name, direction: .ingress, role: "services").description
    }

    func addServices(of groups: [Int], to table: inout NFTableIntent) {
        for group in groups {
            let services = services(of: group)
            if services.isEmpty { continue }
            let origin = Origin(.securityGroup, group)
            var set = NFSet(servicesName(group), of: .internetService, isInterval: true, origin: origin)
            for range in services {
                set.add(NFPort(range.lowerBound)...NFPort(range.upperBound), origin: origin)
            }
            table.sets.append(set)
        }
    }
}
