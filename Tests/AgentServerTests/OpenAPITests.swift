import Foundation
import TestSupport
import Testing
import VPCManifest

@testable import AgentServer

/// The document and the server say the same of each other.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct OpenAPITests {
    private static let document = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../docs/openapi.json").standardized

    /// Asks for everything in every way that the document knows, and has a validator of JSON Schema compare the answers.
    @Test func everyAnswerIsAsDocumented() async throws {
        var answers: [Answer] = []
        try await InProcessRun.with { run in
            answers += try await beforeTheFirstRevision(run)
            answers += try await requests(run)
            answers += try await resourceRequests(run)
            answers += try await refusals(run)
            answers += try await lateRequests(run)
        }
        try await InProcessRun.with { run in answers += try await failures(run) }
        try await InProcessRun.with { run in answers += try await afterTheEnd(run) }
        var nothing = ServerLimits()
        nothing.work = Shares.Limits(total: 0, reserved: 0, each: 0)
        try await InProcessRun.with(limits: nothing) { run in answers += try await refusedWork(run) }
        let folder = FileManager.default.temporaryDirectory.appending(path: "openapi-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let lines = try answers.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
        let (list, unseen) = (folder.appending(path: "answers"), folder.appending(path: "unseen"))
        try lines.joined(separator: "\n").write(to: list, atomically: false, encoding: .utf8)
        try Self.unseen.joined(separator: "\n").write(to: unseen, atomically: false, encoding: .utf8)
        let command = script("check_openapi.py") + [Self.document.path(), list.path(), unseen.path()]
        let check = try await waiting { try Run(command) }
        #expect(check.status == 0, "\(check.output)\(check.error)")
    }

    /// What is not brought about here: a disk that fails between two writes, a kernel without GRE that is ready.
    private static let unseen = ["500 POST /v1/confirm", "422 POST /v1/rollback", "200 GET /readyz"]

    private func refusedWork(_ run: InProcessRun) async throws -> [Answer] {
        var answers = [
            try await run.post("/v1/plan", manifest), try await run.post("/v1/apply", manifest),
            try await run.post("/v1/rollback", "{\"revision\": 1}"), try await run.post("/v1/resources", resource),
            try await run.put(one, resource), try await run.curl(one, "DELETE"),
            try await run.post("/v1/changes", changes),
        ]
        for path in ["plan", "resources", "resources/VPC/made", "revisions", "revisions/1", "objects", "counters"] {
            answers.append(try await run.curl("/v1/" + path))
        }
        return answers + [try await run.curl("/metrics")]
    }

    // Asked for inside of a run: it names the namespace of the machine that is played there.
    private var manifest: String { InProcessRun.sources(InProcessRun.manifest) }

    private func beforeTheFirstRevision(_ run: InProcessRun) async throws -> [Answer] {
        [
            try await run.curl("/v1/status"), try await run.curl("/v1/resources"), try await run.curl("/v1/plan"),
            try await run.curl("/readyz"), try await run.curl("/v1/revisions"), try await run.curl("/v1/counters"),
            // Nothing to go back to, nothing to confirm, no such revision.
            try await run.post("/v1/apply?confirm=5", manifest), try await run.curl("/v1/confirm", "POST"),
            try await run.post("/v1/rollback", "{\"revision\": 7}"), try await run.curl("/v1/revisions/7"),
        ]
    }

    private func requests(_ run: InProcessRun) async throws -> [Answer] {
        let yaml = Data(try String(contentsOf: examples.appending(path: "two-tenants.yaml"), encoding: .utf8).utf8)
        return [
            try await run.post("/v1/plan", manifest), try await run.post("/v1/apply", manifest),
            try await run.curl("/v1/plan", "POST", body: yaml, type: "application/yaml"),
            try await run.curl("/v1/apply", "POST", body: yaml, type: "application/yaml; charset=utf-8"),
            try await run.curl("/v1/status"), try await run.curl("/v1/resources"),
            try await run.curl("/v1/resources?kind=networkinterfaces&phase=Pending"), try await run.curl("/v1/plan"),
            try await run.curl("/v1/revisions"), try await run.curl("/v1/revisions/2"),
            try await run.curl("/v1/objects"),
            try await run.curl("/v1/counters"), try await run.curl("/v1/events"),
            try await run.curl("/v1/events?after=1"),
            try await run.curl("/metrics"), try await run.curl("/healthz"), try await run.curl("/openapi.json"),
            try await run.post("/v1/rollback", "{\"revision\": 1}"),
            try await run.post("/v1/apply?confirm=3600", InProcessRun.sources(InProcessRun.manifest + "---\n")),
            try await run.curl("/v1/status"), try await run.curl("/v1/revisions"),
            try await run.curl("/v1/confirm", "POST"),
        ]
    }

    private let resource = ResourceTests.vpc(77).json
    private let changes = StructuredValue.object([.init("create", [ResourceTests.vpc(78, "other")])]).json
    private let one = "/v1/resources/VPC/made"

    /// Resources come, are read, change, are in the way of each other, and go.
    private func resourceRequests(_ run: InProcessRun) async throws -> [Answer] {
        let subnet: StructuredValue = [
            "apiVersion": "vpcctl.dev/v1", "kind": "Subnet", "metadata": ["name": "s"],
            "spec": ["vpc": "made", "cidr": "10.0.1.0/24"],
        ]
        let absent: StructuredValue = ["delete": [["kind": "VPC", "name": "absent", "resourceVersion": "1"]]]
        var answers = [
            try await run.post("/v1/resources", resource), try await run.post("/v1/resources", resource),
            try await run.post("/v1/resources", subnet.json), try await run.curl(one),
            try await run.put(one, ResourceTests.vpc(79).json), try await run.curl("/v1/resources/VPC/absent"),
            try await run.put("/v1/resources/VPC/absent", ResourceTests.vpc(79, "absent").json),
            try await run.curl("/v1/resources/VPC/absent", "DELETE"), try await run.curl(one, "DELETE"),
            try await run.post("/v1/changes", changes), try await run.post("/v1/changes", changes),
            try await run.post("/v1/plan", changes), try await run.post("/v1/plan", absent.json),
            try await run.post("/v1/changes", absent.json), try await run.curl("/v1/resources?kind=VPC"),
        ]
        // One that leaves its address out.
        let interface: StructuredValue = [
            "apiVersion": "vpcctl.dev/v1", "kind": "NetworkInterface", "metadata": ["name": "i"],
            "spec": ["subnet": "s", "host": "h1", "attachment": ["netns": "none", "device": "eth0"]],
        ]
        let path = "/v1/resources/NetworkInterface/i"
        let made = try await run.post("/v1/resources", interface.json)
        #expect(try made.json["status"]?["address"]?.text == "10.0.1.2")
        let number = try #require(try await run.curl("/v1/status").json["desiredRevision"]?.number)
        let revision = try await run.curl("/v1/revisions/\(number)")
        #expect(
            try revision.json["addresses"] == [["address": "10.0.1.2", "interface": "i", "subnet": "s"]])
        let read = try await run.curl(path)
        let stated = try #require(try read.json["metadata"]?["resourceVersion"]?.text)
        answers += try await [
            made, revision, read, run.curl("/v1/resources?kind=eni"), run.put(path, read.body),
            run.curl(path + "?resourceVersion=" + stated, "DELETE"),
        ]
        answers.append(try await run.put(one, try await run.curl(one).body))
        let version = try #require(try await run.curl(one).json["metadata"]?["resourceVersion"]?.text)
        // The VPC of the subnet stays as long as that is there.
        answers.append(try await run.curl(one + "?resourceVersion=" + version, "DELETE"))
        let wrong = ResourceTests.vpc(1 << 40).json
        answers += try await [
            run.post("/v1/resources", wrong), run.put(one, wrong), run.post("/v1/changes", "{\"create\": [\(wrong)]}"),
        ]
        let kept = try await run.curl("/v1/resources/Subnet/s")
        let other = try #require(try kept.json["metadata"]?["resourceVersion"]?.text)
        answers += try await [
            run.curl("/v1/resources/Subnet/s?resourceVersion=" + other, "DELETE"),
            run.curl(one + "?resourceVersion=" + version, "DELETE"),
        ]
        return answers
    }

    private static let paths = [
        ("POST", "/v1/resources"), ("GET", "/v1/resources/VPC/made"), ("PUT", "/v1/resources/VPC/made"),
        ("DELETE", "/v1/resources/VPC/made"), ("POST", "/v1/changes"), ("GET", "/v1/status"), ("GET", "/v1/resources"),
        ("GET", "/v1/plan"), ("POST", "/v1/plan"),
        ("POST", "/v1/apply"), ("POST", "/v1/confirm"), ("POST", "/v1/rollback"), ("GET", "/v1/revisions"),
        ("GET", "/v1/revisions/1"), ("GET", "/v1/events"), ("GET", "/v1/objects"), ("GET", "/v1/counters"),
        ("GET", "/metrics"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json"),
    ]
    private static let bodies = [
        ("POST", "/v1/plan"), ("POST", "/v1/apply"), ("POST", "/v1/rollback"), ("POST", "/v1/resources"),
        ("PUT", "/v1/resources/VPC/made"), ("POST", "/v1/changes"),
    ]

    /// 400, 403, 413, 415 and 422, wherever they are possible.
    private func refusals(_ run: InProcessRun) async throws -> [Answer] {
        var answers: [Answer] = []
        for (method, path) in Self.paths { answers.append(try await run.curl(path + "?nonsense=1", method)) }
        // The file lets everybody in now; the peer's credentials do not.
        try #require(chmod(run.socket, 0o666) == 0)
        try #require(chmod(run.folder, 0o755) == 0)
        let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        for (method, path) in Self.paths { answers.append(try await run.curl(path, method, before: nobody)) }
        let large = Data(count: 65 << 20)
        for (method, path) in Self.bodies {
            answers.append(try await run.curl(path, method, body: large, type: "application/json"))
            answers.append(try await run.curl(path, method, body: Data("x".utf8), type: "text/html"))
        }
        for path in ["/v1/plan", "/v1/apply"] {
            answers.append(try await run.post(path, InProcessRun.sources("kind: VPC\nspec: {id: none}")))
        }
        #expect(Set(answers.map(\.status)) == [400, 403, 413, 415, 422])
        return answers
    }

    /// A stream, which ends with the agent.
    private func lateRequests(_ run: InProcessRun) async throws -> [Answer] {
        async let stream = run.curl("/v1/events?follow=true")
        try await run.followed()
        try await run.stopAgent()
        let answer = try await stream
        #expect(answer.body.split(separator: "\n").count >= 3)
        return [answer]
    }

    /// The disk and the kernel fail.
    private func failures(_ run: InProcessRun) async throws -> [Answer] {
        var answers = [try await run.post("/v1/apply", manifest), try await run.post("/v1/resources", resource)]
        let state = run.folder + "/state/revisions"
        let yaml = InProcessRun.sources(
            "kind: VPC\napiVersion: vpcctl.dev/v1\nmetadata: {name: v}\nspec: {id: 3, cidrs: [10.0.0.0/8]}")
        // A revision that names a host which is not here any more.
        try "{}".write(toFile: state + "/1/revision.json", atomically: false, encoding: .utf8)
        answers.append(try await run.post("/v1/rollback", "{\"revision\": 1}"))
        answers.append(try await run.curl("/v1/revisions/1"))
        try Run.checked("rm", "-r", state, run.folder + "/state/manifests")
        try "".write(toFile: state, atomically: false, encoding: .utf8)
        answers.append(try await run.curl("/v1/revisions"))
        answers += try await [
            run.curl("/v1/resources"), run.curl(one), run.put(one, resource), run.curl(one, "DELETE"),
            run.post("/v1/resources", ResourceTests.vpc(80, "third").json), run.post("/v1/changes", changes),
        ]
        answers.append(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest + "---\n")))
        answers.append(try await run.post("/v1/apply", yaml))
        try Run.checked("ip", "netns", "del", run.namespace)
        answers += try await [
            run.curl("/v1/plan"), run.post("/v1/plan", manifest), run.curl("/v1/objects"), run.curl("/v1/counters"),
            run.curl("/metrics"),
        ]
        return answers
    }

    private func afterTheEnd(_ run: InProcessRun) async throws -> [Answer] {
        var answers = [try await run.post("/v1/apply", manifest)]
        try await run.stopAgent()
        answers += try await [
            run.curl("/v1/plan"), run.post("/v1/plan", manifest), run.post("/v1/apply", manifest),
            run.curl("/v1/confirm", "POST"), run.post("/v1/rollback", "{\"revision\": 1}"), run.curl("/healthz"),
            run.post("/v1/resources", resource), run.put(one, resource), run.curl(one, "DELETE"),
            run.post("/v1/changes", changes),
        ]
        return answers
    }

    @Test func theServerTellsTheDocument() async throws {
        try await InProcessRun.with { run in
            let answer = try await run.curl("/openapi.json")
            #expect(answer.body == (try String(contentsOf: Self.document, encoding: .utf8)))
        }
    }
}
