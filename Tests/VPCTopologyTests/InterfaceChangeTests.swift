import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

/// Exchanging interfaces gives what resolving everything gives, for random texts and random changes of them, most of
/// which break a rule.
@Suite(.serialized, .timeLimit(minutes: 10)) struct InterfaceChangeTests {
    @Test(arguments: 1...5, Form.allCases) func changedTextsGiveWhatResolvingGives(seed: UInt64, form: Form) throws {
        var world = RandomManifests(seed: seed)
        let first = world.valid()
        var documents = try #require(first)
        var present = try #require(Accepted(documents.map(form.text)))
        var counts = (exchanged: 0, resolved: 0, invalid: 0)
        for step in 0..<150 {
            let changed = world.changed(documents)
            let files = changed.map(form.text)
            let whole = Accepted(files)
            if whole != nil { documents = changed }
            guard present.take(files) else {
                if let whole {
                    present = whole
                    counts.resolved += 1
                } else {
                    counts.invalid += 1
                }
                continue
            }
            counts.exchanged += 1
            let now = try #require(whole, "seed \(seed), step \(step): an invalid set was taken\n\(files)")
            #expect(now.warnings.isSubset(of: present.warnings), "seed \(seed), step \(step)")
            present.warnings = now.warnings
            try #require(present.topology == now.topology, "seed \(seed), step \(step)")
        }
        // Each of the ways was gone.
        let isVaried = form == .list || counts.resolved > 3
        #expect(counts.exchanged > 40 && isVaried && counts.invalid > 20, "\(counts)")
    }

    enum Form: CaseIterable {
        case documents
        /// One list in JSON.
        case list

        func text(_ documents: [UInt8]) -> [UInt8] {
            guard self == .list else { return documents }
            let texts = String(decoding: documents, as: UTF8.self).split(separator: "---\n").map { document in
                document.split(separator: "\n").filter { !$0.hasPrefix("#") }.joined(separator: "\n")
            }
            let items = texts.filter { !$0.isEmpty }.map { StructuredValue(reading: Array($0.utf8))?.json ?? $0 }
            let list = #"{"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": ["#
            return Array((list + items.joined(separator: ",\n") + "]}\n").utf8)
        }
    }

    /// Many at once are put in by another way than few.
    @Test func manyInterfacesAreExchangedAtOnce() throws {
        func text(_ addresses: some Sequence<Int>) -> [UInt8] {
            let head = ManifestHead.subnet("10.0.0.0/16", of: "10.0.0.0/16")
            let interfaces = addresses.map {
                """
                ---
                kind: NetworkInterface
                metadata: {name: i\($0)}
                spec: {subnet: s, host: h1, address: 10.0.\($0 / 200).\($0 % 200 + 10), attachment: {netns: n\($0), device: eth0}}

                """
            }
            return Array((head + interfaces.joined()).utf8)
        }
        var present = try #require(Accepted([text(stride(from: 0, to: 400, by: 2))]))
        for numbers in [Array(stride(from: 0, to: 400, by: 3)), Array(100..<300), [7], Array(0..<500)] {
            let files = [text(numbers)]
            let isTaken = present.take(files)
            #expect(isTaken)
            #expect(present.topology == Accepted(files)?.topology)
            #expect(present.topology.interfaces.count == numbers.count)
        }
    }

    private static let frame = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h}
        spec: {underlay: {address: 172.31.0.1, device: u0}}
        ---
        kind: VPC
        metadata: {name: v}
        spec: {id: 7, cidrs: [10.0.0.0/16]}
        ---
        kind: Subnet
        metadata: {name: s}
        spec: {vpc: v, cidr: 10.0.0.0/24}
        ---
        kind: NetworkInterface
        metadata: {name: a}
        spec: {subnet: s, host: h, address: 10.0.0.10, attachment: {netns: a, device: eth0}}
        ---
        kind: NetworkInterface
        metadata: {name: x}
        spec: {subnet: s, host: h, address: 10.0.0.11, mac: "02:01:00:00:00:01", attachment: {device: e-b}}

        """

    /// Each is good on its own, and bad or worth a look beside what is there.
    @Test(arguments: [
        "{name: a}, {address: 10.0.0.12, attachment: {netns: b, device: eth0}}",
        "{name: b}, {address: 10.0.0.12, attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.10, attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.1, attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.255, attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.1.12, attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.12, attachment: {netns: a, device: eth0}}",
        "{name: c}, {address: 10.0.0.12, attachment: {device: u0}}",
        "{name: c}, {address: 10.0.0.12, attachment: {device: e-b}}",
        "{name: c}, {address: 10.0.0.12, mac: \"02:01:00:00:00:01\", attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.12, mac: \"02:07:0a:00:00:0a\", attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.12, mac: \"02:00:5e:00:00:01\", attachment: {netns: b, device: eth0}}",
        "{name: c}, {address: 10.0.0.12, securityGroups: [g], attachment: {netns: b, device: eth0}}",
    ]) func whatBreaksARuleIsNotExchanged(_ interface: String) throws {
        var present = try #require(Accepted([Array(Self.frame.utf8)]))
        let parts = interface.split(separator: "}, {", maxSplits: 1)
        let document =
            "---\nkind: NetworkInterface\nmetadata: \(parts[0])}\nspec: {subnet: s, host: h, \(parts[1])\n"
        let files = [Array((Self.frame + document).utf8)]
        let isTaken = present.take(files)
        #expect(!isTaken)
        #expect(Accepted(files) == nil)
    }

    /// YAML knows more ways to write a list than JSON; ITEM is that which changes.
    @Test(arguments: [
        #"{"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": [FIRST, ITEM, LAST]}"#,
        #"{"items": [ITEM], "kind": "List", "apiVersion": "vpcctl.dev/v1"}"#,
        #"{apiVersion: vpcctl.dev/v1, kind: List, items: [FIRST, ITEM, LAST]}"#,
        #"{"apiVersion": "vpcctl.dev/v1", "kind": "List", 'items': [FIRST, ITEM,]}"#,
        "# [\n{\"apiVersion\": \"vpcctl.dev/v1\", \"kind\": \"List\", \"items\": [FIRST, # ], {\n ITEM, LAST]}",
        "apiVersion: vpcctl.dev/v1\nkind: List\nitems:\n- FIRST\n- ITEM\n- LAST\n",
        #"{"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": [FIRST, ITEM]}"# + "\n---\nLAST\n",
    ]) func itemsOfListsAreExchanged(_ list: String) throws {
        func item(_ name: String, _ address: Int) -> String {
            #"{"kind": "NetworkInterface", "metadata": {"name": "\#(name)"}, "spec": {"subnet": "s", "host": "h", "#
                + #""address": "10.0.0.\#(address)", "attachment": {"netns": "\#(name)", "device": "eth0"}}}"#
        }
        func files(_ items: String) -> [[UInt8]] {
            let text = list.replacing("FIRST", with: item("first", 100)).replacing("LAST", with: item("last", 101))
            return [Array(Self.frame.utf8), Array(text.replacing("ITEM", with: items).utf8)]
        }
        var present = try #require(Accepted(files(item("m", 20))))
        for items in [
            item("m", 21), item("m", 21) + ", " + item("n", 20), item("n", 20), item("first", 22),
            item("n", 20).replacing("20", with: "x"), item("n", 100),
        ] where !list.hasPrefix("apiV") || !items.contains(", " + item("n", 20)) {
            let new = files(items)
            let whole = Accepted(new)
            guard present.take(new) else {
                #expect(whole == nil)
                continue
            }
            #expect(present.topology == whole?.topology)
        }
    }

    @Test func onlyTheItemsThatDifferAreRead() {
        func list(_ address: Int) -> [UInt8] {
            let items = (0..<200).map { number in
                #"{"kind": "NetworkInterface", "metadata": {"name": "i\#(number)"}, "spec": {"subnet": "s", "host": "h", "#
                    + #""address": "10.0.0.\#(number == 100 ? address : number)", "attachment": {"device": "n\#(number)"}}}"#
            }
            let list = #"{"apiVersion": "vpcctl.dev/v1", "kind": "List", "items": ["#
            return Array((list + items.joined(separator: ", ") + "]}").utf8)
        }
        var changes = ResourceChanges()
        var budget = 1000
        #expect(changes.add(from: list(230), to: list(231), budget: &budget))
        #expect(Set(changes.removed.keys.map(\.name)).union(changes.added.keys.map(\.name)) == ["i100"])
    }

    /// The other documents rely on the first one.
    @Test func aLostVersionIsNoticed() throws {
        let interface = "kind: NetworkInterface\nmetadata: {name: c}\nspec:\n  subnet: s\n  host: h\n"
        let place = "  address: 10.0.0.12\n  attachment: {netns: b, device: eth0}\n---\n"
        let rest = Self.frame.split(separator: "\n").dropFirst().joined(separator: "\n")
        let version = "apiVersion: vpcctl.dev/v1\n"
        var present = try #require(Accepted([Array((version + interface + place + rest).utf8)]))
        for change in ["", "# nothing\n---\n"] {
            let files = [Array((change + interface + place + rest).utf8)]
            let isTaken = present.take(files)
            #expect(!isTaken)
            #expect(Accepted(files) == nil)
        }
        let files = [Array((version + interface + "  mtu: 1400\n" + place + rest).utf8)]
        let isTakenAgain = present.take(files)
        #expect(isTakenAgain)
    }
}

/// A valid set of files, as an agent keeps it.
private struct Accepted {
    private(set) var files: [[UInt8]]
    private(set) var topology: Topology
    var warnings: Set<Diagnostic>
    private var index: TopologyIndex

    init?(_ files: [[UInt8]]) {
        let set = ManifestSet(files.enumerated().map { ManifestSource(name: "\($0).yaml", bytes: $1) })
        let resolution = Topology.resolve(set.model)
        guard set.isValid, let topology = resolution.topology else { return nil }
        self.files = files
        self.topology = topology
        warnings = Set(resolution.diagnostics)
        index = resolution.index
    }

    /// Takes other files in, if no more than what they change has to be looked at.
    mutating func take(_ new: [[UInt8]]) -> Bool {
        var changes = ResourceChanges()
        var budget = Int.max
        for number in 0..<max(files.count, new.count) {
            let old = number < files.count ? files[number] : []
            let new = number < new.count ? new[number] : []
            if old != new, !changes.add(from: old, to: new, budget: &budget) { return false }
        }
        changes.cancel()
        guard index.apply(changes, to: &topology) != nil else { return false }
        files = new
        return true
    }
}

/// Texts of a few files in which names, addresses and devices often meet.
private struct RandomManifests {
    private var random: Dice

    init(seed: UInt64) { random = Dice(seed: seed) }

    private mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    private mutating func isOne(in count: Int) -> Bool { number(0..<count) == 0 }

    /// Files that hold together.
    mutating func valid() -> [[UInt8]]? {
        for _ in 0..<1000 {
            let files = [
                text(Self.frame), text((0..<number(3..<9)).map { interface("i\($0)") }),
                text((10..<number(11..<15)).map { interface("a-rather-long-name-\($0)") }),
            ]
            if Accepted(files) != nil { return files }
        }
        return nil
    }

    private static let frame = """
        apiVersion: vpcctl.dev/v1
        kind: Host
        metadata: {name: h0}
        spec: {underlay: {address: 172.31.0.1}}
        ---
        kind: Host
        metadata: {name: h1}
        spec: {underlay: {address: 172.31.0.2, device: eth9}}
        ---
        kind: VPC
        metadata: {name: v0}
        spec: {id: 1, cidrs: [10.0.0.0/16]}
        ---
        kind: VPC
        metadata: {name: v1}
        spec: {id: 256, cidrs: [10.0.0.0/24, 10.0.1.0/24]}
        ---
        kind: VPC
        metadata: {name: empty}
        spec: {id: 2, cidrs: [10.0.0.0/16]}
        ---
        kind: Subnet
        metadata: {name: s0}
        spec: {vpc: v0, cidr: 10.0.0.0/24, routeTable: t0}
        ---
        kind: Subnet
        metadata: {name: s1}
        spec: {vpc: v0, cidr: 10.0.1.0/28}
        ---
        kind: Subnet
        metadata: {name: s2}
        spec: {vpc: v1, cidr: 10.0.0.0/27}
        ---
        kind: RouteTable
        metadata: {name: t0}
        spec:
          vpc: v0
          routes:
            - {destination: 0.0.0.0/0, nextHops: [{interface: gateway}]}
            - {destination: 10.0.0.16/28, nextHops: [{interface: second}, {interface: gateway}]}
        ---
        kind: NetworkInterface
        metadata: {name: gateway}
        spec: {subnet: s0, host: h0, address: 10.0.0.30, sourceDestCheck: false, attachment: {device: tap0}}
        ---
        kind: NetworkInterface
        metadata: {name: second}
        spec: {subnet: s1, host: h1, address: 10.0.1.12, attachment: {device: tap0}}
        ---
        kind: NetworkInterface
        metadata: {name: elsewhere}
        spec: {subnet: s2, host: h1, address: 10.0.0.9, attachment: {netns: far, device: eth0}}
        ---
        kind: SecurityGroup
        metadata: {name: g0}
        spec: {vpc: v0, ingress: [{protocol: all, from: [{securityGroup: g1}]}]}
        ---
        kind: SecurityGroup
        metadata: {name: g1}
        spec: {vpc: v0}
        ---
        kind: SecurityGroup
        metadata: {name: g2}
        spec: {vpc: v1}
        ---
        kind: Probe
        metadata: {name: p0}
        spec: {from: gateway, to: second, protocol: icmp, expect: allow}
        ---
        kind: Probe
        metadata: {name: p1}
        spec: {from: second, to: elsewhere, protocol: icmp, expect: deny}
        """.split(separator: "---\n").map(String.init)

    private mutating func interface(_ name: String) -> String {
        let subnet = number(0..<3)
        var spec = "subnet: s\(subnet), host: h\(isOne(in: 20) ? 2 : number(0..<2))"
        spec += ", address: 10.0.\(subnet == 1 ? 1 : 0).\(number(subnet == 1 ? 1..<14 : 2..<28))"
        if isOne(in: 5) { spec += ", mac: \"02:0\(number(0..<2)):0a:00:00:0\(number(2..<10))\"" }
        if isOne(in: 30) { spec += ", mac: \"02:00:5e:00:00:01\"" }
        if isOne(in: 4) { spec += ", sourceDestCheck: \(isOne(in: 2))" }
        if isOne(in: 6) { spec += ", mtu: \(number(1400..<1403))" }
        if isOne(in: 3) {
            let group = subnet == 2 || isOne(in: 20) ? 2 : 0
            let groups = isOne(in: 2) ? "g\(group)" : "g\(max(group - 1, 0)), g\(group == 0 ? 1 : 2)"
            spec += ", securityGroups: [\(groups)]"
        }
        let devices = ["tap1", "tap2", "eth9", "e-i\(number(0..<9))"]
        spec +=
            isOne(in: 6)
            ? ", attachment: {device: \(devices[number(0..<4)])}"
            : ", attachment: {netns: n\(number(0..<30)), device: eth\(number(0..<2))}"
        return "kind: NetworkInterface\nmetadata: {name: \(name)}\nspec: {\(spec)}\n"
    }

    private mutating func text(_ documents: [String]) -> [UInt8] {
        let first = documents.first?.hasPrefix("apiVersion") ?? true
        var text = isOne(in: 2) ? "# \(number(0..<100))\n---\n" : ""
        if !first { text += "apiVersion: vpcctl.dev/v1\n" }
        return Array((text + documents.map { $0.hasSuffix("\n") ? $0 : $0 + "\n" }.joined(separator: "---\n")).utf8)
    }

    // MARK: Changes

    /// One or a few changes somewhere.
    mutating func changed(_ files: [[UInt8]]) -> [[UInt8]] {
        var files = files
        if isOne(in: 40) {
            files.append(text([interface("i\(number(0..<9))")]))
            return files
        }
        if files.count > 3, isOne(in: 10) {
            files.removeLast()
            return files
        }
        for _ in 0..<(isOne(in: 3) ? number(2..<4) : 1) {
            // The frame seldom: what is changed there is mostly resolved as a whole.
            let file = isOne(in: 20) ? 0 : number(1..<files.count)
            files[file] = changed(String(decoding: files[file], as: UTF8.self))
        }
        return files
    }

    private mutating func changed(_ text: String) -> [UInt8] {
        var documents = text.split(separator: "---\n", omittingEmptySubsequences: false).map(String.init)
        let place = number(0..<documents.count)
        let kind = number(0..<24)
        switch kind {
        case 0: documents.remove(at: place)
        case 1: documents.swapAt(place, number(0..<documents.count))
        case 2: documents[place] += "# a comment\n"
        case 3:
            documents[place] +=
                ["...\n", "...\n%TAG !x! tag:x,1:\n", "extra: 1\n", "\"\n", "- 1\n", "--- \n"][number(0..<6)]
        case 4: documents[place] = documents[place].replacing("metadata", with: "metadate")
        case 5: documents[place] = documents[place].replacing("{name: ", with: "&a {name: ")
        case 6: documents[place] = documents[place].replacing("apiVersion: vpcctl.dev/v1\n", with: "")
        case 7: documents[place] = documents[place].replacing("kind: ", with: "apiVersion: vpcctl.dev/v1\nkind: ")
        case 8...10: documents.insert(interface("i\(number(0..<9))"), at: place)
        case 11: documents.insert(interface("a-rather-long-name-\(number(10..<14))"), at: place)
        case 12: documents.insert("\n", at: place)
        default: documents[place] = renewed(documents[place])
        }
        return Array(documents.joined(separator: "---\n").utf8)
    }

    /// Another interface of the same name.
    private mutating func renewed(_ document: String) -> String {
        guard document.contains("NetworkInterface"), let start = document.firstRange(of: "{name: ")?.upperBound,
            let end = document[start...].firstIndex(of: "}")
        else { return document }
        let head = document.hasPrefix("apiVersion") ? "apiVersion: vpcctl.dev/v1\n" : ""
        return head + interface(String(document[start..<end]))
    }
}
