import IPAddressing
import KernelModel
import KernelNames
import NFTables
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCCompiler

/// The oracle of keeping up: after changes of any kind, one after the other, every host is compiled to what compiling it as
/// a whole gives, and what is said to be another than before is all that is.
@Suite(.timeLimit(minutes: 10)) struct ResourceChangeTests {
    /// A machine that changes as well: guests come and go, and so do the ways to other hosts.
    private static func facts(_ dice: inout Dice) -> HostFacts {
        var facts = HostFacts(underlayDevice: InterfaceName("u0")!, underlayMTU: 1500)
        for number in 0..<25 where dice.happens(8) {
            facts.missingNamespaces.insert(NamespaceName("n\(number)"))
        }
        for number in 0..<3 where dice.happens(15) { facts.missingUplinks.insert(InterfaceName("x\(number)")!) }
        if dice.happens(20) { facts.missingDevices.insert(InterfaceName("tap1")!) }
        if dice.happens(20) { facts.foreignDevices[InterfaceName("tap2")!] = "it has an address" }
        for host in 1...3 where dice.happens(70) {
            facts.paths.append(
                Path(
                    destination: IPAddress("172.31.0.\(host)")!,
                    devices: [InterfaceName(dice.happens(80) ? "u0" : "u1")!],
                    mtu: dice.happens(80) ? 1500 : 1400))
        }
        for number in 0..<9 {
            for liveness in [NextHop.Liveness.bfd, .ping] where dice.happens(20) {
                facts.liveness.deadNextHops.insert(WatchedNextHop("i\(number)", liveness))
            }
        }
        if dice.happens(60) {
            let all = (0..<3).flatMap { group in
                (0..<25).map { WatchedTarget(group: "b\(group)", interface: "i\($0)") }
            }
            facts.liveness.healthyTargets = Set(all.filter { _ in dice.happens(60) })
        }
        return facts
    }

    @Test(arguments: Seeds.fresh(with: 1, 2, 3, 4, 5, 6)) func followingGivesWhatCompilingGives(seed: UInt64) throws {
        var resources = RandomResources(seed: seed) {
            Topology.resolve($0, keeping: KeptAddresses()).topology != nil
        }
        let first = Topology.resolve(resources.model, keeping: KeptAddresses())
        var (topology, index) = (try #require(first.topology), first.index)
        var dice = Dice(seed: seed)
        var facts = Self.facts(&dice)
        var compilations: [Int: Compilation] = [:]
        var (followed, whole) = (0, 0)
        for step in 0..<250 {
            let next = resources.changed()
            for host in compilations.keys { compilations[host]?.releaseTopology() }
            guard let change = index.apply(resources.changes(to: next), to: &topology) else {
                for host in compilations.keys { compilations[host]?.keep(topology) }
                continue
            }
            resources = next
            if dice.happens(15) { facts = Self.facts(&dice) }
            compilations = compilations.filter { topology.hosts.contains(number: $0.key) }
            for host in topology.hosts.indices {
                guard var compilation = compilations.removeValue(forKey: host) else {
                    compilations[host] = topology.compiled(for: host, facts: facts)
                    continue
                }
                let former = compilation.intent
                var kernel = CompilerTests.snapshot(of: former)
                kernel.host.firewall = NFSnapshot(generation: 1, tables: former.host.firewall.map(\.seen))
                let anew = topology.compiled(for: host, facts: facts, numbering: Numbering(from: kernel.host))
                let place = "seed \(seed), step \(step), host \(host): \(change)"
                guard let suspects = compilation.take(change, in: topology, facts, from: kernel.host) else {
                    whole += 1
                    compilations[host] = anew
                    continue
                }
                followed += 1
                try expect(compilation, equals: anew, place)
                try expect(suspects, knowsAll: former, compilation.intent, place)
                let owner = Conventions.ownership
                let there = compilation.intent.changes(from: kernel, owner: owner, suspects: suspects)
                let all = compilation.intent.changes(from: kernel, owner: owner)
                try #require(there.steps.map(\.place) == all.steps.map(\.place), "\(place)")
                try #require(there.operations == all.operations, "\(place)")
                compilations[host] = compilation
            }
        }
        #expect(followed > 60 && whole < followed / 2, "\(followed), \(whole)")
    }

    /// Whose denials are reported is noted of all that a host asks for, some of which goes in the same change.
    @Test func policiesGoWithTheReportsOfTheirVPC() throws {
        let metadata = { (name: String) in Metadata(name: name) }
        let cidr = try #require(IPPrefix("10.0.1.0/24"))
        let vpc = VPC(metadata: metadata("v"), id: try #require(VPCID(1)), cidrs: [cidr])
        let subnet = Subnet(metadata: metadata("s"), vpc: "v", cidr: cidr, acl: "a")
        let interface = NetworkInterface(
            metadata: metadata("i"), subnet: "s", host: "h", address: IPAddress("10.0.1.5"),
            securityGroups: ["g"], attachment: .namespace("n0", device: "eth0"))
        let group = Resource(SecurityGroup(metadata: metadata("g"), vpc: "v"))
        let acl = Resource(NetworkACL(metadata: metadata("a"), vpc: "v"))
        let host = Host(metadata: metadata("h"), underlayAddress: try #require(IPAddress("172.31.0.1")))
        let before = [Resource(vpc), Resource(subnet), Resource(interface)]
        let first = Topology.resolve(Model(before + [group, acl, Resource(host)]))
        var (topology, index) = (try #require(first.topology), first.index)
        var changes = ResourceChanges()
        for resource in before + [group, acl] { precondition(changes.remove(resource)) }
        var after = (vpc: vpc, subnet: subnet, interface: interface)
        after.vpc.denialLog = DenialLog(group: 5)
        (after.subnet.acl, after.interface.securityGroups) = (nil, [])
        for resource in [Resource(after.vpc), Resource(after.subnet), Resource(after.interface)] {
            precondition(changes.add(resource))
        }
        var dice = Dice(seed: 1)
        let facts = Self.facts(&dice)
        var compilation = topology.compiled(for: 0, facts: facts)
        compilation.releaseTopology()
        let change = try #require(index.apply(changes, to: &topology))
        let kernel = CompilerTests.snapshot(of: compilation.intent)
        #expect(compilation.take(change, in: topology, facts, from: kernel.host) != nil)
        let anew = topology.compiled(for: 0, facts: facts, numbering: Numbering(from: kernel.host))
        try expect(compilation, equals: anew, "policies go")
    }

    private func expect(_ compilation: Compilation, equals anew: Compilation, _ place: String) throws {
        if compilation.intent != anew.intent {
            let (left, right) = (compilation.intent.host, anew.intent.host)
            for (ours, theirs) in zip(left.firewall, right.firewall) {
                #expect(ours.sets.map(\.name) == theirs.sets.map(\.name))
                for (one, other) in zip(ours.sets, theirs.sets) where one != other {
                    Issue.record("set \(one.name): \(one.elements) is not \(other.elements)")
                }
                #expect(ours.chains.map(\.name) == theirs.chains.map(\.name))
                for (one, other) in zip(ours.chains, theirs.chains) where one != other {
                    Issue.record("chain \(one) is not \(other)")
                }
                #expect(ours.counters == theirs.counters)
                #expect(ours.objects == theirs.objects)
            }
            #expect(left.links == right.links)
            #expect(left.addresses == right.addresses)
            #expect(left.neighbors == right.neighbors)
            expect(left.nexthops, equal: right.nexthops)
            expect(left.routes, equal: right.routes)
            #expect(left.sysctls == right.sysctls)
            #expect(compilation.intent.guests == anew.intent.guests)
        }
        try #require(compilation.intent == anew.intent, "\(place)")
        try #require(compilation.unattached == anew.unattached, "\(place)")
        try #require(compilation.unreachable == anew.unreachable, "\(place)")
        try #require(compilation.disconnected == anew.disconnected, "\(place)")
        try #require(compilation.tables == anew.tables, "\(place)")
        try #require(compilation.aggregation == anew.aggregation, "\(place)")
        try #require(compilation.policy.vpcOfZone == anew.policy.vpcOfZone, "\(place)")
        try #require(compilation.policy.interfaces == anew.policy.interfaces, "\(place)")
        try #require(compilation.policy.present == anew.policy.present, "\(place)")
        try #require(compilation.compiler.nexthopUses == anew.compiler.nexthopUses, "\(place)")
        // Where elements come from is no part of what makes sets equal.
        for (ours, theirs) in zip(compilation.intent.host.firewall, anew.intent.host.firewall) {
            for (one, other) in zip(ours.sets, theirs.sets) {
                try #require(
                    (0..<one.elements.count).map(one.elements.origin)
                        == (0..<other.elements.count).map(other.elements.origin),
                    "\(one.name), \(place)")
            }
        }
    }

    /// Says what is different.
    private func expect<Object: KernelObject>(_ left: [Attributed<Object>], equal right: [Attributed<Object>]) {
        #expect(Set(left).subtracting(right).map { "\($0.object) \($0.origin)" } == [], "too much")
        #expect(Set(right).subtracting(left).map { "\($0.object) \($0.origin)" } == [], "too little")
        #expect(left.map(\.object.key) == right.map(\.object.key))
    }

    /// - Parameter suspects: Where the second may be another than the first.
    private func expect(
        _ suspects: SuspectObjects, knowsAll former: KernelIntent, _ now: KernelIntent, _ place: String
    ) throws {
        func expect<Object: KernelObject>(
            _ kind: KeyPath<NamespaceIntent, [Attributed<Object>]>,
            _ keys: KeyPath<SuspectObjects, ChangedKeys<Object.Key>>
        ) throws {
            let different = Set(former.host[keyPath: kind]).symmetricDifference(now.host[keyPath: kind])
            try #require(different.allSatisfy { suspects[keyPath: keys].contains($0.object.key) }, "\(place)")
        }
        try expect(\.links, \.links)
        try expect(\.addresses, \.addresses)
        try expect(\.neighbors, \.neighbors)
        try expect(\.nexthops, \.nexthops)
        try expect(\.routes, \.routes)
        let guests = Set(former.guests).symmetricDifference(now.guests)
        try #require(guests.allSatisfy { suspects.guests.contains($0.namespace) }, "\(place)")
    }
}

extension NFTableIntent {
    /// As the kernel has it.
    fileprivate var seen: NFObservedTable {
        var seen = NFObservedTable(table)
        seen.objects = counters.map { NFObservedObject(name: $0.name, type: 1) }
        seen.objects += objects.map { NFObservedObject(name: $0.name, type: $0.body.type, body: $0.body) }
        seen.sets = sets.map { NFObservedSet(name: $0.name, shape: $0.shape, elements: $0.elements) }
        for index in seen.sets.indices where sets[index].grows { seen.sets[index].shape.size = 1 << 20 }
        seen.flowtables = flowtables.map { flowtable in
            NFObservedFlowtable(
                name: flowtable.name, priority: flowtable.priority, devices: flowtable.devices, flags: 2)
        }
        var handle: UInt64 = 0
        seen.chains = chains.map { chain in
            NFObservedChain(
                name: chain.name, base: chain.base,
                rules: chain.rules.map { rule in
                    handle += 1
                    return NFObservedRule(rule: rule, handle: handle, digest: rule.digest)
                })
        }
        return seen
    }
}
