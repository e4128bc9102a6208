import TestSupport
import Testing
import VPCModel

@testable import VPCTopology

/// Taking changes of resources in gives what resolving everything gives, for random changes of every kind, and leaves
/// everything as it was where it does not.
@Suite(.timeLimit(minutes: 10)) struct ResourceChangeTests {
    @Test(arguments: 1...6) func changesGiveWhatResolvingGives(seed: UInt64) throws {
        var present = Accepted(seed: seed)
        var counts = (taken: 0, resolved: 0, invalid: 0)
        var kinds: Set<String> = []
        for step in 0..<250 {
            let next = present.resources.changed()
            let changes = present.resources.changes(to: next)
            let whole = Topology.resolve(
                next.model, numbering: present.topology, keeping: KeptAddresses(of: present.topology))
            let before = present.topology
            guard let change = present.index.apply(changes, to: &present.topology) else {
                try #require(present.topology.isIdentical(to: before), "seed \(seed), step \(step): \(changes)")
                counts.invalid += whole.topology == nil ? 1 : 0
                counts.resolved += whole.topology == nil ? 0 : 1
                present.take(whole, next)
                continue
            }
            counts.taken += 1
            let topology = try #require(
                whole.topology, "seed \(seed), step \(step): an invalid set was taken\n\(changes)")
            try #require(present.topology == topology, "seed \(seed), step \(step): \(changes)")
            let complaints = Accepted.complaints(whole)
            #expect(complaints.isSubset(of: present.complaints), "seed \(seed), step \(step): \(changes)")
            try #require(change.tells(before, from: present.topology), "seed \(seed), step \(step): \(change)")
            kinds.formUnion(change.kinds)
            if step.isMultiple(of: 3) {
                present.index.revert(change, in: &present.topology)
                try #require(present.topology.isIdentical(to: before), "seed \(seed), step \(step): \(changes)")
                let again = present.index.apply(changes, to: &present.topology)
                #expect(again != nil)
                try #require(present.topology == topology, "seed \(seed), step \(step): \(changes)")
            }
            (present.resources, present.complaints) = (next, complaints)
        }
        // Each of the ways was gone.
        #expect(counts.taken > 50 && counts.resolved > 1 && counts.invalid > 40, "\(counts)")
        #expect(kinds.count > 5, "\(kinds)")
    }

    /// In proportion to the change, and not to how much there is.
    @Test func numbersOfWhatIsGoneAreGivenAway() throws {
        var present = Accepted(seed: 1)
        var bound = 0
        for _ in 0..<2000 {
            let next = present.resources.changed()
            let changes = present.resources.changes(to: next)
            if present.index.apply(changes, to: &present.topology) != nil { present.resources = next }
            bound = max(bound, present.topology.interfaces.endIndex)
        }
        // Of eleven names; what is added in a change does not take what goes in it.
        #expect(bound <= 17)
    }

    /// Numbers are found under what they were put under, however many have come and gone.
    @Test(arguments: 1...4) func tablesFindWhatIsInThem(seed: UInt64) {
        var dice = Dice(seed: seed)
        var (table, known) = (NumberTable(), [Int: Int]())
        for _ in 0..<4000 {
            let number = Int.random(in: 0..<300, using: &dice)
            if let hash = known.removeValue(forKey: number) {
                table.remove(number, hash)
                #expect(table.first(hash) { $0 == number } == nil)
            } else {
                // Many meet, at the end of the table, too.
                let hash = Int.random(in: 0..<40, using: &dice) &* 0x1FFF
                table.insert(number, hash)
                known[number] = hash
            }
            table.remove(number, 7)
        }
        #expect(table.count == known.count)
        #expect(known.allSatisfy { number, hash in table.first(hash) { $0 == number } == number })
    }
}

/// Resources that hold together, as an agent keeps them.
private struct Accepted {
    var resources: RandomResources
    var topology = Topology()
    var index = TopologyIndex()
    var complaints: Set<Diagnostic> = []

    init(seed: UInt64) {
        resources = RandomResources(seed: seed) { Topology.resolve($0, keeping: KeptAddresses()).topology != nil }
        take(Topology.resolve(resources.model, keeping: KeptAddresses()), resources)
    }

    mutating func take(_ resolution: Resolution, _ resources: RandomResources) {
        guard let topology = resolution.topology else { return }
        (self.topology, index, self.resources) = (topology, resolution.index, resources)
        complaints = Self.complaints(resolution)
    }

    /// Without what they are related to, which may be any of several.
    static func complaints(_ resolution: Resolution) -> Set<Diagnostic> {
        Set(
            resolution.diagnostics.map { diagnostic in
                var diagnostic = diagnostic
                (diagnostic.related, diagnostic.message) = (nil, "")
                return diagnostic
            })
    }
}

extension Topology {
    /// Whether numbers are the same, too.
    fileprivate func isIdentical(to other: Topology) -> Bool {
        hosts.isIdentical(to: other.hosts) && vpcs.isIdentical(to: other.vpcs) && subnets.isIdentical(to: other.subnets)
            && routeTables.isIdentical(to: other.routeTables) && interfaces.isIdentical(to: other.interfaces)
            && securityGroups.isIdentical(to: other.securityGroups) && acls.isIdentical(to: other.acls)
            && probes.isIdentical(to: other.probes) && policyElements == other.policyElements
            && vpcs.indices.allSatisfy { interfacesOfVPC[$0] == other.interfacesOfVPC[$0] }
            && vpcs.indices.allSatisfy { furtherOfVPC[$0] == other.furtherOfVPC[$0] }
            && hosts.indices.allSatisfy { interfacesOfHost[$0] == other.interfacesOfHost[$0] }
    }
}

extension Slots where Element: Equatable {
    fileprivate func isIdentical(to other: Slots) -> Bool {
        indices.elementsEqual(other.indices) && elementsEqual(other)
    }
}

extension TopologyChange {
    /// Kinds of which something was added, removed or changed.
    fileprivate var kinds: Set<String> {
        let all = [
            ("hosts", hosts.isEmpty), ("vpcs", vpcs.isEmpty), ("subnets", subnets.isEmpty),
            ("routeTables", routeTables.isEmpty), ("interfaces", interfaces.isEmpty),
            ("securityGroups", securityGroups.isEmpty), ("acls", acls.isEmpty), ("probes", probes.isEmpty),
        ]
        return Set(all.filter { !$0.1 }.map(\.0))
    }

    /// Whether this, and nothing else, is how a topology differs from what it was.
    fileprivate func tells(_ before: Topology, from now: Topology) -> Bool {
        hosts.tells(before.hosts, from: now.hosts) && vpcs.tells(before.vpcs, from: now.vpcs)
            && subnets.tells(before.subnets, from: now.subnets)
            && routeTables.tells(before.routeTables, from: now.routeTables)
            && interfaces.tells(before.interfaces, from: now.interfaces)
            && securityGroups.tells(before.securityGroups.withoutMembers, from: now.securityGroups.withoutMembers)
            && acls.tells(before.acls, from: now.acls) && probes.tells(before.probes, from: now.probes)
    }
}

extension TopologyChange.Part where Element: Equatable {
    fileprivate func tells(_ before: Slots<Element>, from now: Slots<Element>) -> Bool {
        let (old, new) = (Set(before.indices), Set(now.indices))
        let different = Set(old.intersection(new).filter { before[$0] != now[$0] })
        return added == new.subtracting(old).sorted() && Set(removed.keys) == old.subtracting(new)
            && Set(changed.keys) == different && removed.allSatisfy { before[$0.key] == $0.value }
            && changed.allSatisfy { before[$0.key] == $0.value }
    }
}

extension Slots<ResolvedSecurityGroup> {
    fileprivate var withoutMembers: Self {
        var result = self
        for number in indices { result[number].members = [] }
        return result
    }
}
