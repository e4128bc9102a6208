import IPAddressing
import VPCModel
import VPCTopology

/// What hosts remember of a connection.
extension Walk {
    /// Whose policies have let a connection begin.
    struct Sides: OptionSet {
        let rawValue: Int
        /// The originator's, whose own port it came from.
        static let originator = Sides(rawValue: 1)
        static let responder = Sides(rawValue: 2)
        /// Those of a gateway, that was given it by somebody else.
        static let gateway = Sides(rawValue: 4)
    }

    /// Whether what this interface sends answers a question that its groups have let in. A gateway's answer is one where
    /// somebody else has asked.
    func hasBeenAsked(_ interface: Int, _ sides: Sides?) -> Bool {
        guard let sides else { return false }
        return isOpen(interface) ? !sides.isDisjoint(with: [.gateway, .originator]) : sides.contains(.responder)
    }

    /// Whether an answer to this interface is one to a question of its own; what a gateway is to pass on may be anybody's.
    func awaits(_ interface: Int, _ answer: Packet, _ sides: Sides?) -> Bool {
        guard let sides else { return false }
        let isPassedOn = isOpen(interface) && !topology.interfaces[interface].has(answer.destination)
        return isPassedOn || sides.contains(.originator)
    }

    mutating func remember(_ connection: SeenConnection, _ packet: Packet, from port: Int?, to target: Int?) {
        var sides = seen[connection] ?? []
        if let port, !isOpen(port) || topology.interfaces[port].has(packet.source) { sides.insert(.originator) }
        if let target {
            if !isOpen(target) {
                sides.insert(.responder)
            } else if !(port.map { isOpen($0) && isSameGuest(topology.interfaces[$0], topology.interfaces[target]) }
                ?? false)
            {
                sides.insert(.gateway)
            }
        }
        seen[connection] = sides
    }

    func isOpen(_ interface: Int) -> Bool { !topology.interfaces[interface].sourceDestCheck }
}

/// A connection on a host, in the zone of its VPC.
struct SeenConnection: Hashable {
    var host: Int
    /// A number of `Topology.vpcs`.
    var vpc: Int
    /// What answers look like.
    var answer: Packet

    init(_ way: Way, vpc: Int) {
        host = way.host
        self.vpc = vpc
        answer = way.isAnswer ? way.packet : way.packet.answer
    }
}

/// What connection tracking makes of a packet.
enum ConnectionState {
    case new
    case established
    case invalid
}

extension Way {
    /// The state of a packet where nobody knows its connection.
    var unknownState: ConnectionState { isAnswer ? packet.lateState : packet.firstState }
}

extension Packet {
    /// The state of a question: of ICMP only requests are beginnings.
    var firstState: ConnectionState {
        guard case .icmp(let type, _) = content else { return .new }
        return Self.icmpAnswers[type] == nil ? .invalid : .new
    }

    /// The state of an answer on a host that has not seen the question: only UDP looks like a beginning.
    var lateState: ConnectionState { ipProtocol == .udp ? .new : .invalid }
}
