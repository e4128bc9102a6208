import TestSupport
import Testing
import VPCModel
import VPCTopology
import KernelNames

@testable import VPCCompiler

/// What is compiled after changes of any kind does not depend on how the topology came to be what it is.
@Suite(.timeLimit(minutes: 10)) struct ResourceChangeTests {
    private static let facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)

    @Test(arguments: 1...3) func changedTopologiesAreCompiledAsResolvedOnes(seed: UInt64) throws {
        var resources = RandomResources(seed: seed)
        var attempt = seed
        while Topology.resolve(resources.model).topology == nil {
            attempt &+= 1000
            resources = RandomResources(seed: attempt)
        }
        let first = Topology.resolve(resources.model)
        var (topology, index) = (try #require(first.topology), first.index)
        var (compared, followed) = (0, 0)
        for step in 0..<120 {
            let next = resources.changed()
            let host = try #require(topology.hosts.indices.first)
            let former = topology.compiled(for: host, facts: Self.facts)
            guard let change = index.apply(resources.changes(to: next), to: &topology) else { continue }
            resources = next
            guard topology.hosts.contains(number: host) else { continue }
            let numbering = Numbering(from: CompilerTests.snapshot(of: former.intent).host)
            let anew = topology.compiled(for: host, facts: Self.facts, numbering: numbering)
            var moved = former
            if moved.follow(change, in: topology, host: host) != nil {
                followed += 1
                try #require(moved.intent == anew.intent, "seed \(seed), step \(step): \(change)")
            }
            if let (compilation, _) = topology.compiled(
                for: host, facts: Self.facts, numbering: numbering, following: former, change)
            {
                followed += 1
                try #require(compilation.intent == anew.intent, "seed \(seed), step \(step): \(change)")
            }
            let resolved = try #require(Topology.resolve(resources.model).topology)
            for (number, element) in topology.hosts.numbered {
                let same = try #require(resolved.hosts.firstIndex { $0.metadata.name == element.metadata.name })
                try #require(
                    text(of: topology.compiled(for: number, facts: Self.facts).intent, topology)
                        == text(of: resolved.compiled(for: same, facts: Self.facts).intent, resolved),
                    "seed \(seed), step \(step), \(element.metadata.name): \(change)")
                compared += 1
            }
        }
        #expect(compared > 30 && followed > 2, "\(compared), \(followed)")
    }
}
