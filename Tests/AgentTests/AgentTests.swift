import Foundation
import Netlink
import TestSupport
import Testing
import VPCManifest
import VPCTopology

@testable import Agent

/// The desired state: where it comes from, what is accepted, and what becomes of it. Devices for VPCs are not needed.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct AgentTests {
    static func text(vpcs: Int) -> String {
        var text = ManifestHead.host()
        for number in 0..<vpcs {
            text += """
                ---
                kind: VPC
                metadata: {name: v\(number)}
                spec: {id: \(number + 1), cidrs: [10.0.0.0/16]}

                """
        }
        return text
    }

    /// A namespace that has the host's address.
    static func withHost(_ body: (_ namespace: String) async throws -> Void) async throws {
        let name = "agent-\(UUID().uuidString.prefix(8))"
        try NetworkNamespace.create(named: name)
        defer { for name in [name, ManifestHead.own(name)] { try? NetworkNamespace.remove(named: name) } }
        try Run.checked("ip", "-n", name, "link", "add", "u0", "type", "veth", "peer", "name", "u1")
        try Run.checked("ip", "-n", name, "addr", "add", "172.31.0.1/24", "dev", "u0")
        try Run.checked("ip", "-n", name, "link", "set", "u0", "up")
        try await ManifestHead.$machine.withValue(name) { try await body(name) }
    }

    private func withAgent(
        _ text: String? = Self.text(vpcs: 0), _ body: (AgentRun, _ namespace: String) async throws -> Void
    ) async throws {
        try await Self.withHost { name in
            let run = try AgentRun(namespace: name, host: "h1", text)
            defer { run.remove() }
            try await body(run, name)
        }
    }

    private func accepted(_ run: AgentRun, after sequence: Int = 0) async throws -> AgentEvent {
        try await run.event(after: sequence) { $0.type == .revisionAccepted }
    }

    // MARK: The directory

    @Test func changesBecomeRevisions() async throws {
        try await withAgent { run, _ in
            let first = try await accepted(run)
            #expect(first.revision == 1)
            try AgentRun.write(Self.text(vpcs: 1), to: run.manifests + "/all.json")
            let second = try await accepted(run, after: first.sequence)
            #expect(second.revision == 2)
            #expect(try await run.agent.plan(nil).topology.vpcs.count == 1)
            #expect(try run.agent.history().map(\.number) == [1, 2])
            #expect(try run.agent.manifests(of: 1).first?.bytes == Array(Self.text(vpcs: 0).utf8))
        }
    }

    /// As long as somebody writes nothing is read, even where what is there so far is valid.
    @Test func halfOfAFileIsNotRead() async throws {
        try await withAgent { run, _ in
            let first = try await accepted(run)
            let whole = Array(Self.text(vpcs: 40).utf8)
            let file = open(run.manifests + "/all.json", O_WRONLY | O_TRUNC)
            try #require(file >= 0)
            // Up to the end of a document: a valid set of another size.
            let half = try #require(
                whole.indices.first { $0 > whole.count / 2 && whole[$0...].starts(with: "---".utf8) })
            #expect(write(file, whole, half) == half)
            // Another change, which is complete: it must not make the unfinished one count.
            try AgentRun.write("# nothing", to: run.manifests + "/note.yaml")
            usleep(500_000)
            #expect(write(file, Array(whole[half...]), whole.count - half) == whole.count - half)
            close(file)
            let second = try await accepted(run, after: first.sequence)
            #expect(second.revision == 2)
            #expect(try run.agent.manifests(of: 2).first?.bytes == whole)
            #expect(try run.agent.history().count == 2)
        }
    }

    @Test(arguments: ["spec: [", "", "kind: Wrong"]) func invalidSetKeepsTheLastGoodOne(_ text: String) async throws {
        try await withAgent { run, _ in
            let first = try await accepted(run)
            try AgentRun.write(text, to: run.manifests + "/all.json")
            let rejection = try await run.event(after: first.sequence) { $0.type == .revisionRejected }
            #expect(run.agent.status.desiredRevision == 1)
            #expect(!run.agent.status.rejected.isEmpty)
            try AgentRun.write(Self.text(vpcs: 2), to: run.manifests + "/all.json")
            #expect(try await accepted(run, after: rejection.sequence).revision == 2)
            #expect(run.agent.status.rejected.isEmpty)
        }
    }

    @Test func directoryThatIsExchangedAsAWhole() async throws {
        try await withAgent { run, _ in
            let first = try await accepted(run)
            let other = run.folder + "/other"
            try FileManager.default.createDirectory(atPath: other + "/deep/er", withIntermediateDirectories: true)
            try AgentRun.write(Self.text(vpcs: 3), to: other + "/deep/er/all.yaml")
            try #require(rename(run.manifests, run.folder + "/gone") == 0)
            try #require(rename(other, run.manifests) == 0)
            let second = try await accepted(run, after: first.sequence)
            // And what is deep inside is watched.
            try AgentRun.write(Self.text(vpcs: 4), to: run.manifests + "/deep/er/all.yaml")
            #expect(try await accepted(run, after: second.sequence).revision == 3)
        }
    }

    @Test func nothingIsTouchedWithoutAState() async throws {
        try await withAgent(nil) { run, name in
            try await run.event(after: 0) { $0.type == .revisionRejected }
            #expect(run.agent.status.phase == .loading)
            #expect(!run.agent.isReady)
            #expect(!NetworkNamespace.isNameInUse(ManifestHead.own(name)))
            try AgentRun.write(Self.text(vpcs: 0), to: run.manifests + "/all.json")
            #expect(try await accepted(run).revision == 1)
        }
    }

    private static func interfaces(_ numbers: some Sequence<Int>, host: String = "h1") -> String {
        "apiVersion: vpcctl.dev/v1\n"
            + numbers.map {
                """
                kind: NetworkInterface
                metadata: {name: i\($0)}
                spec: {subnet: s, host: \(host), address: 10.0.0.\($0 + 10), attachment: {netns: none\($0), device: eth0}}

                """
            }.joined(separator: "---\n")
    }

    /// What is not changed is not written again either, and nevertheless the whole is what it would be.
    @Test func changesOfInterfacesAreTakenInAlone() async throws {
        let frame =
            Self.text(vpcs: 1) + """
                ---
                kind: Host
                metadata: {name: h2}
                spec: {underlay: {address: 172.31.0.2}}
                ---
                kind: Subnet
                metadata: {name: s}
                spec: {vpc: v0, cidr: 10.0.0.0/24}

                """
        try await withAgent(frame) { run, _ in
            var event = try await accepted(run)
            var revision = 1
            func write(_ name: String, _ text: String) throws {
                try AgentRun.write(text, to: "\(run.manifests)/\(name)")
            }
            func place() throws -> RevisionFile.Place? { try run.agent.revision(revision).files.first?.place }
            func expectAcceptance(sharing isShared: Bool = true, _ change: () throws -> Void) async throws {
                let first = try place()
                try change()
                event = try await accepted(run, after: event.sequence)
                revision += 1
                #expect(event.revision == revision)
                let set = ManifestSet.load(paths: [run.manifests])
                let desired = try #require(run.agent.desired)
                #expect(desired.topology == Topology.resolve(set.model).topology)
                #expect(try run.agent.manifests(of: revision) == set.sources)
                #expect(try (place() == first) == isShared)
                #expect(run.agent.status.rejected.isEmpty)
            }
            try await expectAcceptance { try write("b.yaml", Self.interfaces(0..<9)) }
            try await expectAcceptance { try write("c.yaml", Self.interfaces(20..<22, host: "h2")) }
            try await expectAcceptance { try write("b.yaml", Self.interfaces([0, 1, 3, 4, 12])) }
            try await expectAcceptance {
                // From one file to another: what is not renamed into its place waits for what belongs to it.
                for (name, text) in [
                    ("b.yaml", Self.interfaces([0, 20], host: "h2")), ("c.yaml", Self.interfaces([21, 1])),
                ] {
                    try text.write(toFile: "\(run.manifests)/\(name)", atomically: false, encoding: .utf8)
                }
            }
            try await expectAcceptance { try write("c.yaml", "# nothing left\n") }
            try await expectAcceptance { try FileManager.default.removeItem(atPath: run.manifests + "/b.yaml") }

            // What breaks a rule is refused, and what is put right is taken in from what was good.
            try await expectAcceptance { try write("b.yaml", Self.interfaces(0..<3)) }
            try write("c.yaml", Self.interfaces([2]))
            let refused = try await run.event(after: event.sequence) { $0.type == .revisionRejected }
            #expect(refused.message.contains("there is another NetworkInterface of this name"))
            #expect(run.agent.desired?.topology.interfaces.count == 3)
            try await expectAcceptance { try write("c.yaml", Self.interfaces([3])) }

            // Another kind of resource: all is resolved and written.
            try await expectAcceptance(sharing: false) { try write("all.json", frame + "# more\n---\n" + Self.vpc) }
            try await expectAcceptance { try write("c.yaml", Self.interfaces([3], host: "h2")) }
        }
    }

    private static let vpc = "kind: VPC\nmetadata: {name: more}\nspec: {id: 99, cidrs: [10.9.0.0/16]}\n"

    // MARK: Requests

    @Test func appliedStateHoldsUntilTheDirectoryChanges() async throws {
        try await Self.withHost { name in
            let sources = [ManifestSource(name: "mine.yaml", text: Self.text(vpcs: 5))]
            let before = try AgentRun(namespace: name, host: "h1", Self.text(vpcs: 0))
            _ = try await accepted(before)
            #expect(try await before.agent.apply(sources).revision.number == 2)
            #expect(try await before.agent.apply(sources).revision.number == 2, "the same again is no other revision")
            before.stop()

            // The next one takes it up again, although the directory holds something else.
            let after = try AgentRun(namespace: name, host: "h1", nil, folder: before.folder)
            defer { after.remove() }
            let plan = try await after.agent.plan(nil)
            #expect(plan.topology.vpcs.count == 5)
            #expect(try after.agent.history().map(\.number) == [1, 2])
            try AgentRun.write(Self.text(vpcs: 1), to: after.manifests + "/all.json")
            #expect(try await accepted(after).revision == 3)
        }
    }

    @Test func rollback() async throws {
        try await withAgent { run, _ in
            let first = try await accepted(run)
            try AgentRun.write(Self.text(vpcs: 1), to: run.manifests + "/all.json")
            _ = try await accepted(run, after: first.sequence)
            let back = try await run.agent.rollback(to: 1)
            #expect(back.revision.number == 3)
            #expect(back.revision.cause == .rollback(1))
            #expect(back.planned.topology.vpcs.isEmpty)
            await #expect(throws: AgentError.self) { try await run.agent.rollback(to: 77) }
            // What the directory holds has not changed and does not come back by itself.
            run.agent.resynchronize()
            #expect(run.agent.status.desiredRevision == 3)
        }
    }

    @Test func unconfirmedRevisionGoesBack() async throws {
        try await withAgent { run, _ in
            _ = try await accepted(run)
            let sources = [ManifestSource(name: "mine.yaml", text: Self.text(vpcs: 5))]
            _ = try await run.agent.apply(sources, confirmSeconds: 2)
            let reverted = try await run.event(after: 0) { $0.type == .reverted }
            #expect(reverted.revision == 2)
            #expect(run.agent.status.desiredRevision == 3)
            #expect(try run.agent.history().last?.cause == .revert(1))
            #expect(run.agent.status.confirmation == nil)
        }
    }

    @Test func confirmedRevisionStays() async throws {
        try await withAgent { run, _ in
            _ = try await accepted(run)
            let sources = [ManifestSource(name: "mine.yaml", text: Self.text(vpcs: 5))]
            let applied = try await run.agent.apply(sources, confirmSeconds: 600)
            #expect(run.agent.status.confirmation?.revision == applied.revision.number)
            await #expect(throws: AgentError.self) { try await run.agent.apply(sources, confirmSeconds: 2) }
            #expect(try await run.agent.confirm() == 2)
            #expect(try run.agent.history().last?.confirmBy == nil)
            await #expect(throws: AgentError.self) { try await run.agent.confirm() }
        }
    }

    /// A daemon that is started again goes on waiting, but not for longer than was asked for, wherever the clock is now.
    @Test func restartedWhileUnconfirmed() async throws {
        try await Self.withHost { name in
            let before = try AgentRun(namespace: name, host: "h1", Self.text(vpcs: 0))
            _ = try await accepted(before)
            let sources = [ManifestSource(name: "mine.yaml", text: Self.text(vpcs: 5))]
            var revision = try await before.agent.apply(sources, confirmSeconds: 600).revision
            before.stop()
            revision.confirmBy = revision.time + 2
            // As if the clock had been a year ahead then.
            revision.time += 31_536_000
            revision.confirmBy = revision.confirmBy.map { $0 + 31_536_000 }
            try before.agent.revisions.update(revision)

            let after = try AgentRun(namespace: name, host: "h1", nil, folder: before.folder)
            defer { after.remove() }
            try await after.event(after: 0) { $0.type == .reverted }
            #expect(after.agent.status.desiredRevision == 3)
            #expect(try after.agent.history().last?.cause == .revert(1))
        }
    }

    @Test func secondAgentNamesTheFirst() async throws {
        try await withAgent { run, name in
            _ = try await accepted(run)
            #expect {
                try AgentRun(namespace: name, host: "h1", nil)
            } throws: {
                "\($0)".contains("another vpcd (pid \(getpid()))")
            }
            #expect {
                try AgentRun(namespace: name, host: "h1", nil, folder: run.folder)
            } throws: {
                "\($0)".contains("another vpcd (pid \(getpid())) uses the state directory")
            }
        }
    }

    /// A child of the first that has not begun its program yet has copies of all descriptors.
    @Test func aCopyOfADescriptorClaimsNothing() async throws {
        try await Self.withHost { name in
            let folder = "/tmp/vpcd-claim-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            var copies: [Int32] = []
            do {
                let claim = try HostClaim(stateDirectory: folder, namespace: .named(name))
                for descriptor in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
                    let target = try? FileManager.default.destinationOfSymbolicLink(
                        atPath: "/proc/self/fd/\(descriptor)")
                    if target == folder + "/lock" { copies.append(dup(Int32(descriptor) ?? -1)) }
                }
                withExtendedLifetime(claim) {}
            }
            #expect(!copies.isEmpty)
            defer { for copy in copies { close(copy) } }
            _ = try HostClaim(stateDirectory: folder, namespace: .named(name))
        }
    }

    /// What cannot be kept is not accepted; what was in force stays, and the next change finds everything in order.
    @Test func diskIsFull() async throws {
        let disk = "/tmp/vpcd-disk-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
        defer { rmdir(disk) }
        try Run.checked("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk)
        defer { umount2(disk, Int32(MNT_DETACH)) }
        try await Self.withHost { name in
            let run = try AgentRun(namespace: name, host: "h1", Self.text(vpcs: 0)) { $0.stateDirectory = disk }
            defer { run.remove() }
            let first = try await accepted(run)
            try Run.checked("sh", "-c", "head -c 1M /dev/zero >\(disk)/ballast || true")
            try AgentRun.write(Self.text(vpcs: 60), to: run.manifests + "/all.json")
            let rejection = try await run.event(after: first.sequence) { $0.type == .revisionRejected }
            #expect(rejection.message.contains("No space left on device"), "\(rejection.message)")
            #expect(run.agent.status.desiredRevision == 1)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: disk + "/revisions").sorted() == ["1", "newest"])

            unlink(disk + "/ballast")
            run.agent.resynchronize()
            #expect(try await accepted(run, after: rejection.sequence).revision == 2)
        }
    }
}
