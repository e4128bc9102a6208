import KernelModel
import KernelNames
import TestSupport
import Testing
import VPCCompiler
import VPCManifest
import VPCTopology

/// What routes are compiled to when next hops do not answer.
@Suite(.timeLimit(minutes: 10)) struct DeadNextHopTests {
    private static func manifest(_ hops: String) -> String {
        var text = ManifestHead.host()
        for host in 2...3 {
            text += "---\nkind: Host\nmetadata: {name: h\(host)}\nspec: {underlay: {address: 172.31.0.\(host)}}\n"
        }
        text += """
            ---
            kind: VPC
            metadata: {name: v}
            spec: {id: 7, cidrs: [10.0.0.0/8]}
            ---
            kind: Subnet
            metadata: {name: s}
            spec: {vpc: v, cidr: 10.0.0.0/24, routeTable: t}
            ---
            kind: RouteTable
            metadata: {name: t}
            spec: {vpc: v, routes: [{destination: 0.0.0.0/0, nextHops: [\(hops)]}]}

            """
        for number in 1...3 {
            text += """
                ---
                kind: NetworkInterface
                metadata: {name: fw\(number)}
                spec:
                  {subnet: s, host: h\(number), address: 10.0.0.1\(number), sourceDestCheck: false,
                   attachment: {netns: n\(number), device: eth0}}

                """
        }
        return text + """
            ---
            kind: NetworkInterface
            metadata: {name: web}
            spec: {subnet: s, host: h1, address: 10.0.0.50, attachment: {netns: web, device: eth0}}

            """
    }

    private static let three = "{interface: fw1, liveness: bfd}, {interface: fw2, liveness: bfd}, {interface: fw3}"

    private func topology(_ hops: String) throws -> Topology {
        let set = ManifestSet(text: Self.manifest(hops))
        let resolution = Topology.resolve(set.model)
        return try #require(resolution.topology, "\(set.diagnostics) \(resolution.diagnostics)")
    }

    private func facts(_ dead: String...) -> HostFacts {
        var facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        facts.liveness.deadNextHops = Set(dead.map { WatchedNextHop($0, .bfd) })
        return facts
    }

    /// The group behind the default route, and how its members are told apart: by destination, or by device.
    private func group(_ intent: KernelIntent) throws -> (id: NexthopID, group: NexthopGroup, members: Set<String>) {
        let nexthops = intent.host.nexthops.map(\.object)
        for nexthop in nexthops {
            guard case .group(let group) = nexthop.body else { continue }
            let members = group.members.map { member in
                switch nexthops.first(where: { $0.id == member.id })?.body {
                case .encapsulate(let encapsulation, _): "\(encapsulation.destination)"
                case .gateway(let address, _): "\(address)"
                default: "?"
                }
            }
            #expect(intent.host.routes.contains { $0.object.nexthop == nexthop.id })
            return (nexthop.id, group, Set(members))
        }
        throw ProgramFailure("there is no group")
    }

    @Test func whoIsDeadIsNoMemberAndTheGroupStaysTheSame() throws {
        let topology = try topology(Self.three)
        let whole = topology.compiled(for: 0, facts: facts()).intent
        let all = try group(whole)
        #expect(all.members == ["10.0.0.11", "172.31.0.2", "172.31.0.3"])
        var kernel = CompilerTests.snapshot(of: whole)
        for (dead, members) in [
            (["fw2"], ["10.0.0.11", "172.31.0.3"]), (["fw1", "fw2"], ["172.31.0.3"]),
            (["fw1"], ["172.31.0.2", "172.31.0.3"]),
        ] {
            var facts = facts()
            facts.liveness.deadNextHops = Set(dead.map { WatchedNextHop($0, .bfd) })
            let intent = topology.compiled(for: 0, facts: facts, numbering: Numbering(from: kernel.host)).intent
            let some = try group(intent)
            #expect(some.members == Set(members))
            // In place: nobody else's flow moves.
            #expect(some.id == all.id && some.group.algorithm == all.group.algorithm)
            kernel = CompilerTests.snapshot(of: intent)
        }
    }

    @Test func whoDoesNotSaySoIsNotLeftOut() throws {
        let topology = try topology(Self.three)
        #expect(
            try group(topology.compiled(for: 0, facts: facts("fw3")).intent).members.count == 3)
        // One that is dead by another measure is another matter.
        var facts = facts()
        facts.liveness.deadNextHops = [WatchedNextHop("fw2", .ping)]
        #expect(try group(topology.compiled(for: 0, facts: facts).intent).members.count == 3)
    }

    @Test func whereNobodyAnswersAllAreUsed() throws {
        let topology = try topology("{interface: fw1, liveness: bfd}, {interface: fw2, liveness: bfd}")
        let intent = topology.compiled(for: 0, facts: facts("fw1", "fw2")).intent
        #expect(try group(intent).members == ["10.0.0.11", "172.31.0.2"])
        // Also where those that live cannot be had.
        var facts = facts("fw2")
        facts.missingNamespaces = [NamespaceName("n1")]
        let other = topology.compiled(for: 0, facts: facts).intent
        #expect(try group(other).members == ["172.31.0.2"])
    }

    @Test func aLoneNextHopStays() throws {
        let topology = try topology("{interface: fw2, liveness: bfd}")
        let former = topology.compiled(for: 0, facts: facts()).intent
        #expect(topology.compiled(for: 0, facts: facts("fw2")).intent.host.routes == former.host.routes)
    }

    /// Only a port that a route with `liveness: bfd` leads to may speak BFD with its host.
    @Test func onlyWhoIsWatchedMaySpeak() throws {
        func elements(_ hops: String) throws -> Int? {
            let intent = try topology(hops).compiled(for: 0, facts: facts()).intent
            let table = try #require(
                intent.host.firewall.first { $0.table.name == "vpcctl" && $0.position(ofSet: "ports") != nil })
            return table.position(ofSet: "bfd_rate").map { table.sets[$0].elements.count }
        }
        #expect(try elements(Self.three) == 1)
        #expect(try elements("{interface: fw1, liveness: ping}, {interface: fw2, liveness: bfd}") == nil)
        #expect(try elements("{interface: fw1}") == nil)
    }
}
