import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

/// Every kind with all its fields, and with only those it must have.
@Suite(.timeLimit(minutes: 10)) struct DecodingTests {
    @Test func hosts() {
        let set = ManifestSet(
            text: document(
                "Host", "h1", "spec: {underlay: {address: 172.31.0.1, device: eth1.100}, region: gz, zone: gz-1}")
                + "\n---\n" + document("Host", "h2", "spec: {underlay: {address: 172.31.0.2}}"))
        #expect(findings(set) == [])
        #expect(
            set.model.hosts == [
                Host(
                    metadata: Metadata(name: "h1"), underlayAddress: IPAddress(v4: 0xAC1F_0001),
                    underlayDevice: "eth1.100",
                    region: "gz", zone: "gz-1"),
                Host(metadata: Metadata(name: "h2"), underlayAddress: IPAddress(v4: 0xAC1F_0002)),
            ])
    }

    @Test func vpcsAndMetadata() throws {
        let set = ManifestSet(
            text: """
                apiVersion: vpcctl.dev/v1
                kind: VPC
                metadata:
                  name: "0"
                  labels: {team: net, empty: ""}
                  annotations:
                    note: |
                      two
                      lines
                spec: {id: 0x65, cidrs: [10.0.0.0/16, 192.168.0.0/24], logDenied: {nflogGroup: 5, rate: 20},
                  maxConnections: 50000}
                """)
        #expect(findings(set) == [])
        let metadata = Metadata(
            name: "0", labels: ["team": "net", "empty": ""], annotations: ["note": "two\nlines\n"])
        #expect(
            set.model.vpcs == [
                VPC(
                    metadata: metadata, id: try #require(VPCID(101)),
                    cidrs: [try .parse("10.0.0.0/16"), try .parse("192.168.0.0/24")],
                    denialLog: DenialLog(group: 5, rate: 20), maxConnections: 50_000)
            ])
    }

    @Test func denialsAreLoggedAtTheUsualRate() throws {
        let set = ManifestSet(
            text: document("VPC", "blue", "spec: {id: 1, cidrs: [10.0.0.0/16], logDenied: {nflogGroup: 0}}"))
        #expect(findings(set) == [])
        #expect(set.model.vpcs.first?.denialLog == DenialLog(group: 0, rate: 100))
    }

    @Test func subnets() throws {
        let set = ManifestSet(
            text: document(
                "Subnet", "web",
                "spec: {vpc: blue, cidr: 10.0.1.0/24, gateway: 10.0.1.254, zone: gz-1, routeTable: egress}")
                + "\n---\n"
                + document("Subnet", "db", "spec: {vpc: blue, cidr: 10.0.2.0/24, gateway: null, zone: , routeTable: ~}")
        )
        #expect(findings(set) == [])
        #expect(
            set.model.subnets == [
                Subnet(
                    metadata: Metadata(name: "web"), vpc: "blue", cidr: try .parse("10.0.1.0/24"),
                    gateway: IPAddress("10.0.1.254"), zone: "gz-1", routeTable: "egress"),
                Subnet(metadata: Metadata(name: "db"), vpc: "blue", cidr: try .parse("10.0.2.0/24")),
            ])
    }

    @Test func routeTables() throws {
        let set = ManifestSet(
            text: document(
                "RouteTable", "egress",
                """
                spec:
                  vpc: blue
                  routes:
                    - destination: 0.0.0.0/0
                      nextHops: [{interface: fw-a, weight: 256}, {interface: fw-b}]
                    - {destination: 192.168.66.0/24, blackhole: true}
                """) + "\n---\n" + document("RouteTable", "none", "spec: {vpc: blue}"))
        #expect(findings(set) == [])
        #expect(
            set.model.routeTables == [
                RouteTable(
                    metadata: Metadata(name: "egress"), vpc: "blue",
                    routes: [
                        CustomRoute(
                            destination: .defaultIPv4,
                            target: .nextHops([NextHop(interface: "fw-a", weight: 256), NextHop(interface: "fw-b")])),
                        CustomRoute(destination: try .parse("192.168.66.0/24"), target: .blackhole),
                    ]),
                RouteTable(metadata: Metadata(name: "none"), vpc: "blue", routes: []),
            ])
    }

    @Test func networkInterfaces() {
        let set = ManifestSet(
            text: document(
                "NetworkInterface", "web1-eth0",
                """
                spec:
                  subnet: web
                  host: h1
                  address: 10.0.1.10
                  mac: 02:00:0a:00:01:0a
                  sourceDestCheck: false
                  securityGroups: []
                  attachment: {netns: web1, device: eth0}
                  mtu: 9000
                """) + "\n---\n"
                + document(
                    "NetworkInterface", "vm",
                    "spec: {subnet: web, host: h1, address: 10.0.1.11, attachment: {device: tap7}}"))
        #expect(findings(set) == [])
        #expect(
            set.model.interfaces == [
                NetworkInterface(
                    metadata: Metadata(name: "web1-eth0"), subnet: "web", host: "h1",
                    address: IPAddress(v4: 0x0A00_010A),
                    mac: MACAddress(rawValue: 0x0200_0A00_010A), sourceDestCheck: false,
                    attachment: .namespace("web1", device: "eth0"), mtu: 9000),
                NetworkInterface(
                    metadata: Metadata(name: "vm"), subnet: "web", host: "h1", address: IPAddress(v4: 0x0A00_010B),
                    attachment: .device("tap7")),
            ])
    }

    @Test func probes() {
        let set = ManifestSet(
            text: document("Probe", "a", "spec: {from: x, to: y, protocol: tcp, port: 65535, expect: allow}")
                + "\n---\n"
                + document("Probe", "b", "spec: {from: x, to: 10.0.0.1, protocol: udp, port: 1, expect: deny}")
                + "\n---\n"
                + document("Probe", "c", "spec: {from: x, to: \"7\", protocol: icmp, expect: deny}"))
        #expect(findings(set) == [])
        #expect(
            set.model.probes == [
                Probe(
                    metadata: Metadata(name: "a"), from: .interface("x"), to: .interface("y"),
                    transport: .tcp(port: 65535),
                    expect: .allow),
                Probe(
                    metadata: Metadata(name: "b"), from: .interface("x"), to: .address(IPAddress(v4: 0x0A00_0001)),
                    transport: .udp(port: 1), expect: .deny),
                Probe(
                    metadata: Metadata(name: "c"), from: .interface("x"), to: .interface("7"), transport: .icmp,
                    expect: .deny),
            ])
    }

    /// JSON is YAML, also where YAML has more to say.
    @Test func jsonIsRead() {
        let set = ManifestSet(
            text: #"""
                {"apiVersion":"vpcctl.dev\/v1","kind":"VPC","metadata":{"name":"blue","annotations":{"smile":"\u263a \"x\"\n"}},
                 "spec":{"id":101,"cidrs":["10.0.0.0\/16"]}}
                """#)
        #expect(findings(set) == [])
        #expect(set.model.vpcs.first?.metadata.annotations == ["smile": "☺ \"x\"\n"])
    }
}

/// What makes a field, a document or a set of documents wrong: one input for every rule, with the place it names.
@Suite(.timeLimit(minutes: 10)) struct DecodingErrorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var text: String
        var findings: [String]
        var testDescription: String { findings.joined(separator: ", ") + ": " + text }

        init(_ text: String, _ findings: String...) {
            self.text = text
            self.findings = findings
        }
    }

    static func spec(_ kind: String, _ spec: String, _ findings: String...) -> Case {
        var result = Case(document(kind, "a", spec))
        result.findings = findings
        return result
    }

    static let documents: [Case] = [
        Case("- a", "wrong-type 1:1"),
        Case("a string", "wrong-type 1:1"),
        Case("{}", "missing-field 1:1", "missing-field 1:1", "missing-field 1:1"),
        Case(
            "apiVersion: vpcctl.dev/v2\nkind: VPC\nmetadata: {name: a}\nspec: {id: 1, cidrs: [10.0.0.0/8]}",
            "api-version 1:13"),
        Case("apiVersion: v1\nkind: List\nitems: []", "api-version 1:13"),
        Case("kind: VPC\nmetadata: {name: a}\nspec: {id: 1, cidrs: [10.0.0.0/8]}", "missing-field 1:1"),
        Case("apiVersion: vpcctl.dev/v1\nkind: Vpc\nmetadata: {name: a}", "unknown-kind 2:7"),
        Case("apiVersion: vpcctl.dev/v1\nkind: 7\nmetadata: {name: a}", "wrong-type 2:7"),
        Case("apiVersion: vpcctl.dev/v1\nkind: VPC\nspec: {id: 1, cidrs: [10.0.0.0/8]}", "missing-field 1:1"),
        Case("apiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: a}", "missing-field 1:1"),
        Case("apiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: a}\nspec:", "missing-field 4:6"),
        Case(
            "apiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: a\nspec: {id: 1, cidrs: [10.0.0.0/8]}", "wrong-type 3:11"),
        Case(document("VPC", "a", "spec: {id: 1, cidrs: [10.0.0.0/8]}\nstatus: {}"), "unknown-field 5:1"),
        Case(document("VPC", "a", "spec: {id: 1, cidrs: [10.0.0.0/8]}\n? [a, b]\n: c"), "wrong-type 5:3"),
        Case(document("VPC", "A", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "invalid-name 3:18"),
        Case(document("VPC", "-a", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "invalid-name 3:18"),
        Case(document("VPC", "a.b", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "invalid-name 3:18"),
        Case(document("VPC", "''", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "invalid-name 3:18"),
        Case(
            document("VPC", String(repeating: "a", count: 64), "spec: {id: 1, cidrs: [10.0.0.0/8]}"),
            "invalid-name 3:18"),
        Case(document("VPC", "101", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "wrong-type 3:18"),
        Case(document("VPC", "1e3", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "wrong-type 3:18"),
        Case(document("VPC", "true", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "wrong-type 3:18"),
        Case(
            document("VPC", "a, labels: {x: 1, y: [z]}", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "wrong-type 3:33",
            "wrong-type 3:36"),
        Case(document("VPC", "a, labels: x", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "wrong-type 3:29"),
        Case(document("VPC", "a, labels: {x: a, x: b}", "spec: {id: 1, cidrs: [10.0.0.0/8]}"), "duplicate-key 3:36"),
    ]

    static let fields: [Case] = [
        // Types.
        spec("VPC", "spec: {id: \"101\", cidrs: [10.0.0.0/8]}", "wrong-type 4:12"),
        spec("VPC", "spec: {id: 101.0, cidrs: [10.0.0.0/8]}", "wrong-type 4:12"),
        spec("VPC", "spec: {id: 1_000, cidrs: [10.0.0.0/8]}", "wrong-type 4:12"),
        spec("VPC", "spec: {id: [1], cidrs: [10.0.0.0/8]}", "wrong-type 4:8"),
        spec("VPC", "spec: {id: 1, cidrs: 10.0.0.0/8}", "wrong-type 4:22"),
        spec("VPC", "spec:\n  id: 1\n  cidrs:\n    a: b", "wrong-type 6:3"),
        spec("VPC", "spec: {id: 1, cidrs: [10]}", "wrong-type 4:23"),
        spec("VPC", "spec: text", "wrong-type 4:7"),
        spec("VPC", "spec: [a]", "wrong-type 4:1"),
        // Values.
        spec("VPC", "spec: {id: 0, cidrs: [10.0.0.0/8]}", "out-of-range 4:12"),
        spec("VPC", "spec: {id: 2147483648, cidrs: [10.0.0.0/8]}", "out-of-range 4:12"),
        spec("VPC", "spec: {id: 99999999999999999999, cidrs: [10.0.0.0/8]}", "out-of-range 4:12"),
        spec("VPC", "spec: {id: -1, cidrs: [10.0.0.0/8]}", "out-of-range 4:12"),
        spec("VPC", "spec: {id: 1, cidrs: []}", "empty-list 4:15"),
        spec("VPC", "spec: {id: 1, cidrs: [10.0.0.0]}", "invalid-cidr 4:23"),
        spec("VPC", "spec: {id: 1, cidrs: [10.0.0.0/33]}", "invalid-cidr 4:23"),
        spec("VPC", "spec: {id: 1, cidrs: [10.0.0.0/8, 10.0.0.1/8]}", "host-bits 4:35"),
        spec("VPC", "spec: {id: 1, cidrs: [2001:db8::/32]}", "unsupported 4:23"),
        spec("VPC", "spec: {id: 1, cidrs: [2001:db8::1/32]}", "unsupported 4:23"),
        spec("VPC", "spec: {cidrs: [10.0.0.0/8]}", "missing-field 4:1"),
        spec("VPC", "spec: {id: 1}", "missing-field 4:1"),
        spec("VPC", "spec: {id: 1, cidrs: [10.0.0.0/8], id: 2}", "duplicate-key 4:36"),
        spec("VPC", "spec: {id: 1, cidrs: [10.0.0.0/8], name: x}", "unknown-field 4:36"),
        // An unknown field that looks like a missing one is one mistake.
        spec("VPC", "spec: {id: 1, cidr: [10.0.0.0/8]}", "unknown-field 4:15"),
        spec("Host", "spec: {}", "missing-field 4:1"),
        spec("Host", "spec:\n  underlay: {}", "missing-field 5:3"),
        spec("Host", "spec:\n  underlay: {address: 10.0.0.256}", "invalid-address 5:23"),
        spec("Host", "spec:\n  underlay: {address: 2001:db8::1}", "unsupported 5:23"),
        spec("Host", "spec:\n  underlay: {address: 10.0.0.1, device: lo}", "invalid-device 5:41"),
        spec("Host", "spec:\n  underlay: {address: 10.0.0.1}\n  zone: 1", "wrong-type 6:9"),
        spec("Subnet", "spec: {vpc: Blue, cidr: 10.0.1.0/24}", "invalid-name 4:13"),
        spec("Subnet", "spec: {cidr: 10.0.1.0/24}", "missing-field 4:1"),
        spec("Subnet", "spec: {vpc: blue}", "missing-field 4:1"),
        spec("Subnet", "spec: {vpc: blue, cidr: 10.0.1.0/24, acl: Web}", "invalid-name 4:43"),
        spec("Subnet", "spec: {vpc: blue, cidr: 10.0.1.0/24, gateway: 10.0.1.1/24}", "invalid-address 4:47"),
        spec("RouteTable", "spec: {vpc: blue, routes: [x]}", "wrong-type 4:28"),
        spec("RouteTable", "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0}]}", "missing-field 4:28"),
        spec("RouteTable", "spec: {vpc: blue, routes: [{blackhole: true}]}", "missing-field 4:28"),
        spec(
            "RouteTable", "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, blackhole: false}]}",
            "invalid-value 4:64"),
        spec("RouteTable", "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, blackhole: yes}]}", "wrong-type 4:64"),
        spec("RouteTable", "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: []}]}", "empty-list 4:53"),
        spec(
            "RouteTable",
            "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: [{interface: x}], blackhole: true}]}",
            "conflicting-fields 4:92"),
        spec("RouteTable", "spec: {vpc: blue, routes: [{destination: 64::/16, blackhole: true}]}", "unsupported 4:42"),
        spec(
            "RouteTable",
            "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: [{interface: x, weight: 0}]}]}",
            "out-of-range 4:87"),
        spec(
            "RouteTable",
            "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: [{interface: x, weight: 257}]}]}",
            "out-of-range 4:87"),
        spec(
            "RouteTable", "spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: [{}]}]}", "missing-field 4:64"),
        spec("Probe", "spec: {from: x, to: y, protocol: tcp, expect: deny}", "missing-field 4:1"),
        spec("Probe", "spec: {from: x, to: y, protocol: icmp, port: 1, expect: deny}", "conflicting-fields 4:46"),
        spec("Probe", "spec: {from: x, to: y, protocol: udp, port: 65536, expect: deny}", "out-of-range 4:45"),
        spec("Probe", "spec: {from: x, to: y, protocol: dccp, port: 1, expect: deny}", "invalid-value 4:34"),
        spec("Probe", "spec: {from: x, to: y, protocol: sctp, expect: deny}", "missing-field 4:1"),
        spec("Probe", "spec: {from: x, to: y, protocol: icmp, expect: Deny}", "invalid-value 4:48"),
        spec("Probe", "spec: {from: x, to: 10.0.0.300, protocol: icmp, expect: deny}", "invalid-address 4:21"),
        spec("Probe", "spec: {from: x, to: 2001:db8::1, protocol: icmp, expect: deny}", "unsupported 4:21"),
        spec("Probe", "spec: {from: x, to: Y, protocol: icmp, expect: deny}", "invalid-name 4:21"),
        spec("Probe", "spec: {from: x, to: 7, protocol: icmp, expect: deny}", "wrong-type 4:21"),
        spec("Probe", "spec: {}", "missing-field 4:1", "missing-field 4:1", "missing-field 4:1", "missing-field 4:1"),
    ]

    static func interface(_ rest: String, _ findings: String...) -> Case {
        var result = Case(
            document("NetworkInterface", "a", "spec:\n  subnet: s\n  host: h\n  address: 10.0.0.5\n  \(rest)"))
        result.findings = findings
        return result
    }

    static let interfaces: [Case] = [
        interface("mtu: 1500", "missing-field 4:1"),
        interface("attachment: eth0", "wrong-type 8:15"),
        interface("attachment: {netns: x}", "missing-field 8:3"),
        interface("attachment: {device: ''}", "invalid-device 8:24"),
        interface("attachment: {device: a234567890123456}", "invalid-device 8:24"),
        interface("attachment: {device: a/b}", "invalid-device 8:24"),
        interface("attachment: {device: \"a b\"}", "invalid-device 8:24"),
        interface("attachment: {device: \"a:b\"}", "invalid-device 8:24"),
        interface("attachment: {device: tap%d}", "invalid-device 8:24"),
        interface("attachment: {device: \"..\"}", "invalid-device 8:24"),
        interface("attachment: {device: \".\"}", "invalid-device 8:24"),
        interface("attachment: {device: \"a\\x7f\"}", "invalid-device 8:24"),
        interface("attachment: {device: lo}", "invalid-device 8:24"),
        interface("attachment: {device: all}", "invalid-device 8:24"),
        interface("attachment: {device: default}", "invalid-device 8:24"),
        interface("attachment: {device: gre0}", "invalid-device 8:24"),
        interface("attachment: {netns: web1, device: erspan0}", "invalid-device 8:37"),
        interface("attachment: {device: vpc-gx}", "invalid-device 8:24"),
        interface("attachment: {device: voilà}", "invalid-device 8:24"),
        interface("attachment: {netns: '', device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: a/b, device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: .., device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: ., device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: \"-x\", device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: \"a\\0\", device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {netns: \(String(repeating: "n", count: 129)), device: eth0}", "invalid-netns 8:23"),
        interface("attachment: {device: tap7}\n  mac: 02:00:00:00:00", "invalid-mac 9:8"),
        interface("attachment: {device: tap7}\n  mac: 03:00:00:00:00:01", "invalid-mac 9:8"),
        interface("attachment: {device: tap7}\n  mac: 00:00:00:00:00:00", "invalid-mac 9:8"),
        interface("attachment: {device: tap7}\n  mtu: 67", "out-of-range 9:8"),
        interface("attachment: {device: tap7}\n  mtu: 65536", "out-of-range 9:8"),
        interface("attachment: {device: tap7}\n  sourceDestCheck: no", "wrong-type 9:20"),
        interface("attachment: {device: tap7}\n  sourceDestCheck: \"false\"", "wrong-type 9:20"),
        interface("attachment: {device: tap7}\n  securityGroups: [web, Web]", "invalid-name 9:25"),
        interface("attachment: {device: tap7}\n  securityGroups: web", "wrong-type 9:19"),
        interface("attachment: {device: tap7}\n  ip: 10.0.0.1", "unknown-field 9:3"),
    ]

    @Test(arguments: documents + fields + interfaces) func isFoundAtItsPlace(_ example: Case) {
        let set = ManifestSet(text: example.text)
        #expect(findings(set) == example.findings)
        // What is wrong is not in the model, and the model says so.
        #expect(set.model.resources.isEmpty)
        #expect(!set.model.gaps.isEmpty)
        #expect(!set.isValid)
    }

    /// The widest values that are still right.
    @Test(arguments: [
        document("VPC", String(repeating: "a", count: 63), "spec: {id: 2147483647, cidrs: [0.0.0.0/0]}"),
        document("VPC", "1-a", "spec: {id: 0x7fffffff, cidrs: [10.0.0.1/32]}"),
        document("VPC", "a", "spec: {id: 0o17, cidrs: [10.0.0.1/32]}"),
        document("VPC", "a", "spec: {id: !!int \"101\", cidrs: [10.0.0.1/32]}"),
        document("VPC", "!!str 101", "spec: {id: 1, cidrs: [10.0.0.1/32]}"),
        document("VPC", "no", "spec: {id: +1, cidrs: [10.0.0.1/32]}"),
        interface("attachment: {netns: \(String(repeating: "n", count: 128)), device: a23456789012345}\n  mtu: 68")
            .text,
        interface("attachment: {device: ä.@-_}\n  mtu: 65535\n  sourceDestCheck: True").text,
        interface("attachment: {device: tap7}\n  mac: 12:34:56:10:20:30").text,
    ])
    func isRight(_ text: String) {
        #expect(findings(text) == [])
    }
}

/// What a message says.
@Suite(.timeLimit(minutes: 10)) struct MessageTests {
    @Test(arguments: [
        (
            document("VPC", "blue", "spec: {id: \"101\", cidrs: [10.0.0.0/8]}"),
            "VPC blue: spec.id must be an integer, not the string \"101\"", "remove the quotes: 101"
        ),
        (
            document("VPC", "101", "spec: {id: 101, cidrs: [10.0.0.0/8]}"),
            "VPC 101: metadata.name must be a string, not the integer 101", "quote it: \"101\""
        ),
        (
            document("VPC", "blue", "spec: {id: 101, cidrs: [10.0.0.0/8, 10.1.2.3/16]}"),
            "VPC blue: spec.cidrs[1]: 10.1.2.3/16 has bits set beyond its prefix length", "did you mean 10.1.0.0/16?"
        ),
        (
            document("VPC", "blue", "spec: {id: 101, cidrs: [10.0.0.0/8], zones: []}"),
            "VPC blue: spec has no field \"zones\"",
            "the fields are id, cidrs, logDenied, maxConnections, account, region"
        ),
        (
            document("VPC", "blue", "spec: {id: 101, cidsr: [10.0.0.0/8]}"),
            "VPC blue: spec has no field \"cidsr\"", "did you mean cidrs?"
        ),
        (
            document("NetworkInterfce", "blue", "spec: {id: 101, cidsr: [10.0.0.0/8]}"),
            "there is no kind \"NetworkInterfce\"", "did you mean NetworkInterface?"
        ),
        (
            document("Elephant", "blue", "spec: {}"), "there is no kind \"Elephant\"",
            "the kinds are Host, VPC, Subnet, RouteTable, NetworkInterface, SecurityGroup, NetworkACL, Probe,"
                + " ExternalNetwork, NATGateway, ElasticIP, VPCPeering, PeeringAcceptance, TargetGroup, LoadBalancer"
        ),
        (
            document("VPC", "blue", "spec: {id: 101, cidrs: 10.0.0.0/8}"),
            "VPC blue: spec.cidrs must be a list of CIDR blocks, not the string \"10.0.0.0/8\"", "write [10.0.0.0/8]"
        ),
        (
            "apiVersion: v1\nkind: VPC\nmetadata: {name: blue}\nspec: {id: 101, cidrs: [10.0.0.0/8]}",
            "VPC blue: apiVersion \"v1\" is not known", "write apiVersion: vpcctl.dev/v1"
        ),
    ])
    func namesObjectFieldAndRemedy(_ text: String, _ message: String, _ hint: String) throws {
        let diagnostic = try #require(ManifestSet(text: text).diagnostics.first)
        #expect(diagnostic.message == message)
        #expect(diagnostic.hint == hint)
    }

    /// What would only repeat the wrong value is no remedy.
    @Test func mappingsAreNotToldToBeLists() {
        #expect(
            ManifestSet(text: document("VPC", "blue", "spec: {id: 101, cidrs: {a: b}}")).diagnostics.map(\.hint) == [
                nil
            ])
    }

    @Test func longValuesAreCut() {
        for (length, shown) in [(40, String(repeating: "x", count: 40)), (41, String(repeating: "x", count: 40) + "…")]
        {
            let id = String(repeating: "x", count: length)
            #expect(
                ManifestSet(text: document("VPC", "blue", "spec: {id: \(id), cidrs: [10.0.0.0/8]}")).diagnostics.map(
                    \.message)
                    == ["VPC blue: spec.id must be an integer, not the string \"\(shown)\""])
        }
    }
}
