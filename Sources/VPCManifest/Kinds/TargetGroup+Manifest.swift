internal import VPCModel

extension TargetGroup: ManifestResource {
    static let blank = TargetGroup(
        metadata: Metadata(name: ""), vpc: "", port: 1, transport: .tcp, members: .interfaces([]))

    static let spec = FieldList<TargetGroup>(
        [
            .required("vpc", \.vpc, .name(of: VPC.self)),
            .required("port", \.port, .integer(in: 1...UInt16.max), "1 to 65535: of the targets"),
            .optional(
                "protocol", \.transport, .word, default: .tcp, absent: "tcp", isAlwaysWritten: true,
                "what the targets speak: `tcp` and `udp` for balancers of type `l4`, `http` and `https` for those of type"
                    + " `l7`"),
            .oneOf(
                \.members, missing: "names no targets", severalHint: "select them, or name them",
                [
                    UnionCase(
                        "selector", .map(of: .string, "strings"), make: { .selector($0) },
                        value: { if case .selector(let labels) = $0 { labels } else { nil } },
                        "labels: the interfaces of the VPC that have all of these are the targets. Either this or"
                            + " `interfaces`"),
                    UnionCase(
                        "interfaces", .list(of: .object(Member.fields, from: Member("")), "targets"),
                        make: { .interfaces($0) },
                        value: { if case .interfaces(let members) = $0 { members } else { nil } },
                        "of the VPC, each once. At most 1000 targets in all"),
                ]),
            .optional(
                "healthCheck", \.healthCheck, .object(HealthCheck.fields, from: HealthCheck()),
                absent: "none: every target counts as healthy", "[how](liveness.md#targets-of-balancers)"),
            .optional(
                "drain", \.drain, .duration(in: .zero ... .seconds(3600)), default: standardDrain, absent: "60s",
                "0s to 1h: how long connections go on to a target that has left the group,"
                    + " [balancers.md](balancers.md#targets-that-come-and-go)"),
            .optional(
                "whenAllUnhealthy", \.whenAllUnhealthy, .word, default: .refuse, absent: "refuse",
                "`refuse`: nobody is let connect; `useAll`: as if all were healthy"),
        ],
        check: { reader, fields, group in
            guard case .selector(let labels) = group.members, labels.isEmpty,
                let node = reader.optional(fields, "selector")
            else { return }
            reader.report(
                "empty-list", "\(reader.path(node)) is empty", hint: "name a label that the targets have", at: node)
        })
}

extension TargetGroup.Member {
    fileprivate static let fields = FieldList<TargetGroup.Member>([
        .required("name", \.name, .name(of: NetworkInterface.self)),
        .optional(
            "weight", \.weight, .integer(in: TargetGroup.weights), default: 1,
            "1 to 256: the share of the connections"),
    ])
}

extension TargetGroup.HealthCheck {
    fileprivate static let fields = FieldList<TargetGroup.HealthCheck>(
        [
            .optional("protocol", \.transport, .word, default: .tcp, absent: "tcp", isAlwaysWritten: true),
            .optional("path", \.path, .httpPath, default: "/", "of http and https"),
            .optional(
                "status", \.status,
                .list(of: .integer(in: 100...599), "status codes", emptyHint: "leave the field out for 200"),
                default: [200], absent: "200", "100 to 599, of http and https: what a good answer has"),
            .optional(
                "interval", \.interval, .duration(in: .seconds(1) ... .seconds(300)), default: .seconds(5),
                absent: "5s", "1s to 5m"),
            .optional(
                "timeout", \.timeout, .duration(in: .milliseconds(100) ... .seconds(60)), default: .seconds(2),
                absent: "2s", "100ms to 60s, and no longer than the interval: no answer until then is a bad one"),
            .optional(
                "healthy", \.healthy, .integer(in: 1...10), default: 2,
                "1 to 10: so many good answers in a row make a target healthy"),
            .optional(
                "unhealthy", \.unhealthy, .integer(in: 1...10), default: 3,
                "1 to 10: so many bad ones make it unhealthy"),
        ],
        check: { reader, fields, check in
            for name in ["path", "status"] where !check.transport.isHTTP {
                guard let node = reader.optional(fields, name) else { continue }
                reader.report(
                    "conflicting-fields", "\(reader.path(node)) means nothing for \(check.transport.rawValue)",
                    hint: "remove it, or write protocol: http", at: node)
            }
            guard check.timeout > check.interval,
                let node = reader.optional(fields, "timeout") ?? reader.optional(fields, "interval")
            else { return }
            reader.report(
                "conflicting-fields", "\(reader.path(node)): the timeout is longer than the interval",
                hint: "who asks again has given up on the answer before", at: node)
        })
}

extension FieldType<String> {
    /// What requests of HTTP name behind the host.
    static let httpPath = FieldType("path", read: { $0.httpPath($1) }, write: { .string($0) })
}

extension DocumentReader {
    fileprivate mutating func httpPath(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        // RFC 3986: no spaces and nothing beyond ASCII; and no query.
        let isPath =
            text.utf8.first == UInt8(ascii: "/") && text.utf8.count <= 255
            && text.utf8.allSatisfy {
                (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
            }
        if isPath { return text }
        report(
            "invalid-value", "\(path(node)): \(quoted(short(text))) is no path",
            hint: "a path begins with /, and has neither spaces nor ? and #: /health", at: node)
        return nil
    }
}
