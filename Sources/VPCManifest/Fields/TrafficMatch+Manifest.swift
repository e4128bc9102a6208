internal import IPAddressing
internal import VPCModel

extension FieldType<ClosedRange<UInt16>> {
    /// A port, or a range such as `8000-8999`.
    static let portRange = FieldType("port range", read: { $0.portRange($1) }, write: TrafficMatch.value)
}

extension Field {
    /// Protocol and ports, or ICMP type and code; the manual has a section of its own for them, see
    /// ``TrafficMatch/descriptions``.
    static func traffic(_ path: any WritableKeyPath<Object, TrafficMatch> & Sendable) -> Field {
        Field(
            TrafficMatch.descriptions.map(\.name), [],
            read: { reader, nodes, object in
                if let traffic = reader.traffic(nodes) { object[keyPath: path] = traffic }
            },
            write: { object, members in members += object[keyPath: path].members })
    }
}

extension TrafficMatch {
    /// The word for every protocol.
    fileprivate static let allProtocols = "all"

    static let descriptions = [
        FieldDescription(
            "protocol",
            (IPProtocol.named.map(\.name) + [allProtocols]).map { "`\($0)`" }.joined(separator: ", ")
                + ", or an integer",
            "required",
            "the IP protocol, [by number](https://www.iana.org/assignments/protocol-numbers) 0 to 255 where it has no"
                + " name here"),
        FieldDescription(
            "ports", "list", "all",
            "destination ports, of tcp, udp and sctp only: integers from 0 to 65535, or ranges such as `8000-8999` that"
                + " include both ends"),
        FieldDescription("icmpType", "integer", "all", "0 to 255; only with icmp"),
        FieldDescription("icmpCode", "integer", "all", "0 to 255; only with `icmpType`"),
    ]

    fileprivate var members: [StructuredValue.Member] {
        var members = [StructuredValue.Member("protocol", ipProtocol?.value ?? .string(Self.allProtocols))]
        if !ports.isEmpty { members.append(StructuredValue.Member("ports", .list(ports.map(Self.value)))) }
        if let icmpType { members.append(StructuredValue.Member("icmpType", .integer(Int(icmpType)))) }
        if let icmpCode { members.append(StructuredValue.Member("icmpCode", .integer(Int(icmpCode)))) }
        return members
    }

    fileprivate static func value(_ ports: ClosedRange<UInt16>) -> StructuredValue {
        ports.count == 1 ? .integer(Int(ports.lowerBound)) : .string("\(ports.lowerBound)-\(ports.upperBound)")
    }
}

extension IPProtocol {
    fileprivate var value: StructuredValue {
        Self.named.contains { $0.value == self } ? .string(description) : .integer(Int(rawValue))
    }
}

extension DocumentReader {
    fileprivate enum ProtocolChoice {
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

    /// - Parameter nodes: Those of protocol, ports, icmpType and icmpCode.
    fileprivate mutating func traffic(_ nodes: FieldNodes) -> TrafficMatch? {
        let choice = required(nodes, 0, "protocol").flatMap { ipProtocol($0) }
        let ports = optional(nodes, 1).flatMap { self.ports($0, of: choice) }
        let typeNode = optional(nodes, 2)
        let codeNode = optional(nodes, 3)
        let type = typeNode.flatMap { integer($0, in: 0...255) }.map { UInt8($0) }
        let code = codeNode.flatMap { integer($0, in: 0...255) }.map { UInt8($0) }
        if let choice, choice.number != .icmp {
            for node in [typeNode, codeNode].compactMap({ $0 }) {
                report(
                    "conflicting-fields", "\(path(node)) means nothing for \(choice.name)",
                    hint: "remove it, or write protocol: icmp", at: node)
            }
        } else if let codeNode, typeNode == nil, !isMisspelt(nodes, 2) {
            report(
                "missing-field", "\(path(codeNode)) lacks its icmpType", hint: "every type has codes of its own",
                at: codeNode)
        }
        guard let choice else { return nil }
        return TrafficMatch(ipProtocol: choice.number, ports: ports ?? [], icmpType: type, icmpCode: code)
    }

    /// A protocol by its name or number.
    fileprivate mutating func ipProtocol(_ node: Int) -> ProtocolChoice? {
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

    fileprivate mutating func ports(_ node: Int, of choice: ProtocolChoice?) -> [ClosedRange<UInt16>]? {
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
    fileprivate mutating func portRange(_ node: Int) -> ClosedRange<UInt16>? {
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
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
