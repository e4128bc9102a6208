import FakeKernel
import Foundation
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import TestSupport
import Testing

/// The kernel in memory, on which others' tests are built, does what a real one does: the same plans are carried out by
/// both, and what somebody else does in between happens to both.
@Suite(.enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct FakeKernelTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func itDoesWhatARealOneDoes(seed: UInt64) throws {
        try withScratchNamespace { host, _ in
            let guests = ["\(host)-a", "\(host)-b"]
            for guest in guests { try NetworkNamespace.create(named: guest) }
            defer { for guest in guests { try? NetworkNamespace.remove(named: guest) } }
            for name in guests + [host] { try MirrorWorld.quiet(name) }
            var pair = try KernelPair(host, guests, seed: seed)
            for number in 0..<40 { try pair.round(number) }
            #expect(pair.failures > 0 && pair.losses > 0, "nothing was refused or lost: this shows little")
        }
    }
}

/// A real kernel, and one that pretends.
private struct KernelPair {
    private let host: String
    private let real: KernelDriver
    private let fake: FakeKernel
    private let request: ObservationRequest
    private var drawn: DrawnIntent
    private(set) var failures = 0
    private(set) var losses = 0

    init(_ host: String, _ guests: [String], seed: UInt64) throws {
        self.host = host
        // The other end of each port comes up in the same plan.
        real = KernelDriver(namespace: .named(host), operationalTimeout: .seconds(10))
        request = ObservationRequest(
            owner: owner, sysctls: ["net/ipv4/ip_forward"], guests: guests.map(NamespaceName.init),
            firewall: MirrorWorld.tables)
        drawn = DrawnIntent(guests: guests, table: MirrorWorld.tables[1], dice: Dice(seed: seed))
        let sample = try Self.newDevice(host, real, request)
        let first = try real.observe(request)
        var world = FakeWorld(owner: owner)
        world.host = FakeNamespace(first.host, owner: owner)
        world.host.newDevice = sample
        for (name, guest) in first.guests {
            world.guests[name] = FakeNamespace(guest, owner: owner)
            world.guests[name]?.newDevice = sample
        }
        fake = FakeKernel(world)
    }

    /// What a device starts with is the machine's business (net.ipv4.conf.default).
    private static func newDevice(
        _ host: String, _ driver: KernelDriver, _ request: ObservationRequest
    ) throws -> Link {
        try run("ip", "-n", host, "link", "add", "sample", "type", "bridge")
        defer { _ = try? run("ip", "-n", host, "link", "del", "sample") }
        return try #require(try driver.observe(request).host.link(named: "sample".device)).link
    }

    mutating func round(_ number: Int) throws {
        var intent = drawn.dice.happens(10) ? KernelIntent() : try drawn.next()
        for index in intent.host.firewall.indices { intent.host.firewall[index].normalize() }
        // A port that is down would be waited for.
        for index in intent.host.links.indices { intent.host.links[index].object.isUp = true }
        let plan = intent.changes(from: try observed(), owner: owner)
        let pretended = intent.changes(from: try fake.observe(request), owner: owner)
        try #require(
            plan.operations.map(\.text) == pretended.operations.map(\.text), "round \(number) begins alike")
        let report = real.commit(plan, owner: owner)
        let place = "round \(number), of \(plan.operations.map(\.text))"
        compare(report, fake.commit(pretended, owner: owner), place)
        failures += report.failures.count
        try compareStates("round \(number) after \(plan.operations.map(\.text)), \(report.failures)")
        if drawn.dice.happens(60) { try interfere(number) }
    }

    // MARK: - Somebody else

    private mutating func interfere(_ number: Int) throws {
        let device = drawn.dice.pick(["p0", "p1", "b0"])
        guard let name = InterfaceName(device), try observed().host.link(named: name) != nil else { return }
        losses += 1
        if drawn.dice.happens(50) {
            try run("ip", "-n", host, "link", "del", device)
            fake.disturb { $0.remove(name) }
        } else {
            try run("ip", "-n", host, "link", "set", device, "down")
            fake.disturb { $0.host.setDown(name) }
        }
        try compareStates("round \(number), when somebody has deleted \(device) or set it down")
    }

    // MARK: - Comparing

    /// As the real one is when what a change sets off has come to its end.
    private func observed() throws -> KernelSnapshot {
        while true {
            let snapshot = try real.observe(request)
            let isPending = snapshot.host.links.contains {
                $0.isOwned && $0.link.isUp && !$0.isOperational && $0.peerIndex != 0
            }
            if !isPending { return snapshot }
            usleep(1000)
        }
    }

    private func compare(_ real: CommitReport, _ fake: CommitReport, _ place: String) {
        func text(_ failure: CommitReport.Failure) -> String {
            if case .refused(let code, _, _) = failure.reason { return "\(failure.operation.text): \(code)" }
            return "\(failure.operation.text): \(failure.reason)"
        }
        #expect(real.failures.map(text) == fake.failures.map(text), "\(place)")
        #expect(real.applied == fake.applied, "\(place)")
    }

    private func compareStates(_ place: String) throws {
        let (truth, pretence) = (try observed().comparable, try fake.observe(request).comparable)
        let differences = truth.differences(from: pretence)
        let links = truth.host.links.compactMap { seen in
            pretence.host.link(named: seen.link.name).map { other in
                let different = seen.link.settingsDiffering(from: other.link)
                return "\(seen.link.name): \(LinkSettings.names.filter { different.contains($0.0) }.map(\.1))"
            }
        }
        try #require(differences == [], "\(place): \(links)")
    }
}

extension KernelModel.Operation {
    /// Without the numbers that a kernel gives to rules of nf_tables.
    fileprivate var text: String {
        let object = object.replacing(/\ handle \d+/, with: "")
        return "\(place.guest.map { "\($0): " } ?? "")\(action.rawValue) \(object)"
    }
}

extension KernelSnapshot {
    /// Without the numbers that a kernel gives by itself, and without the addresses of devices that nobody has given one.
    fileprivate var comparable: KernelSnapshot {
        var snapshot = self
        snapshot.host = host.comparable
        for name in guests.keys { snapshot.guests[name] = guests[name]?.comparable }
        return snapshot
    }
}

extension NamespaceSnapshot {
    fileprivate var comparable: NamespaceSnapshot {
        var snapshot = self
        for index in links.indices {
            let seen = links[index]
            (snapshot.links[index].index, snapshot.links[index].peerIndex) = (0, seen.peerIndex == 0 ? 0 : 1)
            snapshot.links[index].isOperational = true
            if seen.isOwned { snapshot.links[index].link.hardwareAddress = nil }
        }
        for table in firewall.tables.indices {
            for chain in firewall.tables[table].chains.indices {
                for rule in firewall.tables[table].chains[chain].rules.indices {
                    let seen = firewall.tables[table].chains[chain].rules[rule]
                    // What is compared is the digest: the kernel gives back equal rules in other words.
                    snapshot.firewall.tables[table].chains[chain].rules[rule] = NFObservedRule(
                        rule: NFRule(in: firewall.tables[table].table.family, []), handle: 0, digest: seen.digest)
                }
            }
        }
        snapshot.firewall.generation = 0
        // The kernel makes these by itself when it likes.
        snapshot.foreignAddresses.removeAll { $0.address.family == .ipv6 }
        return snapshot
    }
}
