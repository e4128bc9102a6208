import Glibc
import IPAddressing
import NFTables
import Netlink
import TestSupport
import Testing

@testable import KernelDriver

/// Chains that belong to devices, and what they do to packets.
@Suite(.timeLimit(minutes: 10)) struct FirewallDeviceTests {
    private static let table = NFTable(.netdev, "probe")
    private static let other = NFTable(.inet, "probe")

    private func guards(_ devices: [String], hook: NFBaseChain.Hook = .ingress) -> NFTableIntent {
        var table = NFTableIntent(Self.table)
        table.counters = [NFCounter("spoofed")]
        var owners = NFSet("owners", of: .interfaceName, .etherAddress, .ipv4Address, size: 64)
        owners.add(
            FirewallTables.device("p0"), FirewallTables.mac("02:00:00:00:00:02"), FirewallTables.address("10.0.0.2"))
        table.sets = [owners]
        for device in devices {
            table.chain(
                "in-\(device)",
                NFBaseChain(.filter, hook, priority: -500, devices: [FirewallTables.device(device)])
            ) { $0.rule(.goto("guard")) }
        }
        table.chain("guard") { chain in
            chain.rule(.match(.iifname, .etherSource, .arpSenderIP, in: "owners"), .accept)
            chain.rule(.match(.iifname, .etherSource, .ipSource, in: "owners"), .accept)
            chain.rule(.counter("spoofed"), .drop)
        }
        return table
    }

    /// A device that goes takes its chain along on some kernels and leaves it behind on others: either way another
    /// look says what there is to do, and doing it ends the matter.
    @Test func devicesComeAndGo() throws {
        try withFirewall { scratch, driver in
            func addPair() throws {
                try scratch.run("ip", "link", "add", "p0", "type", "veth", "peer", "name", "p1")
            }
            try addPair()
            try driver.apply(guards(["p0", "p1"]))
            #expect(try driver.plan(guards(["p0", "p1"])).0.description == "")

            try scratch.run("ip", "link", "delete", "p0")
            try driver.apply(guards([]))
            #expect(try driver.plan(guards([])).0.description == "")

            try addPair()
            try driver.apply(guards(["p0", "p1"]))
            try scratch.run("ip", "link", "delete", "p0")
            try addPair()
            // Made anew between two looks.
            try driver.apply(guards(["p0", "p1"]))
            #expect(try driver.plan(guards(["p0", "p1"])).0.description == "")
            let devices = try driver.observe([Self.table]).tables[0].chains.compactMap(\.base).flatMap(\.devices)
            #expect(devices == [FirewallTables.device("p0"), FirewallTables.device("p1")])

            // Another device in the place of one.
            var table = guards(["p0"])
            table[chain: "in-p0"].base?.devices = [FirewallTables.device("p1")]
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            // One chain for two.
            table[chain: "in-p0"].base?.devices = [FirewallTables.device("p0"), FirewallTables.device("p1")]
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
        }
    }

    /// Kernels before 6.16 refuse a chain for a device that is not there; later ones wait for it.
    @Test func aDeviceThatIsNotThereYet() throws {
        try withGuest { scratch, driver, guest in
            let (changes, generation) = try driver.plan(guards(["later"]))
            switch try driver.commit([changes], generation: generation) {
            case .refused(let failures):
                #expect(
                    failures.contains {
                        $0.description.hasPrefix(
                            "chain netdev probe in-later { type filter hook ingress devices { later } priority -500 "
                                + "policy accept }: kernel said \"No such file or directory\" (ENOENT")
                    })
                #expect(try driver.observe([Self.table]).tables.isEmpty)
            case .committed:
                #expect(try driver.plan(guards(["later"])).0.description == "")
                // Its rules apply to the device from the first packet on.
                try scratch.run("ip", "link", "set", "p0", "down")
                try scratch.run("ip", "link", "set", "p0", "name", "later")
                try scratch.run("ip", "link", "set", "later", "up")
                #expect(try driver.plan(guards(["later"])).0.description == "")
                #expect(try !reaches(guest))
                #expect(try driver.counters(of: Self.table)[0].counts.packets > 0)
            case .stale: Issue.record("stale")
            }
        }
    }

    @Test func egress() throws {
        try withFirewall { scratch, driver in
            try scratch.run("ip", "link", "add", "p0", "type", "veth", "peer", "name", "p1")
            var table = NFTableIntent(Self.table)
            table.chain("out", NFBaseChain(.filter, .egress, priority: 1, devices: [FirewallTables.device("p0")])) {
                $0.rule(.match(.arpOperation, 2), .match(.arpTargetIP, FirewallTables.address("10.0.0.1")), .drop)
            }
            try driver.apply(table)
            #expect(try driver.plan(table).0.description == "")
            #expect(try scratch.listing(Self.table).contains("arp operation reply arp daddr ip 10.0.0.1 drop"))
        }
    }

    // MARK: Packets

    /// p0 in one namespace, its other end 10.0.0.2 with that MAC address in another.
    private func withGuest(
        _ body: (FirewallScratch, inout FirewallDriver, _ guest: FirewallScratch) throws -> Void
    ) throws {
        try withFirewall { scratch, driver in
            try withFirewall { guest, _ in
                try scratch.run(
                    "ip", "link", "add", "p0", "type", "veth", "peer", "name", "eth0", "address", "02:00:00:00:00:02",
                    "netns", guest.name)
                try scratch.run("ip", "address", "add", "10.0.0.1/24", "dev", "p0")
                try scratch.run("ip", "link", "set", "p0", "up")
                try guest.run("ip", "address", "add", "10.0.0.2/24", "dev", "eth0")
                try guest.run("ip", "address", "add", "10.0.0.3/24", "dev", "eth0")
                try guest.run("ip", "link", "set", "eth0", "up")
                try body(scratch, &driver, guest)
            }
        }
    }

    private func reaches(_ guest: FirewallScratch, from source: String = "10.0.0.2", _ port: UInt16 = 7) throws -> Bool
    {
        // A closed port answers by ICMP, which the sender's socket hears of.
        try guest.namespace.enter { () throws(NetlinkError) in
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            func address(_ text: String, _ port: UInt16) -> sockaddr_in {
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = port.bigEndian
                address.sin_addr.s_addr = FirewallTables.address(text).v4.bigEndian
                return address
            }
            let size = socklen_t(MemoryLayout<sockaddr_in>.size)
            var (near, far) = (address(source, 0), address("10.0.0.1", port))
            let isReady = withUnsafeMutablePointer(to: &near) { near in
                withUnsafeMutablePointer(to: &far) { far in
                    near.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) } == 0
                        && far.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) } == 0
                }
            }
            guard isReady, send(descriptor, "x", 1, 0) == 1 else { return false }
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            return poll(&request, 1, 1500) == 1
        }
    }

    @Test func onlyTheOwnerOfAnAddressIsHeard() throws {
        try withGuest { scratch, driver, guest in
            #expect(try reaches(guest))
            #expect(try reaches(guest, from: "10.0.0.3"))
            try driver.apply(guards(["p0"]))
            #expect(try reaches(guest))
            #expect(try !reaches(guest, from: "10.0.0.3"))
            #expect(try driver.counters(of: Self.table)[0].counts.packets > 0)
            try driver.apply(guards([]))
            #expect(try reaches(guest, from: "10.0.0.3"))
        }
    }

    /// One element more or less, and one interval, are felt at once. The protocol of a box may come from the packet's
    /// description instead of its header, as it must for IPv6.
    @Test func elementsDecide() throws {
        try withGuest { scratch, driver, guest in
            var table = NFTableIntent(Self.other)
            var blocked = NFSet("blocked", of: .ipv4Address, isInterval: true)
            var services = NFSet(
                "services", of: .ipv4Address, .internetProtocol, .internetService, to: .verdict, isInterval: true)
            services.add(
                FirewallTables.prefix("10.0.0.0/30"), NFProtocol.udp, NFPort(100)...NFPort(200),
                verdict: .goto("refuse"))
            table.sets = [blocked, services]
            table.chain("in", NFBaseChain(.filter, .input, priority: 0)) { chain in
                chain.rule(.match(.ipSource, in: "blocked"), .drop)
                chain.rule(.vmap(.ipSource, .l4proto, .destinationPort, map: "services"))
            }
            table.chain("refuse") { $0.rule(.counter, .drop) }
            try driver.apply(table)
            #expect(try reaches(guest, 99) && !reaches(guest, 100) && !reaches(guest, 200) && reaches(guest, 201))
            blocked.add(FirewallTables.prefix("10.0.0.2/31"))
            table[set: "blocked"] = blocked
            try driver.apply(table)
            #expect(try !reaches(guest, 99))
            table[set: "blocked"] = NFSet("blocked", of: .ipv4Address, isInterval: true)
            try driver.apply(table)
            #expect(try reaches(guest, 99))
            #expect(try driver.rules(of: "refuse", in: Self.other)[0].counts?.packets == 2)
        }
    }
}
