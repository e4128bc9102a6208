import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

/// A set in which everything is right: two hosts, and two VPCs with the same addresses.
private let base = """
    apiVersion: vpcctl.dev/v1
    kind: Host
    metadata: {name: h1}
    spec: {underlay: {address: 172.31.0.1, device: u0}}
    ---
    kind: Host
    metadata: {name: h2}
    spec: {underlay: {address: 172.31.0.2}}
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
    spec: {vpc: blue, cidr: 10.0.1.0/24, routeTable: egress}
    ---
    kind: Subnet
    metadata: {name: red-web}
    spec: {vpc: red, cidr: 10.0.1.0/24, gateway: 10.0.1.254}
    ---
    kind: RouteTable
    metadata: {name: egress}
    spec: {vpc: blue, routes: [{destination: 0.0.0.0/0, nextHops: [{interface: fw}]}]}
    ---
    kind: NetworkInterface
    metadata: {name: web1}
    spec: {subnet: web, host: h1, address: 10.0.1.10, attachment: {netns: web1, device: eth0}}
    ---
    kind: NetworkInterface
    metadata: {name: fw}
    spec: {subnet: web, host: h1, address: 10.0.1.20, sourceDestCheck: false, attachment: {device: tap7}}
    ---
    kind: NetworkInterface
    metadata: {name: red1}
    spec: {subnet: red-web, host: h1, address: 10.0.1.10, attachment: {netns: red1, device: eth0}}

    """

/// What is wrong with the base set and these documents: `rule line:column`, a place in the base set with its file.
private func findings(_ texts: String...) -> [String] {
    let set = ManifestSet([
        ManifestSource(name: "base", text: base),
        ManifestSource(name: "test", text: texts.joined(separator: "\n---\n")),
    ])
    let resolution = Topology.resolve(set.model)
    let located = set.located(resolution.diagnostics)
    let hasErrors = located.contains { $0.severity == .error }
    // A topology is only there when nothing is wrong.
    #expect((resolution.topology == nil) == hasErrors)
    return located.map { diagnostic in
        let position = diagnostic.position
        let file = position?.file == "base" ? "base:" : ""
        return (diagnostic.severity == .warning ? "warning " : "") + diagnostic.rule
            + (position.map { " \(file)\($0.line):\($0.column)" } ?? " nowhere")
    }
}

/// A document of four lines or more, of which the fourth is the spec.
private func document(_ kind: ResourceKind, _ name: String, _ spec: String) -> String {
    "apiVersion: vpcctl.dev/v1\nkind: \(kind.rawValue)\nmetadata: {name: \(name)}\nspec: {\(spec)}"
}

private func interface(
    _ name: String, subnet: String = "web", host: String = "h1", address: String = "10.0.1.30", _ rest: String = "",
    attachment: String? = nil
) -> String {
    document(
        .networkInterface, name,
        "subnet: \(subnet), host: \(host), address: \(address), attachment: \(attachment ?? "{netns: \(name), device: eth0}")\(rest)"
    )
}

private func routes(_ routes: String, vpc: String = "blue", subnet: String = "web2") -> [String] {
    [
        document(.routeTable, "t", "vpc: \(vpc), routes: [\(routes)]"),
        document(.subnet, subnet, "vpc: \(vpc), cidr: 10.0.2.0/24, routeTable: t"),
    ]
}

private func findings(routes text: String) -> [String] {
    let documents = routes(text)
    return findings(documents[0], documents[1])
}

@Suite(.timeLimit(minutes: 10)) struct RuleTests {
    @Test func theBaseIsRight() {
        #expect(findings() == [])
    }

    // MARK: Hosts

    @Test func hosts() {
        #expect(
            findings(document(.host, "x", "underlay: {address: 172.31.0.1}")) == ["duplicate-underlay-address 4:28"])
        for address in [
            "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255", "0.0.0.0", "240.0.0.1", "255.255.255.255",
        ] {
            #expect(findings(document(.host, "x", "underlay: {address: \(address)}")) == ["underlay-address 4:28"])
        }
        for address in ["126.255.255.255", "128.0.0.0", "223.255.255.255", "1.0.0.0", "169.254.0.1"] {
            #expect(findings(document(.host, "x", "underlay: {address: \(address)}")) == [])
        }
    }

    // MARK: VPCs

    @Test func vpcs() {
        #expect(findings(document(.vpc, "x", "id: 101, cidrs: [10.0.0.0/8]")) == ["duplicate-vpc-id 4:12"])
        #expect(findings(document(.vpc, "x", "id: 1, cidrs: [10.0.0.0/8, 10.1.0.0/16]")) == ["cidr-overlap 4:35"])
        #expect(findings(document(.vpc, "x", "id: 1, cidrs: [10.1.0.0/16, 10.0.0.0/8]")) == ["cidr-overlap 4:36"])
        #expect(findings(document(.vpc, "x", "id: 1, cidrs: [10.0.0.0/8, 10.0.0.0/8]")) == ["cidr-overlap 4:35"])
        #expect(
            findings(document(.vpc, "x", "id: 1, cidrs: [10.3.0.0/16, 10.1.0.0/16, 10.2.0.0/16, 10.0.0.0/8]"))
                == ["cidr-overlap 4:62", "cidr-overlap 4:62", "cidr-overlap 4:62"])
        #expect(findings(document(.vpc, "x", "id: 1, cidrs: [10.0.0.0/9, 10.128.0.0/9]")) == [])
        for cidr in [
            "127.0.0.0/16", "0.0.0.0/0", "0.0.0.0/8", "224.0.0.0/4", "239.1.0.0/16", "240.0.0.0/8", "126.0.0.0/7",
        ] {
            #expect(findings(document(.vpc, "x", "id: 1, cidrs: [\(cidr)]")) == ["cidr-reserved 4:23"])
        }
        #expect(findings(document(.vpc, "x", "id: 1, cidrs: [223.0.0.0/8, 126.0.0.0/8, 128.0.0.0/8, 1.0.0.0/8]")) == [])
    }

    // MARK: Subnets

    @Test func subnets() {
        func subnet(_ spec: String) -> [String] { findings(document(.subnet, "x", spec)) }
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24") == [])
        #expect(subnet("vpc: blue, cidr: 10.8.0.0/16") == [])
        #expect(subnet("vpc: blue, cidr: 10.1.0.0/24") == ["subnet-outside-vpc 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.0.0/15") == ["subnet-outside-vpc 4:25", "subnet-overlap 4:25"])
        #expect(subnet("vpc: blue, cidr: 11.0.0.0/24") == ["subnet-outside-vpc 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.1.0/24") == ["subnet-overlap 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.1.128/25") == ["subnet-overlap 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.0.0/23") == ["subnet-overlap 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/31") == ["subnet-too-small 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/32") == ["subnet-too-small 4:25"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/30") == [])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24, gateway: 10.0.3.1") == ["gateway-outside-subnet 4:47"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24, gateway: 10.0.2.0") == ["gateway-not-usable 4:47"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24, gateway: 10.0.2.255") == ["gateway-not-usable 4:47"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24, gateway: 10.0.2.254") == [])
        #expect(subnet("vpc: bleu, cidr: 10.0.2.0/24") == ["dangling-reference 4:13"])
        #expect(subnet("vpc: blue, cidr: 10.0.2.0/24, routeTable: egres") == ["dangling-reference 4:50"])
        #expect(subnet("vpc: red, cidr: 10.0.2.0/24, routeTable: egress") == ["route-table-other-vpc 4:49"])
    }

    /// Each subnet that is inside another is reported once, the later of the two.
    @Test func overlapsAreFoundWhereverTheyAre() {
        #expect(
            findings(
                document(.subnet, "a", "vpc: blue, cidr: 10.8.0.0/25"),
                document(.subnet, "b", "vpc: blue, cidr: 10.8.0.128/25"),
                document(.subnet, "c", "vpc: blue, cidr: 10.8.0.0/24"),
                document(.subnet, "d", "vpc: red, cidr: 10.0.2.0/24"))
                == ["subnet-overlap 14:25", "subnet-overlap 14:25"])
    }

    // MARK: Route tables

    @Test func routeTables() {
        #expect(findings(document(.routeTable, "x", "vpc: blue")) == ["warning unused-route-table 3:18"])
        #expect(findings(document(.routeTable, "x", "vpc: blu")) == ["dangling-reference 4:13"])
        // Perhaps the broken subnet uses it: then there is nothing to warn of.
        #expect(
            findings(
                document(.routeTable, "x", "vpc: blue"),
                document(.subnet, "s", "vpc: 7, cidr: 10.0.2.0/24, routeTable: x"))
                == ["wrong-type 9:13"])
        #expect(findings(routes: "{destination: 0.0.0.0/0, nextHops: [{interface: fw}]}") == [])
        #expect(findings(routes: "{destination: 10.0.3.0/24, nextHops: [{interface: fw}]}") == [])
        // Wider than a block: what is outside of it follows the route.
        #expect(findings(routes: "{destination: 10.0.0.0/8, blackhole: true}") == [])
        #expect(
            findings(
                routes: ["0.0.0.0/0", "0.0.0.0/1", "192.0.0.0/2", "128.0.0.0/2"].map {
                    "{destination: \($0), blackhole: true}"
                }.joined(separator: ", ")) == ["warning shadowed-route 4:42"])
        #expect(findings(routes: "{destination: 224.0.1.0/24, blackhole: true}") == ["warning shadowed-route 4:42"])
        #expect(findings(routes: "{destination: 240.0.0.0/4, blackhole: true}") == [])
        #expect(
            findings(routes: "{destination: 10.0.0.0/16, nextHops: [{interface: fw}]}") == ["destination-is-local 4:42"]
        )
        #expect(findings(routes: "{destination: 10.8.0.0/16, blackhole: true}") == ["destination-is-local 4:42"])
        #expect(findings(routes: "{destination: 10.0.0.0/15, blackhole: true}") == [])
        #expect(
            findings(routes: "{destination: 9.0.0.0/8, blackhole: true}, {destination: 9.0.0.0/8, blackhole: true}")
                == ["duplicate-destination 4:85"])
        #expect(
            findings(routes: "{destination: 9.0.0.0/8, nextHops: [{interface: fwx}]}") == ["dangling-reference 4:76"])
        #expect(
            findings(routes: "{destination: 9.0.0.0/8, nextHops: [{interface: fw}, {interface: fw, weight: 2}]}")
                == ["duplicate-next-hop 4:93"])
        #expect(
            findings(routes: "{destination: 9.0.0.0/8, nextHops: [{interface: red1}]}") == ["next-hop-other-vpc 4:76"])
        // One warning however many routes lead there, where it can be corrected.
        #expect(
            findings(
                routes:
                    "{destination: 9.0.0.0/8, nextHops: [{interface: web1}]}, {destination: 8.0.0.0/8, nextHops: [{interface: web1}]}"
            )
                == ["warning next-hop-checks-source base:32:1"])
    }

    // MARK: Interfaces

    @Test func interfaces() {
        #expect(findings(interface("x")) == [])
        #expect(findings(interface("x", subnet: "wbe")) == ["dangling-reference 4:16"])
        #expect(findings(interface("x", host: "h3")) == ["dangling-reference 4:27"])
        #expect(findings(interface("x", address: "10.0.2.30")) == ["address-outside-subnet 4:40"])
        #expect(findings(interface("x", address: "10.0.1.0")) == ["address-not-usable 4:40"])
        #expect(findings(interface("x", address: "10.0.1.255")) == ["address-not-usable 4:40"])
        #expect(findings(interface("x", address: "10.0.1.1")) == ["address-not-usable 4:40"])
        #expect(findings(interface("x", subnet: "red-web", address: "10.0.1.254")) == ["address-not-usable 4:44"])
        #expect(findings(interface("x", subnet: "red-web", address: "10.0.1.1")) == [])
        #expect(findings(interface("x", host: "h2", address: "10.0.1.10")) == ["duplicate-address 4:40"])
        #expect(findings(interface("x", subnet: "red-web", address: "10.0.1.20")) == [])
    }

    @Test func macs() {
        let mac = { (mac: String) in ", mac: \"\(mac)\"" }
        #expect(findings(interface("x", mac("02:00:00:00:00:01"))) == [])
        #expect(
            findings(
                interface("x", mac("02:00:00:00:00:01")), interface("y", address: "10.0.1.31", mac("02:00:00:00:00:01"))
            )
                == ["duplicate-mac 9:94"])
        // In another VPC it is another station.
        #expect(
            findings(
                interface("x", mac("02:00:00:00:00:01")), interface("y", subnet: "red-web", mac("02:00:00:00:00:01")))
                == [])
        #expect(findings(interface("x", mac("02:65:0a:00:01:0a"))) == ["duplicate-mac 4:94"])
        #expect(findings(interface("x", mac("02:00:5e:00:00:01"))) == ["mac-reserved 4:94"])
    }

    @Test func attachments() {
        #expect(findings(interface("x", attachment: "{netns: web1, device: eth0}")) == ["duplicate-attachment 4:85"])
        #expect(findings(interface("x", attachment: "{device: tap7}")) == ["duplicate-attachment 4:72"])
        for other in ["{netns: web1, device: eth1}", "{netns: tap7, device: eth0}", "{device: eth0}"] {
            #expect(findings(interface("x", attachment: other)) == [])
        }
        #expect(findings(interface("x", host: "h2", attachment: "{netns: web1, device: eth0}")) == [])
        #expect(findings(interface("x", host: "h2", attachment: "{device: tap7}")) == [])
        #expect(findings(interface("x", attachment: "{device: u0}")) == ["device-is-underlay 4:72"])
        #expect(findings(interface("x", host: "h2", attachment: "{device: u0}")) == [])
    }

    @Test func portNames() {
        // An adopted device that has the name of a device to be made; whichever comes first.
        #expect(findings(interface("x", attachment: "{device: e-web1}")) == ["port-name-collision base:31:18"])
        #expect(findings(interface("x", host: "h2", attachment: "{device: e-web1}")) == [])
        #expect(
            findings(interface("x", attachment: "{device: e-y}"), interface("y", address: "10.0.1.31"))
                == ["port-name-collision 8:18"])
        // Two long names with one hash.
        let (one, two) = Self.namesOfOnePort
        #expect(
            findings(interface(one), interface(two, address: "10.0.1.31")) == ["port-name-collision 8:18"])
        #expect(findings(interface(one), interface(two, host: "h2", address: "10.0.1.31")) == [])
        // The underlay's own device.
        #expect(
            findings(
                document(.host, "h3", "underlay: {address: 172.31.0.3, device: e-y}"), interface("y", host: "h3"))
                == ["port-name-collision 8:18"])
    }

    /// Two names of interfaces whose devices would have the same name; every search finds the same.
    static let namesOfOnePort: (String, String) = {
        var seen: [PortName: String] = [:]
        for number in 0..<1_000_000 {
            let name = "abcdefgh-\(number)-long"
            if let other = seen.updateValue(name, forKey: PortName(interfaceName: name)) { return (other, name) }
        }
        return ("", "")
    }()

    static let namesOfOneKey: (String, String) = {
        var seen: [GatewayKey: String] = [:]
        for number in 0..<1_000_000 {
            let name = "g\(number)"
            if let other = seen.updateValue(name, forKey: GatewayKey(interfaceName: name)) { return (other, name) }
        }
        return ("", "")
    }()

    @Test func gatewayKeys() {
        let (one, two) = Self.namesOfOneKey
        #expect(!one.isEmpty)
        let interfaces = [
            interface(one, ", sourceDestCheck: false"),
            interface(two, address: "10.0.1.31", ", sourceDestCheck: false"),
        ]
        // Both have to be next hops.
        let single = routes("{destination: 9.0.0.0/8, nextHops: [{interface: \(one)}]}")
        #expect(findings(interfaces[0], interfaces[1], single[0], single[1]) == [])
        let both = routes("{destination: 9.0.0.0/8, nextHops: [{interface: \(two)}, {interface: \(one)}]}")
        #expect(findings(interfaces[0], interfaces[1], both[0], both[1]) == ["gateway-key-collision 8:18"])
    }

    // MARK: Probes

    @Test func probes() {
        func probe(_ spec: String) -> [String] { findings(document(.probe, "x", spec)) }
        #expect(probe("from: web1, to: fw, protocol: icmp, expect: allow") == [])
        #expect(probe("from: web1, to: 8.8.8.8, protocol: icmp, expect: allow") == [])
        #expect(probe("from: wbe1, to: fw, protocol: icmp, expect: allow") == ["dangling-reference 4:14"])
        #expect(probe("from: web1, to: fww, protocol: icmp, expect: allow") == ["dangling-reference 4:24"])
        #expect(
            probe("from: a, to: b, protocol: icmp, expect: allow") == [
                "dangling-reference 4:14", "dangling-reference 4:21",
            ])
        #expect(probe("from: web1, to: web1, protocol: icmp, expect: allow") == ["probe-to-itself 4:24"])
        #expect(probe("from: fw, to: red1, protocol: icmp, expect: allow") == ["probe-other-vpc 4:52"])
        #expect(probe("from: fw, to: red1, protocol: icmp, expect: deny") == ["warning probe-ambiguous 4:22"])
        #expect(
            findings(
                interface("r", subnet: "red-web"),
                document(.probe, "x", "from: fw, to: r, protocol: icmp, expect: deny")) == [])
    }

    // MARK: One mistake, one error

    @Test func aReferenceToABrokenDocumentIsNotDangling() {
        #expect(
            findings(
                document(.subnet, "s", "vpc: blue, cidr: 10.0.2.7/24"),
                interface("x", subnet: "s", address: "10.0.2.10"),
                document(.probe, "p", "from: x, to: fw, protocol: icmp, expect: deny")) == ["host-bits 4:25"])
        #expect(
            findings(
                document(.vpc, "v", "id: 0, cidrs: [10.0.0.0/8]"), document(.subnet, "s", "vpc: v, cidr: 10.0.2.0/24"))
                == ["out-of-range 4:12"])
        // A kind that is misspelt may be any.
        #expect(
            findings(
                "apiVersion: vpcctl.dev/v1\nkind: Subnets\nmetadata: {name: s}\nspec: {}", interface("x", subnet: "s"))
                == ["unknown-kind 2:7"])
        // A document without a readable name may have any name, but it has its kind.
        #expect(
            findings(
                "apiVersion: vpcctl.dev/v1\nkind: Subnet\nmetadata: {}\nspec: {}",
                interface("x", subnet: "s", host: "h"))
                == ["missing-field 3:1", "missing-field 4:1", "missing-field 4:1", "dangling-reference 9:25"])
        // What cannot be read at all may be anything.
        #expect(findings("a: [", interface("x", subnet: "s", host: "h")) == ["syntax 2:1"])
    }

    @Test func whatDependsOnABrokenResourceIsNotChecked() {
        // The subnet's VPC is missing: whether the interface's address or the route table fit cannot be known.
        #expect(
            findings(
                document(.subnet, "s", "vpc: v, cidr: 10.9.0.0/24, routeTable: egress"),
                interface("x", subnet: "s", address: "1.2.3.4"),
                document(.probe, "p", "from: x, to: x, protocol: icmp, expect: deny")) == ["dangling-reference 4:13"])
    }

    // MARK: Models made by hand

    @Test func modelsMadeByHandAreCheckedToo() {
        var model = ManifestSet(text: base).model
        model.hosts.append(model.hosts[0])
        model.hosts[2].underlayAddress = IPAddress(v4: 0x0A0A_0A0A)
        model.routeTables[0].routes[0].target = .nextHops([])
        let resolution = Topology.resolve(model)
        #expect(resolution.topology == nil)
        #expect(resolution.diagnostics.map(\.rule) == ["duplicate-name", "empty-list"])
    }
}

@Suite(.timeLimit(minutes: 10)) struct SuggestionTests {
    private func hint(_ documents: String...) -> String? {
        let set = ManifestSet([
            ManifestSource(name: "base", text: base),
            ManifestSource(name: "test", text: documents.joined(separator: "\n---\n")),
        ])
        return set.located(Topology.resolve(set.model).diagnostics).first?.hint
    }

    @Test func theNearestNameIsSuggested() {
        #expect(hint(interface("x", subnet: "wbe")) == "did you mean web?")
        #expect(hint(interface("x", subnet: "red-wb")) == "did you mean red-web?")
        #expect(hint(interface("x", subnet: "elephant")) == nil)
        // Also one that did not decode.
        #expect(
            hint(interface("x", subnet: "elefant"), document(.subnet, "elephant", "vpc: 1")) == "did you mean elephant?"
        )
    }

    /// Suggestions cost a pass over all names, and so are given to the first only.
    @Test func suggestionsAreLimited() {
        let texts = (0..<40).map { interface("x\($0)", subnet: "wbe") }
        let set = ManifestSet([
            ManifestSource(name: "base", text: base),
            ManifestSource(name: "test", text: texts.joined(separator: "\n---\n")),
        ])
        let diagnostics = Topology.resolve(set.model).diagnostics
        #expect(diagnostics.count == 40)
        #expect(diagnostics.count { $0.hint != nil } == 20)
    }

    @Test func noNamesAtAllAreSaid() {
        let set = ManifestSet(text: interface("x"))
        #expect(
            Topology.resolve(set.model).diagnostics.map(\.hint)
                == ["the manifests hold no Subnet", "the manifests hold no Host"])
    }

    @Test(
        arguments: [
            ("wbe", ["web", "db"], "web"), ("cidr", ["id", "cidrs"], "cidrs"),
            ("ROUTETABLE", ["routeTable"], "routeTable"),
            ("x", ["y"], "y"), ("x", ["abc"], nil), ("", ["a"], "a"), ("abcdef", ["abcxyz"], nil),
            ("abcdef", ["abcdxy"], "abcdxy"),
            ("web-3", ["web-1", "web-2"], "web-1"), ("netowrk", ["network"], "network"), ("a", [], nil),
            ("addresses-of-things", ["adresse-of-thing"], "adresse-of-thing"), ("web1", ["web1"], "web1"),
        ] as [(String, [String], String?)])
    func slipsAreBridged(_ word: String, _ candidates: [String], _ expected: String?) {
        #expect(Spelling.nearest(to: word, among: candidates) == expected)
    }
}
