import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import Agent

/// Addresses that are chosen for interfaces are kept with every revision, and whoever asks is told.
@Suite(.timeLimit(minutes: 10)) struct ChosenAddressTests {
    private static func interface(_ name: String, _ rest: String = "") -> String {
        """
        ---
        apiVersion: vpcctl.dev/v1
        kind: NetworkInterface
        metadata: {name: \(name)}
        spec: {subnet: s, host: h1, attachment: {netns: web, device: \(name)}\(rest)}

        """
    }

    /// With `here0` at 10.0.1.10, and these.
    private static func text(_ interfaces: [String], hosts: [Int] = []) -> String {
        LoopHost.text(1, others: hosts) + interfaces.joined()
    }

    private static func sources(_ text: String) -> [ManifestSource] { [ManifestSource(name: "all.yaml", text: text)] }

    private func addresses(_ host: LoopHost) throws -> [String: String] {
        let desired = try #require(host.agent.desired)
        #expect(Set(try host.agent.chosenAddresses(of: desired.revision)) == Set(desired.topology.chosenAddresses))
        return Dictionary(uniqueKeysWithValues: desired.topology.interfaces.map { ($0.name, "\($0.address)") })
    }

    private func put(_ host: LoopHost, _ text: String, as number: Int) throws {
        try host.put(text, as: "all.yaml")
        host.accept(number)
        try #require(host.status.desiredRevision == number)
        host.loop.pass()
    }

    @discardableResult
    private func apply(_ host: LoopHost, _ text: String) throws -> AppliedRevision {
        try host.ask { .apply(Self.sources(text), confirmSeconds: nil, $0) }
    }

    @discardableResult
    private func change(_ host: LoopHost, _ changes: [ResourceChange]) throws -> ChangedRevision {
        try host.ask { .change(changes, $0) }
    }

    private func made(_ text: String) throws -> ResourceChange {
        .create(try #require(ManifestSet(text: text).model.resources.first))
    }

    private func deleted(_ host: LoopHost, _ name: String) throws -> ResourceChange {
        let reference = ResourceReference(.networkInterface, name)
        return .delete(reference, version: try #require(try host.agent.resource(reference).0).version)
    }

    private func rollback(_ host: LoopHost, to number: Int) throws {
        let _: AppliedRevision = try host.ask { .rollback(number, $0) }
    }

    // MARK: - Keeping

    /// Whichever way a change goes: alone, as a whole set, by API, by a restart.
    @Test func whatIsChosenIsKept() throws {
        let host = try LoopHost()
        try put(host, Self.text([Self.interface("m")]), as: 2)
        #expect(try addresses(host) == ["here0": "10.0.1.10", "m": "10.0.1.2"])
        try put(host, Self.text([Self.interface("a"), Self.interface("m")]), as: 3)
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.3", "m": "10.0.1.2"])
        // Another host has all of it resolved.
        try put(host, Self.text([Self.interface("a0"), Self.interface("a"), Self.interface("m")], hosts: [1]), as: 4)
        #expect(try addresses(host)["a0"] == "10.0.1.4" && addresses(host)["m"] == "10.0.1.2")
        let answer = try change(host, [made(Self.interface("p1"))])
        #expect(answer.applied.created > 0 && answer.failures == [])
        #expect(try addresses(host)["p1"] == "10.0.1.5")
        let all = try addresses(host)
        #expect(try addresses(LoopHost(after: host)) == all)
        try apply(host, Self.text([Self.interface("a"), Self.interface("k"), Self.interface("m")]))
        #expect(
            try addresses(host) == [
                "here0": "10.0.1.10", "a": "10.0.1.3", "p1": "10.0.1.5", "k": "10.0.1.4", "m": "10.0.1.2",
            ])
        // What is in no revision any more is not remembered.
        try change(host, [deleted(host, "p1")])
        try change(host, [made(Self.interface("p9"))])
        #expect(try addresses(host)["p9"] == "10.0.1.5")
    }

    @Test func aRollbackBringsThemBack() throws {
        let host = try LoopHost()
        try apply(host, Self.text([Self.interface("b")]))
        try apply(host, Self.text([]))
        try apply(host, Self.text([Self.interface("a")]))
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.2"])
        try apply(host, Self.text([Self.interface("a"), Self.interface("b")]))
        #expect(try addresses(host)["b"] == "10.0.1.3")
        try rollback(host, to: 2)
        #expect(try addresses(host) == ["here0": "10.0.1.10", "b": "10.0.1.2"])
        // Its manifests are those that are in force, and its addresses others.
        try apply(host, Self.text([Self.interface("a")]))
        try apply(host, Self.text([Self.interface("a"), Self.interface("b")]))
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.2", "b": "10.0.1.3"])
        try rollback(host, to: 2)
        try apply(host, Self.text([Self.interface("a"), Self.interface("b")]))
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.3", "b": "10.0.1.2"])
        try rollback(host, to: 5)
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.2", "b": "10.0.1.3"])
    }

    @Test func aRevisionThatIsNotConfirmedGivesThemBack() throws {
        let host = try LoopHost()
        try apply(host, Self.text([Self.interface("b")]))
        let answer = LoopHost.Answer<AppliedRevision>()
        host.loop.carryOut(.apply(Self.sources(Self.text([Self.interface("a")])), confirmSeconds: 60, answer.reply))
        host.finishPreparing()
        #expect(try addresses(host)["a"] == "10.0.1.2")
        host.loop.revert("nobody confirms it")
        #expect(try addresses(host) == ["here0": "10.0.1.10", "b": "10.0.1.2"])
    }

    /// A set that was prepared beside addresses which are others by now is prepared again.
    @Test func whatChangesMeanwhileIsKept() throws {
        let host = try LoopHost()
        let gate = Gate()
        host.agent.beforePreparation.withLock { $0 = { gate.wait() } }
        let applied = LoopHost.Answer<AppliedRevision>()
        let both = Self.text([Self.interface("a"), Self.interface("early")])
        host.loop.carryOut(.apply(Self.sources(both), confirmSeconds: nil, applied.reply))
        #expect(host.agent.pendingChanges == 1)
        try host.put(Self.text([Self.interface("early")]), as: "all.yaml")
        for _ in 0..<100 where host.status.desiredRevision != 2 { host.loop.turn() }
        #expect(try addresses(host)["early"] == "10.0.1.2")
        host.agent.beforePreparation.withLock { $0 = nil }
        gate.open()
        host.finishPreparing()
        #expect(try applied.get().revision.number == 3)
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.3", "early": "10.0.1.2"])
    }

    // MARK: - Refusing

    @Test func whoStatesWhatIsKeptIsRefused() throws {
        let host = try LoopHost()
        try apply(host, Self.text([Self.interface("web")]))
        for attempt in [
            { try self.change(host, [self.made(Self.interface("a", ", address: 10.0.1.2"))]) as Any },
            { try self.apply(host, Self.text([Self.interface("a", ", address: 10.0.1.2"), Self.interface("web")])) },
        ] {
            let error = try #require(throws: AgentError.self) { _ = try attempt() }
            #expect(error.message.contains("NetworkInterface a: the address 10.0.1.2 is that of interface web"))
            #expect(error.diagnostics.first?.hint?.contains("it was chosen for web, which keeps it") == true)
        }
        #expect(try addresses(host) == ["here0": "10.0.1.10", "web": "10.0.1.2"])
        try apply(host, Self.text([Self.interface("a", ", address: 10.0.1.2")]))
        #expect(try addresses(host) == ["here0": "10.0.1.10", "a": "10.0.1.2"])
    }

    // MARK: - Telling

    @Test func whoAsksIsTold() throws {
        let host = try LoopHost()
        try apply(host, Self.text([Self.interface("web")]))
        try change(host, [made(Self.interface("pod"))])
        for (name, address) in [("web", "10.0.1.2"), ("pod", "10.0.1.3")] {
            let kept = try #require(try host.agent.resource(ResourceReference(.networkInterface, name)).0)
            #expect(kept.chosenAddress.map { "\($0)" } == address)
            // What it says is what was written.
            #expect((kept.resource.value as? NetworkInterface)?.address == nil)
        }
        #expect(try host.agent.resource(ResourceReference(.networkInterface, "here0")).0?.chosenAddress == nil)
        let list = try host.agent.resources(of: ResourceKind.allCases).list
        #expect(list.compactMap { $0.chosenAddress.map { "\($0)" } }.sorted() == ["10.0.1.2", "10.0.1.3"])
        let plan = try host.agent.makePlan(
            .manifests(Self.sources(Self.text([Self.interface("a"), Self.interface("web")])))
        ) { true }
        let planned = plan.topology.interfaces.map { "\($0.name) \($0.address)" }
        #expect(planned.sorted() == ["a 10.0.1.4", "here0 10.0.1.10", "pod 10.0.1.3", "web 10.0.1.2"])
        #expect(host.status.desiredRevision == 3)
    }

    // MARK: - The disk

    @Test func unchangedOnesAreNotWrittenAgain() throws {
        let host = try LoopHost()
        let names = (0..<40).map { "pod\($0)" }
        try apply(host, Self.text(names.map { Self.interface($0) }))
        try change(host, [made(Self.interface("more"))])
        func inodes(_ revision: Int) throws -> Set<String> {
            let folder = "\(host.folder)/state/revisions/\(revision)/addresses"
            let list = try Run.checked("sh", "-ec", "cd \(folder); stat -c '%n %i' *")
            return Set(list.split(separator: "\n").map(String.init))
        }
        let (before, after) = try (inodes(2), inodes(3))
        #expect(before.count > 10 && after.subtracting(before).count == 1)
        // Where there are none, there is no such folder.
        try change(host, [deleted(host, "more")])
        try apply(host, Self.text([]))
        #expect(!Files.exists("\(host.folder)/state/revisions/5/addresses"))
    }

    /// Addresses that are not known are not chosen anew in silence.
    @Test(arguments: [
        "rm -r revisions/2/addresses", "truncate -s 3 revisions/2/addresses/*", "rm -r revisions/2",
        "sed -i s/10.0.1.2/10.0.1.3/ revisions/2/addresses/*", "sed -i s/addressFiles/x/ revisions/2/revision.json",
        "mv revisions/2/addresses/* revisions/2/addresses/zz",
    ])
    func damagedOnesAreMissed(_ line: String) throws {
        let host = try LoopHost()
        try put(host, Self.text([Self.interface("b")]), as: 2)
        try Run.checked("sh", "-ec", "cd \(host.folder)/state; \(line)")
        let again = try LoopHost(settles: false, after: host)
        #expect(again.status.desiredRevision == nil && again.status.phase == .failed)
        let error = try #require(throws: AgentError.self) {
            try apply(again, Self.text([Self.interface("a"), Self.interface("b")]))
        }
        #expect(error.code == .storage && error.message.contains("'vpcctl rollback 1'"), "\(error)")
        #expect(error.message.contains("the addresses that were chosen for interfaces were in it"), "\(error)")
        // Somebody states them.
        try apply(again, Self.text([Self.interface("b", ", address: 10.0.1.2")]))
        #expect(try addresses(again) == ["here0": "10.0.1.10", "b": "10.0.1.2"])
        try apply(again, Self.text([Self.interface("a"), Self.interface("b")]))
        #expect(try addresses(again) == ["here0": "10.0.1.10", "a": "10.0.1.3", "b": "10.0.1.2"])
    }

    /// A change alone writes down what it builds on.
    @Test func filesDamagedMeanwhileAreNoticed() throws {
        let host = try LoopHost()
        try apply(host, Self.text([Self.interface("b")]))
        try Run.checked("sh", "-ec", "sed -i s/10.0.1.2/10.0.1.3/ \(host.folder)/state/revisions/2/addresses/*")
        let error = try #require(throws: AgentError.self) {
            try apply(host, Self.text([]))
            try rollback(host, to: 2)
        }
        #expect(error.code == .storage)
        #expect(try addresses(host) == ["here0": "10.0.1.10"])
    }

    @Test(arguments: Seeds.fresh(with: 1, 2, 3)) func filesHoldWhatIsPutIntoThem(seed: UInt64) {
        var dice = Dice(seed: seed)
        var (file, known) = (AddressFile(), [String: ChosenAddress]())
        for _ in 0..<400 {
            let name = "i\(Int.random(in: 0..<30, using: &dice))"
            let address = IPAddress(v4: UInt32.random(in: 1...99, using: &dice))
            let next = dice.happens(30) ? nil : ChosenAddress(interface: name, subnet: "s", address: address)
            file[name] = next
            known[name] = next
            file = file.bytes.map { AddressFile($0) } ?? AddressFile()
            #expect(file[name] == next && (file.bytes == nil) == known.isEmpty)
            #expect(file.addresses?.map(\.interface) == known.keys.sorted())
        }
        #expect(file.addresses.map(Set.init) == Set(known.values))
        #expect(AddressFile(Array("a s 10.0.0.1\nb s\n".utf8)).addresses == nil)
    }
}
