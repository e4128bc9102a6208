import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

/// Security groups and network ACLs, read.
@Suite(.timeLimit(minutes: 10)) struct SecurityDecodingTests {
    @Test func everyField() throws {
        let set = ManifestSet(
            text: """
                apiVersion: vpcctl.dev/v1
                kind: SecurityGroup
                metadata: {name: web, labels: {tier: front}}
                spec:
                  vpc: blue
                  ingress:
                    - {protocol: tcp, ports: [80, 443, 8000-8999, "0-65535", 0x50], from: [{cidr: 0.0.0.0/0}]}
                    - protocol: icmp
                      icmpType: 3
                      icmpCode: 4
                      from:
                        - securityGroup: web
                        - cidr: 10.0.0.0/8
                    - {protocol: 6, ports: [22], from: [{securityGroup: "1"}]}
                  egress:
                    - {protocol: all, to: [{cidr: 0.0.0.0/0}]}
                    - {protocol: 132, ports: [3868], to: [{cidr: 10.0.0.0/8}]}
                    - {protocol: sctp, to: [{cidr: 10.0.0.0/8}]}
                ---
                kind: SecurityGroup
                metadata: {name: closed}
                spec: {vpc: blue, ingress: [], egress: }
                ---
                kind: NetworkACL
                metadata: {name: web-acl, annotations: {why: audit}}
                spec:
                  vpc: blue
                  ingress:
                    - {priority: 32766, action: allow, protocol: udp, cidr: 0.0.0.0/0, ports: [53]}
                    - {priority: 1, action: deny, protocol: icmp, icmpType: 0, cidr: 10.0.9.0/24}
                    - {priority: 2, action: deny, protocol: gre, cidr: 10.0.9.0/24}
                    - {priority: 3, action: deny, protocol: esp, cidr: 10.0.9.0/24}
                ---
                kind: Subnet
                metadata: {name: web}
                spec: {vpc: blue, cidr: 10.0.1.0/24, acl: web-acl}
                ---
                kind: NetworkInterface
                metadata: {name: web1}
                spec:
                  {subnet: web, host: h1, address: 10.0.1.10, securityGroups: [web, closed],
                  attachment: {device: tap7}}
                """)
        #expect(findings(set) == [])
        let any = IPPrefix.defaultIPv4
        let ten = try #require(IPPrefix("10.0.0.0/8"))
        let nine = try #require(IPPrefix("10.0.9.0/24"))
        #expect(
            set.model.securityGroups == [
                SecurityGroup(
                    metadata: Metadata(name: "web", labels: ["tier": "front"]), vpc: "blue",
                    ingress: [
                        SecurityRule(
                            traffic: TrafficMatch(
                                ipProtocol: .tcp,
                                ports: [80...80, 443...443, 8000...8999, 0...65535, 80...80]),
                            peers: [.cidr(any)]),
                        SecurityRule(
                            traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 3, icmpCode: 4),
                            peers: [.securityGroup("web"), .cidr(ten)]),
                        SecurityRule(
                            traffic: TrafficMatch(ipProtocol: .tcp, ports: [22...22]), peers: [.securityGroup("1")]),
                    ],
                    egress: [
                        SecurityRule(traffic: TrafficMatch(), peers: [.cidr(any)]),
                        SecurityRule(
                            traffic: TrafficMatch(ipProtocol: .sctp, ports: [3868...3868]), peers: [.cidr(ten)]),
                        SecurityRule(traffic: TrafficMatch(ipProtocol: .sctp), peers: [.cidr(ten)]),
                    ]),
                SecurityGroup(metadata: Metadata(name: "closed"), vpc: "blue"),
            ])
        #expect(
            set.model.acls == [
                NetworkACL(
                    metadata: Metadata(name: "web-acl", annotations: ["why": "audit"]), vpc: "blue",
                    ingress: [
                        ACLRule(
                            priority: 32766, action: .allow,
                            traffic: TrafficMatch(ipProtocol: .udp, ports: [53...53]), cidr: any),
                        ACLRule(
                            priority: 1, action: .deny, traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 0),
                            cidr: nine),
                        ACLRule(priority: 2, action: .deny, traffic: TrafficMatch(ipProtocol: .gre), cidr: nine),
                        ACLRule(priority: 3, action: .deny, traffic: TrafficMatch(ipProtocol: .esp), cidr: nine),
                    ])
            ])
        #expect(set.model.subnets.map(\.acl) == ["web-acl"])
        #expect(set.model.interfaces.map(\.securityGroups) == [["web", "closed"]])
        let again = ManifestSet(text: ManifestText.yaml(set.model.resources))
        #expect(findings(again) == [])
        #expect(again.model.resources == set.model.resources)
    }

    @Test func isWrittenForReaders() throws {
        let group = SecurityGroup(
            metadata: Metadata(name: "web"), vpc: "blue",
            ingress: [
                SecurityRule(
                    traffic: TrafficMatch(ipProtocol: .tcp, ports: [80...80, 8000...8999]),
                    peers: [.cidr(.defaultIPv4), .securityGroup("db")])
            ], egress: [SecurityRule(traffic: TrafficMatch(), peers: [.cidr(.defaultIPv4)])])
        let acl = NetworkACL(
            metadata: Metadata(name: "edge"), vpc: "blue",
            egress: [
                ACLRule(
                    priority: 100, action: .deny,
                    traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 3, icmpCode: 4), cidr: .defaultIPv4),
                ACLRule(
                    priority: 200, action: .allow, traffic: TrafficMatch(ipProtocol: IPProtocol(51)),
                    cidr: .defaultIPv4),
            ])
        #expect(
            ManifestText.yaml([Resource(group), Resource(acl)]) == """
                ---
                apiVersion: vpcctl.dev/v1
                kind: SecurityGroup
                metadata:
                  name: web
                spec:
                  vpc: blue
                  ingress:
                  - protocol: tcp
                    ports:
                    - 80
                    - "8000-8999"
                    from:
                    - cidr: 0.0.0.0/0
                    - securityGroup: db
                  egress:
                  - protocol: all
                    to:
                    - cidr: 0.0.0.0/0
                ---
                apiVersion: vpcctl.dev/v1
                kind: NetworkACL
                metadata:
                  name: edge
                spec:
                  vpc: blue
                  egress:
                  - priority: 100
                    action: deny
                    protocol: icmp
                    icmpType: 3
                    icmpCode: 4
                    cidr: 0.0.0.0/0
                  - priority: 200
                    action: allow
                    protocol: 51
                    cidr: 0.0.0.0/0

                """)
    }

    // MARK: Errors

    struct Case: CustomTestStringConvertible, Sendable {
        var text: String
        var findings: [String]
        var testDescription: String { text.split(separator: "\n").last.map(String.init) ?? "" }
    }

    /// The rule begins at 4:29.
    static func ingress(_ rule: String, _ findings: String...) -> Case {
        Case(text: document("SecurityGroup", "a", "spec: {vpc: blue, ingress: [\(rule)]}"), findings: findings)
    }

    /// The line begins at 4:28, the traffic at 4:59.
    static func line(_ traffic: String, _ findings: String...) -> Case {
        Case(
            text: document(
                "NetworkACL", "a", "spec: {vpc: blue, egress: [{priority: 1, action: deny, \(traffic)}]}"),
            findings: findings)
    }

    static let cases: [Case] = [
        // Groups.
        Case(text: document("SecurityGroup", "a", "spec: {}"), findings: ["missing-field 4:1"]),
        Case(text: document("SecurityGroup", "a", "spec: {vpc: blue, ingress: x}"), findings: ["wrong-type 4:28"]),
        Case(text: document("SecurityGroup", "a", "spec: {vpc: blue, rules: []}"), findings: ["unknown-field 4:19"]),
        ingress("x", "wrong-type 4:29"),
        ingress("{}", "missing-field 4:29", "missing-field 4:29"),
        ingress("{protocol: all}", "missing-field 4:29"),
        ingress("{from: [{cidr: 0.0.0.0/0}]}", "missing-field 4:29"),
        ingress("{protocol: all, to: [{cidr: 0.0.0.0/0}]}", "unknown-field 4:45"),
        ingress("{protocol: all, form: [{cidr: 0.0.0.0/0}]}", "unknown-field 4:45"),
        ingress("{protocol: all, from: []}", "empty-list 4:45"),
        ingress("{protocol: all, from: web}", "wrong-type 4:51"),
        ingress("{protocol: all, from: [web]}", "wrong-type 4:52"),
        ingress("{protocol: all, from: [{}]}", "missing-field 4:52"),
        ingress("{protocol: all, from: [{cird: 10.0.0.0/8}]}", "unknown-field 4:53"),
        ingress("{protocol: all, from: [{cidr: 10.0.0.0/8, securityGroup: b}]}", "conflicting-fields 4:86"),
        ingress("{protocol: all, from: [{cidr: 10.0.0.1/8}]}", "host-bits 4:59"),
        ingress("{protocol: all, from: [{cidr: 2001:db8::/32}]}", "unsupported 4:59"),
        ingress("{protocol: all, from: [{cidr: 10.0.0.1}]}", "invalid-cidr 4:59"),
        ingress("{protocol: all, from: [{securityGroup: Web}]}", "invalid-name 4:68"),
        ingress("{protocol: all, from: [{securityGroup: 7}]}", "wrong-type 4:68"),
        Case(
            text: document(
                "SecurityGroup", "a", "spec: {vpc: b, egress: [{protocol: all, from: [{cidr: 0.0.0.0/0}]}]}"),
            findings: ["unknown-field 4:41"]),
        // Lines.
        Case(text: document("NetworkACL", "a", "spec: {vpc: 1}"), findings: ["wrong-type 4:13"]),
        Case(
            text: document("NetworkACL", "a", "spec: {vpc: b, ingress: [{}]}"),
            findings: Array(repeating: "missing-field 4:26", count: 4)),
        Case(
            text: document(
                "NetworkACL", "a",
                "spec: {vpc: b, ingress: [{priority: 0, action: drop, protocol: all, cidr: 10.0.0.1/8}]}"),
            findings: ["out-of-range 4:37", "invalid-value 4:48", "host-bits 4:75"]),
        Case(
            text: document(
                "NetworkACL", "a",
                "spec: {vpc: b, ingress: [{priority: 32767, action: deny, protocol: all, cidr: \"::/0\"}]}"),
            findings: ["out-of-range 4:37", "unsupported 4:79"]),
        line("protocol: all, cidr: 0.0.0.0/0, from: []", "unknown-field 4:88"),
        // Protocols.
        line("protocol: tpc, cidr: 0.0.0.0/0", "invalid-value 4:66"),
        line("protocol: TCP, cidr: 0.0.0.0/0", "invalid-value 4:66"),
        line("protocol: \"6\", cidr: 0.0.0.0/0", "invalid-value 4:66"),
        line("protocol: any, cidr: 0.0.0.0/0", "invalid-value 4:66"),
        line("protocol: 256, cidr: 0.0.0.0/0", "out-of-range 4:66"),
        line("protocol: -1, cidr: 0.0.0.0/0", "out-of-range 4:66"),
        line("protocol: 6.0, cidr: 0.0.0.0/0", "wrong-type 4:66"),
        line("protocol: [tcp], cidr: 0.0.0.0/0", "wrong-type 4:56"),
        line("protocol: , cidr: 0.0.0.0/0", "missing-field 4:66"),
        // Ports.
        line("protocol: icmp, cidr: 0.0.0.0/0, ports: [80]", "conflicting-fields 4:89"),
        line("protocol: all, cidr: 0.0.0.0/0, ports: [80]", "conflicting-fields 4:88"),
        line("protocol: 33, cidr: 0.0.0.0/0, ports: []", "conflicting-fields 4:87"),
        line("protocol: 136, cidr: 0.0.0.0/0, ports: [80]", "conflicting-fields 4:88"),
        line("protocol: sctp, cidr: 0.0.0.0/0, ports: []", "empty-list 4:89"),
        line("protocol: sctp, cidr: 0.0.0.0/0, ports: [65536]", "out-of-range 4:97"),
        line("protocol: sctp, cidr: 0.0.0.0/0, icmpType: 8", "conflicting-fields 4:99"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: []", "empty-list 4:88"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: 80", "wrong-type 4:95"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [65536]", "out-of-range 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [-1]", "out-of-range 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [80-65536]", "out-of-range 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [443-80]", "reversed-range 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [80, 1-2-3]", "invalid-value 4:100"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [80 - 90]", "invalid-value 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [http]", "invalid-value 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [\"80\"]", "invalid-value 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [80-]", "invalid-value 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [[80]]", "wrong-type 4:96"),
        line("protocol: tcp, cidr: 0.0.0.0/0, ports: [80.5]", "wrong-type 4:96"),
        // ICMP.
        line("protocol: icmp, cidr: 0.0.0.0/0, icmpType: 256", "out-of-range 4:99"),
        line("protocol: icmp, cidr: 0.0.0.0/0, icmpType: 3, icmpCode: -1", "out-of-range 4:112"),
        line("protocol: icmp, cidr: 0.0.0.0/0, icmpCode: 0", "missing-field 4:99"),
        line("protocol: tcp, cidr: 0.0.0.0/0, icmpType: 8", "conflicting-fields 4:98"),
        line(
            "protocol: all, cidr: 0.0.0.0/0, icmpType: 8, icmpCode: 0", "conflicting-fields 4:98",
            "conflicting-fields 4:111"),
    ]

    @Test(arguments: cases) func isFoundAtItsPlace(_ example: Case) {
        let set = ManifestSet(text: example.text)
        #expect(findings(set) == example.findings)
        // What is wrong is not in the model, and the model says so.
        #expect(set.model.resources.isEmpty)
        #expect(!set.model.gaps.isEmpty)
    }
}
