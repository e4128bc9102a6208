import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import VPCTrace

@Suite(.timeLimit(minutes: 10)) struct ShadowedRouteTests {
    /// Of routes and blocks in a range so small that every address can be asked for: there is a warning of a route if and
    /// only if no address follows it.
    @Test(arguments: UInt64(1)...8) func aWarningMeansThatNoAddressFollows(_ seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var shadowed = 0
        for _ in 0..<100 {
            var cidrs: [IPPrefix] = []
            for _ in 0..<Int.random(in: 1...4, using: &dice) {
                let drawn = try Self.prefix(27...30, &dice)
                if !cidrs.contains(where: { $0.contains(drawn) || drawn.contains($0) }) { cidrs.append(drawn) }
            }
            let drawn = try (0..<Int.random(in: 1...12, using: &dice)).map { _ in try Self.prefix(26...31, &dice) }
            // A set has no order of its own that would be the same in another run.
            let destinations = Set(drawn).subtracting(cidrs).sorted().shuffled(using: &dice)
            let set = ManifestSet(text: Self.text(cidrs, destinations))
            let resolution = Topology.resolve(set.model)
            let topology = try #require(resolution.topology, "\(resolution.diagnostics)")
            let table = try #require(topology.routeTables.first)
            let warned = resolution.diagnostics.filter { $0.rule == "shadowed-route" }.map(\.message)
            for route in table.routes {
                let first = route.destination.address.v4
                let isFollowed = (first...route.destination.last.v4).contains {
                    let decision = topology.route(
                        to: IPAddress(v4: $0), in: RoutingContext(vpc: 0, routeTable: 0))
                    if case .custom(let taken) = decision { return taken == route }
                    return false
                }
                let isWarned = warned.contains { $0.contains(" the route to \(route.destination): ") }
                #expect(isWarned != isFollowed, "seed \(seed): \(route.destination) of \(destinations) in \(cidrs)")
            }
            shadowed += warned.count
        }
        #expect(shadowed > 20)
    }

    private static func prefix(_ lengths: ClosedRange<Int>, _ dice: inout Dice) throws -> IPPrefix {
        let length = Int.random(in: lengths, using: &dice)
        let offset = Int.random(in: 0..<64, using: &dice) & ~((1 << (32 - length)) - 1)
        return try #require(IPPrefix("10.0.0.\(offset)/\(length)"))
    }

    private static func text(_ cidrs: [IPPrefix], _ destinations: [IPPrefix]) -> String {
        let blocks = cidrs.map(\.description).joined(separator: ", ")
        let routes = destinations.map { "{destination: \($0), blackhole: true}" }.joined(separator: ", ")
        return """
            apiVersion: vpcctl.dev/v1
            kind: VPC
            metadata: {name: blue}
            spec: {id: 7, cidrs: [\(blocks)]}
            ---
            kind: RouteTable
            metadata: {name: drawn}
            spec: {vpc: blue, routes: [\(routes)]}
            """
    }
}
