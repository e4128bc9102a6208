import KernelNames
import TestSupport
import Testing

@testable import KernelModel

/// What `all` imposes on every device is taken off ours without taking it off others', and given back.
@Suite(.timeLimit(minutes: 10)) struct ParameterChangesTests {
    private static let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "test:")
    private static let shared = [
        SharedSetting(.reversePathFilter, most: 0), SharedSetting(.sendRedirects, most: 0),
        SharedSetting(.arpIgnore, most: 1), SharedSetting(.arpFilter, most: 0),
    ]
    private static let policy = Sysctl("net/ipv4/fib_multipath_hash_policy", "3")

    private static var intent: KernelIntent {
        var intent = KernelIntent()
        intent.host.sharedSettings = shared
        intent.host.sysctls = [Attributed(policy, from: Origin(1))]
        return intent
    }

    private static var removal: KernelIntent {
        var intent = KernelIntent()
        intent.host.formerSharedSettings = shared
        intent.host.formerSysctls = [policy]
        return intent
    }

    /// `all` and `default`, then a device that has less than `all` says, one that has as much and one that has more.
    private static func host(all: Int32, standard: Int32) -> KernelSnapshot {
        var snapshot = KernelSnapshot()
        var values = [policy.path: "0", SharedSetting.defaultTagPath: "0"]
        for setting in shared {
            values[setting.path] = "\(all)"
            values[setting.defaultPath] = "\(standard)"
        }
        snapshot.host.sysctls = values.map { Sysctl($0.key, $0.value) }.sorted { $0.path < $1.path }
        for (index, (name, value)) in [("eth0", 0), ("eth1", all), ("eth2", 2), ("lo", standard)].enumerated() {
            var ipv4 = IPv4DeviceConfiguration()
            for setting in shared { ipv4[setting.setting] = value }
            let link = Link(name: InterfaceName(name)!, kind: .adopted, ipv4: ipv4, notes: [])
            snapshot.host.links.append(
                ObservedLink(
                    index: UInt32(index + 1), link: link, kindName: "", isOwned: false, isOperational: true,
                    peerIndex: 0, isLoopback: name == "lo"))
        }
        return snapshot
    }

    /// What of this setting counts for a device: the greater of `all` and its own.
    private static func effective(_ snapshot: KernelSnapshot, _ setting: SharedSetting) -> [Int32] {
        let value = { (path: String) in Int32(snapshot.host.sysctls.first { $0.path == path }!.value)! }
        return snapshot.host.links.map { max(value(setting.path), $0.link.ipv4![setting.setting]) }
            + [max(value(setting.path), value(setting.defaultPath))]
    }

    /// One operation after the other, as the kernel would take them.
    private static func states(_ plan: ChangePlan, from snapshot: KernelSnapshot) -> [KernelSnapshot] {
        var states = [snapshot]
        var state = snapshot
        for step in plan.steps {
            switch step.work {
            case .sysctls(let changes):
                for change in changes.replacements {
                    let index = state.host.sysctls.firstIndex { $0.path == change.new.path }!
                    state.host.sysctls[index] = change.new
                    states.append(state)
                }
            case .links(let changes):
                for change in changes.replacements {
                    let index = state.host.links.firstIndex { $0.link.name == change.new.name }!
                    let settings = change.new.settingsDiffering(from: change.old)
                    if settings.contains(.ipv4) { state.host.links[index].link.ipv4 = change.new.ipv4 }
                    if settings.contains(.notes) { state.host.links[index].link.notes = change.new.notes }
                    states.append(state)
                }
            default: Issue.record("\(step)")
            }
        }
        return states
    }

    @Test(arguments: [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (0, 1)] as [(Int32, Int32)])
    func nothingFiltersLessAtAnyTime(all: Int32, standard: Int32) throws {
        let before = Self.host(all: all, standard: standard)
        let applying = Self.states(Self.intent.changes(from: before, owner: Self.owner), from: before)
        let applied = try #require(applying.last)
        let removing = Self.states(Self.removal.changes(from: applied, owner: Self.owner), from: applied)
        #expect(removing.last == before, "given back")
        for state in applying + removing {
            for setting in Self.shared {
                let (now, then) = (Self.effective(state, setting), Self.effective(before, setting))
                #expect(zip(now, then).allSatisfy { $0 >= $1 }, "\(setting.setting): \(now), was \(then)")
            }
        }
        for setting in Self.shared {
            let value = applied.host.sysctls.first { $0.path == setting.path }?.value
            #expect(Int32(value ?? "") ?? .max <= setting.most)
            #expect(Self.effective(applied, setting) == Self.effective(before, setting))
        }
        #expect(Self.intent.changes(from: applied, owner: Self.owner).isEmpty)
        #expect(Self.removal.changes(from: before, owner: Self.owner).isEmpty)
    }

    /// Whoever ends us, after whichever operation: the next one goes on, and what was there is given back.
    @Test func anInterruptedChangeIsTakenUp() throws {
        let before = Self.host(all: 1, standard: 0)
        let applying = Self.states(Self.intent.changes(from: before, owner: Self.owner), from: before)
        let applied = try #require(applying.last)
        #expect(applying.count > 8)
        for state in applying {
            let resumed = Self.states(Self.intent.changes(from: state, owner: Self.owner), from: state).last
            #expect(resumed == applied)
            let removed = Self.states(Self.removal.changes(from: state, owner: Self.owner), from: state).last
            #expect(removed == before)
        }
        let removing = Self.states(Self.removal.changes(from: applied, owner: Self.owner), from: applied)
        for state in removing {
            let resumed = Self.states(Self.removal.changes(from: state, owner: Self.owner), from: state).last
            #expect(resumed == before)
        }
    }

    /// A device that came later has what `default` gave it, and in the end what it would have got without us.
    @Test func aNewDeviceIsGivenBackToo() throws {
        let before = Self.host(all: 1, standard: 0)
        var state = try #require(
            Self.states(Self.intent.changes(from: before, owner: Self.owner), from: before).last)
        var ipv4 = IPv4DeviceConfiguration()
        for setting in Self.shared + [SharedSetting(.tag, most: 0)] {
            ipv4[setting.setting] = Int32(state.host.sysctls.first { $0.path == setting.defaultPath }!.value)!
        }
        state.host.links[0].link.ipv4 = ipv4
        #expect(Self.intent.changes(from: state, owner: Self.owner).isEmpty)
        let after = Self.states(Self.removal.changes(from: state, owner: Self.owner), from: state).last
        #expect(after == before)
    }

    /// What somebody sets afterwards is his.
    @Test func whatOthersChangedSinceStays() throws {
        let before = Self.host(all: 1, standard: 0)
        var state = try #require(
            Self.states(Self.intent.changes(from: before, owner: Self.owner), from: before).last)
        let index = try #require(state.host.sysctls.firstIndex { $0.path == Self.policy.path })
        state.host.sysctls[index].value = "1"
        state.host.links[0].link.ipv4?[.reversePathFilter] = 2
        let after = try #require(
            Self.states(Self.removal.changes(from: state, owner: Self.owner), from: state).last)
        #expect(after.host.sysctls[index].value == "1")
        #expect(after.host.links[0].link.ipv4?[.reversePathFilter] == 2)
        #expect(after.host.links[0].link.ipv4?[.tag] == 0)

        // While we are here it is drift, and the last one set is what is given back.
        let repaired = try #require(
            Self.states(Self.intent.changes(from: state, owner: Self.owner), from: state).last)
        #expect(repaired.host.sysctls[index].value == "3")
        let restored = Self.states(Self.removal.changes(from: repaired, owner: Self.owner), from: repaired).last
        #expect(restored?.host.sysctls[index].value == "1")
    }

    @Test func aTagOfSomebodyElseIsLeftAlone() throws {
        var before = Self.host(all: 1, standard: 1)
        before.host.links[0].link.ipv4?[.tag] = 77
        let applied = try #require(
            Self.states(Self.intent.changes(from: before, owner: Self.owner), from: before).last)
        #expect(applied.host.links[0].link.ipv4?[.tag] == 77)
        #expect(applied.host.links[0].link.ipv4?[.reversePathFilter] == 1)
    }
}

@Suite(.timeLimit(minutes: 10)) struct FormerSettingsTests {
    private static let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "vpcctl:")

    @Test func noteIsReadBackAndFits() throws {
        var ipv4 = IPv4DeviceConfiguration()
        for setting in IPv4DeviceConfiguration.Setting.allCases { ipv4[setting] = 99 }
        ipv4[.mediumID] = .max
        ipv4[.tag] = .max
        var link = Link(
            name: InterfaceName("tap7")!, kind: .adopted, group: .max, isUp: false, ipv4: ipv4, proxyDelay: .max,
            ipv6Disabled: false, addressGeneration: .max)
        for _ in 1...2 {
            let former = FormerSettings(of: link)
            let note = former.note(Self.owner, index: .max)
            #expect(note.utf8.count <= 127)
            #expect(note.allSatisfy { $0.isLetter || $0.isNumber || "._".contains($0) }, "\(note)")
            #expect(FormerSettings(note: note, Self.owner) == former)
            link = Link(name: link.name, kind: .adopted)
        }
    }

    @Test(arguments: [
        "", "eth0", "vpcctl.was.", "vpcctl.was.7", "vpcctl.was.7.g0.u1", "vpcctl.was.7.gx.u1.e0",
        "vpcctl.was.net.ipv4.conf.all.rp_filter=1", "vpcctl.wa.7.g0.u1.e0",
    ])
    func otherNamesAreNoNotes(_ text: String) {
        #expect(FormerSettings(note: text, Self.owner) == nil)
    }
}

@Suite(.timeLimit(minutes: 10)) struct ForeignUseTests {
    private static let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "vpcctl:")

    private static func seen(
        _ name: String, _ index: UInt32, _ kind: String = "", master: String? = nil, over lower: UInt32 = 0,
        elsewhere: Bool = false, isOwned: Bool = false, notes: [String] = []
    ) -> ObservedLink {
        let link = Link(
            name: InterfaceName(name)!, kind: .adopted, master: master.flatMap { InterfaceName($0) }, notes: notes)
        return ObservedLink(
            index: index, link: link, kindName: kind, isOwned: isOwned, isOperational: true, peerIndex: lower,
            isPeerElsewhere: elsewhere, isLoopback: name == "lo")
    }

    @Test func whoeverUsesADeviceKeepsIt() {
        var host = NamespaceSnapshot()
        host.links = [
            Self.seen("bond0", 2, "bond"), Self.seen("eth0", 3), Self.seen("eth1", 4, master: "bond0"),
            Self.seen("eth2", 5), Self.seen("eth3", 6), Self.seen("lo", 1),
            Self.seen("macvlan9", 7, "macvlan", over: 4, elsewhere: true), Self.seen("taken", 8, master: "vpc-v1"),
            Self.seen("torn", 9, notes: ["vpcctl.was.9.g0.u1.e0"]),
            Self.seen("veth1", 10, "veth", over: 11), Self.seen("veth2", 11, "veth", over: 10),
            Self.seen("vlan5", 12, "vlan", over: 5), Self.seen("vpc-v1", 13, "vrf", isOwned: true),
        ]
        host.foreignAddresses = [
            Address(device: InterfaceName("eth0")!, address: .init("192.0.2.1")!, prefixLength: 24),
            Address(device: InterfaceName("taken")!, address: .init("192.0.2.2")!, prefixLength: 24),
        ]
        let use = ForeignUse(host, Self.owner)
        let reasons = Dictionary(
            uniqueKeysWithValues: host.links.map { ("\($0.link.name)", use.reason(toSpare: $0)) })
        let expected: [String: String?] = [
            "bond0": "eth1 is a port of it", "eth0": "it has the address 192.0.2.1/24",
            "eth1": "it is a port of bond0", "eth2": "vlan5 is on top of it", "eth3": nil,
            "lo": "it is the loopback device", "macvlan9": nil, "taken": nil, "torn": nil, "veth1": nil, "veth2": nil,
            "vlan5": nil, "vpc-v1": "it is one of our own",
        ]
        #expect(reasons == expected)
    }
}
