import Foundation
import Glibc
import TestSupport
import Testing
import VPCManifest

/// vpcctl and resources one by one.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct ResourceCommandTests {
    private func json(_ run: Run) throws -> StructuredValue { try StructuredValue(json: Array(run.output.utf8)) }

    private static func vpc(_ id: Int, _ name: String = "made") -> String { "---\n" + ResourceTests.vpc(id, name).yaml }

    private static let subnet = """
        ---
        apiVersion: vpcctl.dev/v1
        kind: Subnet
        metadata: {name: s}
        spec: {vpc: made, cidr: 10.0.1.0/24}

        """

    private func merge(_ run: DaemonRun, _ text: String, _ more: String...) async throws -> Run {
        try await run.vpcctl(["apply", "-f", "-", "--merge"] + more, input: text)
    }

    /// Whether it was done, but for what the kernel that the tests run on has not.
    private func isDone(_ run: Run) -> Bool { [0, 4].contains(run.status) }

    // MARK: - apply --merge

    @Test func resourcesAreMerged() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let first = try await merge(run, Self.vpc(5) + Self.subnet)
            #expect(
                first.output == """
                    VPC/made created
                    Subnet/s created
                    host h1: created 0, changed 0, deleted 0 (revision 2)

                    """, "\(first)")
            #expect(isDone(first))
            let second = try await merge(run, Self.vpc(6) + Self.subnet)
            #expect(second.output.hasPrefix("VPC/made replaced\nSubnet/s unchanged\n"))
            let third = try await merge(run, Self.vpc(6), "-o", "json")
            #expect(try json(third)["kind"]?.text == "ChangeResult" && json(third)["revision"]?.number == 3)
            #expect(try await merge(run, Self.vpc(6), "-o", "name").output == "VPC/made\n")
            let table = try await run.vpcctl("get", "all", "-o", "wide").output
            #expect(table.contains("ORIGIN") && table.contains(run.manifests + "/host.yaml"), "\(table)")
            let one = try json(try await run.vpcctl("get", "vpc", "made", "-o", "json"))
            #expect(one["origin"]?["source"]?.text == "api" && one["metadata"]?["resourceVersion"] != nil)
            #expect(try await run.vpcctl("history").output.contains("resources"))
        }
    }

    private static let interface = """
        ---
        apiVersion: vpcctl.dev/v1
        kind: NetworkInterface
        metadata: {name: i}
        spec: {subnet: s, host: h1, attachment: {netns: none, device: eth0}}

        """

    @Test func chosenAddressesAreTold() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let made = try await merge(run, Self.vpc(5) + Self.subnet + Self.interface)
            #expect(made.output.contains("NetworkInterface/i created, address 10.0.1.2\n"), "\(made)")
            let table = try await run.vpcctl("get", "enis")
            #expect(table.output.contains("i     s       h1    10.0.1.2  none/eth0"), "\(table)")
            let wide = try await run.vpcctl("get", "enis", "-o", "wide").output
            #expect(wide.contains("ADDRESS-IS") && wide.contains("chosen"), "\(wide)")
            let one = try json(try await run.vpcctl("get", "eni", "i", "-o", "json"))
            #expect(one["status"]?["address"]?.text == "10.0.1.2" && one["spec"]?["address"] == nil)
            // Of files, the agent's are shown.
            let other = Self.interface.replacing("name: i", with: "name: a").replacing("eth0", with: "eth1")
            let text = InProcessRun.manifest + Self.vpc(5) + Self.subnet + Self.interface + other
            let listed = try await run.vpcctl("get", "enis", "-f", "-", input: text)
            #expect(listed.output.contains("a     s       h1    10.0.1.3") && listed.output.contains("h1    10.0.1.2"))
            let trace = try await run.vpcctl("trace", "a", "i", "-f", "-", input: text)
            #expect(trace.output.contains("10.0.1.2"), "\(trace)")
        }
    }

    /// As it came, with all that the agent has said of it. It takes the place of what it was got as, and of nothing else.
    @Test(arguments: ["yaml", "json"]) func whatWasGotIsMerged(_ format: String) async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            _ = try await merge(run, Self.vpc(5) + Self.subnet)
            let got = try await run.vpcctl("get", "vpc", "made", "-o", format).output
            #expect(got.contains("resourceVersion") && got.contains("origin") && got.contains("status"))
            let same = try await merge(run, got)
            #expect(same.output.hasPrefix("VPC/made unchanged\n"), "\(same)")
            let other = format == "json" ? "\"id\": 5" : "id: 5"
            let changed = got.replacingOccurrences(of: other, with: other.dropLast() + "6")
            let first = try await merge(run, changed)
            #expect(isDone(first) && first.output.hasPrefix("VPC/made replaced\n"), "\(first)")
            // It was got before that.
            let stale = try await merge(run, got)
            #expect(stale.status == 1 && stale.error.contains("VPC/made was changed since"), "\(stale)")
            let all = try await run.vpcctl("get", "all", "-o", format).output
            let both = try await merge(run, all)
            #expect(both.status == 1 && both.error.contains("Host/h1 is in the agent's manifests"), "\(both)")
            #expect(isDone(try await run.vpcctl(["delete", "-f", "-"], input: Self.subnet + "---\n" + changed)))
            let gone = try await merge(run, changed)
            #expect(gone.status == 1 && gone.error.contains("there is no VPC/made any more"), "\(gone)")
            // Elsewhere it is no manifest.
            let invalid = try await run.vpcctl(["validate", "-f", "-"], input: got)
            #expect(invalid.status == 65 && invalid.error.contains("has no field"), "\(invalid)")
        }
    }

    @Test func aMergeIsShownBeforeItIsMade() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let plan = try await merge(run, Self.vpc(5), "--dry-run")
            #expect(plan.status == 0 && plan.error.contains("VPC/made: create"), "\(plan)")
            #expect(try await run.vpcctl("get", "vpcs", "-o", "name").output == "")
            let invalid = try await merge(run, Self.subnet, "--dry-run")
            #expect(invalid.status == 65 && invalid.error.contains("<stdin>:5:13: "), "\(invalid)")
        }
    }

    /// What is wrong has its place in the user's file, whoever finds it.
    @Test func complaintsNameTheFile() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let dangling = try await merge(run, Self.subnet)
            #expect(dangling.status == 65 && dangling.error.contains("<stdin>:5:13: "), "\(dangling)")
            let unknown = try await merge(run, Self.subnet.replacingOccurrences(of: "cidr", with: "cdir"))
            #expect(unknown.status == 65 && unknown.error.contains("<stdin>:5:"), "\(unknown)")
            let host = try await merge(run, InProcessRun.manifest)
            #expect(host.status == 1)
            #expect(
                host.error.contains(
                    "Host/h1 is in the agent's manifests, not made by API: change it in \(run.manifests)/host.yaml:1"))
            #expect(try await merge(run, Self.vpc(5), "--confirm", "5s").status == 64)
            #expect(try await merge(run, Self.vpc(5), "--no-agent").status == 69)
        }
    }

    // MARK: - delete -f

    @Test func resourcesAreDeleted() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            _ = try await merge(run, Self.vpc(5) + Self.subnet)
            let used = try await run.vpcctl(["delete", "-f", "-"], input: Self.vpc(5))
            #expect(used.status == 65 && used.error.contains("Subnet s"), "\(used)")
            let absent = try await run.vpcctl(["delete", "-f", "-"], input: Self.subnet + Self.vpc(7, "absent"))
            #expect(absent.status == 1 && absent.error.contains("there is no VPC/absent"))
            let shown = try await run.vpcctl(["delete", "-f", "-", "--dry-run"], input: Self.subnet)
            #expect(shown.status == 0 && shown.error.contains("Subnet/s: delete"))
            // What the file says of it does not matter.
            let both = try await run.vpcctl(["delete", "-f", "-"], input: Self.vpc(99) + Self.subnet)
            #expect(isDone(both) && both.output.hasPrefix("VPC/made deleted\nSubnet/s deleted\n"), "\(both)")
            #expect(try await run.vpcctl("get", "vpcs", "-o", "name").output == "")
        }
    }

    /// It is never taken for the other one, which empties the kernel.
    @Test func thereAreTwoDeletions() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let both = try await run.vpcctl(["delete", "-f", "-", "--host", "h1"], input: Self.subnet)
            #expect(both.status == 64)
            #expect(try await run.vpcctl(["delete", "made.yaml"]).status == 64)
            let alone = try await run.vpcctl(["delete", "-f", "-", "--no-agent", "-y"], input: Self.subnet)
            #expect(alone.status == 69)
            #expect(try await run.vpcctl("delete", "-y").status == 1)
        }
    }

    // MARK: - edit

    /// An editor that is a line of shell; `$1` is the file.
    private func edit(
        _ run: DaemonRun, _ line: String, _ arguments: [String] = ["vpc", "made"]
    ) async throws -> Run {
        let editor = run.folder + "/editor"
        try ("#!/bin/sh\nset -e\n" + line + "\n").write(toFile: editor, atomically: true, encoding: .utf8)
        try #require(chmod(editor, 0o755) == 0)
        return try await run.vpcctl(
            ["edit"] + arguments, before: ["env", "-u", "VISUAL", "EDITOR=\(editor)", "TMPDIR=\(run.folder)"])
    }

    /// What is left of edited texts.
    private func drafts(_ run: DaemonRun) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: run.folder).filter { $0.hasPrefix("vpcctl-edit-") }
    }

    @Test func aResourceIsEdited() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            _ = try await merge(run, Self.vpc(5))
            let edited = try await edit(
                run, "stat -c %a \"$1\" >\"$1.mode\"; mv \"$1.mode\" \(run.folder)/mode; sed -i 's/id: 5/id: 6/' \"$1\""
            )
            #expect(isDone(edited) && edited.output.hasPrefix("VPC/made replaced\n"), "\(edited)")
            #expect(try String(contentsOfFile: run.folder + "/mode", encoding: .utf8) == "600\n")
            #expect(try json(try await run.vpcctl("get", "vpc", "made", "-o", "json"))["spec"]?["id"]?.number == 6)
            let left = try await edit(run, "true")
            #expect(left.status == 0 && left.error.contains("nothing was changed") && left.output == "")
            #expect(try drafts(run) == [])
        }
    }

    /// What is not valid comes again, with what is wrong above it, by whoever that was found.
    @Test func mistakesAreShownInTheEditor() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            _ = try await merge(run, Self.vpc(5) + Self.vpc(9, "other"))
            let seen = run.folder + "/seen"
            let edited = try await edit(
                run,
                """
                cat "$1" >>\(seen)
                if ! test -e \(run.folder)/one; then touch \(run.folder)/one; sed -i 's/id: 5/id: none/' "$1"
                elif ! test -e \(run.folder)/two; then touch \(run.folder)/two; sed -i 's/id: none/id: 9/' "$1"
                elif ! test -e \(run.folder)/three; then touch \(run.folder)/three; sed -i 's/name: made/name: new/' "$1"
                else sed -i 's/name: new/name: made/; s/id: 9/id: 7/' "$1"; fi
                """)
            #expect(isDone(edited), "\(edited)")
            #expect(try json(try await run.vpcctl("get", "vpc", "made", "-o", "json"))["spec"]?["id"]?.number == 7)
            let text = try String(contentsOfFile: seen, encoding: .utf8)
            #expect(text.contains("#| error: line 10: VPC made: spec.id must be an integer"), "\(text)")
            #expect(text.contains("#| error: line 10: VPC"), "\(text)")
            #expect(text.contains("#| error: the text has to be VPC/made, and nothing else"))
            let given = try await edit(
                run, "if ! test -e \(run.folder)/four; then touch \(run.folder)/four; echo x >>\"$1\"; fi")
            #expect(given.status == 1 && given.error.contains("nothing was changed: it is not valid"))
            #expect(try drafts(run) == [])
        }
    }

    @Test func aConflictKeepsTheText() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            _ = try await merge(run, Self.vpc(5))
            let vpcctl = "\(Run.program("vpcctl")) apply -f \(run.folder)/quick.yaml --merge"
            try Self.vpc(8).write(toFile: run.folder + "/quick.yaml", atomically: true, encoding: .utf8)
            let edited = try await edit(run, "\(vpcctl) >/dev/null || test $? = 4; sed -i 's/id: 5/id: 6/' \"$1\"")
            #expect(edited.status == 1 && edited.error.contains("VPC/made was changed since"), "\(edited)")
            let draft = try #require(try drafts(run).first)
            #expect(edited.error.contains("nothing was changed; your text is in \(run.folder)/\(draft)"))
            #expect(try String(contentsOfFile: run.folder + "/" + draft, encoding: .utf8).contains("id: 6"))
            #expect(try json(try await run.vpcctl("get", "vpc", "made", "-o", "json"))["spec"]?["id"]?.number == 8)
            let failed = try await edit(run, "sed -i 's/id: 8/id: 6/' \"$1\"; exit 3")
            #expect(
                failed.status == 1 && failed.error.contains("the editor has failed: nothing was changed; your text"))
            #expect(try await edit(run, "exit 3").error.hasSuffix("nothing was changed\n"))
        }
    }

    @Test func whatCannotBeEditedIsNotOpened() async throws {
        try await DaemonRun.with(manifest: InProcessRun.manifest) { run in
            try await run.settled()
            let mark = run.folder + "/opened"
            for (arguments, status, message) in [
                (["host", "h1"], Int32(1), "change it in \(run.manifests)/host.yaml:1"),
                (["vpc", "nowhere"], 1, "there is no VPC/nowhere"),
                (["all", "made"], 64, "one kind"), (["vpc", "made", "--no-agent"], 69, "needs the agent"),
            ] {
                let run = try await edit(run, "touch \(mark)", arguments)
                #expect(run.status == status && run.error.contains(message), "\(run)")
            }
            #expect(access(mark, F_OK) != 0)
        }
    }
}

extension DaemonRun {
    /// Waits until what lies in the directory is in force.
    fileprivate func settled() async throws {
        while try await curl("/v1/status").json["desiredRevision"]?.number != 1 {}
    }
}
