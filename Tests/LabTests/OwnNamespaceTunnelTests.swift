import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import Netlink
import TestSupport
import Testing

/// Tunnels of hosts that have a network namespace of their own.
@Suite(.timeLimit(minutes: 10))
struct OwnNamespaceTunnelTests {
    private static let address = IPAddress(v4: 0xAC1F_0001)

    private func withOwn(_ body: (inout Host, String) throws -> Void) throws {
        try withHost(guests: 0) { host, _ in
            let own = host.name + "-own"
            defer { try? NetworkNamespace.remove(named: own) }
            try run("ip", "-n", host.name, "link", "add", "u0", "type", "veth", "peer", "name", "wire")
            try run("ip", "-n", host.name, "addr", "add", "172.31.0.1/24", "dev", "u0")
            for name in ["lo", "wire", "u0"] { try run("ip", "-n", host.name, "link", "set", name, "up") }
            host.own = NamespaceName(own)
            host.add(Link(name: try "v1".device, kind: .vrf(table: TableID(1_000_001)), alias: "test:vpc", group: 30))
            host.add(try tunnel(by: "u0"))
            host.add(try external(by: "u0"))
            let encapsulation = GREEncapsulation(
                key: 101, source: Self.address, destination: try "172.31.0.2".address, ttl: 64)
            host.add(Nexthop(id: NexthopID(7), body: .encapsulate(encapsulation, device: try "gx".device)))
            try body(&host, own)
        }
    }

    private func tunnel(by underlay: String) throws -> Link {
        Link(
            name: try "g101".device,
            kind: .gre(GRETunnel(local: Self.address, key: 101, ttl: 64, underlay: try underlay.device)),
            alias: "test:vpc/blue", master: try "v1".device, group: 20, mtu: 1471,
            ipv4: IPv4DeviceConfiguration(acceptLocal: true), ipv6Disabled: true)
    }

    private func external(by underlay: String) throws -> Link {
        Link(
            name: try "gx".device, kind: .greExternal(underlay: try underlay.device), alias: "test:host/h1", group: 21,
            mtu: 1471, ipv4: IPv4DeviceConfiguration(), ipv6Disabled: true)
    }

    @Test func tunnelsAreMadeOutsideAndMoved() throws {
        try withOwn { host, own in
            // Where they are made their names are taken.
            try run("ip", "-n", host.name, "link", "add", "g101", "type", "dummy")
            try host.converge()
            #expect(try devices(own) == ["g101", "gx", "v1"])
            #expect(try devices(host.name) == ["g101", "u0", "wire"])
            let text = try run("ip", "-n", own, "-d", "link", "show", "g101")
            #expect(text.contains("local 172.31.0.1") && text.contains("link-netns \(host.name)"), "\(text)")
            #expect(text.contains("mtu 1471") && text.contains("master v1") && text.contains("group 20"), "\(text)")
            #expect(try run("ip", "-n", host.name, "rule").split(separator: "\n").count == 3)
        }
    }

    @Test(arguments: [
        "link set g101 nomaster", "link set g101 mtu 1400", "link del g101", "link del v1", "link del gx",
        "link change g101 type gre local 172.31.0.1 key 101 ttl 63",
    ]) func tunnelsAreRepaired(command: String) throws {
        try withOwn { host, own in
            try host.converge()
            try run("sh", "-c", "ip -n \(own) \(command)")
            #expect(try !host.plan().isEmpty)
            try host.converge()
        }
    }

    /// Bound to another device in place.
    @Test func tunnelsFollowTheUnderlaysDevice() throws {
        try withOwn { host, own in
            try host.converge()
            let index = try ip(own, "link", "show", "g101").first?["ifindex"] as? Int
            try run("ip", "-n", host.name, "link", "add", "u1", "type", "dummy")
            host.intent.host.links.removeAll { $0.object.kind.underlay != nil }
            host.add(try tunnel(by: "u1"))
            host.add(try external(by: "u1"))
            try host.converge()
            #expect(try ip(own, "link", "show", "g101").first?["ifindex"] as? Int == index)
            try run("ip", "-n", host.name, "link", "set", "u1", "name", "u2")
            #expect(try !host.plan().isEmpty)
            host.intent.host.links.removeAll { $0.object.kind.underlay != nil }
            host.add(try tunnel(by: "u2"))
            host.add(try external(by: "u2"))
            try host.converge()
        }
    }

    /// One that was made, marked, and not moved: whoever did it was ended.
    @Test func whatWasNotMovedGoes() throws {
        try withOwn { host, own in
            try run(
                "ip", "-n", host.name, "link", "add", "gre7", "type", "gre", "local", "172.31.0.1", "key", "101", "dev",
                "u0")
            try run("ip", "-n", host.name, "link", "set", "gre7", "alias", "test:vpc/blue")
            try host.converge()
            #expect(try devices(host.name) == ["u0", "wire"])
            #expect(try devices(own) == ["g101", "gx", "v1"])
        }
    }

    /// As long as its tunnels are, it is another host's; when the underlay is gone they are, too.
    @Test func anothersIsNotTaken() throws {
        try withOwn { host, own in
            try host.converge()
            try withScratchNamespace { name, namespace in
                var other = Host(name, namespace)
                other.own = NamespaceName(own)
                let standing = try other.observe().standing
                #expect(standing == .foreign(NamespaceName(own), "it belongs to another host of this machine"))
            }
        }
    }

    @Test func itIsMirrored() throws {
        try withOwn { host, own in
            let driver = host.driver
            var request = ObservationRequest(owner: owner)
            request.paths = PathRequest(from: Self.address, to: [try "172.31.0.2".address])
            let mirror = try driver.mirror(request)
            var intent = host.intent
            intent.normalize()
            let plan = intent.changes(from: mirror.snapshot, owner: owner)
            #expect(driver.commit(plan, owner: owner).failures.isEmpty)
            _ = try mirror.update(after: plan)
            #expect(intent.changes(from: mirror.snapshot, owner: owner).operations.map(\.object) == [])
            #expect(mirror.snapshot.outside.paths.map(\.devices) == [[try "u0".device]])
            for (place, command) in [
                (own, "link del g101"), (own, "link set gx down"), (host.name, "link set u0 mtu 1400"),
                (host.name, "addr add 172.31.0.3/24 dev u0"),
            ] {
                try run("sh", "-c", "ip -n \(place) \(command)")
                let update = try mirror.update(after: nil)
                #expect(update.isUnderlayConcerned == (place == host.name), "\(command)")
                let changes = intent.changes(from: mirror.snapshot, owner: owner)
                #expect(driver.commit(changes, owner: owner).failures.isEmpty)
                _ = try mirror.update(after: changes)
                let read = try driver.observe(request)
                #expect(mirror.snapshot.host.links == read.host.links, "\(command)")
                #expect(mirror.snapshot.underlay.links == read.underlay.links, "\(command)")
                #expect(intent.changes(from: read, owner: owner).isEmpty, "\(command)")
            }
        }
    }

    /// The underlay's namespace gone and made anew: the tunnels have gone with it, and all is made again.
    @Test func aNewUnderlayIsServed() throws {
        try withOwn { host, own in
            try host.converge()
            let fresh = host.name + "-new"
            try NetworkNamespace.create(named: fresh)
            defer { try? NetworkNamespace.remove(named: fresh) }
            var monitor = try NetlinkMonitor(groups: [.link], in: .named(own))
            try NetworkNamespace.remove(named: host.name)
            while try devices(own).contains("g101") { _ = try monitor.receive(timeout: .seconds(10)) { _ in } }
            try run("ip", "-n", fresh, "link", "add", "u0", "type", "dummy")
            try run("ip", "-n", fresh, "addr", "add", "172.31.0.1/24", "dev", "u0")
            try run("ip", "-n", fresh, "link", "set", "u0", "up")
            var next = Host(fresh, .named(fresh))
            next.intent = host.intent
            next.own = host.own
            try next.converge()
            #expect(try devices(own) == ["g101", "gx", "v1"])
        }
    }
}
