import IPAddressing
import KernelDriver
import KernelModel
import Netlink
import TestSupport
import Testing

/// What is left when the kernel refuses one thing in the middle of everything: nothing, or what is known as ours.
@Suite(.timeLimit(minutes: 10)) struct HalfWayTests {
    private static let table = NFTable(.inet, "halfway")

    /// One of every kind that any kernel has.
    private func withEverything(_ body: (Host, _ guests: [String]) throws -> Void) throws {
        try withHost(guests: 2) { host, guests in
            try run("ip", "-n", host.name, "link", "set", "lo", "up")
            try run("ip", "-n", host.name, "link", "add", "tap0", "type", "veth", "peer", "name", "tap1")
            for tap in ["tap0", "tap1"] { try run("ip", "-n", host.name, "link", "set", tap, "up") }
            let bridge = try "b0".device
            host.sysctls = ["net/ipv4/fib_multipath_hash_policy"]
            host.intent.host.sysctls = [Attributed(Sysctl("net/ipv4/fib_multipath_hash_policy", "1"), from: .none)]
            host.add(Link(name: bridge, kind: .bridge, alias: "test:b0", mtu: 1400))
            try host.addPort("p1", guest: guests[0], master: bridge)
            try host.addPort("p2", guest: guests[0], device: "eth1")
            try host.addPort("p3", guest: guests[1])
            host.add(
                Link(
                    name: try "tap0".device, kind: .adopted, master: bridge, group: 10,
                    ipv4: IPv4DeviceConfiguration(proxyARP: true), proxyDelay: 0, ipv6Disabled: true))
            let table = TableID(1_000_001)
            let port = try "p2".device
            host.add(Address(device: port, address: try "10.0.1.1".address, prefixLength: 32))
            host.add(
                Neighbor(device: port, address: try "10.0.1.9".address, hardwareAddress: try "02:00:00:00:00:09".mac))
            host.add(Nexthop(id: NexthopID(101), body: .gateway(try "10.0.1.9".address, device: port)))
            let group = NexthopGroup(members: [.init(id: NexthopID(101), weight: 1)], algorithm: .hashThreshold)
            host.add(Nexthop(id: NexthopID(102), body: .group(group)))
            host.add(.via(NexthopID(102), Route.Key(table: table, destination: try "10.0.1.9/32".prefix)))
            host.add(.unreachable(Route.Key(table: table, destination: try "10.0.0.0/16".prefix)))
            // The rule for local addresses is moved, as the product does it.
            host.add(Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol))
            host.intent.host.displacedRules = [
                Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)
            ]
            host.intent.host.firewall = [NFTableIntent(Self.table)]
            for (index, guest) in host.intent.guests.enumerated() {
                for (number, link) in guest.intent.links.enumerated() {
                    let address = IPAddress(v4: 0x0A00_0109 + UInt32(number))
                    let source = TableID(1_000_001 + UInt32(number))
                    host.intent.guests[index].intent.addresses.append(
                        Attributed(Address(device: link.object.name, address: address, prefixLength: 24), from: .none))
                    host.intent.guests[index].intent.routes.append(
                        Attributed(
                            .link(link.object.name, Route.Key(table: source, destination: try "10.0.1.0/24".prefix)),
                            from: .none))
                    host.intent.guests[index].intent.rules.append(
                        Attributed(
                            Rule(
                                priority: 10_000, source: IPPrefix(address), action: .lookup(source),
                                routeProtocol: owner.routeProtocol), from: .none))
                }
            }
            host.intent.normalize()
            try body(host, guests)
        }
    }

    @Test func everyStepOfAnApplyFailsOnce() throws {
        try withEverything { host, guests in
            let bare = try everything(host, guests)
            var position = 0
            while let refused = try apply(host, failingAt: position) {
                // Removed at once.
                try remove(host, "\(position) \(refused)")
                let left = difference(bare, try everything(host, guests))
                #expect(left == [], "\(position) \(refused)")
                // Finished at once.
                _ = try apply(host, failingAt: position)
                #expect(try apply(host, failingAt: nil) == nil, "\(position) \(refused)")
                #expect(try plan(host).isEmpty, "\(position) \(refused)")
                try remove(host, "\(position) \(refused)")
                let leftAfterAll = difference(bare, try everything(host, guests))
                #expect(leftAfterAll == [], "\(position) \(refused)")
                position += 1
            }
            #expect(position > 40)
        }
    }

    @Test func everyStepOfARemovalFailsOnce() throws {
        try withEverything { host, guests in
            let bare = try everything(host, guests)
            var position = 0
            while true {
                #expect(try apply(host, failingAt: nil) == nil)
                let refusal = InjectedRefusal(at: position)
                var driver = host.driver
                driver.refusal = refusal
                _ = driver.commit(try removal(host), owner: owner)
                guard let refused = refusal.refused else { break }
                try remove(host, "\(position) \(refused)")
                let left = difference(bare, try everything(host, guests))
                #expect(left == [], "\(position) \(refused)")
                position += 1
            }
            #expect(position > 15)
        }
    }

    // MARK: Pieces

    private func observe(_ host: Host, guests: [NamespaceName]) throws -> KernelSnapshot {
        try host.driver.observe(
            ObservationRequest(owner: owner, sysctls: host.sysctls, guests: guests, firewall: [Self.table]))
    }

    private func plan(_ host: Host) throws -> ChangePlan {
        host.intent.changes(from: try observe(host, guests: host.guests), owner: owner)
    }

    /// - Returns: what was refused; nil where there was nothing at that position.
    private func apply(_ host: Host, failingAt position: Int?) throws -> String? {
        let refusal = position.map { InjectedRefusal(at: $0) }
        var driver = host.driver
        driver.refusal = refusal
        let report = driver.commit(try plan(host), owner: owner)
        #expect(report.failures.isEmpty == (refusal?.refused == nil), "\(report.failures)")
        return refusal?.refused
    }

    /// By whoever knows nothing but the marks.
    private func removal(_ host: Host) throws -> ChangePlan {
        let snapshot = try observe(host, guests: [])
        var intent = KernelIntent()
        let moved = Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol)
        if snapshot.host.rules.contains(moved) {
            let local = Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)
            intent.host.rules = [Attributed(local, from: .none)]
        }
        return intent.changes(from: snapshot, owner: owner)
    }

    private func remove(_ host: Host, _ step: String) throws {
        let report = host.driver.commit(try removal(host), owner: owner)
        #expect(report.failures == [], "\(step)")
        // Parameters stay as they are; the next apply is to begin with this one again.
        try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=0")
    }

    /// All that there is, ours or not.
    private func everything(_ host: Host, _ guests: [String]) throws -> [String: Set<String>] {
        let snapshot = try observe(host, guests: guests.map { NamespaceName($0) })
        var all = ["host": lines(snapshot.host)]
        for (name, guest) in snapshot.guests { all[name.rawValue] = lines(guest) }
        return all
    }

    private func lines(_ snapshot: NamespaceSnapshot) -> Set<String> {
        // Whether they are operational is up to the moment; IPv6 comes back without the address that it makes by itself.
        var lines = snapshot.links.map { "\($0.index) \($0.link) \($0.isOwned)" }
        lines += snapshot.rules.map { "\($0.family) \($0) \($0.routeProtocol)" }
        lines += snapshot.addresses.map(\.description)
        lines += snapshot.foreignAddresses.filter { $0.address.family == .ipv4 }.map(\.description)
        lines += snapshot.neighbors.map(\.description) + snapshot.nexthops.map(\.description)
        lines += snapshot.routes.map(\.description) + snapshot.firewall.tables.map { "\($0.table)" }
        return Set(lines)
    }

    private func difference(_ before: [String: Set<String>], _ after: [String: Set<String>]) -> [String] {
        before.keys.sorted().flatMap { place in
            let (old, new) = (before[place] ?? [], after[place] ?? [])
            return new.subtracting(old).map { "\(place): + \($0)" }
                + old.subtracting(new).map { "\(place): - \($0)" }
        }
    }
}
