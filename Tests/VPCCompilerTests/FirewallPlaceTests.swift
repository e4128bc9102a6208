import KernelNames
import NFTables
import Testing

@testable import VPCCompiler

/// Features put rules at places; the chain has them in the order of the places.
@Suite(.timeLimit(minutes: 10)) struct FirewallPlaceTests {
    private enum Way: Int, FirewallPlace {
        case first
        case second
        case third

        static let chain = "way"
        static let base: NFBaseChain? = NFBaseChain(.filter, .forward, priority: 7)
    }

    private static let origin = Origin(.host, 3)

    private func chain(_ name: String, _ firewall: Firewall) -> NFChain? {
        firewall.completed().flatMap(\.chains).first { $0.name == name }
    }

    @Test func rulesStandInTheOrderOfThePlaces() throws {
        var firewall = Firewall(origin: Self.origin)
        firewall.rule(at: Way.third, .counter("c"))
        firewall.rules(at: Way.first) { chain in
            chain.rule(.counter("a"))
            chain.rule(.drop)
        }
        firewall.rule(at: Way.third, .accept)
        firewall.rule(at: Way.second, .counter("b"))
        firewall.rule(at: Way.first, .counter("late"))
        let way = try #require(chain("way", firewall))
        #expect(
            way.rules.map(\.description) == [
                "counter name a", "drop", "counter name late", "counter name b", "counter name c", "accept",
            ])
        #expect(way.base == Way.base)
        #expect(way.origin == Self.origin && way.rules.allSatisfy { $0.origin == Self.origin })
    }

    @Test func whatNobodyFillsIsNotMade() {
        var firewall = Firewall(origin: Self.origin)
        firewall.rule(at: GuestARP.forged, .drop)
        let tables = firewall.completed()
        #expect(tables.map(\.table) == FirewallTables.all + [FirewallTables.underlay])
        #expect(tables.map { $0.chains.map(\.name) } == [[], ["input"], [], [], []])
    }

    /// For what translates there are chains of their own kind, before and after routing.
    @Test func translationsHavePlaces() throws {
        var firewall = Firewall(origin: Self.origin)
        firewall.rule(at: NATBeforeRouting.destinations, .accept)
        firewall.rule(at: NATAfterRouting.sources, .accept)
        #expect(try #require(chain("nat_prerouting", firewall)).base == NFBaseChain(.nat, .prerouting, priority: -100))
        #expect(try #require(chain("nat_postrouting", firewall)).base == NFBaseChain(.nat, .postrouting, priority: 100))
    }
}
