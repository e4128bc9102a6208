import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCTopology

/// How many elements lists come to, and how many steps it takes to find that out.
@Suite(.timeLimit(minutes: 10)) struct PolicySizeTests {
    // MARK: Lists

    /// Disjoint, and no two side by side: what a cloud publishes.
    private static func published(_ count: Int) -> [IPPrefix] {
        (0..<UInt32(count)).map { IPPrefix(containing: IPAddress(v4: 0x0B00_0000 + $0 << 9), length: 24) }
    }

    private static func ports(_ count: Int) -> TrafficMatch {
        TrafficMatch(ipProtocol: .tcp, ports: (0..<UInt16(count)).map { 1000 + 7 * $0...1000 + 7 * $0 })
    }

    private static let everywhere = [IPPrefix.defaultIPv4]
    private static let tcp = TrafficMatch(ipProtocol: .tcp)

    private static func host(_ number: Int) -> [IPPrefix] {
        [IPPrefix(containing: IPAddress(v4: 0x0A00_0000 + 2 * UInt32(number)), length: 32)]
    }

    /// Half of the lines deny a port for everybody, half allow all ports to somebody.
    private static func grid(_ count: Int) -> [TrafficLine] {
        (0..<count / 2).map { TrafficLine(port($0), from: everywhere) }
            + (0..<count / 2).map { TrafficLine(tcp, from: host($0)) }
    }

    private static func port(_ number: Int) -> TrafficMatch {
        let port = UInt16(2 * number + 1)
        return TrafficMatch(ipProtocol: .tcp, ports: [port...port])
    }

    /// The same lines in turn: each of the one meets each of the other that comes after it.
    private static func interleaved(_ count: Int) -> [TrafficLine] {
        (0..<count / 2).flatMap { [TrafficLine(port($0), from: everywhere), TrafficLine(tcp, from: host($0))] }
    }

    private static func random(_ count: Int, _ dice: inout Dice) -> [TrafficLine] {
        (0..<count).map { _ in
            let address = IPAddress(v4: UInt32.random(in: 0 ... .max, using: &dice))
            let block = IPPrefix(containing: address, length: dice.pick([8, 10, 12, 16, 20, 24, 24, 24]))
            let low = UInt16.random(in: 0...65000, using: &dice)
            let traffic = dice.pick([
                TrafficMatch(), tcp, TrafficMatch(ipProtocol: .tcp, ports: [low...low]),
                TrafficMatch(ipProtocol: .udp, ports: [low...low + 500]),
                TrafficMatch(ipProtocol: .icmp, icmpType: UInt8(low & 0xFF)),
            ])
            return TrafficLine(traffic, from: [block])
        }
    }

    /// A tenth of everything, so that fewer lines show the same.
    private static let small: TrafficLimits = {
        var limits = TrafficLimits()
        limits.elements /= 10
        limits.price /= 10
        limits.slacks = limits.slacks.map { $0 / 10 }
        return limits
    }()

    // MARK: Sizes

    @Test func knownLists() {
        func size(_ lines: [TrafficLine]) -> [Int] {
            let stages = TrafficStages<IPv4Bits>(lines)
            #expect(stages.excess == nil)
            return stages.stages.map(\.elementCount)
        }
        let block = { (text: String) in [IPPrefix(text) ?? .defaultIPv4] }
        #expect(size([]) == [])
        // A set of blocks and a set of ports, not each with each.
        #expect(size([TrafficLine(Self.ports(30), from: Self.published(3000))]) == [3030])
        #expect(size([TrafficLine(Self.ports(2), from: Self.published(8000))]) == [8002])
        // As long as that is not much smaller: one lookup.
        #expect(size([TrafficLine(Self.ports(2), from: Self.published(400))]) == [800])
        // Neighbours are one range, what is inside another block is none.
        #expect(
            size([TrafficLine(Self.tcp, from: block("10.0.0.0/25") + block("10.0.0.128/25") + block("10.0.0.9/32"))])
                == [1])
        // What is around a block goes on behind it: three boxes of ports, but the last line is in two.
        #expect(
            size([
                TrafficLine(Self.port(1), from: Self.everywhere), TrafficLine(Self.tcp, from: block("10.0.0.0/8")),
            ]) == [3])
        // Lines by port, then lines by address.
        #expect(size(Self.grid(400)) == [200, 200])
        #expect(
            size(
                Self.published(1500).map { TrafficLine(Self.port(9), from: [$0]) }
                    + [TrafficLine(TrafficMatch(), from: Self.everywhere)]) == [1500, 1])
    }

    /// Ten times the lines are about ten times the elements, and take about ten times the steps.
    @Test(arguments: ["blocks and ports", "rules", "ports", "grid"])
    func tenTimesTheLinesAreTenTimesTheWork(_ shape: String) {
        func measured(_ count: Int) -> (elements: Int, effort: Int) {
            let lines =
                switch shape {
                case "blocks and ports": [TrafficLine(Self.ports(30), from: Self.published(count))]
                case "rules":
                    Self.published(count).enumerated().map { TrafficLine(Self.port($0 % 30000), from: [$1]) }
                case "grid": Self.grid(count)
                default: (0..<count).map { TrafficLine(Self.port($0), from: Self.everywhere) }
                }
            let stages = TrafficStages<IPv4Bits>(lines, Self.small)
            #expect(stages.excess == nil, "\(shape) \(count)")
            return (stages.elementCount, stages.effort)
        }
        let (one, ten) = (measured(300), measured(3000))
        #expect(ten.elements <= 12 * one.elements, "\(one) \(ten)")
        #expect(ten.effort <= 12 * one.effort, "\(one) \(ten)")
    }

    /// Lines that meet at random come to more than ten times the elements, but each takes few steps.
    @Test func linesAtRandomTakeFewStepsEach() {
        for count in [300, 3000] {
            var dice = Dice(seed: 3)
            let stages = TrafficStages<IPv4Bits>(Self.random(count, &dice))
            #expect(stages.excess == nil)
            #expect(stages.effort <= 100 * stages.elementCount, "\(stages.effort) \(stages.elementCount)")
        }
    }

    /// Rules by group are services alone.
    @Test func rulesByGroup() {
        let rules = (0..<1000).map { number in
            ResolvedSecurityRule(traffic: Self.port(number), cidrs: [], groups: [number % 7])
        }
        let services = rules.servicesOfGroups
        #expect(services.count == 7)
        #expect(services.values.reduce(0) { $0 + $1.entries.count } == 1000)
        for (number, rule) in rules.enumerated() {
            let service = TrafficLine(rule.traffic, from: []).services[0].lowerBound
            #expect(services[number % 7]?.line(service) == number)
            #expect(services[number % 7]?.line(service - 1) == nil)
        }
    }

    // MARK: Limits

    /// What is too much is given up early, whatever the number of lines.
    @Test func hardListsAreGivenUp() {
        let one = TrafficStages<IPv4Bits>(Self.interleaved(1000), Self.small)
        let ten = TrafficStages<IPv4Bits>(Self.interleaved(10_000), Self.small)
        #expect(one.excess != nil && ten.excess != nil)
        #expect(ten.effort <= 12 * one.effort, "\(one.effort) \(ten.effort)")
        let many = TrafficStages<IPv4Bits>([TrafficLine(Self.tcp, from: Self.published(30_000))], Self.small)
        #expect(many.excess == 0)
        #expect(many.stages.isEmpty)
    }

    private static func manifest(acl: String = "", group: String = "", interfaces: String = "") -> String {
        ManifestHead.subnet() + """
            ---
            kind: NetworkACL
            metadata: {name: a}
            spec: {vpc: v, ingress: [\(acl)]}
            ---
            kind: SecurityGroup
            metadata: {name: g}
            spec: {vpc: v, egress: [\(group)]}

            """ + interfaces
    }

    @Test func aRuleForTooManyGroupsIsNamed() throws {
        var limits = TrafficLimits()
        limits.elements = 50
        let groups = (0..<20).map { "---\nkind: SecurityGroup\nmetadata: {name: g\($0)}\nspec: {vpc: v}\n" }.joined()
        let peers = (0..<20).map { "{securityGroup: g\($0)}" }.joined(separator: ", ")
        let rules = "{protocol: icmp, to: [{cidr: 0.0.0.0/0}]}, {protocol: tcp, ports: [1, 3], to: [\(peers)]}"
        #expect(try errors(Self.manifest(group: rules) + groups, limits) == [])
        let more = rules.replacing("[1, 3]", with: "[1, 3, 5]")
        #expect(
            try errors(Self.manifest(group: more) + groups, limits)
                == ["policy-too-large SecurityGroup/g spec.egress[1]"])
    }

    private func errors(_ manifest: String, _ limits: TrafficLimits = .init()) throws -> [String] {
        let set = ManifestSet(text: manifest)
        try #require(set.isValid)
        let resolution = Topology.resolve(set.model, limits: limits)
        #expect((resolution.topology == nil) == resolution.diagnostics.contains { $0.severity == .error })
        return resolution.diagnostics.filter { $0.severity == .error }
            .map { "\($0.rule) \($0.resource) \($0.path)" + ($0.related.map { " < \($0.resource)" } ?? "") }
    }

    @Test func theLineThatIsTooMuchIsNamed() throws {
        let acl = (0..<1000).map { number in
            let traffic =
                number % 2 == 0
                ? "ports: [\(number + 1)], cidr: 0.0.0.0/0" : "cidr: 10.1.\(number >> 8).\(number & 255)/32"
            // Out of order in the manifest.
            return "{priority: \(3000 - number), action: deny, protocol: tcp, \(traffic)}"
        }
        let found = try errors(Self.manifest(acl: acl.joined(separator: ", ")), Self.small)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("policy-too-large NetworkACL/a spec.ingress[") == true, "\(found)")
    }

    private static func group(_ name: String, _ blocks: Int) -> String {
        let peers = published(blocks).map { "{cidr: \($0)}" }.joined(separator: ", ")
        return """
            ---
            kind: SecurityGroup
            metadata: {name: \(name)}
            spec: {vpc: v, egress: [{protocol: icmp, to: [{cidr: 0.0.0.0/0}]}, {protocol: tcp, to: [\(peers)]}]}

            """
    }

    private static func interface(_ number: Int, on host: String, _ groups: String) -> String {
        """
        ---
        kind: NetworkInterface
        metadata: {name: i\(number)}
        spec: {subnet: s, host: \(host), address: 10.0.0.1\(number), attachment: {device: t\(number)}, securityGroups: [\(groups)]}

        """
    }

    @Test func whatIsTooMuchForAListOrAHost() throws {
        var limits = TrafficLimits()
        limits.elements = 200
        limits.elementsOfHost = 300
        let hosts = "---\nkind: Host\nmetadata: {name: h2}\nspec: {underlay: {address: 172.31.0.2}}\n"
        let base = Self.manifest() + hosts
        #expect(try errors(base + Self.group("g1", 199), limits) == [])
        #expect(
            try errors(base + Self.group("g1", 200), limits) == ["policy-too-large SecurityGroup/g1 spec.egress[1]"])
        // More than a host may have, but no host has them all.
        let groups = (1...3).map { Self.group("g\($0)", 100 + $0) }.joined()
        let apart = Self.interface(1, on: "h1", "g1, g2") + Self.interface(2, on: "h2", "g3")
        #expect(try errors(base + groups + apart, limits) == [])
        let together = Self.interface(1, on: "h1", "g1, g2") + Self.interface(2, on: "h1", "g3")
        #expect(
            try errors(base + groups + together, limits)
                == ["policy-too-large Host/h1 metadata.name < SecurityGroup/g3"])
    }

    /// Each is little, and all of them are too much: the rest is not even looked at.
    @Test func whatIsTooMuchWorkForAll() throws {
        let lines = { (list: [IPPrefix]) in
            [TrafficLine(TrafficMatch(ipProtocol: .icmp), from: Self.everywhere)]
                + [TrafficLine(Self.tcp, from: list)]
        }
        var limits = TrafficLimits()
        limits.effortOfAll = 3 * TrafficStages<IPv4Bits>(lines(Self.published(50)), limits).effort
        func groups(_ count: Int) -> String { (1...count).map { Self.group("g\($0)", 50) }.joined() }
        #expect(try errors(Self.manifest() + groups(3), limits) == [])
        #expect(
            try errors(Self.manifest() + groups(7), limits) == ["policy-too-large SecurityGroup/g4 metadata.name"])
    }
}
