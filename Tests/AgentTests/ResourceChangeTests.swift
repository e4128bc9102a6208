import Foundation
import TestSupport
import Testing
import VPCManifest
import VPCModel
import VPCTopology

@testable import Agent

/// Resources that are made, replaced and deleted by API, beside the manifests.
@Suite(.timeLimit(minutes: 10)) struct ResourceChangeTests {
    // MARK: - What is asked

    private typealias Answer = LoopHost.Answer

    /// - Parameter address: The end of it; nil: it is left out.
    private static func interface(
        _ name: String, _ address: Int?, device: String? = nil, subnet: String = "s"
    ) -> String {
        let address = address.map { "address: 10.0.\(subnet == "s" ? 1 : 2).\($0), " } ?? ""
        return """
            ---
            apiVersion: vpcctl.dev/v1
            kind: NetworkInterface
            metadata: {name: \(name)}
            spec: {subnet: \(subnet), \(address)host: h1, attachment: {netns: web, device: \(device ?? name)}}

            """
    }

    private static let subnet = """
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: made}
        spec: {vpc: v, cidr: 10.0.2.0/24}

        """

    private func resources(_ text: String) throws -> [Resource] {
        let set = ManifestSet(text: text)
        try #require(set.isValid, "\(set.diagnostics)")
        return set.model.resources
    }

    private func resource(_ text: String) throws -> Resource { try #require(try resources(text).first) }

    @discardableResult
    private func change(_ host: LoopHost, _ changes: [ResourceChange]) throws -> ChangedRevision {
        try host.ask { .change(changes, $0) }
    }

    @discardableResult
    private func create(_ host: LoopHost, _ text: String) throws -> ChangedRevision {
        try change(host, try resources(text).map { .create($0) })
    }

    private func apply(_ host: LoopHost, _ text: String, confirm: Int? = nil) throws -> AppliedRevision {
        try host.ask { .apply([ManifestSource(name: "all.yaml", text: text)], confirmSeconds: confirm, $0) }
    }

    private func rollback(_ host: LoopHost, to number: Int) throws {
        let _: AppliedRevision = try host.ask { .rollback(number, $0) }
    }

    private func version(_ host: LoopHost, _ name: String, _ kind: ResourceKind = .networkInterface) throws -> String {
        try #require(try host.agent.resource(ResourceReference(kind, name)).0).version
    }

    private func interfaces(_ host: LoopHost) -> [String] {
        (host.agent.desired?.topology.interfaces.map(\.name) ?? []).sorted()
    }

    private func failure(_ code: AgentError.Code, _ body: () throws -> Void) throws -> AgentError {
        let error = try #require(throws: AgentError.self) { try body() }
        #expect(error.code == code, "\(error)")
        return error
    }

    /// What is in force is what its revision says when all of it is read and resolved.
    private func checkWhole(_ host: LoopHost) throws {
        let desired = try #require(host.agent.desired)
        let sources = try host.agent.manifests(of: desired.revision.number)
        let chosen = try host.agent.chosenAddresses(of: desired.revision)
        #expect(Set(chosen) == Set(desired.topology.chosenAddresses))
        let resolution = Topology.resolve(ManifestSet(sources).model, keeping: KeptAddresses(chosen))
        #expect(resolution.topology == desired.topology)
        #expect(host.status.resourceCount == ManifestSet(sources).model.count)
    }

    // MARK: - One by one

    @Test func aResourceComesChangesAndGoesAtOnce() throws {
        let host = try LoopHost()
        let reference = ResourceReference(.networkInterface, "pod")
        let made = try resource(Self.interface("pod", 50))
        // The answer comes in the same turn: nothing is prepared beside the loop.
        let answer = Answer<ChangedRevision>()
        host.loop.carryOut(.change([.create(made)], answer.reply))
        let first = try answer.get()
        #expect(first.revision.number == 2 && first.revision.cause == .resources && first.host == "h1")
        #expect(first.applied.created > 0 && first.remaining.total == 0 && first.failures == [])
        #expect(host.status.observedRevision == 2 && host.status.phase == .ready)
        #expect(interfaces(host) == ["here0", "pod"])
        try checkWhole(host)

        let (kept, revision) = try host.agent.resource(reference)
        #expect(kept?.resource == made && kept?.origin == .api && revision == 2)
        let moved = try resource(Self.interface("pod", 51))
        let second = Answer<ChangedRevision>()
        host.loop.carryOut(.change([.replace(moved, version: kept?.version)], second.reply))
        #expect(try second.get().revision.number == 3)
        #expect(try host.agent.resource(reference).0?.resource == moved)
        #expect(try version(host, "pod") != kept?.version)
        try checkWhole(host)

        let third = Answer<ChangedRevision>()
        host.loop.carryOut(.change([.delete(reference, version: try version(host, "pod"))], third.reply))
        #expect(try third.get().applied.deleted > 0)
        #expect(try host.agent.resource(reference).0 == nil && interfaces(host) == ["here0"])
        #expect(host.agent.desired?.revision.files.count == 1)
        try checkWhole(host)
    }

    @Test func manifestsAreToldWithTheirFile() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let (list, revision) = try host.agent.resources(of: [.networkInterface])
        #expect(revision == 2)
        let origins = Dictionary(uniqueKeysWithValues: list.map { ($0.resource.metadata.name, $0.origin) })
        #expect(origins == ["pod": .api, "here0": .manifest(file: host.folder + "/manifests/all.yaml", line: 13)])
        #expect(try host.agent.resource(ResourceReference(.networkInterface, "here0")).0?.origin == origins["here0"])
    }

    @Test func whatIsAsItWasMakesNoRevision() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let made = try resource(Self.interface("pod", 50))
        let again = try change(host, [.replace(made, version: try version(host, "pod"))])
        #expect(again.revision.number == 2 && again.applied.total == 0)
    }

    @Test func whoIsNotUpToDateIsRefused() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let old = try version(host, "pod")
        try change(host, [.replace(try resource(Self.interface("pod", 51)), version: old)])
        let now = try version(host, "pod")
        let next = try resource(Self.interface("pod", 52))
        let reference = next.reference
        for stale in [ResourceChange.replace(next, version: old), .delete(reference, version: old)] {
            let error = try failure(.conflict) { try change(host, [stale]) }
            #expect(error.message.contains("its resourceVersion is \(now), not \(old)"))
        }
        for blind in [ResourceChange.replace(next, version: nil), .delete(reference, version: nil)] {
            let error = try failure(.conflict) { try change(host, [blind]) }
            #expect(error.message.contains("read it, and give its resourceVersion"))
        }
        let error = try failure(.conflict) { try create(host, Self.interface("pod", 53)) }
        #expect(error.message.contains("is there already, made by API"))
        #expect(host.status.desiredRevision == 3 && host.events(.revisionRejected) == [])
    }

    // MARK: - Two places

    @Test func whatIsInTheManifestsIsChangedThere() throws {
        let host = try LoopHost()
        let reference = ResourceReference(.networkInterface, "here0")
        let place = host.folder + "/manifests/all.yaml:15:"
        for change in [
            ResourceChange.replace(try resource(Self.interface("here0", 50)), version: try version(host, "here0")),
            .delete(reference, version: nil),
        ] {
            let error = try failure(.conflict) { try self.change(host, [change]) }
            #expect(error.message.contains("change it where it is, in \(place)"), "\(error)")
            #expect(error.diagnostics.map(\.rule) == ["in-manifests"])
        }
        let error = try failure(.conflict) { try create(host, Self.interface("here0", 50)) }
        #expect(error.message.contains("NetworkInterface/here0 is in the manifests already (\(place)"), "\(error)")
        #expect(error.diagnostics.first?.position?.file.hasPrefix("api:") == true)
        let absent = try failure(.notFound) {
            try change(host, [.delete(ResourceReference(.subnet, "nowhere"), version: "0")])
        }
        #expect(absent.message == "there is no Subnet/nowhere")
        #expect(host.status.desiredRevision == 1)
    }

    @Test(arguments: [false, true]) func aNameThatWasMadeByAPICannotComeByManifest(_ isWritten: Bool) throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let text = LoopHost.text(1) + Self.interface("pod", 60, device: "eth9")
        if isWritten {
            try host.put(text, as: "all.yaml")
            host.prepare()
            try host.pass(.seconds(1))
            let rejected = try #require(host.status.rejected.first)
            #expect(rejected.rule == "duplicate-name" && rejected.position?.file.hasPrefix("api:") == true)
            #expect(rejected.notes.first?.location.position.file.hasSuffix("/manifests/all.yaml") == true)
        } else {
            let error = try failure(.invalidManifest) { _ = try apply(host, text) }
            #expect(error.diagnostics.first?.notes.first?.location.position.file == "all.yaml")
        }
        #expect(host.status.desiredRevision == 2 && interfaces(host) == ["here0", "pod"])
    }

    @Test func nobodyHandsOverWhatSeemsToBeMadeByAPI() throws {
        let host = try LoopHost()
        let answer = Answer<AppliedRevision>()
        host.loop.carryOut(
            .apply([ManifestSource(name: "api:00.json", text: LoopHost.text(1))], confirmSeconds: nil, answer.reply))
        #expect(try failure(.invalidManifest) { _ = try answer.get() }.message.contains("call it otherwise"))
    }

    // MARK: - As a whole

    @Test func whatOthersReferToStays() throws {
        let host = try LoopHost()
        try create(host, Self.subnet + Self.interface("pod", 50, subnet: "made"))
        let reference = ResourceReference(.subnet, "made")
        let deletion = ResourceChange.delete(reference, version: try version(host, "made", .subnet))
        let error = try failure(.invalidManifest) { try change(host, [deletion]) }
        #expect(error.diagnostics.map(\.resource) == [ResourceReference(.networkInterface, "pod")])
        #expect(host.status.desiredRevision == 2)
        try checkWhole(host)

        // And where it is a manifest that refers to it.
        try host.put(LoopHost.text(1) + Self.interface("other", 60, device: "eth8", subnet: "made"), as: "all.yaml")
        host.accept(3)
        host.loop.pass()
        let pod = ResourceReference(.networkInterface, "pod")
        let both = [deletion, ResourceChange.delete(pod, version: try version(host, "pod"))]
        let second = try failure(.invalidManifest) { try change(host, both) }
        #expect(second.diagnostics.first?.position?.file == host.folder + "/manifests/all.yaml")
        #expect(interfaces(host) == ["here0", "other", "pod"])
        try checkWhole(host)
    }

    @Test func severalAreTakenAllOrNone() throws {
        let host = try LoopHost()
        let bad = Self.interface("pod", 50) + Self.interface("twin", 50, device: "eth7")
        let error = try failure(.invalidManifest) { try create(host, bad) }
        #expect(error.diagnostics.count == 1)
        #expect(interfaces(host) == ["here0"] && host.status.desiredRevision == 1)
        #expect(
            try failure(.conflict) {
                try create(host, Self.interface("pod", 50));
                try change(
                    host,
                    [
                        .create(try resource(Self.interface("twin", 51, device: "eth7"))),
                        .delete(ResourceReference(.networkInterface, "pod"), version: "old"),
                    ])
            }.message.contains("was changed since"))
        #expect(interfaces(host) == ["here0", "pod"])
        let twice = try resource(Self.interface("twin", 51))
        #expect(
            try failure(.conflict) { try change(host, [.create(twice), .create(twice)]) }.message.contains("twice"))
        // Addresses that are exchanged are right together only.
        try create(host, Self.interface("twin", 51, device: "eth7"))
        let exchanged = [
            ResourceChange.replace(
                try resource(Self.interface("twin", 50, device: "eth7")), version: try version(host, "twin")),
            .replace(try resource(Self.interface("pod", 51)), version: try version(host, "pod")),
        ]
        #expect(try change(host, exchanged).revision.number == 4)
        try checkWhole(host)
    }

    /// Whatever is changed in whatever order: what is taken in at once is what all of it says.
    @Test(arguments: Seeds.only(1, 2, 3, 4, 5, 6)) func manyChangesAreAsTheWhole(_ seed: UInt64) throws {
        var dice = Dice(seed: seed)
        let host = try LoopHost()
        var accepted = 0
        for _ in 0..<60 {
            var changes: [ResourceChange] = []
            for _ in 0..<Int.random(in: 1...3, using: &dice) {
                let name = "pod\(Int.random(in: 0..<8, using: &dice))"
                let reference = ResourceReference(.networkInterface, name)
                let address = dice.happens(40) ? nil : Int.random(in: 2..<14, using: &dice)
                let next = try resource(Self.interface(name, address, device: "e" + name))
                let kept = try host.agent.resource(reference).0
                switch kept {
                case nil: changes.append(.create(next))
                case let kept? where Bool.random(using: &dice): changes.append(.replace(next, version: kept.version))
                case let kept?: changes.append(.delete(reference, version: kept.version))
                }
            }
            if (try? change(host, changes)) != nil { accepted += 1 }
            try checkWhole(host)
        }
        #expect(accepted > 10)
    }

    // MARK: - Beside other changes

    @Test(arguments: [false, true]) func theDirectoryChangesBesideThem(_ isWhole: Bool) throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        // Another host makes this one be looked for again.
        try host.put(LoopHost.text(2, others: isWhole ? [1] : []), as: "all.yaml")
        host.accept(3)
        host.loop.pass()
        #expect(interfaces(host) == ["here0", "here1", "pod"])
        #expect(host.agent.desired?.revision.cause == .directory)
        try checkWhole(host)
        try change(host, [.delete(ResourceReference(.networkInterface, "pod"), version: try version(host, "pod"))])
        #expect(interfaces(host) == ["here0", "here1"])
        // What the directory holds is in force: it is not taken for news.
        host.loop.loadSource()
        host.finishPreparing()
        #expect(host.status.desiredRevision == 4)
        try checkWhole(host)
    }

    @Test func anApplyLeavesThemAndARollbackBringsThemBack() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        #expect(try apply(host, LoopHost.text(2)).revision.number == 3)
        #expect(interfaces(host) == ["here0", "here1", "pod"])
        #expect(try apply(host, LoopHost.text(2)).revision.number == 3)
        try change(host, [.delete(ResourceReference(.networkInterface, "pod"), version: try version(host, "pod"))])
        #expect(interfaces(host) == ["here0", "here1"])
        try rollback(host, to: 2)
        #expect(interfaces(host) == ["here0", "pod"])
        try checkWhole(host)
        try rollback(host, to: 1)
        #expect(interfaces(host) == ["here0"])
        try rollback(host, to: 2)
        try host.put(LoopHost.text(3), as: "all.yaml")
        host.accept(8)
        host.loop.pass()
        #expect(interfaces(host) == ["here0", "here1", "here2", "pod"])
        try checkWhole(host)
    }

    @Test func aPlanKnowsThem() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let sources = [ManifestSource(name: "x.yaml", text: LoopHost.text(1))]
        #expect(try host.agent.makePlan(.manifests(sources)) { true }.plan.changes.counts.total == 0)
        let more = ResourceChange.create(try resource(Self.interface("more", 51)))
        let planned = try host.agent.makePlan(.changes([more])) { true }
        #expect(planned.plan.changes.counts.created > 0 && planned.plan.changes.counts.deleted == 0)
        #expect(interfaces(host) == ["here0", "pod"])
    }

    @Test func whatAwaitsItsConfirmationIsNotChanged() throws {
        let host = try LoopHost()
        let answer = Answer<AppliedRevision>()
        host.loop.carryOut(
            .apply([ManifestSource(name: "all.yaml", text: LoopHost.text(2))], confirmSeconds: 60, answer.reply))
        host.finishPreparing()
        let error = try failure(.conflict) { try create(host, Self.interface("pod", 50)) }
        #expect(error.message.contains("revision 2 still awaits its confirmation"))
        host.loop.revert("nobody confirms it")
        try create(host, Self.interface("pod", 50))
        #expect(interfaces(host) == ["here0", "pod"])
    }

    /// They take their turn among what is prepared, and what comes in between is not lost.
    @Test func theyWaitForWhatCameBefore() throws {
        let host = try LoopHost()
        let gate = Gate()
        host.agent.beforePreparation.withLock { $0 = { gate.wait() } }
        let (applied, changed) = (Answer<AppliedRevision>(), Answer<ChangedRevision>())
        host.loop.carryOut(
            .apply([ManifestSource(name: "all.yaml", text: LoopHost.text(2))], confirmSeconds: nil, applied.reply))
        host.loop.carryOut(.change([.create(try resource(Self.interface("pod", 50)))], changed.reply))
        #expect(host.agent.pendingChanges == 2)
        host.agent.beforePreparation.withLock { $0 = nil }
        gate.open()
        host.finishPreparing()
        #expect(try applied.get().revision.number == 2 && changed.get().revision.number == 3)
        #expect(interfaces(host) == ["here0", "here1", "pod"])
    }

    /// A set with changed resources that was prepared for manifests which are not in force any more is prepared again.
    @Test func manifestsThatChangeMeanwhileAreNotUndone() throws {
        let host = try LoopHost()
        let gate = Gate()
        host.agent.beforePreparation.withLock { $0 = { gate.wait() } }
        let changed = Answer<ChangedRevision>()
        // Another Host has all of it resolved.
        let other = """
            apiVersion: vpcctl.dev/v1
            kind: Host
            metadata: {name: made}
            spec: {underlay: {address: 172.31.0.77}}
            """
        host.loop.carryOut(
            .change([.create(try resource(other))] + [.create(try resource(Self.interface("pod", 10)))], changed.reply))
        #expect(host.agent.pendingChanges == 1)
        try host.put(LoopHost.text(0), as: "all.yaml")
        for _ in 0..<100 where host.status.desiredRevision != 2 { host.loop.turn() }
        #expect(host.status.desiredRevision == 2)
        host.agent.beforePreparation.withLock { $0 = nil }
        gate.open()
        host.finishPreparing()
        // The address of `here0`, which has gone meanwhile.
        #expect(try changed.get().revision.number == 3)
        #expect(interfaces(host) == ["pod"])
        try checkWhole(host)
    }

    // MARK: - The disk

    @Test func theyOutliveARestart() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let again = try LoopHost(after: host)
        #expect(again.status.desiredRevision == 2 && interfaces(again) == ["here0", "pod"])
        #expect(try again.agent.resource(ResourceReference(.networkInterface, "pod")).0?.origin == .api)
        // The directory has changed while nobody looked.
        try again.put(LoopHost.text(2), as: "all.yaml")
        let third = try LoopHost(after: again)
        #expect(interfaces(third) == ["here0", "here1", "pod"])
    }

    @Test func whatCannotBeWrittenDownIsNotDone() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        let folders = ["revisions", "manifests"].map { host.folder + "/state/" + $0 }
        for folder in folders {
            try Run.checked("mv", folder, folder + ".away")
            try Run.checked("touch", folder)
        }
        _ = try failure(.storage) { try create(host, Self.interface("more", 51)) }
        _ = try failure(.storage) {
            try change(host, [.delete(ResourceReference(.networkInterface, "pod"), version: "")])
        }
        #expect(interfaces(host) == ["here0", "pod"] && host.status.desiredRevision == 2)
        for folder in folders {
            try Run.checked("rm", folder)
            try Run.checked("mv", folder + ".away", folder)
        }
        try create(host, Self.interface("more", 51))
        #expect(interfaces(host) == ["here0", "more", "pod"])
        try checkWhole(host)
    }

    /// Between any two writes of a change the machine may stop; what was accepted before is there, all of it.
    @Test(arguments: [
        // The mark only; half of the new revision; all of it under its temporary name; its name, but no link to it.
        ("rm -r revisions/3; ln -sfn 2 revisions/newest", false),
        ("mv revisions/3 revisions/new-3; rm revisions/new-3/revision.json; ln -sfn 2 revisions/newest", false),
        ("mv revisions/3 revisions/new-3; ln -sfn 2 revisions/newest", false),
        ("ln -sfn 2 revisions/newest", true), ("ln -s 3 revisions/new-newest", true),
    ])
    func aCrashLosesNothing(_ line: String, _ isAccepted: Bool) throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        try create(host, Self.interface("more", 51))
        try Run.checked("sh", "-ec", "cd \(host.folder)/state; \(line)")
        let again = try LoopHost(after: host)
        #expect(interfaces(again) == (isAccepted ? ["here0", "more", "pod"] : ["here0", "pod"]))
        #expect(again.status.desiredRevision == (isAccepted ? 3 : 2))
        try checkWhole(again)
        _ = try? create(again, Self.interface("more", 51))
        #expect(interfaces(again) == ["here0", "more", "pod"])
    }

    @Test func aCrashBeforeTheFirstOneIsHarmless() throws {
        let host = try LoopHost()
        try Run.checked(
            "sh", "-ec", "cd \(host.folder)/state; echo >api-resources; truncate -s 20 manifests/1/*")
        // The newest revision is damaged, and had none.
        let again = try LoopHost(settles: false, after: host)
        // It was what the directory still holds.
        #expect(again.status.desiredRevision == 2 && interfaces(again) == ["here0"])
        #expect(!Files.exists(again.folder + "/state/api-resources"))
    }

    /// Where they are not known they are not given up in silence: neither by the directory nor by an apply.
    @Test(arguments: [
        "truncate -s 20 revisions/2/revision.json", "rm -r revisions/2", "rm manifests/2/*-api_*",
        "truncate -s 30 manifests/2/*-api_*",
        "f=$(echo manifests/2/*-api_*); sed -i s/10.0.1.50/10.0.1.51/ $f",
    ])
    func damagedOnesAreMissed(_ line: String) throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        try Run.checked("sh", "-ec", "cd \(host.folder)/state; \(line)")
        let again = try LoopHost(settles: false, after: host)
        #expect(again.status.desiredRevision == nil && again.status.phase == .failed)
        _ = try failure(.storage) { try create(again, Self.interface("more", 51)) }
        try again.put(LoopHost.text(2), as: "all.yaml")
        again.prepare()
        try again.pass(.seconds(1))
        #expect(again.status.desiredRevision == nil)
        #expect(again.status.rejected.first?.message.contains("it had resources made by API") == true)
        let error = try failure(.storage) { _ = try apply(again, LoopHost.text(2)) }
        #expect(error.message.contains("'vpcctl rollback 1'") && error.message.contains("/state/api-resources"))
        // Somebody decides.
        try Run.checked("rm", again.folder + "/state/api-resources")
        _ = try apply(again, LoopHost.text(2))
        #expect(interfaces(again) == ["here0", "here1"])
    }

    /// One that is damaged while the daemon runs is no base for a change, and is not repaired by guessing.
    @Test func aFileDamagedMeanwhileIsNoticed() throws {
        let host = try LoopHost()
        try create(host, Self.interface("pod", 50))
        try Run.checked("sh", "-ec", "sed -i s/10.0.1.50/10.0.1.51/ \(host.folder)/state/manifests/2/*-api_*")
        _ = try failure(.storage) { _ = try host.agent.resource(ResourceReference(.networkInterface, "pod")) }
        _ = try failure(.storage) {
            try change(host, [.delete(ResourceReference(.networkInterface, "pod"), version: "")])
        }
        _ = try failure(.storage) { _ = try apply(host, LoopHost.text(2)) }
        #expect(interfaces(host) == ["here0", "pod"])
    }

    @Test func nothingIsMadeBeforeThereIsADesiredState() throws {
        let host = try LoopHost()
        try host.put("nonsense: [", as: "all.yaml")
        try Run.checked("rm", "-r", host.folder + "/state/revisions")
        let again = try LoopHost(settles: false, after: host)
        let error = try failure(.conflict) { try create(again, Self.interface("pod", 50)) }
        #expect(error.message.contains("no valid desired state is known yet"))
    }
}
