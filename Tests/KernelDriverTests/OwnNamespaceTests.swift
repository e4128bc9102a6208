import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing

/// Hosts that have a network namespace of their own.
@Suite(.timeLimit(minutes: 5))
struct OwnNamespaceTests {
    private func withOwn(guests: Int = 1, _ body: (inout Host, [String], String) throws -> Void) throws {
        try withHost(guests: guests) { host, guests in
            let own = host.name + "-own"
            defer { try? NetworkNamespace.remove(named: own) }
            host.own = NamespaceName(own)
            try body(&host, guests, own)
        }
    }

    private func standing(_ host: Host) throws -> NamespaceStanding { try host.observe().standing }

    @Test func itIsMadeAndFoundAgain() throws {
        try withOwn { host, guests, own in
            #expect(try standing(host) == .absent)
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            #expect(try standing(host) == .own(OwnNamespace(name: NamespaceName(own), alias: "test:host")))
            #expect(try devices(own) == ["p1"])
            #expect(try devices(host.name) == [])
            #expect(try devices(guests[0]) == ["eth0"])
            let loopback = try ip(own, "link", "show", "lo").first
            #expect((loopback?["ifalias"] as? String)?.hasPrefix("test:host underlay ") ?? false)
            #expect((loopback?["flags"] as? [String])?.contains("UP") ?? false)
        }
    }

    @Test func itIsRemovedWithAllThatIsInIt() throws {
        try withOwn { host, guests, own in
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            let before = try host.observe()
            let report = host.driver.commit(KernelIntent().changes(from: before, owner: owner), owner: owner)
            #expect(report.failures.isEmpty)
            #expect(!NetworkNamespace.isNameInUse(own))
            #expect(try standing(host) == .absent)
            #expect(try devices(guests[0]) == [])
        }
    }

    /// Whoever has one of that name keeps it.
    @Test func anotherOfItsNameIsLeftAlone() throws {
        try withOwn { host, _, own in
            try NetworkNamespace.create(named: own)
            try run("ip", "-n", own, "link", "add", "d0", "type", "bridge")
            #expect(try standing(host) == .foreign(NamespaceName(own), "it has not been made by us"))
            var intent = host.intent
            intent.normalize()
            let plan = intent.changes(from: try host.observe(), owner: owner)
            #expect(plan.operations.map(\.kind).contains(.namespace) == false)
            #expect(try devices(own) == ["d0"])
        }
    }

    /// Two hosts on one machine, and one name for both.
    @Test func anothersIsNotTaken() throws {
        try withOwn { host, _, own in
            try host.converge()
            let gone = try NetworkNamespace.create(named: own + "3")
            var other = Host(own + "3", gone)
            other.own = NamespaceName(own)
            let reason = "it belongs to another host of this machine"
            #expect(try standing(other) == .foreign(NamespaceName(own), reason))
            other.own = NamespaceName(own + "2")
            defer { try? NetworkNamespace.remove(named: own + "2") }
            try other.converge()
            try host.converge()
            // Nobody has it any more.
            try NetworkNamespace.remove(named: own + "3")
            host.own = NamespaceName(own + "2")
            try NetworkNamespace.remove(named: own)
            try host.converge()
        }
    }

    @Test func itGetsAnotherNameAsItIs() throws {
        try withOwn { host, guests, own in
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            let identity = try NetworkNamespace.named(own).identity()
            defer { try? NetworkNamespace.remove(named: own + "2") }
            host.own = NamespaceName(own + "2")
            try host.converge()
            #expect(!NetworkNamespace.isNameInUse(own))
            #expect(try NetworkNamespace.named(own + "2").identity() == identity)
        }
    }

    /// Who mirrors it holds it: its name is given to it again, and nothing in it has changed.
    @Test func itsNameComesBack() throws {
        try withOwn { host, guests, own in
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            let driver = host.driver
            let request = ObservationRequest(owner: owner, guests: host.guests)
            let mirror = try driver.mirror(request)
            let identity = try NetworkNamespace.named(own).identity()
            try NetworkNamespace.remove(named: own)
            let update = try mirror.update(after: nil)
            #expect(update.isUnderlayConcerned)
            var intent = host.intent
            intent.normalize()
            let plan = intent.changes(from: mirror.snapshot, owner: owner)
            #expect(plan.operations.map(\.object) == ["network namespace \(own)"])
            #expect(driver.commit(plan, owner: owner).failures.isEmpty)
            _ = try mirror.update(after: plan)
            #expect(intent.changes(from: mirror.snapshot, owner: owner).isEmpty)
            #expect(try NetworkNamespace.named(own).identity() == identity)
            #expect(try devices(guests[0]) == ["eth0"])
        }
    }

    /// The mirror begins before there is one, follows it, and begins again when it is gone.
    @Test func itIsMirroredFromItsBeginning() throws {
        try withOwn { host, guests, own in
            try host.addPort("p1", guest: guests[0])
            let driver = host.driver
            let mirror = try driver.mirror(ObservationRequest(owner: owner, guests: host.guests))
            #expect(mirror.snapshot.standing == .absent)
            var intent = host.intent
            intent.normalize()
            for _ in 0..<2 {
                let plan = intent.changes(from: mirror.snapshot, owner: owner)
                #expect(driver.commit(plan, owner: owner).failures.isEmpty)
                _ = try mirror.update(after: plan)
                #expect(intent.changes(from: mirror.snapshot, owner: owner).operations.map(\.object) == [])
                let removal = KernelIntent().changes(from: mirror.snapshot, owner: owner)
                #expect(driver.commit(removal, owner: owner).failures.isEmpty)
                _ = try mirror.update(after: removal)
                #expect(mirror.snapshot.standing == .absent)
                #expect(try devices(guests[0]) == [])
            }
            #expect(!NetworkNamespace.isNameInUse(own))
        }
    }

    // MARK: - Devices of others

    private func adopt(_ device: String, _ host: inout Host) throws {
        host.add(Link(name: try "br0".device, kind: .bridge, alias: "test:bridge", group: 30))
        host.add(
            Link(
                name: try device.device, kind: .adopted, master: try "br0".device, group: 10,
                ipv4: IPv4DeviceConfiguration(proxyARP: true, acceptLocal: true), proxyDelay: 0, ipv6Disabled: true,
                notes: []))
    }

    @Test func devicesOfOthersComeAndGoBack() throws {
        try withOwn { host, _, own in
            try run(
                "ip", "-n", host.name, "link", "add", "tap0", "mtu", "1400", "group", "3", "type", "veth", "peer",
                "far0")
            try run("ip", "-n", host.name, "link", "set", "tap0", "up")
            try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.conf.tap0.rp_filter=2")
            let former = try #require(host.observe().underlay.link(named: "tap0".device))
            let bare = host.intent
            try adopt("tap0", &host)
            try host.converge()
            #expect(try devices(own) == ["br0", "tap0"])
            #expect(try devices(host.name) == ["far0"])
            host.intent = bare
            try host.converge()
            #expect(try devices(own) == [])
            let back = try #require(host.observe().underlay.link(named: "tap0".device))
            #expect(back.link == former.link)
        }
    }

    @Test func devicesOfOthersGoBackWithTheNamespace() throws {
        try withOwn { host, _, own in
            try run("ip", "-n", host.name, "link", "add", "tap0", "type", "veth", "peer", "far0")
            let former = try #require(host.observe().underlay.link(named: "tap0".device))
            try adopt("tap0", &host)
            try host.converge()
            let removal = KernelIntent().changes(from: try host.observe(), owner: owner)
            #expect(host.driver.commit(removal, owner: owner).failures.isEmpty)
            #expect(!NetworkNamespace.isNameInUse(own))
            let back = try #require(host.observe().underlay.link(named: "tap0".device))
            #expect(back.link == former.link)
        }
    }
}
