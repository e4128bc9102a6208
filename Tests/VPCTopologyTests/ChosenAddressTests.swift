import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel

@testable import VPCTopology

/// Interfaces that leave their addresses out get the lowest that is free, and keep it.
@Suite(.timeLimit(minutes: 10)) struct ChosenAddressTests {
    /// A subnet `s` of six addresses, its gateway the first, and a subnet `big` in the same VPC.
    private static let head = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        kind: VPC
        metadata: {name: v}
        spec: {id: 1, cidrs: [10.0.0.0/16]}
        ---
        kind: Subnet
        metadata: {name: s}
        spec: {vpc: v, cidr: 10.0.1.0/29}
        ---
        kind: Subnet
        metadata: {name: big}
        spec: {vpc: v, cidr: 10.0.2.0/24, gateway: 10.0.2.3}

        """

    /// - Parameter rest: Of the spec.
    private static func interface(_ name: String, in subnet: String = "s", _ rest: String = "") -> String {
        """
        ---
        kind: NetworkInterface
        metadata: {name: \(name)}
        spec: {subnet: \(subnet), host: h1, attachment: {netns: n, device: \(name)}\(rest)}

        """
    }

    private func resolve(
        _ interfaces: [String], head: String = head, keeping kept: KeptAddresses? = KeptAddresses()
    ) -> (set: ManifestSet, resolution: Resolution) {
        let set = ManifestSet(text: head + interfaces.joined(), name: "all.yaml")
        return (set, Topology.resolve(set.model, keeping: kept))
    }

    private func topology(
        _ interfaces: [String], head: String = head, keeping kept: KeptAddresses = KeptAddresses()
    ) throws -> Topology {
        let (set, resolution) = resolve(interfaces, head: head, keeping: kept)
        return try #require(resolution.topology, "\(set.located(resolution.diagnostics))")
    }

    private func addresses(_ topology: Topology) -> [String: String] {
        Dictionary(uniqueKeysWithValues: topology.interfaces.map { ($0.name, "\($0.address)") })
    }

    private func errors(_ set: ManifestSet, _ resolution: Resolution) -> [String] {
        #expect(resolution.topology == nil)
        return set.located(resolution.diagnostics).map { "\($0)" }
    }

    // MARK: - Choosing

    @Test func theLowestThatIsFreeIsChosenInTheOrderOfNames() throws {
        let interfaces = [
            Self.interface("c"), Self.interface("a"), Self.interface("x", ", address: 10.0.1.3"), Self.interface("b"),
        ]
        let expected = ["a": "10.0.1.2", "b": "10.0.1.4", "c": "10.0.1.5", "x": "10.0.1.3"]
        #expect(try addresses(topology(interfaces)) == expected)
        #expect(try topology(interfaces) == topology(interfaces.reversed()))
        let chosen = try topology(interfaces).interfaces.filter(\.hasChosenAddress).map(\.name)
        #expect(chosen == ["a", "b", "c"])
    }

    @Test func whatHasAnotherUseIsNotChosen() throws {
        let found = try addresses(
            topology([
                Self.interface("a", in: "big", ", addresses: [10.0.2.1]"),
                Self.interface("b", in: "big", ", prefixes: [10.0.2.4/30]"),
                Self.interface("c", in: "big"), Self.interface("d", in: "big", ", address: 10.0.2.9"),
                Self.interface("e", in: "big"),
            ]))
        // .0 is the network's, .1 another one's, .3 the gateway's, .4 to .7 and .9 others'.
        #expect(found == ["a": "10.0.2.2", "b": "10.0.2.8", "c": "10.0.2.10", "d": "10.0.2.9", "e": "10.0.2.11"])
    }

    @Test func theBroadcastAddressIsNotChosen() throws {
        let names = ["a", "b", "c", "d", "e"]
        #expect(try addresses(topology(names.map { Self.interface($0) }))["e"] == "10.0.1.6")
        let (set, resolution) = resolve((names + ["f"]).map { Self.interface($0) })
        #expect(
            errors(set, resolution) == [
                """
                all.yaml:40:16: error: NetworkInterface f: no address of subnet s (10.0.1.0/29) is free for it \
                [subnet-full]
                """
            ])
    }

    /// Where nobody remembers what is chosen.
    @Test func elsewhereAddressesHaveToBeStated() throws {
        let (set, resolution) = resolve([Self.interface("b"), Self.interface("a")], keeping: nil)
        let found = set.located(resolution.diagnostics)
        #expect(resolution.topology == nil && found.map(\.rule) == ["missing-address", "missing-address"])
        #expect(found.map { $0.position?.line } == [20, 24])
        #expect(found.first?.message.hasPrefix("NetworkInterface b: it states no address, and nothing here") == true)
        #expect(found.map { $0.hint ?? "" }.map { $0.contains("add \"address: 10.0.1.3\"") } == [true, false])
    }

    // MARK: - Keeping

    @Test func whatAnInterfaceHasItKeeps() throws {
        let first = try topology([Self.interface("b"), Self.interface("d"), Self.interface("f")])
        #expect(addresses(first) == ["b": "10.0.1.2", "d": "10.0.1.3", "f": "10.0.1.4"])
        // One is gone, one has come before all, one has moved away.
        let second = try topology(
            [Self.interface("a"), Self.interface("d"), Self.interface("f", in: "big"), Self.interface("z")],
            keeping: KeptAddresses(of: first))
        #expect(addresses(second) == ["a": "10.0.1.2", "d": "10.0.1.3", "f": "10.0.2.1", "z": "10.0.1.4"])
        let again = try topology(
            [Self.interface("a"), Self.interface("d"), Self.interface("f", in: "big"), Self.interface("z")],
            keeping: KeptAddresses(second.chosenAddresses))
        #expect(again == second)
    }

    @Test func whoStopsStatingAnAddressKeepsIt() throws {
        let first = try topology([Self.interface("a", ", address: 10.0.1.6")])
        let second = try topology([Self.interface("a")], keeping: KeptAddresses(of: first))
        #expect(addresses(second) == ["a": "10.0.1.6"])
        #expect(second.chosenAddresses.map(\.subnet) == ["s"])
    }

    @Test func inAnotherBlockAnotherOneIsChosen() throws {
        let first = try topology(["a", "b", "c", "d"].map { Self.interface($0) })
        let head = Self.head.replacing("10.0.1.0/29", with: "10.0.1.4/30")
        // .4 is the network's there, .5 the gateway's, which one of them has: that is no address of the interfaces' any more.
        let (set, resolution) = resolve(
            ["a", "b"].map { Self.interface($0) }, head: Self.head.replacing("10.0.1.0/29", with: "10.0.3.0/29"),
            keeping: KeptAddresses(of: first))
        #expect(set.isValid && resolution.topology.map { addresses($0) } == ["a": "10.0.3.2", "b": "10.0.3.3"])
        let refused = resolve([Self.interface("d")], head: head, keeping: KeptAddresses(of: first))
        #expect(errors(refused.set, refused.resolution).first?.contains("Subnet s: its gateway 10.0.1.5") == true)
    }

    @Test func whoStatesWhatAnotherOneKeepsIsRefused() throws {
        let first = try topology([Self.interface("web")])
        for name in ["a", "z"] {
            let claims = [
                ("duplicate-address", ", address: 10.0.1.2"), ("duplicate-address", ", addresses: [10.0.1.2]"),
                ("prefix-overlap", ", prefixes: [10.0.1.2/31]"),
            ]
            for (rule, claim) in claims {
                let (set, resolution) = resolve(
                    [Self.interface(name, claim), Self.interface("web")], keeping: KeptAddresses(of: first))
                let found = set.located(resolution.diagnostics)
                #expect(found.map(\.rule) == [rule] && found.first?.resource?.name == name, "\(name)\(claim): \(found)")
                #expect(found.first?.hint?.contains("it was chosen for web, which keeps it") == true)
            }
        }
        // In one change the one may go and the other take its place.
        let next = try topology([Self.interface("a", ", address: 10.0.1.2")], keeping: KeptAddresses(of: first))
        #expect(addresses(next) == ["a": "10.0.1.2"])
        let both = try topology(
            [Self.interface("a", ", address: 10.0.1.2"), Self.interface("web", ", address: 10.0.1.3")],
            keeping: KeptAddresses(of: first))
        #expect(addresses(both) == ["a": "10.0.1.2", "web": "10.0.1.3"])
    }

    // MARK: - One change among many

    private func change(_ text: [(old: String?, new: String?)]) throws -> ResourceChanges {
        var changes = ResourceChanges()
        for (old, new) in text {
            for text in [old].compactMap(\.self) { _ = try changes.remove(resource(text)) }
            for text in [new].compactMap(\.self) { _ = try changes.add(resource(text)) }
        }
        return changes
    }

    private func resource(_ text: String) throws -> Resource {
        try #require(ManifestSet(text: "apiVersion: vpcctl.dev/v1\n" + text.dropFirst(4)).model.resources.first)
    }

    @Test func aChangeIsTakenInAlone() throws {
        var resolution = resolve([Self.interface("b"), Self.interface("c"), Self.interface("d")]).resolution
        var topology = try #require(resolution.topology)
        func take(_ text: [(String?, String?)]) throws -> [String: String] {
            let change = try self.change(text.map { (old: $0.0, new: $0.1) })
            _ = try #require(resolution.index.apply(change, to: &topology))
            return addresses(topology)
        }
        var found = try take([(nil, Self.interface("a"))])
        #expect(found == ["a": "10.0.1.5", "b": "10.0.1.2", "c": "10.0.1.3", "d": "10.0.1.4"])
        found = try take([(Self.interface("c"), nil), (nil, Self.interface("f")), (nil, Self.interface("e"))])
        #expect(found == ["a": "10.0.1.5", "b": "10.0.1.2", "d": "10.0.1.4", "e": "10.0.1.3", "f": "10.0.1.6"])
        // Another host, another subnet and back: the address is kept, and then is not.
        found = try take([(Self.interface("a"), Self.interface("a", in: "big"))])
        #expect(found["a"] == "10.0.2.1")
        // What is full is somebody else's to say.
        let change = try self.change([(nil, Self.interface("y")), (nil, Self.interface("z"))])
        #expect(resolution.index.apply(change, to: &topology) == nil && addresses(topology) == found)
    }

    /// Probes, routes and whoever else goes by the address of an interface that gets another one with its subnet's block.
    @Test func whoRefersToAnInterfaceFollowsIt() throws {
        let probe = """
            ---
            kind: Probe
            metadata: {name: p}
            spec: {from: x, to: a, protocol: icmp, expect: allow}

            """
        var (set, resolution) = resolve([Self.interface("a"), Self.interface("x", in: "big"), probe])
        var topology = try #require(resolution.topology)
        let old = "---\nkind: Subnet\nmetadata: {name: s}\nspec: {vpc: v, cidr: 10.0.1.0/29}\n"
        let new = old.replacing("10.0.1.0", with: "10.0.3.0")
        _ = try #require(resolution.index.apply(change([(old: old, new: new)]), to: &topology))
        #expect(topology.probes.map { "\($0.toAddress)" } == ["10.0.3.2"])
        set = ManifestSet(
            text: Self.head.replacing("10.0.1.0", with: "10.0.3.0") + Self.interface("a")
                + Self.interface("x", in: "big") + probe)
        #expect(topology == Topology.resolve(set.model, keeping: KeptAddresses(of: topology)).topology)
    }

    // MARK: - Oracle

    /// Against looking at every address of the subnet.
    @Test(arguments: Seeds.fresh(with: 1, 2, 3)) func theLowestIsWhatLookingAtAllGives(seed: UInt64) throws {
        var dice = Dice(seed: seed)
        for _ in 0..<60 {
            let length = dice.pick([24, 26, 27])
            let head = Self.head.replacing("10.0.2.0/24", with: "10.0.2.0/\(length)")
            let base = IPAddress(v4: 0x0A00_0200).v4
            let size = UInt32(1) << UInt32(32 - length)
            var used: Set<UInt32> = [0, size - 1, 3]
            var stated: [String] = []
            for number in 0..<dice.pick([0, 3, 8, 20]) {
                let start = UInt32.random(in: 1..<size - 1, using: &dice)
                let block = dice.happens(30) ? UInt32(4) : 1
                let range = start / block * block..<start / block * block + block
                guard used.isDisjoint(with: range), !dice.happens(10) else { continue }
                used.formUnion(range)
                let first = IPAddress(v4: base + range.lowerBound)
                guard block == 4 else {
                    stated.append(Self.interface("s\(number)", in: "big", ", address: \(first)"))
                    continue
                }
                // Itself it needs one, too: another one that leaves it out.
                stated.append(Self.interface("a\(number)", in: "big", ", prefixes: [\(first)/30]"))
            }
            let names = (0..<dice.pick([1, 2, 5])).map { "b\($0)" }
            let all = stated + names.map { Self.interface($0, in: "big") }
            let undecided = ManifestSet(text: head + all.joined()).model.interfaces.filter { $0.address == nil }
            let free = (0..<size).filter { !used.contains($0) }
            guard free.count >= undecided.count else {
                let rules = resolve(all, head: head).resolution.diagnostics.map(\.rule)
                let missing = undecided.count - free.count
                try #require(rules == Array(repeating: "subnet-full", count: missing), "seed \(seed): \(all)")
                continue
            }
            let expected = Dictionary(
                uniqueKeysWithValues: zip(
                    undecided.map(\.metadata.name).sorted(), free.map { "\(IPAddress(v4: base + $0))" }))
            let whole = try topology(all.shuffled(using: &dice), head: head)
            let found = addresses(whole).filter { expected[$0.key] != nil }
            try #require(found == expected, "seed \(seed): \(all)")

            // Those who come later find the same in what is there.
            var resolution = resolve(stated.filter { $0.contains("address:") }, head: head).resolution
            var topology = try #require(resolution.topology)
            let rest = all.filter { !$0.contains("address:") }
            let prefixes = try change(rest.map { (old: nil, new: $0) })
            _ = try #require(resolution.index.apply(prefixes, to: &topology))
            try #require(topology == whole, "seed \(seed): \(all)")
        }
    }

    // MARK: Elastic IPs

    private static let network = """
        ---
        kind: ExternalNetwork
        metadata: {name: x}
        spec:
          pools: [203.0.113.0/29, 198.51.100.0/31]
          nextHop: 203.0.113.1
          gateways: [{host: h1, device: x0}]
          uplinkAddress: 203.0.113.2

        """

    private static func elastic(_ name: String, _ address: String? = nil) -> String {
        """
        ---
        kind: ElasticIP
        metadata: {name: \(name)}
        spec: {externalNetwork: x\(address.map { ", address: \($0)" } ?? "")}

        """
    }

    private func elastic(_ topology: Topology) -> [String: String] {
        Dictionary(uniqueKeysWithValues: topology.elasticIPs.map { ($0.name, "\($0.address)") })
    }

    @Test func elasticIPsGetTheLowestAndKeepIt() throws {
        // Not the network's, the router's, the uplink's, what is stated, or the broadcast; of a routed pool all.
        let all = ["c", "a", "d", "e", "f"].map { Self.elastic($0) } + [Self.elastic("b", "203.0.113.4")]
        let first = try topology([Self.network] + all.reversed())
        let expected = [
            "a": "198.51.100.0", "b": "203.0.113.4", "c": "198.51.100.1", "d": "203.0.113.3", "e": "203.0.113.5",
            "f": "203.0.113.6",
        ]
        #expect(elastic(first) == expected)
        #expect(first.chosenAddresses.map(\.interface).sorted() == ["a", "c", "d", "e", "f"].map { "ElasticIP/\($0)" })
        let kept = KeptAddresses(first.chosenAddresses)
        let fewer = try topology(
            [Self.network, Self.elastic("a0"), Self.elastic("d"), Self.elastic("f")], keeping: kept)
        #expect(elastic(fewer) == ["a0": "198.51.100.0", "d": "203.0.113.3", "f": "203.0.113.6"])
        let (set, full) = resolve([Self.network, Self.elastic("g")] + all)
        #expect(full.topology == nil)
        #expect(set.located(full.diagnostics).contains { $0.description.contains("[pool-full]") })
        let unkept = resolve([Self.network, Self.elastic("a")], keeping: nil).resolution
        #expect(unkept.diagnostics.map(\.rule) == ["missing-address"])
        #expect(unkept.diagnostics.first?.hint?.contains("address: 198.51.100.0") ?? false)
    }
}
