import Foundation
import Glibc
import TestSupport
import Testing
import VPCManifest

/// Resources one by one, over HTTP.
@Suite(.enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct ResourceTests {
    static func vpc(_ id: Int, _ name: String = "made") -> StructuredValue {
        [
            "apiVersion": "vpcctl.dev/v1", "kind": "VPC", "metadata": ["name": .string(name)],
            "spec": ["id": .integer(id), "cidrs": ["10.0.0.0/16"]],
        ]
    }

    private func withManifests(_ body: @Sendable (InProcessRun) async throws -> Void) async throws {
        try await InProcessRun.with { run in
            #expect(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest)).status == 200)
            try await body(run)
        }
    }

    private func version(_ answer: Answer) throws -> String {
        try #require(try answer.json["metadata"]?["resourceVersion"]?.text, "\(answer.body)")
    }

    @Test func aResourceIsMadeReadReplacedAndDeleted() async throws {
        try await withManifests { run in
            let made = try await run.post("/v1/resources", Self.vpc(5).json)
            #expect(made.status == 201, "\(made.body)")
            #expect(try made.json["origin"] == ["file": .null, "line": .null, "source": "api"])
            #expect(try made.json["status"]?["phase"]?.text == "Ready")
            let read = try await run.curl("/v1/resources/vpcs/made")
            #expect(read.status == 200 && read.body == made.body)
            #expect(try await run.curl("/v1/resources?kind=VPC").json["items"]?.elements == [try read.json])

            // What was read, with another field, as it came.
            let text = read.body.replacingOccurrences(of: "\"id\": 5", with: "\"id\": 6")
            let replaced = try await run.put("/v1/resources/VPC/made", text)
            #expect(replaced.status == 200)
            #expect(try replaced.json["spec"]?["id"]?.number == 6)
            #expect(try version(replaced) != version(read))
            let stale = try await run.put("/v1/resources/VPC/made", text)
            #expect(stale.status == 409)
            #expect(try stale.json["code"]?.text == "conflict")
            let blind = try await run.curl("/v1/resources/VPC/made", "DELETE")
            #expect(blind.status == 409)

            let gone = try await run.curl(
                "/v1/resources/VPC/made?resourceVersion=\(try version(replaced))", "DELETE")
            #expect(gone.status == 200)
            #expect(try gone.json["kind"]?.text == "ChangeResult")
            #expect(try await run.curl("/v1/resources/VPC/made").status == 404)
            #expect(
                try await run.curl("/v1/revisions").json["items"]?.elements.map { $0["cause"]?.text } == [
                    "apply", "resources", "resources", "resources",
                ])
        }
    }

    /// The path of what was made is told, and YAML is taken as it is.
    @Test func manifestsOfYAMLAreTaken() async throws {
        try await withManifests { run in
            let yaml = Data(Self.vpc(5).yaml.utf8)
            let made = try await run.curl(
                "/v1/resources", "POST", body: yaml, type: "application/yaml", headers: ["Expect: 100-continue"])
            #expect(made.status == 201)
            let path = "/v1/resources/VPC/made?resourceVersion=\(try version(made))"
            let replaced = try await run.curl(
                path, "PUT", body: Data(Self.vpc(6).yaml.utf8), type: "application/yaml")
            #expect(replaced.status == 200)
            let socket = run.socket
            let body = Self.vpc(7, "other").compactJSON
            let raw = try await waiting {
                let connection = try RawConnection(socket)
                try connection.send(
                    "POST /v1/resources HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                )
                return try connection.rest()
            }
            #expect(raw.hasPrefix("HTTP/1.1 201 Created\r\n") && raw.contains("Location: /v1/resources/VPC/other\r\n"))
        }
    }

    @Test func manifestsAreNotChangedByAPI() async throws {
        try await withManifests { run in
            let host = try await run.curl("/v1/resources/Host/h1")
            #expect(try host.json["origin"] == ["file": "all.yaml", "line": 1, "source": "manifests"])
            for answer in [
                try await run.put("/v1/resources/Host/h1", host.body), try await run.post("/v1/resources", host.body),
                try await run.curl("/v1/resources/Host/h1?resourceVersion=\(try version(host))", "DELETE"),
            ] {
                #expect(answer.status == 409)
                #expect(try answer.json["message"]?.text?.contains("all.yaml:") == true, "\(answer.body)")
            }
        }
    }

    @Test func severalAreChangedTogether() async throws {
        try await withManifests { run in
            let subnet: StructuredValue = [
                "apiVersion": "vpcctl.dev/v1", "kind": "Subnet", "metadata": ["name": "s"],
                "spec": ["vpc": "made", "cidr": "10.0.1.0/24"],
            ]
            let alone = try await run.post("/v1/resources", subnet.json)
            #expect(alone.status == 422)
            #expect(try alone.json["diagnostics"]?.elements.first?["resource"] == ["kind": "Subnet", "name": "s"])
            let request: StructuredValue = ["create": [subnet, Self.vpc(5)]]
            let plan = try await run.post("/v1/plan", request.json)
            #expect(plan.status == 200)
            #expect(try plan.json["kind"]?.text == "ChangePlan")
            let both = try await run.post("/v1/changes", request.json)
            #expect(both.status == 200, "\(both.body)")
            let resources = try #require(try both.json["resources"]?.elements)
            #expect(resources.map { $0["kind"]?.text } == ["Subnet", "VPC"])
            let vpc = try #require(resources[1]["metadata"]?["resourceVersion"])
            let deletion: StructuredValue = [
                "delete": [["kind": "VPC", "name": "made", "resourceVersion": vpc]]
            ]
            let refused = try await run.post("/v1/changes", deletion.json)
            #expect(refused.status == 422)
            #expect(try refused.json["diagnostics"]?.elements.first?["resource"]?["name"]?.text == "s")
            #expect(try await run.curl("/v1/status").json["desiredRevision"]?.number == 2)
        }
    }

    @Test(arguments: [
        ("POST", "/v1/resources", "[]", 422, "must be a mapping"),
        (
            "POST", "/v1/resources", #"{"kind": "List", "apiVersion": "vpcctl.dev/v1", "items": []}"#, 400,
            "it takes one"
        ),
        (
            "PUT", "/v1/resources/VPC/other?resourceVersion=1", vpc(1).json, 400,
            "the body is VPC/made, and the path VPC/other"
        ),
        ("PUT", "/v1/resources/Nonsense/made", vpc(1).json, 400, "there is no kind"),
        (
            "PUT", "/v1/resources/VPC/made?resourceVersion=1",
            #"{"apiVersion": "vpcctl.dev/v1", "kind": "VPC", "metadata": {"name": "made", "resourceVersion": "2"}, "spec": {"id": 1, "cidrs": ["10.0.0.0/8"]}}"#,
            400, "different ones"
        ),
        ("POST", "/v1/changes", "{}", 400, "names no resource"),
        ("POST", "/v1/changes", #"{"create": 1}"#, 400, "create must be a list"),
        ("POST", "/v1/changes", #"{"force": []}"#, 400, "the unknown field"),
        ("POST", "/v1/changes", #"{"create": ["x"]}"#, 422, "must be a mapping"),
        ("POST", "/v1/changes", #"{"delete": [{"kind": "VPC"}]}"#, 400, "delete[0] must have a kind"),
        (
            "POST", "/v1/changes", #"{"delete": [{"kind": "VPC", "name": "a", "resourceVersion": 1}]}"#, 400,
            "must be a string"
        ),
        ("DELETE", "/v1/resources/VPC/made?force=true", "", 400, "known: resourceVersion"),
    ])
    func whatIsNotAsDocumentedIsRefused(
        _ method: String, _ path: String, _ body: String, _ status: Int, _ message: String
    ) async throws {
        try await withManifests { run in
            let answer = try await run.curl(path, method, body: Data(body.utf8), type: "application/json")
            #expect(answer.status == status)
            #expect(try answer.json["message"]?.text?.contains(message) == true, "\(answer.body)")
            #expect(run.agent.status.desiredRevision == 1)
        }
    }
}

extension Served {
    func put(_ path: String, _ json: String) async throws -> Answer {
        try await curl(path, "PUT", body: Data(json.utf8), type: "application/json")
    }
}
