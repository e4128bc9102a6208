import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import Yams

/// Random resources, each valid on its own.
private struct Planner {
    var random: Dice

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[number(0...elements.count - 1)] }
    mutating func maybe<Value>(_ value: Value) -> Value? { number(0...1) == 0 ? nil : value }

    /// Names that look like something else.
    mutating func name() -> String {
        pick([
            "a", "0", "101", "1e3", "0x1f", "no", "null", "true", "y", "web1-eth0", "1-2", "2024-01-01", "a--b", "0o7",
        ])
    }

    mutating func text() -> String {
        pick([
            "", " ", "gz-1", "~", "null", "Null", "yes", "1", "1.5", "-1", ".5", "1_000", "12:30", "=", "<<", "a: b",
            "a #b", "#", "- a",
            "[a]", "{a}", "*a", "&a", "!a", "%a", "@a", "`a", "'", "\"", "\\", "a\nb", "\n", "a\tb", "é蓝😀", "\u{0}",
            "\u{7F}", "\u{85}",
            "\u{2028}", "a\u{FEFF}", "\u{1B}[31m", "trailing ", " leading", "---", "...", "0x1f", "2024-01-01",
            "10.0.0.1", "1e3", "on",
            "a:", ":a", "?", "? a", "a,b", "|", ">", "\u{E000}", "\u{FFFD}",
        ])
    }

    mutating func metadata() -> Metadata {
        var labels: [String: String] = [:]
        for _ in 0..<number(0...3) { labels[text()] = text() }
        return Metadata(name: name(), labels: labels, annotations: number(0...3) == 0 ? [text(): text()] : [:])
    }

    mutating func address() -> IPAddress { IPAddress(v4: UInt32(number(0...Int(UInt32.max)))) }
    mutating func prefix() -> IPPrefix { IPPrefix(containing: address(), length: number(0...32)) }

    mutating func traffic() -> TrafficMatch {
        switch number(0...3) {
        case 0: return TrafficMatch()
        case 1: return TrafficMatch(ipProtocol: IPProtocol(UInt8(number(0...255))))
        case 2:
            let type = maybe(UInt8(number(0...255)))
            return TrafficMatch(
                ipProtocol: .icmp, icmpType: type, icmpCode: type == nil ? nil : maybe(UInt8(number(0...255))))
        default:
            let ports = (0..<number(0...3)).map { _ in
                let (one, two) = (UInt16(number(0...65535)), UInt16(number(0...65535)))
                return number(0...1) == 0 ? one...one : min(one, two)...max(one, two)
            }
            return TrafficMatch(ipProtocol: pick([.tcp, .udp, .sctp]), ports: ports)
        }
    }

    mutating func securityRules() -> [SecurityRule] {
        (0..<number(0...2)).map { _ in
            SecurityRule(
                traffic: traffic(),
                peers: (0...number(0...2)).map { _ in
                    pick([
                        .cidr(prefix()), .securityGroup(name()), .securityGroup(name() + "/" + name()),
                        .loadBalancer(name()),
                    ])
                })
        }
    }

    mutating func aclRules() -> [ACLRule] {
        (0..<number(0...2)).map { _ in
            ACLRule(
                priority: number(1...32766), action: pick([.allow, .deny]), traffic: traffic(), cidr: prefix())
        }
    }

    mutating func targetGroup() -> TargetGroup {
        let checks: [TargetGroup.HealthCheck] = [
            .init(), .init(transport: .udp, interval: .seconds(300), timeout: .seconds(60), healthy: 1, unhealthy: 10),
            .init(transport: .https, path: "/a/b~%20", status: [200, 404], timeout: .milliseconds(100)),
        ]
        return TargetGroup(
            metadata: metadata(), vpc: name(), port: UInt16(number(1...65535)),
            transport: pick(BalancedProtocol.allCases),
            members: pick([
                .selector(["app": "web"]), .selector([text(): text()]), .interfaces([]),
                .interfaces([.init(name()), .init(name(), weight: 256)]),
            ]), healthCheck: maybe(pick(checks)),
            drain: pick([.zero, .seconds(60), .seconds(3600), .milliseconds(1500)]),
            whenAllUnhealthy: pick([.refuse, .useAll]))
    }

    mutating func loadBalancer() -> LoadBalancer {
        let inside = LoadBalancer.Inside(subnet: name(), address: address())
        if number(0...1) == 0 {
            let isOutside = number(0...1) == 0
            return LoadBalancer(
                metadata: metadata(), vpc: name(), inside: isOutside ? maybe(inside) : inside,
                elasticIP: isOutside ? name() : nil, scheme: isOutside ? pick([.pair, .scaleOut]) : .pair,
                affinity: pick([.none, .source]),
                listeners: (0...number(0...2)).map { _ in
                    .init(
                        transport: pick([.tcp, .udp]), port: UInt16(number(1...65535)), targetGroup: maybe(name()))
                })
        }
        let rules: [LoadBalancer.Rule] = [
            .init(targetGroup: name()), .init(host: "shop.example", path: "/api/", targetGroup: name()),
        ]
        return LoadBalancer(
            metadata: metadata(), vpc: name(), type: .l7, inside: maybe(inside), elasticIP: maybe(name()),
            listeners: [
                .init(
                    transport: .https, port: 443, rules: rules,
                    certificates: [.init(name: "shop.example", file: "/etc/a b")]),
                .init(transport: .http, port: 80, redirect: .https),
            ], instances: [.init(subnet: name(), host: name(), address: address())],
            clientAddress: pick([.forwardedFor, .proxyV2]), logsAccesses: number(0...1) == 0)
    }

    mutating func resource() -> Resource {
        switch number(0...14) {
        case 0:
            return Resource(
                Host(
                    metadata: metadata(), underlayAddress: address(), underlayDevice: maybe("eth0"),
                    region: maybe(text()),
                    zone: maybe(text())))
        case 1:
            let id = VPCID(UInt32(number(1...0x7FFF_FFFF))) ?? VPCID.one
            return Resource(
                VPC(
                    metadata: metadata(), id: id, cidrs: (0...number(0...2)).map { _ in prefix() },
                    denialLog: maybe(DenialLog(group: UInt16(number(0...65535)), rate: pick([1, 100, 10_000]))),
                    maxConnections: maybe(number(1...1_000_000)), account: maybe(text()), region: maybe(text())))
        case 2:
            return Resource(
                Subnet(
                    metadata: metadata(), vpc: name(), cidr: prefix(), gateway: maybe(address()), zone: maybe(text()),
                    routeTable: maybe(name()), acl: maybe(name())))
        case 3:
            let routes = (0..<number(0...3)).map { _ in
                CustomRoute(
                    destination: prefix(),
                    target: number(0...1) == 0
                        ? .blackhole
                        : .nextHops(
                            (0...number(0...2)).map { _ in
                                number(0...3) == 0
                                    ? NextHop(
                                        pick([.natGateway(name()), .peering(name())]), weight: pick([1, 2, 256]))
                                    : NextHop(
                                        interface: name(), weight: pick([1, 2, 256]),
                                        liveness: pick([.none, .bfd, .ping]))
                            }))
            }
            return Resource(RouteTable(metadata: metadata(), vpc: name(), routes: routes))
        case 4:
            return Resource(
                NetworkInterface(
                    metadata: metadata(), subnet: name(), host: name(), address: address(),
                    addresses: (0..<number(0...2)).map { _ in address() },
                    prefixes: (0..<number(0...2)).map { _ in prefix() },
                    mac: maybe(MACAddress(rawValue: UInt64(number(1...0xFF_FFFF_FFFF)) | 0x0200_0000_0000)),
                    sourceDestCheck: number(0...1) == 0, securityGroups: (0..<number(0...2)).map { _ in name() },
                    attachment: number(0...1) == 0
                        ? .device(pick(["tap7", "7", "no", "1e3", "eth0.100"])) : .namespace(name(), device: "~"),
                    mtu: maybe(number(68...65535))))
        case 5:
            return Resource(
                SecurityGroup(metadata: metadata(), vpc: name(), ingress: securityRules(), egress: securityRules()))
        case 6:
            return Resource(NetworkACL(metadata: metadata(), vpc: name(), ingress: aclRules(), egress: aclRules()))
        case 7:
            return Resource(
                ExternalNetwork(
                    metadata: metadata(), pools: (0...number(0...2)).map { _ in prefix() }, nextHop: address(),
                    gateways: (0...number(0...1)).map { _ in
                        .init(
                            host: name(), device: pick(["eth0", "bond0.200", "7"]),
                            mode: pick([.macvlan, .ipvlan, .move]))
                    }, endpoint: maybe(address()), uplinkAddress: address(), announcement: pick([.arp, .routes]),
                    liveness: maybe(
                        .init(
                            interval: pick([.milliseconds(300), .milliseconds(1500), .seconds(10), .milliseconds(50)]),
                            multiplier: number(2...20)))))
        case 8:
            return Resource(
                NATGateway(
                    metadata: metadata(), subnet: name(), address: address(), externalNetwork: name(),
                    pool: pick([
                        .addresses((0...number(0...2)).map { _ in address() }),
                        .shared(PublicPorts(address: address(), ports: 1024...5119)),
                    ]), portsPerInterface: maybe(512),
                    portForwards: (0..<number(0...2)).map { _ in
                        .init(
                            address: address(), transport: pick([.tcp, .udp]), port: 8022, interface: name(),
                            interfacePort: 22)
                    },
                    limits: .init(
                        bandwidth: pick([
                            Bandwidth(), Bandwidth(egress: Bitrate(bitsPerSecond: 12_500_000)),
                            Bandwidth(
                                egress: Bitrate(bitsPerSecond: 10_000_000),
                                ingress: Bitrate(bitsPerSecond: 5_000_000_000)),
                        ]), maxConnections: maybe(7), newConnectionsPerSecond: maybe(8),
                        idleTimeouts: .init(udp: pick([.seconds(120), .seconds(3600)]))),
                    logsTranslations: number(0...1) == 0))
        case 10:
            let side = VPCPeering.Side(
                vpc: name(), prefixes: (0..<number(0...2)).map { _ in prefix() },
                translate: (0..<number(0...1)).map { _ in .init(inside: prefix(), outside: prefix()) })
            return Resource(
                VPCPeering(
                    metadata: metadata(), requester: side, accepter: .init(vpc: name()), isAccepted: number(0...1) == 0)
            )
        case 11: return Resource(PeeringAcceptance(metadata: metadata(), peering: name(), account: text()))
        case 12: return Resource(targetGroup())
        case 13: return Resource(loadBalancer())
        case 9:
            return Resource(
                ElasticIP(
                    metadata: metadata(), externalNetwork: name(), address: maybe(address()), interface: maybe(name()),
                    mode: pick([.nat, .stateless, .passThrough]),
                    bandwidth: pick([Bandwidth(), Bandwidth(ingress: Bitrate(bitsPerSecond: 100_000_000))])))
        default:
            let transports: [Probe.Transport] = [
                .icmp, .tcp(port: 1), .udp(port: 65535), .sctp(port: 2905),
            ]
            return Resource(
                Probe(
                    metadata: metadata(), from: number(0...3) == 0 ? .external(address()) : .interface(name()),
                    to: pick([.interface(name()), .address(address()), .external(address())]),
                    transport: pick(transports), expect: pick([.allow, .deny])))
        }
    }
}

extension VPCID {
    fileprivate static let one: VPCID = {
        guard let id = VPCID(1) else { preconditionFailure("1 is an id") }
        return id
    }()
}

/// What is written is read back.
@Suite(.timeLimit(minutes: 10)) struct EmissionTests {
    @Test func randomResourcesSurviveYAMLAndJSON() {
        var planner = Planner(random: Dice(seed: 17))
        for _ in 0..<2000 {
            var resources: [ResourceReference: Resource] = [:]
            for _ in 0..<planner.number(1...4) {
                let resource = planner.resource()
                resources[resource.reference] = resource
            }
            let model = Model(resources.values.sorted { $0.reference < $1.reference })
            for text in [ManifestText.yaml(model.resources), ManifestText.json(model.resources)] {
                let set = ManifestSet(text: text)
                #expect(findings(set) == [], "\(text)")
                #expect(set.model == model, "\(text)")
            }
        }
    }

    /// Other readers must see the same strings, also those that follow YAML 1.1.
    @Test func othersReadTheSameStrings() throws {
        var planner = Planner(random: Dice(seed: 19))
        for _ in 0..<2000 {
            let texts = (0..<planner.number(1...5)).map { _ in planner.text() } + [planner.name()]
            let value = StructuredValue.object([
                StructuredValue.Member("texts", .list(texts.map { .string($0) })),
                StructuredValue.Member("more", .object([StructuredValue.Member(texts[0] + "k", .string(texts[0]))])),
            ])
            let yaml = try #require(try Yams.load(yaml: value.yaml) as? [String: Any], "\(value.yaml)")
            #expect(yaml["texts"] as? [String] == texts, "\(value.yaml)")
            #expect(yaml["more"] as? [String: String] == [texts[0] + "k": texts[0]], "\(value.yaml)")
            let json = try #require(
                try JSONSerialization.jsonObject(with: Data(value.json.utf8)) as? [String: Any], "\(value.json)")
            #expect(json["texts"] as? [String] == texts, "\(value.json)")
            #expect(json["more"] as? [String: String] == [texts[0] + "k": texts[0]], "\(value.json)")
        }
    }

    static let resources: [Resource] = [
        Resource(
            Host(
                metadata: Metadata(name: "h1", labels: ["b": "2", "a": "x"]),
                underlayAddress: IPAddress(v4: 0xAC1F_0001),
                zone: "gz-1")),
        Resource(
            RouteTable(
                metadata: Metadata(name: "egress"), vpc: "blue",
                routes: [
                    CustomRoute(
                        destination: .defaultIPv4,
                        target: .nextHops([NextHop(interface: "fw-a", weight: 3), NextHop(interface: "7")])),
                    CustomRoute(
                        destination: IPPrefix(containing: IPAddress(v4: 0xC0A8_4200), length: 24), target: .blackhole),
                ])),
    ]

    @Test func yamlIsForReaders() {
        #expect(
            ManifestText.yaml(Self.resources) == """
                ---
                apiVersion: vpcctl.dev/v1
                kind: Host
                metadata:
                  name: h1
                  labels:
                    a: x
                    b: "2"
                spec:
                  underlay:
                    address: 172.31.0.1
                  zone: gz-1
                ---
                apiVersion: vpcctl.dev/v1
                kind: RouteTable
                metadata:
                  name: egress
                spec:
                  vpc: blue
                  routes:
                  - destination: 0.0.0.0/0
                    nextHops:
                    - interface: fw-a
                      weight: 3
                    - interface: "7"
                  - destination: 192.168.66.0/24
                    blackhole: true

                """)
    }

    @Test func jsonIsSorted() {
        #expect(
            ManifestText.json(Array(Self.resources.prefix(1))) == """
                {
                  "apiVersion": "vpcctl.dev/v1",
                  "items": [
                    {
                      "apiVersion": "vpcctl.dev/v1",
                      "kind": "Host",
                      "metadata": {
                        "labels": {
                          "a": "x",
                          "b": "2"
                        },
                        "name": "h1"
                      },
                      "spec": {
                        "underlay": {
                          "address": "172.31.0.1"
                        },
                        "zone": "gz-1"
                      }
                    }
                  ],
                  "kind": "List"
                }

                """)
    }

    @Test func valuesOfEveryShapeAreWritten() {
        let value: StructuredValue = [
            "list": [[], [1, [true, .null]], ["b": 2, "a": [:]]], "empty": [:], "none": [], "text": "", "number": -7,
        ]
        #expect(
            value.yaml == """
                list:
                - []
                -
                  - 1
                  -
                    - true
                    - null
                - b: 2
                  a: {}
                empty: {}
                none: []
                text: ""
                number: -7

                """)
        #expect(StructuredValue.list([]).yaml == "[]\n")
        #expect(StructuredValue.string("no").yaml == "\"no\"\n")
        #expect(StructuredValue.list([1, "a"]).yaml == "- 1\n- a\n")
        #expect(
            value.json == """
                {
                  "empty": {},
                  "list": [
                    [],
                    [
                      1,
                      [
                        true,
                        null
                      ]
                    ],
                    {
                      "a": {},
                      "b": 2
                    }
                  ],
                  "none": [],
                  "number": -7,
                  "text": ""
                }

                """)
    }
}
