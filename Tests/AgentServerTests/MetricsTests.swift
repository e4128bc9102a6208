import Foundation
import KernelModel
import TestSupport
import Testing
import VPCManifest

/// Metrics, counters and health, as monitoring sees them.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct MetricsTests {
    private typealias Family = (type: String, samples: [(name: String, labels: [String: String], value: Double)])

    /// Read by Prometheus' own parser.
    private func families(_ text: String) throws -> [String: Family] {
        let run = try Run(script("check_openmetrics.py"), input: Data(text.utf8))
        try #require(run.status == 0, "\(run.error)")
        let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: [String: Any]] ?? [:]
        return value.mapValues { family in
            let samples = (family["samples"] as? [[Any]] ?? []).map { sample in
                (
                    sample[0] as? String ?? "", sample[1] as? [String: String] ?? [:],
                    (sample[2] as? NSNumber)?.doubleValue ?? .nan
                )
            }
            return (family["type"] as? String ?? "", samples)
        }
    }

    private func value(
        _ families: [String: Family], _ family: String, _ suffix: String = "", _ labels: [String: String] = [:]
    ) throws -> Double {
        let samples = try #require(families[family]).samples
        return try #require(samples.first { $0.name == family + suffix && $0.labels == labels }, "\(samples)").value
    }

    @Test func metricsAreOpenMetrics() async throws {
        try await InProcessRun.with { run in
            #expect(try await run.post("/v1/apply", InProcessRun.sources("kind: x")).status == 422)
            #expect(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest)).status == 200)
            let answer = try await run.curl("/metrics")
            #expect(answer.contentType == "application/openmetrics-text; version=1.0.0; charset=utf-8")
            #expect(answer.body.hasSuffix("\n# EOF\n"))
            let families = try families(answer.body)
            #expect(try value(families, "vpcctl_build", "_info", ["version": "0.0.0-test"]) == 1)
            #expect(try value(families, "vpcctl_desired_revision") == 1)
            #expect(try value(families, "vpcctl_revisions", "_total", ["result": "accepted"]) == 1)
            #expect(families["vpcctl_reconcile_duration_seconds"]?.type == "histogram")
            #expect(try value(families, "vpcctl_reconcile_duration_seconds", "_count") >= 1)
            // The host's nine parameters and its rules, whatever the kernel can do.
            #expect(try value(families, "vpcctl_desired_objects", "", ["kind": "rule"]) == 3)
            #expect(try value(families, "vpcctl_actual_objects", "", ["kind": "rule"]) == 3)
            #expect(
                try value(
                    families, "vpcctl_operations", "_total", ["kind": "rule", "action": "create", "result": "done"])
                    == 3)
            #expect(try value(families, "process_resident_memory_bytes") > 1e6)
            #expect(try value(families, "process_open_fds") > 3)
            let start = try value(families, "process_start_time_seconds")
            #expect(abs(start - Date().timeIntervalSince1970) < 3600)
        }
    }

    /// Over TCP there is nothing but metrics and health, and nothing at all unless it is configured.
    @Test func tcpIsForMonitoringAlone() async throws {
        let listen = "127.0.0.1:19470"
        try await InProcessRun.with({ $0.metricsListen = listen }) { run in
            // The server runs in this process, whose namespace is not the agent's.
            func get(_ path: String, _ method: String = "GET") async throws -> Answer {
                try await run.curl(path, method, tcp: listen)
            }
            let metrics = try await get("/metrics")
            #expect(metrics.body.hasSuffix("# EOF\n"))
            #expect(try await get("/healthz").body == "ok\n")
            #expect(try await get("/readyz").status == 503)
            for path in ["/v1/status", "/v1/events", "/openapi.json", "/v1/objects"] {
                #expect(try await get(path).status == 404, "\(path)")
            }
            #expect(try await get("/v1/confirm", "POST").status == 404)
            #expect(try await get("/metrics", "POST").status == 405)
            try await run.stopAgent()
            #expect(try await get("/healthz").status == 503)
        }
    }

    // MARK: Traffic

    /// A guest's device that is adopted.
    private static var guest: String {
        InProcessRun.manifest + """
            ---
            apiVersion: vpcctl.dev/v1
            kind: VPC
            metadata: {name: blue}
            spec: {id: 7, cidrs: [10.0.0.0/16]}
            ---
            apiVersion: vpcctl.dev/v1
            kind: Subnet
            metadata: {name: web}
            spec: {vpc: blue, cidr: 10.0.1.0/24}
            ---
            apiVersion: vpcctl.dev/v1
            kind: NetworkInterface
            metadata: {name: web1}
            spec: {subnet: web, host: h1, address: 10.0.1.11, attachment: {device: tap7}}

            """
    }

    private struct Counts: Hashable {
        var received: Int
        var transmitted: Int
    }

    private func packets(_ value: StructuredValue?) throws -> Counts {
        Counts(
            received: try #require(value?["received"]?["packets"]?.number),
            transmitted: try #require(value?["transmitted"]?["packets"]?.number))
    }

    private func makeGuest(_ namespace: String) throws {
        func ip(_ arguments: String) throws {
            try Run.checked("ip", "netns", "exec", namespace, "sh", "-c", arguments)
        }
        try ip("ip link add tap7 type veth peer name guest7")
        // Nothing goes through that was not sent here.
        try ip("for d in tap7 guest7; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; done")
        try ip("ip link set tap7 up && ip link set guest7 up && ip addr add 10.9.9.1/24 dev guest7")
    }

    /// A kernel without VRF devices does not let the agent take it.
    private func plugIn(_ namespace: String) throws {
        let own = ManifestHead.own(namespace)
        let script = "ip -n \(own) link show tap7 2>/dev/null || ip -n \(namespace) link set tap7 netns \(own)"
        try Run.checked("sh", "-c", script)
        try Run.checked("ip", "netns", "exec", own, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/tap7/disable_ipv6")
        try Run.checked("ip", "-n", own, "link", "set", "tap7", "up")
    }

    /// The guest sends: its end transmits, the port receives.
    private func send(_ count: Int, _ namespace: String) throws {
        try Run.checked(
            "ip", "netns", "exec", namespace, "sh", "-c",
            "ip neigh replace 10.9.9.2 lladdr 02:00:00:00:00:02 dev guest7; ping -q -c \(count) -i 0.01 -W 1 10.9.9.2 || true"
        )
    }

    /// What ip(8) says of the guest's own end.
    private func witness(_ namespace: String) throws -> Counts {
        let text = try Run.checked("ip", "-n", namespace, "-s", "-j", "link", "show", "dev", "guest7")
        let value = try StructuredValue(json: Array(text.utf8))
        let statistics = value.elements.first?["stats64"]
        return Counts(
            received: try #require(statistics?["rx"]?["packets"]?.number),
            transmitted: try #require(statistics?["tx"]?["packets"]?.number))
    }

    @Test func countersAreTheGuests() async throws {
        try await InProcessRun.with { run in
            try makeGuest(run.namespace)
            #expect(try await run.post("/v1/apply", InProcessRun.sources(Self.guest)).status == 200)
            try plugIn(run.namespace)
            try send(20, run.namespace)
            let before = try witness(run.namespace)
            let counters = try await run.curl("/v1/counters").json
            let interface = try #require(counters["interfaces"]?.elements.first)
            #expect(interface["name"]?.text == "web1" && interface["device"]?.text == "tap7")
            #expect(interface["vpc"]?.text == "blue" && interface["subnet"]?.text == "web")
            #expect(before.transmitted >= 20)
            #expect(try packets(interface) == before)
            #expect(try packets(counters["vpcs"]?.elements.first) == before)

            // Made anew, a device begins at nothing; what went through its VPC stays counted.
            try Run.checked("ip", "-n", ManifestHead.own(run.namespace), "link", "del", "tap7")
            try makeGuest(run.namespace)
            try plugIn(run.namespace)
            try send(5, run.namespace)
            let after = try witness(run.namespace)
            let again = try await run.curl("/v1/counters").json
            #expect(after.transmitted < before.transmitted)
            #expect(try packets(again["interfaces"]?.elements.first) == after)
            let sum = Counts(
                received: before.received + after.received, transmitted: before.transmitted + after.transmitted)
            #expect(try packets(again["vpcs"]?.elements.first) == sum)
            let families = try families(try await run.curl("/metrics").body)
            #expect(
                try value(families, "vpcctl_vpc_transmit_packets", "_total", ["vpc": "blue"])
                    == Double(sum.transmitted))
            let labels = ["interface": "web1", "vpc": "blue", "subnet": "web"]
            #expect(
                try value(families, "vpcctl_interface_transmit_packets", "_total", labels) == Double(after.transmitted))
        }
    }
}
