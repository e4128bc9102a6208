import IPAddressing
import KernelModel
import KernelNames
import Testing

@Suite(.timeLimit(minutes: 10)) struct RouteTests {
    private func key(_ prefix: String, metric: UInt32 = 0) throws -> Route.Key {
        Route.Key(table: TableID(7), destination: try #require(IPPrefix(prefix)), metric: metric)
    }

    /// A million of them are read in a time in which the memory for them counts.
    @Test func routesOfBothFamiliesAreSmall() { #expect(MemoryLayout<Route>.size == 56) }

    @Test func gatewaysAreOfTheDestinationsFamily() throws {
        for (prefix, gateway) in [("10.0.0.0/8", "255.255.255.255"), ("::/0", "fe80::1"), ("::/0", "fe80::ffff:ffff")] {
            let address = try #require(IPAddress(gateway))
            var route = Route.gateway(address, device: .none, try key(prefix))
            #expect(route.gateway == address)
            route.gateway = nil
            #expect(route.gateway == nil)
        }
        let (narrow, wide) = (try #require(IPPrefix("10.0.0.0/8")), try #require(IPPrefix("2001:db8::/32")))
        for gateway in ["0.0.0.0", "fe80::1"] {
            #expect(!Route.holds(try #require(IPAddress(gateway)), to: narrow))
        }
        for gateway in ["10.0.0.1", "fe80::", "fe80::1:0:0", "fe80:0:0:1::1", "2001:db8::1"] {
            #expect(!Route.holds(try #require(IPAddress(gateway)), to: wide))
        }
    }

    /// As the kernel reports them.
    @Test func whatIsNotSaidIsAsTheFamilyHasIt() throws {
        #expect(try key("10.0.0.0/8").metric == 0)
        #expect(try key("2001:db8::/32").metric == 1024)
        #expect(try key("2001:db8::/32", metric: 5).metric == 5)
        #expect(Route.link(.none, try key("10.0.0.0/8")).scope == .link)
        #expect(Route.link(.none, try key("2001:db8::/32")).scope == .universe)
    }
}
