import KernelNames
import TestSupport
import Testing

@testable import KernelModel

@Suite(.timeLimit(minutes: 10)) struct ParameterChangesTests {
    private static let owner = Ownership(routeProtocol: RouteProtocol(118), aliasPrefix: "vpcctl:")
    private static let policy = "net/ipv4/fib_multipath_hash_policy"
    private static let filter = "net/ipv4/conf/all/rp_filter"

    private static func snapshot(_ sysctls: [Sysctl], notes: [String] = []) -> KernelSnapshot {
        var snapshot = KernelSnapshot()
        snapshot.host.sysctls = sysctls
        let link = Link(name: InterfaceName("lo")!, kind: .adopted, notes: notes)
        snapshot.host.links = [
            ObservedLink(
                index: 1, link: link, kindName: "", isOwned: false, isOperational: true, peerIndex: 0, isLoopback: true)
        ]
        return snapshot
    }

    private static func operations(_ intent: KernelIntent, _ snapshot: KernelSnapshot) -> [String] {
        intent.changes(from: snapshot, owner: owner).operations.map { "\($0.action) \($0.object)" }
    }

    /// What the kernel has otherwise is set, what it does not have is left out.
    @Test func theyAreSet() {
        var intent = KernelIntent()
        intent.host.sysctls = [
            Attributed(Sysctl(Self.filter, "0"), from: Origin(1)),
            Attributed(Sysctl(Self.policy, "3"), from: Origin(1)),
            Attributed(Sysctl("net/ipv4/unheard_of", "1"), from: Origin(1)),
        ]
        let seen = Self.snapshot([Sysctl(Self.filter, "1"), Sysctl(Self.policy, "3")])
        #expect(Self.operations(intent, seen) == ["change sysctl \(Self.filter.replacing("/", with: "."))=0"])
    }

    /// What a version has noted that had everything in the machine's own namespace: given back, then forgotten.
    @Test func whatWasNotedIsGivenBack() {
        let notes = ["vpcctl.was.net.ipv4.conf.all.rp_filter=1", "vpcctl.was.net.ipv4.fib_multipath_hash_policy=0"]
        let seen = Self.snapshot([Sysctl(Self.filter, "0"), Sysctl(Self.policy, "0")], notes: notes)
        let plan = KernelIntent().changes(from: seen, owner: Self.owner)
        #expect(plan.steps.count == 2)
        guard case .sysctls(let given)? = plan.steps.first?.work, case .links(let forgotten)? = plan.steps.last?.work
        else {
            Issue.record("\(plan.operations)")
            return
        }
        #expect(given.replacements.map(\.new) == [Sysctl(Self.filter, "1")])
        #expect(forgotten.replacements.map(\.new.notes) == [[]])
        #expect(KernelIntent().changes(from: Self.snapshot([Sysctl(Self.filter, "0")]), owner: Self.owner).isEmpty)
    }

    @Test(arguments: ["", "lo", "vpcctl.was.", "vpcctl.was.=1", "vpcctl.was.net.x=", "vpcctl.was.7.g0.u1.e0"])
    func otherNamesAreNoNotes(_ text: String) { #expect(Sysctl(note: text, Self.owner) == nil) }
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
