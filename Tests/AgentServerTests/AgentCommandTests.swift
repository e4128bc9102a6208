import AgentClient
import Foundation
import TestSupport
import Testing
import VPCManifest

/// vpcctl beside an agent.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct AgentCommandTests {
    private func json(_ run: Run) throws -> StructuredValue { try StructuredValue(json: Array(run.output.utf8)) }

    private func withVPC(_ number: Int) -> String {
        InProcessRun.manifest
            + "---\napiVersion: vpcctl.dev/v1\nkind: VPC\nmetadata: {name: v\(number)}\nspec: {id: \(number), cidrs: [10.0.0.0/16]}\n"
    }

    /// The shape is one, whoever answers.
    @Test func plansAreTheSameWithAndWithoutAnAgent() async throws {
        try await DaemonRun.with { run in
            let text = try String(contentsOf: examples.appending(path: "two-tenants.yaml"), encoding: .utf8)
            let manifest = ManifestHead.placed(text, on: run.namespace)
            let arguments = ["plan", "-f", "-", "--host", "h1", "-o", "json"]
            let through = try await run.vpcctl(arguments, input: manifest)
            let direct = try await run.vpcctl(arguments + ["--no-agent"], input: manifest)
            #expect(through.status == 2 && direct.status == 2)
            #expect(through.output == direct.output)
            #expect(through.output.count > 1000)
            let table = try await run.vpcctl(["plan", "-f", "-"], input: manifest)
            #expect(
                table.output
                    == (try await run.vpcctl(["plan", "-f", "-", "--host", "h1", "--no-agent"], input: manifest)).output
            )
        }
    }

    @Test func manifestsBecomeRevisions() async throws {
        try await DaemonRun.with { run in
            let first = try await run.vpcctl("apply", "-f", "-", "-y", "-o", "json", input: withVPC(1))
            #expect(try json(first)["revision"]?.number == 1)
            #expect(try json(first)["kind"]?.text == "ApplyResult")
            _ = try await run.vpcctl("apply", "-f", "-", "-y", input: withVPC(2))
            #expect(try await run.vpcctl("get", "vpcs", "-o", "name").output == "VPC/v2\n")
            let history = try json(try await run.vpcctl("history", "-o", "json"))
            #expect(history["items"]?.elements.compactMap { $0["number"]?.number } == [1, 2])
            #expect(history["desired"]?.number == 2)
            #expect(try await run.vpcctl("history", "1").output == "# <stdin>\n---\n" + withVPC(1))

            _ = try await run.vpcctl("rollback", "1")
            #expect(try await run.vpcctl("get", "vpcs", "-o", "name").output == "VPC/v1\n")
            #expect(try json(try await run.vpcctl("status", "-o", "json"))["desiredRevision"]?.number == 3)
            let unknown = try await run.vpcctl("rollback", "99")
            #expect(unknown.status == 1 && unknown.error.contains("there is no revision 99"))
        }
    }

    @Test func statusAndResourcesAreTold() async throws {
        try await DaemonRun.with { run in
            #expect(try await run.vpcctl("status").output.contains("PHASE      Loading"))
            let text = try String(contentsOf: examples.appending(path: "one-host.yaml"), encoding: .utf8)
            let example = run.folder + "/one-host.yaml"
            try ManifestHead.placed(text, on: run.namespace).write(toFile: example, atomically: true, encoding: .utf8)
            let applied = try await run.vpcctl("apply", "-f", example, "-y")
            #expect(applied.status == 4)
            #expect(
                applied.error.contains("\(example):25:1: NetworkInterface/web1: network namespace web1 does not exist"))
            let status = try await run.vpcctl("status")
            #expect(status.status == 0)
            #expect(status.output.contains("HOST       h1\n"))
            #expect(status.output.contains("NetworkInterface/web1  Pending  network namespace web1 does not exist"))
            #expect(try json(try await run.vpcctl("status", "-o", "json"))["desiredRevision"]?.number == 1)

            let enis = try await run.vpcctl("get", "enis")
            #expect(
                enis.output == """
                    NAME  SUBNET    HOST  ADDRESS    ATTACHMENT  STATUS
                    web1  blue-web  h1    10.0.1.11  web1/eth0   Pending
                    web2  blue-web  h1    10.0.1.12  web2/eth0   Pending

                    """)
            let one = try json(try await run.vpcctl("get", "eni", "web2", "-o", "json"))
            #expect(one["spec"]?["address"]?.text == "10.0.1.12")
            #expect(one["status"]?["phase"]?.text == "Pending")
            #expect(one["status"]?["observedRevision"]?.number == 1)
            #expect(try await run.vpcctl("get", "eni", "web3").status == 1)
            #expect(try await run.vpcctl("get", "vpcs", "-o", "name").output == "VPC/blue\n")
            // With manifests it is about them, and has no status.
            #expect(!(try await run.vpcctl("get", "enis", "-f", example).output.contains("STATUS")))
            let objects = try await run.vpcctl("get", "--host", "h1")
            let direct = try await run.vpcctl("get", "--host", "h1", "--no-agent")
            #expect(objects.output == direct.output, "\(direct.output)\(direct.error)")
            #expect(objects.output.contains("rule pref 1001"))
        }
    }

    @Test func aRevisionIsConfirmedOrGoes() async throws {
        try await DaemonRun.with { run in
            #expect(try await run.vpcctl("confirm").status == 1)
            _ = try await run.vpcctl("apply", "-f", "-", "-y", input: withVPC(1))
            let applied = try await run.vpcctl("apply", "-f", "-", "-y", "--confirm", "1h", input: withVPC(2))
            #expect(applied.error.contains("revision 2 goes back by itself in 3600 s"), "\(applied.error)")
            #expect(try await run.vpcctl("status").error.contains("revision 2 goes back to 1 at 20"))
            #expect(try await run.vpcctl("history").output.contains("confirm by 20"))
            let confirmed = try await run.vpcctl("confirm")
            #expect(confirmed.output == "revision 2 is confirmed\n")
            #expect(try json(try await run.vpcctl("status", "-o", "json"))["confirmation"] == .null)

            _ = try await run.vpcctl("apply", "-f", "-", "-y", "--confirm", "1", input: withVPC(3))
            let client = run.client
            let last = try await waiting {
                var last: Int?
                _ = try client.follow("/v1/events?follow=true") { event in
                    if event["type"]?.text == "Reverted" { last = event["revision"]?.number }
                    return last == nil
                }
                return last
            }
            #expect(last == 3)
            let present = try await run.vpcctl("get", "vpcs", "-o", "name")
            #expect(present.output == "VPC/v2\n", "\(present)")
        }
    }

    @Test func eventsArePrintedAsTheyCome() async throws {
        try await DaemonRun.with { run in
            _ = try await run.vpcctl("apply", "-f", "-", "-y", input: withVPC(1))
            async let watched = run.vpcctl("watch", "-o", "json", "--tail", "1")
            try await run.followed()
            _ = try await run.vpcctl("apply", "-f", "-", "-y", input: withVPC(2))
            #expect(run.end() == 0)
            let result = try await watched
            #expect(result.status == 69)
            #expect(result.error.contains("the agent has ended"))
            let events = try result.output.split(separator: "\n").map { try StructuredValue(json: Array($0.utf8)) }
            #expect(
                events.contains { $0["type"]?.text == "RevisionAccepted" && $0["revision"]?.number == 2 },
                "\(result.output)")
            #expect(!events.contains { $0["type"]?.text == "RevisionAccepted" && $0["revision"]?.number == 1 })
            let numbers = events.compactMap { $0["sequence"]?.number }
            #expect(numbers == Array((numbers.first ?? 0)..<((numbers.first ?? 0) + numbers.count)))
        }
    }

    /// A guest that never comes: 75 after the time that was given.
    @Test func waitingHasAnEnd() async throws {
        try await DaemonRun.with { run in
            let manifest =
                withVPC(5) + """
                    ---
                    apiVersion: vpcctl.dev/v1
                    kind: Subnet
                    metadata: {name: web}
                    spec: {vpc: v5, cidr: 10.0.1.0/24}
                    ---
                    apiVersion: vpcctl.dev/v1
                    kind: NetworkInterface
                    metadata: {name: web1}
                    spec: {subnet: web, host: h1, address: 10.0.1.11, attachment: {device: nowhere0}}

                    """
            let hasGRE =
                try Run(["ip", "-n", run.namespace, "link", "add", "g", "type", "gre", "external"]).status == 0
            if hasGRE { try Run.checked("ip", "-n", run.namespace, "link", "del", "g") }
            let result = try await run.vpcctl(
                "apply", "-f", "-", "-y", "--wait", "--timeout", hasGRE ? "1s" : "1h", input: manifest)
            // Without GRE the host itself fails, and what was refused is not waited for.
            #expect(result.status == (hasGRE ? 75 : 4), "\(result.error)")
        }
    }

    // MARK: Without

    @Test func withoutAnAgentTheKernelIsWorkedOn() async throws {
        try await DaemonRun.with { run in
            // In another namespace the agent of this one is not asked.
            let other = try Run(
                ["unshare", "--net", Run.program("vpcctl"), "delete", "--yes"],
                environment: ["VPCCTL_SOCKET": run.socket])
            #expect(other.output == "this namespace: created 0, changed 0, deleted 0\n")
            let here = try await run.vpcctl("delete", "--yes")
            #expect(here.status == 1 && here.error.contains("stop it first"))
            let wrong = try await run.vpcctl("apply", "-f", "-", "-y", input: withVPC(1))
            #expect(wrong.output.contains("(revision 1)"))
            let another = try await run.vpcctl("apply", "-f", "-", "-y", "--host", "h2", input: withVPC(1))
            #expect(another.status == 1 && another.error.contains("keeps host h1, not h2"))
            let direct = try await run.vpcctl("delete", "--dry-run", "--no-agent")
            #expect(direct.status == 0)
        }
    }

    @Test(arguments: [["status"], ["history"], ["watch"], ["confirm"], ["rollback", "1"]])
    func withoutAnAgentSomeCommandsAreNothing(_ arguments: [String]) async throws {
        let run = try await waiting {
            try Run([Run.program("vpcctl")] + arguments, environment: ["VPCCTL_SOCKET": "/nonexistent/vpcd.sock"])
        }
        #expect(run.status == 69)
        #expect(run.error == "error: no agent at /nonexistent/vpcd.sock: No such file or directory\n")
    }

    /// Nobody answers: 75.
    @Test func anAgentThatHangsIsNotWaitedForForEver() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hang-\(UUID().uuidString).sock").path()
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer {
            close(listener)
            unlink(path)
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0 && listen(listener, 5) == 0)
        let run = try await waiting {
            try Run([Run.program("vpcctl"), "status", "--socket", path, "--timeout", "1s"])
        }
        #expect(run.status == 75)
        #expect(run.error.contains("did not answer in time"))
    }
}
