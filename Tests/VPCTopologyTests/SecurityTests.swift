import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCTopology

/// Two VPCs with a subnet and an interface each.
private let base = """
    apiVersion: vpcctl.dev/v1
    kind: Host
    metadata: {name: h1}
    spec: {underlay: {address: 172.31.0.1}}
    ---
    kind: VPC
    metadata: {name: blue}
    spec: {id: 101, cidrs: [10.0.0.0/16, 10.8.0.0/16]}
    ---
    kind: VPC
    metadata: {name: red}
    spec: {id: 102, cidrs: [10.0.0.0/16]}
    ---
    kind: Subnet
    metadata: {name: web}
    spec: {vpc: blue, cidr: 10.0.1.0/24}
    ---
    kind: Subnet
    metadata: {name: red-web}
    spec: {vpc: red, cidr: 10.0.1.0/24}
    ---
    kind: NetworkInterface
    metadata: {name: web1}
    spec: {subnet: web, host: h1, address: 10.0.1.10, attachment: {device: tap1}}
    ---
    kind: SecurityGroup
    metadata: {name: front}
    spec: {vpc: blue}
    ---
    kind: SecurityGroup
    metadata: {name: red-front}
    spec: {vpc: red}
    ---
    kind: NetworkACL
    metadata: {name: edge}
    spec: {vpc: blue}
    ---
    kind: NetworkACL
    metadata: {name: red-edge}
    spec: {vpc: red}

    """

private func load(_ texts: [String]) -> (set: ManifestSet, resolution: Resolution) {
    let set = ManifestSet([
        ManifestSource(name: "base", text: base),
        ManifestSource(name: "test", text: texts.joined(separator: "\n---\n")),
    ])
    return (set, Topology.resolve(set.model))
}

/// What is wrong: `rule line:column`, and after `<` the second place, one of the base set with its file.
private func findings(_ texts: String...) -> [String] {
    let (set, resolution) = load(texts)
    let located = set.located(resolution.diagnostics)
    #expect((resolution.topology == nil) == located.contains { $0.severity == .error })
    func place(_ position: SourcePosition?) -> String {
        position.map { " \($0.file == "base" ? "base:" : "")\($0.line):\($0.column)" } ?? " nowhere"
    }
    return located.map { diagnostic in
        (diagnostic.severity == .warning ? "warning " : "") + diagnostic.rule + place(diagnostic.position)
            + diagnostic.notes.map { " <" + place($0.location.position) }.joined()
    }
}

/// What is warned of and hinted at, without the resource.
private func messages(_ texts: String...) -> [String] {
    load(texts).resolution.diagnostics.map { diagnostic in
        let text = diagnostic.message.split(separator: ": ").dropFirst().joined(separator: ": ")
        return text + (diagnostic.hint.map { "; " + $0 } ?? "")
    }
}

/// A document of four lines or more, of which the fourth is the spec.
private func document(_ kind: ResourceKind, _ name: String, _ spec: String) -> String {
    "apiVersion: vpcctl.dev/v1\nkind: \(kind.rawValue)\nmetadata: {name: \(name)}\nspec: \(spec)"
}

/// A group in blue; the first rule is line 7.
private func group(_ rules: String..., name: String = "x", direction: String = "ingress") -> String {
    document(.securityGroup, name, "\n  vpc: blue\n  \(direction):" + rules.map { "\n  - {\($0)}" }.joined())
}

/// An ACL in blue; the first line is line 7.
private func acl(_ lines: String..., direction: String = "ingress") -> String {
    document(.networkACL, "x", "\n  vpc: blue\n  \(direction):" + lines.map { "\n  - {\($0)}" }.joined())
}

private func interface(_ name: String, groups: String, subnet: String = "web", address: String = "10.0.1.30") -> String
{
    document(
        .networkInterface, name,
        "{subnet: \(subnet), host: h1, address: \(address), attachment: {device: t-\(name)}, securityGroups: [\(groups)]}"
    )
}

@Suite(.timeLimit(minutes: 10)) struct SecurityTests {
    @Test func theBaseIsRight() {
        #expect(findings() == [])
    }

    // MARK: References

    @Test func groupsOfInterfaces() {
        #expect(findings(interface("a", groups: "front")) == [])
        #expect(findings(interface("a", groups: "frnt")) == ["dangling-reference 4:95"])
        #expect(
            messages(interface("a", groups: "frnt")) == [
                "there is no SecurityGroup named \"frnt\"; did you mean front?"
            ])
        #expect(findings(interface("a", groups: "red-front")) == ["security-group-other-vpc 4:95 < base:32:13"])
        #expect(findings(interface("a", groups: "front, front")) == ["duplicate-group 4:102 < 4:95"])
        // The interface's VPC is not known: a group of any can be right, but none that does not exist.
        #expect(
            findings(interface("a", groups: "red-front, back", subnet: "wbe")) == [
                "dangling-reference 4:16", "dangling-reference 4:106",
            ])
    }

    @Test func anInterfaceHasFiveGroups() {
        let groups = ["a", "b", "c", "d", "e"].map { document(.securityGroup, $0, "{vpc: blue}") }
            .joined(separator: "\n---\n")
        #expect(findings(interface("i", groups: "a, b, c, d, e"), groups) == [])
        #expect(findings(interface("i", groups: "a, b, c, d, e, front"), groups) == ["too-many-groups 4:78"])
        #expect(
            messages(interface("i", groups: "a, b, c, d, e, front"), groups) == [
                "it has 6 security groups; 5 are the most; join rules that always go together in one group"
            ])
        // One mistake, one error.
        #expect(
            findings(interface("i", groups: "a, b, c, d, e, a"), groups) == ["duplicate-group 4:110 < 4:95"])
    }

    @Test func groupsOfRules() {
        #expect(findings(group("protocol: all, from: [{securityGroup: front}]")) == [])
        #expect(findings(group("protocol: all, from: [{securityGroup: x}]")) == [])
        #expect(
            findings(group("protocol: all, from: [{cidr: 10.0.0.0/8}, {securityGroup: y}]")) == [
                "dangling-reference 7:64"
            ])
        #expect(
            findings(group("protocol: all, to: [{securityGroup: red-front}]", direction: "egress")) == [
                "security-group-other-vpc 7:42 < base:32:13"
            ])
        #expect(findings(document(.securityGroup, "a", "{vpc: bleu}")) == ["dangling-reference 4:13"])
        // A group whose VPC is broken exists all the same.
        #expect(
            findings(document(.securityGroup, "a", "{vpc: bleu}"), interface("i", groups: "a")) == [
                "dangling-reference 4:13"
            ])
        // One that could not be read, too.
        #expect(
            findings(document(.securityGroup, "a", "{vpc: 1}"), interface("i", groups: "a")) == ["wrong-type 4:13"])
    }

    @Test func aclsOfSubnets() {
        #expect(findings(document(.subnet, "a", "{vpc: blue, cidr: 10.0.2.0/24, acl: edge}")) == [])
        #expect(
            findings(document(.subnet, "a", "{vpc: blue, cidr: 10.0.2.0/24, acl: egde}")) == [
                "dangling-reference 4:43"
            ])
        #expect(
            findings(document(.subnet, "a", "{vpc: blue, cidr: 10.0.2.0/24, acl: red-edge}")) == [
                "acl-other-vpc 4:43 < base:40:13"
            ])
        #expect(
            findings(document(.subnet, "a", "{vpc: bleu, cidr: 10.0.2.0/24, acl: egde}")) == [
                "dangling-reference 4:13", "dangling-reference 4:43",
            ])
        #expect(findings(document(.networkACL, "a", "{vpc: bleu}")) == ["dangling-reference 4:13"])
    }

    @Test func priorities() {
        let allow = "action: allow, protocol: tcp, cidr: 10.0.0.0/8"
        #expect(
            findings(acl("priority: 7, \(allow)", "priority: 8, \(allow), ports: [1]", "priority: 7, \(allow)")) == [
                "duplicate-priority 9:16 < 7:16"
            ])
        // Directions do not meet.
        #expect(
            findings(
                document(
                    .networkACL, "a",
                    "\n  vpc: blue\n  ingress: [{priority: 1, \(allow)}]\n  egress: [{priority: 1, \(allow)}]"))
                == [])
    }

    // MARK: Lines that never decide

    private static let tcp = "protocol: tcp, cidr: 10.0.0.0/8"

    @Test func shadowedLines() {
        let allow = "action: allow, \(Self.tcp)"
        let deny = "action: deny, \(Self.tcp)"
        #expect(
            findings(acl("priority: 200, \(allow), ports: [80]", "priority: 100, \(deny)")) == [
                "warning shadowed-rule 7:5 < 8:5"
            ])
        #expect(
            messages(acl("priority: 200, \(allow), ports: [80]", "priority: 100, \(deny)")) == [
                "ingress line 200 never decides: line 100 matches all of its traffic; move it before line 100, or remove it"
            ])
        #expect(
            messages(acl("priority: 1, \(deny)", "priority: 2, \(deny), ports: [80]", direction: "egress")) == [
                "egress line 2 never decides: line 1 matches all of its traffic; remove it"
            ])
        // Not all of it.
        #expect(findings(acl("priority: 1, \(deny), ports: [1-79, 81-65535]", "priority: 2, \(allow)")) == [])
        #expect(
            findings(
                acl("priority: 1, \(deny)", "priority: 2, action: allow, protocol: all, cidr: 10.0.0.0/8")) == [])
        #expect(
            findings(
                acl("priority: 1, \(deny)", "priority: 2, action: allow, protocol: tcp, cidr: 0.0.0.0/0")) == [])
        #expect(
            findings(
                acl(
                    "priority: 1, action: deny, protocol: icmp, icmpType: 3, cidr: 0.0.0.0/0",
                    "priority: 2, action: allow, protocol: icmp, cidr: 0.0.0.0/0")) == [])
    }

    @Test func linesAreShadowedTogether() {
        let together = acl(
            "priority: 100, action: deny, protocol: tcp, cidr: 10.0.0.0/9",
            "priority: 150, action: deny, protocol: udp, cidr: 10.0.0.0/8",
            "priority: 200, action: allow, protocol: all, cidr: 10.128.0.0/9",
            "priority: 300, action: allow, protocol: tcp, ports: [80], cidr: 10.0.0.0/8")
        #expect(findings(together) == ["warning shadowed-rule 10:5 < 7:5"])
        #expect(
            messages(together) == [
                "ingress line 300 never decides: lines 100 and 200 together match all of its traffic;"
                    + " move it before line 100, or remove it"
            ])
        // One is enough: the other, which matches a part, is not named.
        #expect(
            findings(
                acl(
                    "priority: 100, action: allow, protocol: tcp, ports: [80], cidr: 10.0.0.0/9",
                    "priority: 200, action: allow, protocol: tcp, cidr: 0.0.0.0/0",
                    "priority: 300, action: allow, protocol: tcp, ports: [80], cidr: 10.0.0.0/8"))
                == ["warning shadowed-rule 9:5 < 8:5"])
        let many = acl(
            "priority: 1, action: deny, protocol: all, cidr: 10.0.0.0/10",
            "priority: 2, action: deny, protocol: all, cidr: 10.64.0.0/10",
            "priority: 3, action: deny, protocol: all, cidr: 10.128.0.0/10",
            "priority: 4, action: deny, protocol: all, cidr: 10.192.0.0/11",
            "priority: 5, action: deny, protocol: all, cidr: 10.224.0.0/11",
            "priority: 6, action: deny, protocol: all, cidr: 10.0.0.0/8")
        #expect(
            messages(many) == [
                "ingress line 6 never decides: lines 1, 2, 3 and 2 more together match all of its traffic; remove it"
            ])
    }

    @Test func shadowedRules() {
        #expect(
            findings(
                group(
                    "protocol: tcp, ports: [80, 443], from: [{cidr: 0.0.0.0/0}]",
                    "protocol: tcp, ports: [443], from: [{cidr: 10.0.0.0/8}]")) == ["warning shadowed-rule 8:5 < 7:5"])
        #expect(
            messages(
                group(
                    "protocol: tcp, ports: [80], from: [{cidr: 10.0.0.0/9}, {cidr: 10.128.0.0/10}]",
                    "protocol: tcp, from: [{cidr: 10.192.0.0/10}]",
                    "protocol: tcp, ports: [80], from: [{cidr: 10.0.0.0/8}]")) == [
                    "spec.ingress[2] allows nothing more: spec.ingress[0] and spec.ingress[1] together allow all of it;"
                        + " remove it"
                ])
        // The later one allows more.
        #expect(
            findings(
                group(
                    "protocol: tcp, ports: [443], from: [{cidr: 10.0.0.0/8}]",
                    "protocol: tcp, ports: [80, 443], from: [{cidr: 0.0.0.0/0}]")) == [])
        // Directions do not meet.
        #expect(
            findings(
                document(
                    .securityGroup, "x",
                    "\n  vpc: blue\n  ingress: [{protocol: all, from: [{cidr: 0.0.0.0/0}]}]\n"
                        + "  egress: [{protocol: all, to: [{cidr: 0.0.0.0/0}]}]")) == [])
    }

    @Test func shadowedRulesOfGroups() {
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{securityGroup: front}]",
                    "protocol: tcp, ports: [22], from: [{securityGroup: front}]"))
                == ["warning shadowed-rule 8:5 < 7:5"])
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{securityGroup: front}]",
                    "protocol: tcp, ports: [22], from: [{securityGroup: x}]")) == [])
        // Who is in a group may change, its members' addresses are the VPC's.
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{securityGroup: front}]",
                    "protocol: tcp, ports: [22], from: [{cidr: 10.0.1.10/32}]")) == [])
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{cidr: 10.0.0.0/8}]",
                    "protocol: tcp, ports: [22], from: [{securityGroup: front}]"))
                == ["warning shadowed-rule 8:5 < 7:5"])
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{cidr: 10.0.0.0/16}]",
                    "protocol: tcp, ports: [22], from: [{securityGroup: front}]")) == [])
        // All far ends of a rule count, and of one that is broken nothing is known.
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{securityGroup: front}]",
                    "protocol: tcp, from: [{securityGroup: front}, {cidr: 10.0.0.0/8}]")) == [])
        #expect(
            findings(
                group(
                    "protocol: tcp, from: [{securityGroup: front}]",
                    "protocol: tcp, from: [{securityGroup: front}, {securityGroup: nobody}]"))
                == ["dangling-reference 8:68"])
    }

    // MARK: Resolution

    @Test func everythingIsResolvedInOrder() throws {
        let texts = [
            interface("late", groups: "web, front, audit", address: "10.0.1.20"),
            interface("early", groups: "front", address: "10.0.1.5"),
            interface("red1", groups: "red-front", subnet: "red-web", address: "10.0.1.5"),
            document(.securityGroup, "web", "{vpc: blue}"),
            document(
                .securityGroup, "audit",
                """
                {vpc: blue, ingress: [
                {protocol: udp, ports: [53], from: [{securityGroup: web}, {cidr: 10.9.0.0/16}, {securityGroup: audit}]},
                {protocol: tcp, from: [{cidr: 10.8.0.0/16}, {cidr: 10.7.0.0/16}]}],
                egress: [{protocol: all, to: [{securityGroup: front}]}]}
                """),
            document(
                .networkACL, "a",
                """
                {vpc: blue, ingress: [
                {priority: 30, action: allow, protocol: all, cidr: 0.0.0.0/0},
                {priority: 4, action: deny, protocol: tcp, ports: [22], cidr: 10.9.0.0/16},
                {priority: 20, action: deny, protocol: gre, cidr: 10.9.0.0/16}]}
                """),
            document(.subnet, "guarded", "{vpc: blue, cidr: 10.0.0.0/24, acl: a}"),
            document(.subnet, "red-guarded", "{vpc: red, cidr: 10.0.2.0/24, acl: red-edge}"),
        ]
        let (set, resolution) = load(texts)
        #expect(set.located(resolution.diagnostics).map(\.description) == [])
        let topology = try #require(resolution.topology)
        #expect(topology.securityGroups.map(\.name) == ["audit", "front", "web", "red-front"])
        #expect(topology.securityGroups.map(\.vpc) == [0, 0, 0, 1])
        #expect(topology.interfaces.map(\.name) == ["early", "web1", "late", "red1"])
        #expect(topology.interfaces.map(\.securityGroups) == [[1], [], [0, 1, 2], [3]])
        #expect(topology.securityGroups.map(\.members) == [[2], [0, 2], [2], [3]])
        #expect(
            topology.securityGroups[0].ingress == [
                ResolvedSecurityRule(
                    traffic: TrafficMatch(ipProtocol: .udp, ports: [53...53]),
                    cidrs: [try #require(IPPrefix("10.9.0.0/16"))], groups: [2, 0]),
                ResolvedSecurityRule(
                    traffic: TrafficMatch(ipProtocol: .tcp),
                    cidrs: [try #require(IPPrefix("10.8.0.0/16")), try #require(IPPrefix("10.7.0.0/16"))],
                    groups: []),
            ])
        #expect(topology.securityGroups[0].egress.map(\.groups) == [[1]])
        #expect(topology.acls.map(\.name) == ["a", "edge", "red-edge"])
        #expect(topology.acls.map(\.vpc) == [0, 0, 1])
        #expect(topology.acls[0].ingress.map(\.priority) == [4, 20, 30])
        #expect(topology.acls[0].egress == [])
        let acls = Dictionary(uniqueKeysWithValues: topology.subnets.map { ($0.name, $0.acl) })
        #expect(acls == ["web": nil, "guarded": 0, "red-web": nil, "red-guarded": 2])
        // Whatever the order of the documents.
        let reversed = load(texts.reversed()).resolution
        #expect(reversed.topology == topology)
        #expect(reversed.diagnostics == [])
    }

    /// Every interface has groups that name each other: references are followed once, not searched.
    @Test func largeModels() throws {
        var model = load([]).set.model
        let count = 2000
        for number in 0..<count {
            model.securityGroups.append(
                SecurityGroup(
                    metadata: Metadata(name: "g\(number)"), vpc: "blue",
                    ingress: [
                        SecurityRule(
                            traffic: TrafficMatch(ipProtocol: .tcp, ports: [80...80]),
                            peers: [.securityGroup("g\((number + 1) % count)"), .securityGroup("g\(number)")])
                    ]))
            model.subnets.append(
                Subnet(
                    metadata: Metadata(name: "s\(number)"), vpc: "blue",
                    cidr: IPPrefix(containing: IPAddress(v4: 0x0A08_0000 | UInt32(number) << 5), length: 27),
                    acl: "edge"))
            model.interfaces.append(
                NetworkInterface(
                    metadata: Metadata(name: "i\(number)"), subnet: "s\(number)", host: "h1",
                    address: IPAddress(v4: 0x0A08_0000 | UInt32(number) << 5 | 9),
                    securityGroups: ["g\(number)", "front", "g\((number * 7) % count)"].reduce(into: []) {
                        if !$0.contains($1) { $0.append($1) }
                    }, attachment: .device("t\(number)")))
        }
        let resolution = Topology.resolve(model)
        #expect(resolution.diagnostics == [])
        let topology = try #require(resolution.topology)
        let front = try #require(topology.securityGroups.first { $0.name == "front" })
        #expect(front.members.count == count)
        #expect(topology.subnets.count { $0.acl != nil } == count)
        for (index, group) in topology.securityGroups.numbered {
            #expect(group.members == group.members.sorted())
            for member in group.members { #expect(topology.interfaces[member].securityGroups.contains(index)) }
        }
    }
}
