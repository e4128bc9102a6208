import Foundation
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing

/// A host and its guests that somebody does all kinds of things to, as a seed has it, and a mirror that has to show what
/// the kernel shows.
final class MirrorWorld {
    let host: String
    let guests: [String]
    let driver: KernelDriver
    let request: ObservationRequest
    var mirror: KernelMirror
    var dice: Dice
    /// What was done in this round, for whoever has to understand a failure.
    private(set) var log: [String] = []
    /// What the updates of all rounds said to have changed.
    private(set) var changed: Set<ObjectKind> = []
    private(set) var changedGuests = 0
    /// As they were shown last.
    private var known = NamespaceSnapshot()
    private var needsLinkCheck = false

    static let tables = [NFTable(.arp, "others"), NFTable(.inet, "probe")]

    /// In a namespace that is there; the guests' are made and removed as it comes.
    init(_ host: String, guests: [String], seed: UInt64) throws {
        self.host = host
        self.guests = guests
        dice = Dice(seed: seed)
        // Whoever has no other end does not become operational.
        driver = KernelDriver(namespace: .named(host), operationalTimeout: .milliseconds(100))
        var request = ObservationRequest(
            owner: owner, sysctls: ["net/ipv4/ip_forward", "net/ipv4/no_such_parameter"],
            guests: [NamespaceName(guests[0])], firewall: Self.tables)
        let destinations = ["10.1.0.1", "10.1.0.9", "10.2.0.1", "10.2.0.2", "10.6.0.2", "10.8.0.2", "192.0.2.9"]
        request.paths = PathRequest(from: try "10.7.0.1".address, to: try destinations.map { try $0.address })
        self.request = request
        try Self.quiet(host)
        // One is there from the beginning.
        try NetworkNamespace.create(named: guests[0])
        try Self.quiet(guests[0])
        mirror = try KernelMirror(driver, request)
        known = mirror.snapshot.host
    }

    /// IPv6 addresses are there at once, and not only when nobody else has answered to them.
    static func quiet(_ namespace: String) throws {
        try run(
            "ip", "netns", "exec", namespace, "sh", "-c",
            "for f in default all; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done")
    }

    func removeGuests() {
        for guest in guests { try? NetworkNamespace.remove(named: guest) }
    }

    static func play(seed: UInt64, rounds: Int) throws {
        let wanted = ProcessInfo.processInfo.environment["VPCCTL_MIRROR_ROUNDS"].flatMap { Int($0) }
        try withScratchNamespace { host, _ in
            let world = try MirrorWorld(host, guests: ["\(host)-a", "\(host)-b"], seed: seed)
            defer { world.removeGuests() }
            for number in 0..<(wanted ?? rounds) { try world.round(number) }
            // These seeds reach everything; of others three out of ten do not.
            if seed < 1000 {
                #expect(world.changed == [.sysctl, .rule, .firewall, .link, .address, .neighbor, .nexthop, .route])
                #expect(world.changedGuests > 0)
            }
        }
    }

    // MARK: Rounds

    /// Does some things and expects that the mirror shows what came of them.
    func round(_ number: Int) throws {
        log = []
        needsLinkCheck = false
        var plan: ChangePlan?
        for _ in 0..<Int.random(in: 1...4, using: &dice) {
            switch Int.random(in: 0..<20, using: &dice) {
            case 0..<8: batch(host, lines(hostLine))
            case 8..<12: batch(dice.pick(guests), lines(guestLine))
            case 12: try changeGuest()
            case 13..<17: nft()
            case 17: try changeParameter()
            default:
                // Like the agent: from what is known.
                try note(mirror.update(after: plan))
                plan = try commit()
            }
        }
        try note(mirror.update(after: plan))
        if needsLinkCheck { try note(mirror.checkLinks()) }
        try note(mirror.checkParameters())
        try compare(number)
    }

    /// Whatever is another than before was told of by its key.
    private func expect<Object: Hashable, Key>(
        _ old: [Object], _ new: [Object], _ key: (Object) -> Key, told keys: ChangedKeys<Key>
    ) {
        guard case .some(let keys) = keys else { return }
        #expect(Set(Set(old).symmetricDifference(new).map(key)).isSubset(of: keys), "\(log)")
    }

    private func note(_ update: KernelMirror.Update) {
        changed.formUnion(update.kinds)
        let (old, new) = (known, mirror.snapshot.host)
        expect(old.routes, new.routes, \.key, told: update.objects.routes)
        expect(old.addresses, new.addresses, \.key, told: update.objects.addresses)
        expect(old.neighbors, new.neighbors, \.key, told: update.objects.neighbors)
        expect(old.nexthops, new.nexthops, \.key, told: update.objects.nexthops)
        expect(old.links, new.links, \.link.name, told: update.objects.links)
        expect(old.firewall.parts, new.firewall.parts, \.part, told: update.objects.firewall)
        known = new
        changedGuests += update.guests.count
        #expect(!update.wasOverrun)
    }

    /// Some of what was done the kernel finishes by and by: carriers, operational states, the end of a namespace. Each
    /// step is told of.
    private func compare(_ number: Int) throws {
        while true {
            let truth = try driver.observe(request)
            if mirror.snapshot == truth { return }
            var poll = pollfd(fd: mirror.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 5000) > 0 else {
                Issue.record(
                    """
                    round \(number): nobody told of \(truth.differences(from: mirror.snapshot).joined(separator: "; "))
                    after \(log.joined(separator: "\n"))
                    """)
                throw CommandFailure(description: "the mirror does not show what there is")
            }
            try note(mirror.update())
        }
    }

    // MARK: ip(8)

    private func lines(_ line: () -> [String]) -> [String] {
        (0..<Int.random(in: 1...6, using: &dice)).flatMap { _ in line() }
    }

    /// What cannot be done is left out: the seed does not look at what there is.
    private func batch(_ namespace: String, _ lines: [String]) {
        for line in lines { log.append("ip -n \(namespace) \(line)") }
        let text = lines.joined(separator: "\n")
        _ = try? run("sh", "-c", "ip -n \(namespace) -force -batch - <<'E' >/dev/null 2>&1 || true\n\(text)\nE")
    }

    private static let devices = ["b0", "b1", "v0", "v0x", "v1", "v1x", "d0", "r0", "r1", "p0", "p1", "gx", "w1", "lo"]

    private func device() -> String { dice.pick(Self.devices) }
    private func address() -> String { "10.\(dice.pick([7, 8, 9])).0.\(Int.random(in: 1...3, using: &dice))" }
    private func proto() -> String { dice.happens(70) ? "118" : dice.pick(["static", "boot", "99"]) }

    private func hostLine() -> [String] {
        switch Int.random(in: 0..<100, using: &dice) {
        case 0..<10: return newLink()
        case 10..<25: return linkChange()
        case 25..<35: return [addressLine(device())]
        case 35..<65: return [routeLine(device(), nexthops: true)]
        case 65..<80: return [nexthopLine()]
        case 80..<90: return [neighborLine()]
        default: return [ruleLine()]
        }
    }

    private func newLink() -> [String] {
        let guest = dice.pick(guests)
        let port = dice.pick(["p0", "p1"])
        return dice.pick([
            ["link add b0 type bridge"], ["link add b1 type bridge", "link set b1 up"],
            ["link add v0 type veth peer name v0x", "link set v0 up", "link set v0x up"],
            ["link add v1 type veth peer name v1x", "link set v1 up", "link set v1x up"],
            ["link add d0 type dummy", "link set d0 up"],
            ["link add r0 type vrf table 1000002", "link set r0 up"],
            ["link add r1 type vrf table 100", "link set r1 up"],
            ["link add gx type vxlan external gpe dstport 4790", "link set gx up"],
            ["link add gx type gre external", "link set gx up"],
            ["link add t0 type gre local 172.31.0.1 key 7", "link set t0 up"],
            [
                "link add \(port) type veth peer name eth0 netns \(guest)", "link set \(port) up",
                "link set \(port) alias 'test:interface/\(port) peer \(guest)/eth0'",
            ],
        ])
    }

    private func linkChange() -> [String] {
        let device = device()
        switch Int.random(in: 0..<14, using: &dice) {
        case 0..<3: return ["link set \(device) up"]
        case 3..<5: return ["link set \(device) down"]
        case 5: return ["link set \(device) master \(dice.pick(["b0", "b1", "r0", "r1"]))"]
        case 6: return ["link set \(device) nomaster"]
        case 7: return ["link set \(device) mtu \(dice.pick([60, 1300, 1280, 1500]))"]
        case 8: return ["link set \(device) address 02:00:00:00:00:0\(Int.random(in: 1...9, using: &dice))"]
        case 9:
            // Of a device that is down nobody tells.
            needsLinkCheck = true
            return [
                "link set \(device) group \(Int.random(in: 0...3, using: &dice))",
                "link set \(device) alias \(dice.pick(["test:host/h1", "others", "''"]))",
                "ntable change name arp_cache dev \(device) proxy_delay \(dice.pick([0, 100, 800]))",
            ]
        case 10:
            let alias = dice.pick(["test:interface/x peer \(dice.pick(guests))/eth0", "test:host/h1", "theirs"])
            return ["link set \(device) up", "link set \(device) alias '\(alias)'"]
        case 11:
            return dice.pick([
                ["link set v1 down", "link set v1 name w1", "link set w1 up"],
                ["link set w1 down", "link set w1 name v1", "link set v1 up"],
                ["link set w1 name v1"], ["link set v1 name w1"],
                ["link set v0 down", "link set v0 name tmp", "link set b0 down", "link set b0 name v0"],
                ["link set tmp name b0"],
            ])
        default: return ["link del \(device)"]
        }
    }

    private func addressLine(_ device: String) -> String {
        switch Int.random(in: 0..<10, using: &dice) {
        case 0..<5: return "addr add \(address())/\(dice.pick([24, 32])) dev \(device)"
        case 5: return "addr add \(address()) peer 10.6.0.\(Int.random(in: 1...3, using: &dice))/24 dev \(device)"
        case 6: return "addr add fd00::\(Int.random(in: 1...3, using: &dice))/64 dev \(device) nodad"
        case 7: return "addr flush dev \(device)"
        default: return "addr del \(address())/\(dice.pick([24, 32])) dev \(device)"
        }
    }

    private func routeLine(_ device: String, nexthops: Bool) -> String {
        let verb = dice.pick(["add", "add", "replace", "replace", "append", "prepend", "change", "del", "del"])
        let prefix = dice.pick(["10.1.0.0/16", "10.1.0.0/24", "10.1.0.1", "10.2.0.1", "10.2.0.2", "default"])
        var key = "\(prefix) table \(dice.pick([254, 100, 1_000_001, 1_000_002])) proto \(proto())"
        if dice.happens(20) { key += " metric \(dice.pick([5, 77]))" }
        if dice.happens(10) { key += " tos 0x10" }
        switch Int.random(in: 0..<20, using: &dice) {
        case 0..<7: return "route \(verb) \(key) dev \(device)"
        case 7..<12 where nexthops:
            return "route \(verb) \(key) nhid \(dice.pick([101, 102, 103, 104, 201, 202]))"
        case 12, 13: return "route \(verb) \(key) via \(address()) dev \(device) onlink"
        case 14, 15: return "route \(verb) \(dice.pick(["unreachable", "blackhole", "prohibit"])) \(key)"
        case 16: return "route \(verb) \(key) dev \(device) src \(address())"
        case 17: return "route \(verb) \(key) nexthop dev \(device) nexthop dev \(dice.pick(Self.devices))"
        case 18: return "route \(verb) \(key) dev \(device) mtu 1400"
        default: return "route flush table \(dice.pick([100, 1_000_001])) proto \(proto())"
        }
    }

    private func nexthopLine() -> String {
        let verb = dice.pick(["add", "replace", "replace"])
        let id = dice.pick([101, 102, 103, 104])
        switch Int.random(in: 0..<10, using: &dice) {
        case 0..<3: return "nexthop \(verb) id \(id) via \(address()) dev \(device()) onlink proto \(proto())"
        case 3: return "nexthop \(verb) id \(id) dev \(device()) proto \(proto())"
        case 4: return "nexthop \(verb) id \(id) blackhole proto \(proto())"
        case 5: return "nexthop \(verb) id \(id) encap ip id 7 dst 172.31.0.2 dev gx proto \(proto())"
        case 6: return "nexthop \(verb) id 201 group 101/102,\(Int.random(in: 1...3, using: &dice)) proto \(proto())"
        case 7: return "nexthop \(verb) id 202 group \(id)/103 type resilient buckets 8 proto \(proto())"
        default: return "nexthop del id \(dice.pick([101, 102, 103, 104, 201, 202]))"
        }
    }

    private func neighborLine() -> String {
        // Of those of a loopback device the kernel tells at times only; it has no use for them.
        let target = "\(address()) dev \(dice.pick(Self.devices.filter { $0 != "lo" }))"
        let hardware = "lladdr 02:00:00:00:00:1\(Int.random(in: 0...9, using: &dice))"
        return dice.pick([
            "neigh add \(target) \(hardware) nud permanent protocol \(proto())",
            "neigh replace \(target) \(hardware) nud permanent protocol \(proto())",
            "neigh replace \(target) \(hardware) nud \(dice.pick(["reachable", "noarp"]))",
            "neigh del \(target)",
        ])
    }

    private func ruleLine() -> String {
        let verb = dice.pick(["add", "del"])
        let pref = "pref \(Int.random(in: 100...103, using: &dice))"
        return dice.pick([
            "rule \(verb) \(pref) from 10.0.0.0/8 lookup \(dice.pick([100, 254])) protocol \(proto())",
            "rule \(verb) \(pref) lookup 100 protocol \(proto())",
            "rule \(verb) \(pref) iif v0 lookup 100",
            "rule \(verb) \(pref) from fd00::/8 lookup 100 protocol \(proto())",
            "rule \(verb) \(pref) unreachable protocol \(proto())",
        ])
    }

    // MARK: Guests and parameters

    private func guestLine() -> [String] {
        let device = dice.pick(["eth0", "eth0", "lo", "b0"])
        switch Int.random(in: 0..<12, using: &dice) {
        case 0..<3: return ["link set \(device) up"]
        case 3: return ["link set \(device) down"]
        case 4: return [dice.pick(["link add b0 type bridge", "link del b0", "link set eth0 mtu 1300"])]
        case 5..<8: return [addressLine(device)]
        case 8: return ["nexthop add id 101 dev \(device)", "nexthop del id \(dice.pick([101, 102]))"]
        case 9: return [ruleLine()]
        default: return [routeLine(device, nexthops: true)]
        }
    }

    private func changeGuest() throws {
        let guest = dice.pick(guests)
        log.append("netns \(guest)")
        if NetworkNamespace.isNameInUse(guest) {
            try NetworkNamespace.remove(named: guest)
            if dice.happens(60) { return }
        }
        try NetworkNamespace.create(named: guest)
        try Self.quiet(guest)
    }

    private func changeParameter() throws {
        let setting = dice.pick([
            "net/ipv4/ip_forward=1", "net/ipv4/ip_forward=0", "net/ipv4/conf/v0/proxy_arp=1",
            "net/ipv4/conf/v0/rp_filter=2", "net/ipv4/conf/v1/accept_local=1", "net/ipv6/conf/v0/disable_ipv6=1",
            "net/ipv6/conf/v0/disable_ipv6=0",
        ])
        log.append(setting)
        // The kernel tells of the first ones of a device only.
        if setting.contains("accept_local") || setting.contains("disable_ipv6") { needsLinkCheck = true }
        let parts = setting.split(separator: "=")
        _ = try? run(
            "ip", "netns", "exec", host, "sh", "-c", "echo \(parts[1]) >/proc/sys/\(parts[0]) 2>/dev/null || true")
    }

    // MARK: nft(8)

    private static let ruleset = """
        table inet probe {
            counter c1 { }
            counter c2 { }
            set hosts { type ipv4_addr; }
            set pairs { type ipv4_addr . inet_service; }
            set blocks { type ipv4_addr; flags interval; }
            set boxes { type ipv4_addr . inet_service; flags interval; }
            set odd { type ipv4_addr; flags timeout; }
            map verdicts { type ifname : verdict; }
            map zones { type ifname : mark; }
            map ports { type inet_service : verdict; flags interval; }
            map counted { type ipv4_addr : counter; }
            chain in { type filter hook input priority 0; }
            chain sub1 { }
            chain sub2 { }
        }
        """

    private func nft() {
        // Several commands in one file are one transaction: all or nothing.
        let commands = (0..<Int.random(in: 1...3, using: &dice)).map { _ in nftCommand() }
        for command in commands { log.append("nft \(command)") }
        let text = commands.joined(separator: "\n")
        _ = try? run(
            "sh", "-c", "ip netns exec \(host) nft -f - <<'E' >/dev/null 2>&1 || true\n\(text)\nE")
    }

    private func nftCommand() -> String {
        let verb = dice.pick(["add", "add", "delete"])
        switch Int.random(in: 0..<30, using: &dice) {
        case 0, 1: return Self.ruleset
        case 2: return "delete table inet probe"
        case 3..<15: return element(verb)
        case 15:
            let sets = ["hosts", "pairs", "blocks", "boxes"]
            return "flush set inet probe \(dice.pick(sets))"
        case 16..<20: return ruleCommand()
        case 20: return "flush chain inet probe \(dice.pick(["in", "sub1", "sub2"]))"
        case 21: return "\(verb) chain inet probe sub\(Int.random(in: 1...4, using: &dice))"
        case 22: return "rename chain inet probe sub1 sub\(Int.random(in: 2...4, using: &dice))"
        case 23: return "add chain inet probe in { policy \(dice.pick(["accept", "drop"])); }"
        case 24: return "\(verb) counter inet probe c\(Int.random(in: 1...4, using: &dice))"
        case 25: return "\(verb) set inet probe extra { type \(dice.pick(["mark", "ipv4_addr"])); }"
        case 26:
            let device = dice.pick(["v0", "v1"])
            return dice.pick([
                "add chain inet probe edge { type filter hook ingress device \(device) priority 0; }",
                "add chain inet probe edge { type filter hook ingress devices = { v0, v1 } priority 0; }",
                "delete chain inet probe edge",
            ])
        case 27: return "add table inet probe { flags \(dice.pick(["dormant", "dormant"])); }"
        case 28:
            return dice.pick([
                "add table arp others", "delete table arp others", "flush table inet probe", "flush ruleset",
            ])
        default:
            return dice.pick([
                "add table ip theirs { set s { type ipv4_addr; }; }", "delete table ip theirs",
                "add element ip theirs s { \(address()) }",
            ])
        }
    }

    private func element(_ verb: String) -> String {
        let number = Int.random(in: 1...4, using: &dice)
        let port = Int.random(in: 1...3, using: &dice) * 100
        return dice.pick([
            "\(verb) element inet probe hosts { \(address()), \(address()) }",
            "\(verb) element inet probe hosts { \(address()) comment \"a word\" }",
            "\(verb) element inet probe pairs { \(address()) . \(port) }",
            "\(verb) element inet probe blocks { 10.\(number).0.0/16 }",
            "\(verb) element inet probe blocks { 10.\(number).0.0-10.\(number + 1).0.255 }",
            "\(verb) element inet probe blocks { 10.\(number).1.0/24, 240.0.0.0-255.255.255.255 }",
            "\(verb) element inet probe boxes { 10.\(number).0.0/16 . \(port)-\(port + 50) }",
            "\(verb) element inet probe boxes { 10.\(number).0.1 . \(port), 0.0.0.0/0 . 7 }",
            "\(verb) element inet probe odd { \(address()) \(verb == "add" ? "timeout 1h" : "") }",
            "\(verb) element inet probe hosts { * }",
            "\(verb) element inet probe verdicts { p\(number) : \(dice.pick(["jump sub1", "goto sub2", "drop"])) }",
            "\(verb) element inet probe zones { v\(number) : \(number * 7) }",
            "\(verb) element inet probe ports { \(port)-\(port + 99) : \(dice.pick(["drop", "accept"])) }",
            "\(verb) element inet probe ports { \(port) : jump sub1 }",
            "\(verb) element inet probe counted { \(address()) : \"c\(Int.random(in: 1...2, using: &dice))\" }",
        ])
    }

    private func ruleCommand() -> String {
        let table = mirror.snapshot.host.firewall.table(Self.tables[1])
        let chain = dice.pick(["in", "sub1", "sub2"])
        let handles = table?.chains.first { $0.name == chain }?.rules.map(\.handle) ?? []
        let rule = dice.pick([
            "ip saddr @hosts drop", "counter accept", "ip saddr { 10.0.0.1, 10.0.0.2 } return",
            "ip daddr . tcp dport @pairs counter name c1 accept", "iifname vmap @verdicts",
            "meta mark 7 jump { ip saddr 10.9.9.9 drop; }", "log prefix \"x\" comment \"noted\"",
        ])
        if !handles.isEmpty, dice.happens(60) {
            let handle = dice.pick(handles)
            return dice.pick([
                "delete rule inet probe \(chain) handle \(handle)",
                "replace rule inet probe \(chain) handle \(handle) \(rule)",
                "insert rule inet probe \(chain) position \(handle) \(rule)",
                "add rule inet probe \(chain) position \(handle) \(rule)",
            ])
        }
        return "\(dice.pick(["add", "insert"])) rule inet probe \(chain) \(rule)"
    }

    // MARK: The driver's own changes

    private func commit() throws -> ChangePlan {
        var drawn = DrawnIntent(guests: guests, table: Self.tables[1], dice: dice)
        let intent = try drawn.next()
        dice = drawn.dice
        let plan = intent.changes(from: mirror.snapshot, owner: owner)
        log.append("commit \(plan.operations.map { "\($0.action.rawValue) \($0.object)" })")
        _ = driver.commit(plan, owner: owner)
        return plan
    }
}

extension KernelSnapshot {
    /// In what this is not `other`, for whoever has to understand a failure.
    func differences(from other: KernelSnapshot) -> [String] {
        var list = host.differences(from: other.host, "host")
        for name in Set(guests.keys).union(other.guests.keys).sorted() {
            guard let one = guests[name], let two = other.guests[name] else {
                list.append("\(name) is \(guests[name] == nil ? "not " : "")there")
                continue
            }
            list += one.differences(from: two, name.rawValue)
        }
        return list
    }
}

extension NamespaceSnapshot {
    fileprivate func differences(from other: NamespaceSnapshot, _ place: String) -> [String] {
        var list: [String] = []
        func compare<Element: Hashable>(_ what: String, _ path: KeyPath<NamespaceSnapshot, [Element]>) {
            let (one, two) = (self[keyPath: path], other[keyPath: path])
            if one == two { return }
            let (missing, extra) = (Set(one).subtracting(two), Set(two).subtracting(one))
            list.append(
                "\(place) \(what): missing \(text(missing)), too many \(text(extra)), \(one.count) not \(two.count)")
        }
        func text(_ objects: Set<some Hashable>) -> String {
            var text = ""
            // Whole: descriptions leave things out.
            for object in objects { dump(object, to: &text) }
            return text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
        }
        compare("sysctls", \.sysctls)
        compare("rules", \.rules)
        compare("links", \.links)
        compare("addresses", \.addresses)
        compare("foreign addresses", \.foreignAddresses)
        compare("neighbors", \.neighbors)
        compare("nexthops", \.nexthops)
        compare("foreign nexthops", \.foreignNexthops)
        compare("routes", \.routes)
        compare("tables", \.firewall.tables)
        if firewall.generation != other.firewall.generation {
            list.append("generation \(firewall.generation) not \(other.firewall.generation)")
        }
        return list
    }
}

/// A set, chain or object as it was seen.
private struct SeenPart: Hashable {
    var part: NFPart
    var content: String
}

extension NFSnapshot {
    fileprivate var parts: [SeenPart] {
        tables.flatMap { table in
            func part(_ kind: NFPart.Kind, _ name: String, _ content: some Any) -> SeenPart {
                SeenPart(part: NFPart(table.table, kind, name), content: "\(content)")
            }
            return table.sets.map { part(.set, $0.name, $0) } + table.chains.map { part(.chain, $0.name, $0) }
                + table.objects.map { part(.object, $0.name, $0.type) }
        }
    }
}
