internal import IPAddressing
internal import VPCModel

extension SecurityGroup {
    /// The spec as it is written.
    var spec: [StructuredValue.Member] {
        func rules(_ name: String, _ rules: [SecurityRule], peers: String) -> [StructuredValue.Member] {
            guard !rules.isEmpty else { return [] }
            let values = rules.map { rule in
                StructuredValue.object(
                    rule.traffic.members + [StructuredValue.Member(peers, .list(rule.peers.map(\.value)))])
            }
            return [StructuredValue.Member(name, .list(values))]
        }
        return [StructuredValue.Member("vpc", .string(vpc))] + rules("ingress", ingress, peers: "from")
            + rules("egress", egress, peers: "to")
    }
}

extension NetworkACL {
    /// The spec as it is written.
    var spec: [StructuredValue.Member] {
        func lines(_ name: String, _ rules: [ACLRule]) -> [StructuredValue.Member] {
            rules.isEmpty ? [] : [StructuredValue.Member(name, .list(rules.map(\.value)))]
        }
        return [StructuredValue.Member("vpc", .string(vpc))] + lines("ingress", ingress) + lines("egress", egress)
    }
}

extension SecurityRule.Peer {
    fileprivate var value: StructuredValue {
        switch self {
        case .cidr(let cidr): .object([StructuredValue.Member("cidr", .string(cidr.description))])
        case .securityGroup(let name): .object([StructuredValue.Member("securityGroup", .string(name))])
        }
    }
}

extension ACLRule {
    fileprivate var value: StructuredValue {
        .object(
            [
                StructuredValue.Member("priority", .integer(priority)),
                StructuredValue.Member("action", .string(action.rawValue)),
            ] + traffic.members + [StructuredValue.Member("cidr", .string(cidr.description))])
    }
}

extension TrafficMatch {
    fileprivate var members: [StructuredValue.Member] {
        var members = [StructuredValue.Member("protocol", ipProtocol?.value ?? .string(Self.allProtocols))]
        if !ports.isEmpty { members.append(StructuredValue.Member("ports", .list(ports.map(Self.value)))) }
        if let icmpType { members.append(StructuredValue.Member("icmpType", .integer(Int(icmpType)))) }
        if let icmpCode { members.append(StructuredValue.Member("icmpCode", .integer(Int(icmpCode)))) }
        return members
    }

    private static func value(_ ports: ClosedRange<UInt16>) -> StructuredValue {
        ports.count == 1 ? .integer(Int(ports.lowerBound)) : .string("\(ports.lowerBound)-\(ports.upperBound)")
    }

    /// The word for every protocol.
    static let allProtocols = "all"
}

extension IPProtocol {
    fileprivate var value: StructuredValue {
        Self.named.contains { $0.value == self } ? .string(description) : .integer(Int(rawValue))
    }
}
