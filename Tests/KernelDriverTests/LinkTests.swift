import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing

@Suite(.timeLimit(minutes: 10)) struct LinkTests {
    @Test func portIsMadeAsWantedAndSeenByIP() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            try host.converge()

            let port = try #require(try ip(host.name, "link", "show", "p1").first)
            #expect(port["address"] as? String == "02:00:5e:00:00:01")
            #expect(port["mtu"] as? Int == 1400)
            #expect(port["group"] as? String == "10")
            #expect(port["operstate"] as? String == "UP")
            #expect((port["ifalias"] as? String)?.hasPrefix("test:interface/p1") == true)
            let far = try #require(try ip(guests[0], "link", "show", "eth0").first)
            #expect(far["address"] as? String == "02:00:0a:00:01:0a")
            #expect(far["mtu"] as? Int == 1400)
            #expect(far["operstate"] as? String == "UP")

            func value(_ path: String) throws -> String {
                try run("ip", "netns", "exec", host.name, "cat", "/proc/sys/net/\(path)")
            }
            #expect(try value("ipv4/conf/p1/proxy_arp") == "1\n")
            #expect(try value("ipv4/conf/p1/accept_local") == "1\n")
            #expect(try value("ipv4/conf/p1/send_redirects") == "0\n")
            #expect(try value("ipv4/neigh/p1/proxy_delay") == "0\n")
            #expect(try value("ipv6/conf/p1/disable_ipv6") == "1\n")
            #expect(try value("ipv6/conf/p1/addr_gen_mode") == "1\n")
        }
    }

    @Test func bridgesAndTheirPorts() throws {
        try withHost { host, guests in
            let bridge = try "br0".device
            host.add(Link(name: bridge, kind: .bridge, alias: "test:host/h1", group: 30))
            try host.addPort("p1", guest: guests[0], master: bridge)
            try host.addPort("p2", guest: guests[0], device: "eth1", master: bridge)
            try host.converge()
            let ports = try ip(host.name, "link", "show", "master", "br0")
            #expect(ports.compactMap { $0["ifname"] as? String }.sorted() == ["p1", "p2"])

            // Without the bridge the ports have no master.
            host.intent.host.links.removeAll { $0.object.name == bridge }
            for index in host.intent.host.links.indices { host.intent.host.links[index].object.master = nil }
            try host.converge()
            #expect(try ip(host.name, "link", "show", "type", "bridge").isEmpty)
        }
    }

    /// Every setting changed by somebody else comes back.
    @Test(arguments: [
        ["link", "set", "p1", "mtu", "1300"],
        ["link", "set", "p1", "group", "0"],
        ["link", "set", "p1", "down"],
        ["link", "set", "p1", "address", "02:00:00:00:00:99"],
        ["link", "set", "p1", "alias", "test:interface/other"],
        ["link", "set", "p1", "master", "foreign"],
        ["ntable", "change", "name", "arp_cache", "dev", "p1", "proxy_delay", "500"],
    ]) func settingsAreRepaired(command: [String]) throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            try run("ip", "-n", host.name, "link", "add", "foreign", "type", "bridge")
            try ipCommand(host.name, command)
            if command.contains("alias") {
                // The note where the other end is went with the alias: the pair is made anew.
                #expect(try host.plan().counts.total > 1)
            } else {
                #expect(try host.plan().operations.map(\.action).first == .change)
            }
            try host.converge()
            #expect(try ip(host.name, "link", "show", "foreign").count == 1)
        }
    }

    @Test(arguments: ["ipv4/conf/p1/proxy_arp=0", "ipv4/conf/p1/rp_filter=1", "ipv6/conf/p1/disable_ipv6=0"])
    func parametersAreRepaired(parameter: String) throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            try host.converge()
            try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net/\(parameter)")
            #expect(try host.plan().counts == .init(changed: 1))
            try host.converge()
        }
    }

    @Test func deletedDevicesComeBackAndForeignOnesStay() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            try host.addPort("p2", guest: guests[0], device: "eth1")
            try host.converge()
            try run("ip", "-n", host.name, "link", "add", "foreign", "type", "bridge")
            try run("ip", "-n", host.name, "link", "del", "p1")
            let report = try host.converge()
            #expect(report.applied.created == 1)

            // Removal: only ours go, in one message after they were gathered in a group.
            host.intent = KernelIntent()
            let removal = try host.converge()
            #expect(removal.applied == .init(deleted: 2))
            #expect(removal.writes == 3)
            #expect(try devices(host.name) == ["foreign"])
            #expect(try devices(guests[0]) == [])
        }
    }

    @Test func manyDevicesInOneGo() throws {
        try withHost { host, guests in
            for number in 0..<300 { try host.addPort("p\(number)", guest: guests[0], device: "eth\(number)") }
            let report = try host.converge()
            #expect(report.applied.created == 300)
            host.intent = KernelIntent()
            #expect(try host.converge().applied.deleted == 300)
            #expect(try devices(guests[0]) == [])
        }
    }

    @Test func aForeignDeviceOfThatNameIsNeverTouched() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            host.add(Address(device: try "p1".device, address: try "10.0.0.1".address, prefixLength: 32))
            let plan = try host.plan()
            // It appears after the plan was made.
            try run("ip", "-n", host.name, "link", "add", "p1", "type", "bridge")
            let before = try run("ip", "-n", host.name, "-d", "link", "show", "p1")
            let report = host.driver.commit(plan, owner: owner)
            let failure = try #require(report.failures.first)
            #expect(failure.reason == .refused(code: "EEXIST", message: "File exists", attribute: nil))
            #expect(failure.operation.origin == Origin(1))
            #expect(failure.operation.action == .create)
            let others = report.failures.dropFirst().filter { $0.operation.place == .host }
            #expect(others.map(\.reason) == [.dependency("link p1"), .dependency("link p1")])
            #expect(report.applied.total == 0)
            #expect(try run("ip", "-n", host.name, "-d", "link", "show", "p1") == before)
            #expect(try !run("ip", "-n", host.name, "addr", "show", "dev", "p1").contains("10.0.0.1"))
            // A later plan sees it as a conflict, and still does nothing to it.
            let later = try host.plan()
            #expect(later.conflicts.count == 1)
            #expect(host.driver.commit(later, owner: owner).writes == 0)
            #expect(try run("ip", "-n", host.name, "-d", "link", "show", "p1") == before)
            #expect(try !run("ip", "-n", host.name, "addr", "show", "dev", "p1").contains("10.0.0.1"))
            // Nor is it deleted by a plan that was made when the device was ours.
            var removal = ChangePlan()
            removal.steps = [.init(.links(ChangeSet(deletions: host.intent.host.links.map(\.object))))]
            #expect(host.driver.commit(removal, owner: owner).writes == 0)
            #expect(try run("ip", "-n", host.name, "-d", "link", "show", "p1") == before)
        }
    }

    @Test func aDeviceOfTheGuestsOwnIsNeverTouched() throws {
        try withHost { host, guests in
            try host.addPort("p1", guest: guests[0])
            let device = try "eth0".device
            host.intent.guests[0].intent.addresses = [
                Attributed(Address(device: device, address: try "10.0.1.10".address, prefixLength: 24), from: Origin(2))
            ]
            let plan = try host.plan()
            try run("ip", "-n", guests[0], "link", "add", "eth0", "type", "bridge")
            let before = try run("ip", "-n", guests[0], "-d", "addr", "show", "eth0")
            let report = host.driver.commit(plan, owner: owner)
            #expect(
                report.failures.map(\.reason) == [
                    .refused(code: "EEXIST", message: "File exists", attribute: nil), .dependency("link eth0"),
                    .dependency("link eth0"), .dependency("link p1"),
                ])
            #expect(try run("ip", "-n", guests[0], "-d", "addr", "show", "eth0") == before)
            #expect(try devices(host.name) == [])
        }
    }

    @Test func whatAnotherNeedsAndLacksIsNamed() throws {
        try withHost { host, _ in
            try host.addPort("p1", guest: "no-such-namespace", master: try "br0".device)
            try host.addPort("p2", guest: "no-such-namespace", device: "eth1")
            host.add(Address(device: try "p9".device, address: try "10.0.0.1".address, prefixLength: 32))
            let report = host.driver.commit(try host.plan(), owner: owner)
            let reasons = report.failures.filter { $0.operation.action == .create }.map(\.reason)
            #expect(
                reasons == [
                    .dependency("link br0"), .dependency("namespace no-such-namespace"), .dependency("link p9"),
                ])
            #expect(report.applied.total == 0)
        }
    }

    @Test func adoptedDevicesAreGivenBack() throws {
        try withHost { host, _ in
            try run("ip", "-n", host.name, "link", "add", "tap7", "type", "veth", "peer", "name", "far")
            let before = try host.observe().host.link(named: try "tap7".device)
            host.add(Link(name: try "br0".device, kind: .bridge, alias: "test:vpc/blue"))
            host.add(
                Link(
                    name: try "tap7".device, kind: .adopted, master: try "br0".device, group: 10,
                    ipv4: IPv4DeviceConfiguration(proxyARP: true, acceptLocal: true), proxyDelay: 0, ipv6Disabled: true)
            )
            try host.converge()
            let adopted = try #require(try ip(host.name, "link", "show", "tap7").first)
            #expect(adopted["master"] as? String == "br0")
            #expect(adopted["group"] as? String == "10")

            host.intent = KernelIntent()
            try host.converge()
            var after = try host.observe().host.link(named: try "tap7".device)
            after?.link.isUp = before?.link.isUp ?? true
            #expect(after == before)
        }
    }

    @Test func portsThatDoNotComeUpAreReported() throws {
        try withHost { host, _ in
            try run("ip", "-n", host.name, "link", "add", "p1", "type", "veth", "peer", "name", "far")
            var driver = host.driver
            driver.operationalTimeout = .milliseconds(50)
            var plan = ChangePlan()
            plan.steps = [.init(.awaitOperational([try "p1".device, try "p2".device]))]
            let report = driver.commit(plan, owner: owner)
            #expect(report.failures.map(\.reason) == [.dependency("link p2"), .timedOut])
            #expect(report.writes == 0)
        }
    }
}

func ipCommand(_ name: String, _ arguments: [String]) throws {
    // run() takes its words one by one.
    try run("sh", "-c", "ip -n \(name) \(arguments.joined(separator: " "))")
}
