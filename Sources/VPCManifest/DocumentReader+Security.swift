internal import IPAddressing
internal import VPCModel

extension DocumentReader {
    // MARK: SecurityGroup

    private enum GroupField: Int, FieldKey {
        case vpc, ingress, egress
        static let names = caseNames()
    }

    private enum GroupRuleField: Int, FieldKey {
        case `protocol`, ports, icmpType, icmpCode, from, to
        static let names = caseNames()
    }

    private enum PeerField: Int, FieldKey {
        case cidr, securityGroup
        static let names = caseNames()
    }

    mutating func securityGroup(_ metadata: Metadata, _ spec: Int) -> SecurityGroup? {
        guard let fields = fields(spec, GroupField.self) else { return nil }
        let vpc = required(fields, .vpc).flatMap { name($0) }
        let ingress = optional(fields, .ingress).flatMap { list($0, of: "rules") { $0.rule($1, peers: .from) } }
        let egress = optional(fields, .egress).flatMap { list($0, of: "rules") { $0.rule($1, peers: .to) } }
        guard let vpc else { return nil }
        return SecurityGroup(metadata: metadata, vpc: vpc, ingress: ingress ?? [], egress: egress ?? [])
    }

    /// A rule whose far ends are under `key`.
    private mutating func rule(_ node: Int, peers key: GroupRuleField) -> SecurityRule? {
        guard let fields = fields(node, GroupRuleField.self) else { return nil }
        let traffic = traffic(
            fields, TrafficKeys(ipProtocol: .protocol, ports: .ports, icmpType: .icmpType, icmpCode: .icmpCode))
        let other: GroupRuleField = key == .from ? .to : .from
        if let value = optional(fields, other) {
            report(
                "unknown-field", "\(path(node)) has no field \"\(other)\"",
                hint: "ingress rules say from, egress rules to", at: value)
            return nil
        }
        let peersNode = required(fields, key)
        let peers = peersNode.flatMap { self.peers($0) }
        if let peersNode, isEmptyList(peersNode) {
            report(
                "empty-list", "\(path(peersNode)) is empty", hint: "write [{cidr: 0.0.0.0/0}] for every address",
                at: peersNode)
        }
        guard let traffic, let peers else { return nil }
        return SecurityRule(traffic: traffic, peers: peers)
    }

    private mutating func peers(_ node: Int) -> [SecurityRule.Peer]? {
        if let hint = peerHint(node) {
            report(
                "wrong-type", "\(path(node)) must be a list of far ends, not \(description(node))",
                hint: "write [\(hint)]",
                at: node)
            return nil
        }
        return list(node, of: "far ends") { $0.peer($1) }
    }

    /// How a far end would be written that is only named.
    private func peerHint(_ node: Int) -> String? {
        guard tree[node].kind == .scalar, tree.type(node) == .string else { return nil }
        let text = short(tree.text(node))
        return isDNSLabel(text) ? "{securityGroup: \(text)}" : "{cidr: \(text)}"
    }

    private mutating func peer(_ node: Int) -> SecurityRule.Peer? {
        if let hint = peerHint(node) {
            report(
                "wrong-type", "\(path(node)) must be a mapping, not \(description(node))", hint: "write \(hint)",
                at: node)
            return nil
        }
        guard let fields = fields(node, PeerField.self) else { return nil }
        let (cidr, group) = (optional(fields, .cidr), optional(fields, .securityGroup))
        switch (cidr, group) {
        case (nil, nil):
            // A misspelt one has been reported.
            let isMisspelt =
                fields.isMisspelt[PeerField.cidr.rawValue] || fields.isMisspelt[PeerField.securityGroup.rawValue]
            if !isMisspelt {
                report(
                    "missing-field", "\(path(node)) names no far end", hint: "add cidr or securityGroup", at: node)
            }
            return nil
        case (let cidr?, let group?):
            report(
                "conflicting-fields", "\(path(node)) has both cidr and securityGroup",
                hint: "make it two entries of the list", at: max(cidr, group))
            return nil
        case (let cidr?, nil): return prefix(cidr).map(SecurityRule.Peer.cidr)
        case (nil, let group?): return name(group).map(SecurityRule.Peer.securityGroup)
        }
    }

    // MARK: NetworkACL

    private enum ACLField: Int, FieldKey {
        case vpc, ingress, egress
        static let names = caseNames()
    }

    private enum ACLRuleField: Int, FieldKey {
        case priority, action, `protocol`, cidr, ports, icmpType, icmpCode
        static let names = caseNames()
    }

    mutating func networkACL(_ metadata: Metadata, _ spec: Int) -> NetworkACL? {
        guard let fields = fields(spec, ACLField.self) else { return nil }
        let vpc = required(fields, .vpc).flatMap { name($0) }
        let ingress = optional(fields, .ingress).flatMap { list($0, of: "lines") { $0.aclRule($1) } }
        let egress = optional(fields, .egress).flatMap { list($0, of: "lines") { $0.aclRule($1) } }
        guard let vpc else { return nil }
        return NetworkACL(metadata: metadata, vpc: vpc, ingress: ingress ?? [], egress: egress ?? [])
    }

    private mutating func aclRule(_ node: Int) -> ACLRule? {
        guard let fields = fields(node, ACLRuleField.self) else { return nil }
        let priority = required(fields, .priority).flatMap { integer($0, in: ACLRule.priorities) }
        let action = required(fields, .action).flatMap { word($0, ACLRule.Action.self) }
        let traffic = traffic(
            fields, TrafficKeys(ipProtocol: .protocol, ports: .ports, icmpType: .icmpType, icmpCode: .icmpCode))
        let cidr = required(fields, .cidr).flatMap { prefix($0) }
        guard let priority, let action, let traffic, let cidr else { return nil }
        return ACLRule(priority: priority, action: action, traffic: traffic, cidr: cidr)
    }

    // MARK: Traffic

    /// What the fields of a traffic match are among those of a rule.
    private struct TrafficKeys<Key: FieldKey> {
        var ipProtocol: Key
        var ports: Key
        var icmpType: Key
        var icmpCode: Key
    }

    private enum ProtocolChoice {
        case all
        case one(IPProtocol)

        var name: String {
            switch self {
            case .all: TrafficMatch.allProtocols
            case .one(let number): number.description
            }
        }

        var number: IPProtocol? {
            switch self {
            case .all: nil
            case .one(let number): number
            }
        }
    }

    private mutating func traffic<Key: FieldKey>(_ fields: Fields<Key>, _ keys: TrafficKeys<Key>) -> TrafficMatch? {
        let choice = required(fields, keys.ipProtocol).flatMap { ipProtocol($0) }
        let ports = optional(fields, keys.ports).flatMap { self.ports($0, of: choice) }
        let typeNode = optional(fields, keys.icmpType)
        let codeNode = optional(fields, keys.icmpCode)
        let type = typeNode.flatMap { integer($0, in: 0...255) }.map { UInt8($0) }
        let code = codeNode.flatMap { integer($0, in: 0...255) }.map { UInt8($0) }
        if let choice, choice.number != .icmp {
            for node in [typeNode, codeNode].compactMap({ $0 }) {
                report(
                    "conflicting-fields", "\(path(node)) means nothing for \(choice.name)",
                    hint: "remove it, or write protocol: icmp", at: node)
            }
        } else if let codeNode, typeNode == nil, !fields.isMisspelt[keys.icmpType.rawValue] {
            report(
                "missing-field", "\(path(codeNode)) lacks its icmpType", hint: "every type has codes of its own",
                at: codeNode)
        }
        guard let choice else { return nil }
        return TrafficMatch(ipProtocol: choice.number, ports: ports ?? [], icmpType: type, icmpCode: code)
    }

    /// A protocol by its name or number.
    private mutating func ipProtocol(_ node: Int) -> ProtocolChoice? {
        let words = IPProtocol.named.map(\.name) + [TrafficMatch.allProtocols]
        let expected = words.joined(separator: ", ") + " or a number from 0 to 255"
        guard tree[node].kind == .scalar, [.string, .integer].contains(tree.type(node)) else {
            report("wrong-type", "\(path(node)) must be \(expected), not \(description(node))", at: node)
            return nil
        }
        guard tree.type(node) == .string else {
            return integer(node, in: 0...255).map { .one(IPProtocol(UInt8($0))) }
        }
        let text = tree.text(node)
        if text == TrafficMatch.allProtocols { return .all }
        if let known = IPProtocol.named.first(where: { $0.name == text }) { return .one(known.value) }
        let hint =
            if UInt8(text) != nil {
                "remove the quotes: \(text)"
            } else if ["any", "*", "-1"].contains(text) {
                "write all"
            } else {
                Spelling.nearest(to: text, among: words).map { "did you mean \($0)?" }
                    ?? "give other protocols by their number, such as 51 for AH"
            }
        report("invalid-value", "\(path(node)) must be \(expected), not \(quoted(short(text)))", hint: hint, at: node)
        return nil
    }

    private mutating func ports(_ node: Int, of choice: ProtocolChoice?) -> [ClosedRange<UInt16>]? {
        let ports = list(node, of: "ports") { $0.portRange($1) }
        if let choice, choice.number?.hasPorts != true {
            report(
                "conflicting-fields", "\(path(node)) means nothing for \(choice.name)",
                hint: choice.number == nil
                    ? "write one rule for tcp and one for udp" : "remove it, or write protocol: tcp, udp or sctp",
                at: node)
        } else if isEmptyList(node) {
            report("empty-list", "\(path(node)) is empty", hint: "leave the field out for all ports", at: node)
        }
        return ports
    }

    /// A port, or a range as `8000-8999`.
    private mutating func portRange(_ node: Int) -> ClosedRange<UInt16>? {
        guard tree[node].kind == .scalar, tree.type(node) == .string else {
            return integer(node, in: 0...65535).map { UInt16($0)...UInt16($0) }
        }
        let text = tree.text(node)
        let bounds = text.split(separator: "-", omittingEmptySubsequences: false)
        let isRange =
            bounds.count == 2 && bounds.allSatisfy { (1...9).contains($0.utf8.count) && $0.utf8.allSatisfy(isDigit) }
        guard isRange, let first = Int(bounds[0]), let last = Int(bounds[1]) else {
            let isQuoted = (1...5).contains(text.utf8.count) && text.utf8.allSatisfy(isDigit)
            report(
                "invalid-value", "\(path(node)) must be a port or a range of ports, not \(quoted(short(text)))",
                hint: isQuoted ? "remove the quotes: \(text)" : "write 443 or 8000-8999", at: node)
            return nil
        }
        guard first <= 65535, last <= 65535 else {
            report("out-of-range", "\(path(node)): ports are from 0 to 65535, not \(text)", at: node)
            return nil
        }
        guard first <= last else {
            report(
                "reversed-range", "\(path(node)): \(text) ends before it begins", hint: "write \(last)-\(first)",
                at: node)
            return nil
        }
        return UInt16(first)...UInt16(last)
    }

    private func isEmptyList(_ node: Int) -> Bool { tree[node].kind == .sequence && tree.next(node) == node + 1 }
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
