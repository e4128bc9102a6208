internal import IPAddressing
internal import VPCModel

extension LoadBalancer: ManifestResource {
    static let blank = LoadBalancer(metadata: Metadata(name: ""), vpc: "")

    static let spec = FieldList<LoadBalancer>(
        [
            .required("vpc", \.vpc, .name(of: VPC.self)),
            .optional(
                "type", \.type, .word, default: .l4, absent: "l4",
                "`l4`: connections of TCP and UDP are passed on as they are; `l7`: requests of HTTP, by HAProxy"),
            .optional(
                "internal", \.inside,
                .object(
                    Inside.fields, from: Inside(subnet: "", address: .anyIPv4),
                    hint: "write {subnet: NAME, address: ADDRESS}"),
                absent: "none",
                "by which guests of the VPC reach it. An `l4` balancer has this or `external`, or both; of"
                    + " type `l7` not supported yet"),
            .optional(
                "external", \.elasticIP, .externalAddress, absent: "none",
                "by which it is reached from outside: of type `l7` with one instance; others not yet"),
            .optional(
                "scheme", \.scheme, .word, default: .pair, absent: "pair",
                "of `external`: connections are remembered by the gateways (`pair`) or by the hosts of the targets"
                    + " (`scaleOut`, not supported yet)"),
            .optional(
                "affinity", \.affinity, .word, default: .none, absent: "none",
                "`source`: what comes from one address goes to one target"),
            .required(
                "listeners", \.listeners,
                .list(
                    of: .object(Listener.fields, from: Listener(transport: .tcp, port: 1)), "listeners",
                    emptyHint: "name a protocol, a port and a target group"),
                "1 to 64, one for each protocol and port"),
            .optional(
                "instances", \.instances,
                .list(
                    of: .object(
                        Instance.fields, from: Instance(subnet: "", host: "", address: .anyIPv4)), "instances"),
                default: [], absent: "none",
                "of type `l7`, which needs one at least: where it runs, one on a host"),
            .optional(
                "clientAddress", \.clientAddress, .word, default: .forwardedFor, absent: "forwardedFor",
                "of type `l7`: how targets learn who asks, by the header X-Forwarded-For or by the PROXY protocol"),
            .optional(
                "accessLog", \.logsAccesses, .boolean, default: false, "of type `l7`: whether each request is logged"),
        ],
        check: { reader, fields, balancer in
            switch balancer.type {
            case .l4: reader.checkLayer4(fields, balancer)
            case .l7: reader.checkLayer7(fields, balancer)
            }
        })
}

/// `{elasticIP: NAME}`.
private struct ExternalAddress {
    var elasticIP = ""

    static let fields = FieldList<ExternalAddress>([
        .required(
            "elasticIP", \.elasticIP, .name(of: ElasticIP.self),
            "of mode `nat`, with no interface and no other balancer")
    ])
}

extension FieldType<String> {
    /// The only field of such a mapping.
    fileprivate static let externalAddress = FieldType(
        "mapping", fields: ExternalAddress.fields.descriptions,
        read: { reader, node in
            var address = ExternalAddress()
            return ExternalAddress.fields.read(&reader, node, into: &address, hint: "write {elasticIP: NAME}")
                ? address.elasticIP : nil
        },
        write: { .object(ExternalAddress.fields.members(of: ExternalAddress(elasticIP: $0))) })
}

extension DocumentReader {
    fileprivate mutating func checkLayer4(_ fields: NamedNodes, _ balancer: LoadBalancer) {
        for name in ["instances", "clientAddress", "accessLog"] {
            guard let node = optional(fields, name) else { continue }
            report(
                "conflicting-fields", "\(path(node)) is for balancers of type l7", hint: "remove it", at: node)
        }
        if optional(fields, "internal") == nil, optional(fields, "external") == nil {
            report(
                "missing-field", "\(path(fields.nodes.mapping)) has no address", hint: "add internal or external",
                at: fields.nodes.mapping)
        }
        guard balancer.elasticIP == nil, optional(fields, "external") == nil, let node = optional(fields, "scheme")
        else { return }
        report(
            "conflicting-fields", "\(path(node)) is for balancers with an external address", hint: "remove it",
            at: node)
    }

    fileprivate mutating func checkLayer7(_ fields: NamedNodes, _ balancer: LoadBalancer) {
        _ = required(fields, "instances")
        if let node = optional(fields, "instances"), isEmptyList(node) {
            report("empty-list", "\(path(node)) is empty", hint: "name a host where it runs", at: node)
        }
    }
}

extension LoadBalancer.Inside {
    fileprivate static let fields = FieldList<LoadBalancer.Inside>([
        .required("subnet", \.subnet, .name(of: Subnet.self), "of the balancer's VPC"),
        .required(
            "address", \.address, .address,
            "of the subnet: no interface's, no NAT gateway's and no other balancer's"),
    ])
}

extension LoadBalancer.Instance {
    fileprivate static let fields = FieldList<LoadBalancer.Instance>([
        .required("subnet", \.subnet, .name(of: Subnet.self), "of the balancer's VPC"),
        .required("host", \.host, .name(of: Host.self)),
        .required("address", \.address, .address, "its own, of the subnet"),
    ])
}

extension LoadBalancer.Listener {
    fileprivate static let fields = FieldList<LoadBalancer.Listener>([
        .required("protocol", \.transport, .word, "of `l4` balancers `tcp` or `udp`, of `l7` the others"),
        .required("port", \.port, .integer(in: 1...UInt16.max), "1 to 65535"),
        .optional(
            "targetGroup", \.targetGroup, .name(of: TargetGroup.self),
            "of `l4`, which needs one: of the balancer's VPC and the listener's protocol"),
        .optional(
            "rules", \.rules, .list(of: .object(LoadBalancer.Rule.fields, from: .init(targetGroup: "")), "rules"),
            default: [], absent: "none",
            "of `l7`: the first that fits decides; a request that fits none is answered with 404"),
        .optional(
            "certificates", \.certificates,
            .list(of: .object(LoadBalancer.Certificate.fields, from: .init(name: "", file: "")), "certificates"),
            default: [], absent: "none", "of `https`, which needs one at least"),
        .optional("redirect", \.redirect, .word, "of `http`: in place of rules, clients are sent to `https`"),
    ])
}

extension LoadBalancer.Rule {
    fileprivate static let fields = FieldList<LoadBalancer.Rule>([
        .optional("host", \.host, .domain, absent: "every host", "that the request names"),
        .optional("path", \.path, .httpPath, absent: "every path", "what the request's path begins with"),
        .required("targetGroup", \.targetGroup, .name(of: TargetGroup.self), "of `http` or `https`"),
    ])
}

extension LoadBalancer.Certificate {
    fileprivate static let fields = FieldList<LoadBalancer.Certificate>([
        .required("name", \.name, .domain, "by which clients ask for it (SNI); once"),
        .required("file", \.file, .absolutePath, "on the hosts of the instances: certificates and key, PEM"),
    ])
}

extension FieldType<String> {
    /// Of a file.
    fileprivate static let absolutePath = FieldType(
        "absolute path", read: { $0.absolutePath($1) }, write: { .string($0) })
}

extension DocumentReader {
    fileprivate mutating func absolutePath(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        if text.utf8.first == UInt8(ascii: "/"), text.utf8.count <= 4095, !text.utf8.contains(where: { $0 < 0x20 }) {
            return text
        }
        report(
            "invalid-value", "\(path(node)): \(quoted(short(text))) is no absolute path", hint: "begin it with /",
            at: node)
        return nil
    }
}
