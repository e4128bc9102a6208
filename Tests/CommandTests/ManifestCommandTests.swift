import Foundation
import TestSupport
import Testing

/// The commands that read manifests only: output, messages, exit codes.
@Suite(.timeLimit(minutes: 10)) struct ManifestCommandTests {
    @Test(
        arguments: try! FileManager.default.contentsOfDirectory(atPath: examples.path()).filter {
            $0.hasSuffix(".yaml")
        })
    func examplesAreValid(_ name: String) throws {
        let run = try Run.vpcctl("validate", "-f", example(name))
        #expect(run.status == 0)
        #expect(run.output.hasSuffix("resources are valid\n"))
        #expect(run.error.isEmpty)
    }

    @Test func everyErrorIsPrintedWithItsPlace() throws {
        let text = try String(contentsOfFile: example("one-host.yaml"), encoding: .utf8)
            .replacingOccurrences(of: "vpc: blue", with: "vpc: bleu")
            .replacingOccurrences(of: "to: web2", with: "to: web3")
        let run = try Run.vpcctl("validate", "-f", "-", input: text)
        #expect(run.status == 65)
        #expect(run.output.isEmpty)
        #expect(run.error.contains("<stdin>:21:8: error: Subnet blue-web: there is no VPC named \"bleu\""))
        #expect(run.error.contains("  vpc: bleu\n       ^~~~\n"))
        #expect(run.error.contains("hint: did you mean blue?"))
        #expect(run.error.contains("<stdin>:45:24: error:"))
        #expect(run.error.hasSuffix("2 errors found\n"))
    }

    @Test func aMissingFileIsAnError() throws {
        let run = try Run.vpcctl("validate", "-f", "/nonexistent/blue.yaml")
        #expect(run.status == 65)
        #expect(run.error.contains("/nonexistent/blue.yaml"))
    }

    /// Without an agent nobody remembers an address, and what to write is said; whether all else is right is told at once.
    @Test func addressesHaveToBeStated() throws {
        let text = try String(contentsOfFile: example("one-host.yaml"), encoding: .utf8)
            .replacingOccurrences(of: "  address: 10.0.1.12\n", with: "")
        for command in [
            ["plan", "--host", "h1"], ["apply", "--dry-run"], ["get", "enis"], ["trace", "web1", "web2"],
        ] {
            let run = try Run([Run.program("vpcctl")] + command + ["-f", "-"], input: Data(text.utf8))
            #expect(run.status == 65 && run.output.isEmpty, "\(command): \(run)")
            #expect(
                run.error.contains(
                    "error: NetworkInterface web2: it states no address, and nothing here would remember one"))
            #expect(run.error.contains("<stdin>:"))
            #expect(run.error.contains("hint: add \"address: 10.0.1.2\", the lowest that is free"), "\(run.error)")
            #expect(run.error.hasSuffix("1 error found\n"))
        }
        #expect(try Run.vpcctl("validate", "-f", "-", input: text).output.hasSuffix("resources are valid\n"))
    }

    /// Never "delete everything".
    @Test func anEmptySetIsAnError() throws {
        let run = try Run.vpcctl("plan", "-f", "-", "--host", "h1", input: "# nothing\n")
        #expect(run.status == 65)
        #expect(run.error.contains("hold no resources"))
    }

    @Test(arguments: [["plan"], ["get"], ["get", "foo", "-f", "x"], ["apply", "--frobnicate"], ["frobnicate"]])
    func wrongUsageIs64(_ arguments: [String]) throws {
        let run = try Run([Run.program("vpcctl")] + arguments)
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.error.contains("Usage:"))
    }

    @Test func anUnknownHostIsNamedWithThoseThereAre() throws {
        let run = try Run.vpcctl("plan", "-f", example("two-tenants.yaml"), "--host", "h9")
        #expect(run.status == 64)
        #expect(run.error.contains("No Host is named 'h9' in the manifests; there are: h1, h2, h3."))
    }

    @Test func resourcesAreListed() throws {
        let table = try Run.vpcctl("get", "enis", "-f", example("one-host.yaml"))
        #expect(
            table.output == """
                NAME  SUBNET    HOST  ADDRESS    ATTACHMENT
                web1  blue-web  h1    10.0.1.11  web1/eth0
                web2  blue-web  h1    10.0.1.12  web2/eth0

                """)
        let names = try Run.vpcctl("get", "all", "-o", "name", "-f", example("one-host.yaml"))
        #expect(names.output.split(separator: "\n").first == "Host/h1")
        #expect(names.output.split(separator: "\n").count == 8)
        let none = try Run.vpcctl("get", "vpc", "green", "-f", example("one-host.yaml"))
        #expect(none.status == 1)
        #expect(none.error.contains("there is no VPC named 'green'"))
    }

    /// What `get -o yaml` prints is a manifest that says the same.
    @Test(arguments: ["yaml", "json"]) func whatIsPrintedCanBeReadBack(_ format: String) throws {
        let printed = try Run.vpcctl("get", "all", "-o", format, "-f", example("middlebox.yaml"))
        let again = try Run.vpcctl("get", "all", "-o", format, "-f", "-", input: printed.output)
        #expect(again.status == 0)
        #expect(again.output == printed.output)
        #expect(!again.output.isEmpty)
    }

    @Test func jsonIsJSON() throws {
        let run = try Run.vpcctl("get", "subnets", "-o", "json", "-f", example("two-tenants.yaml"))
        let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
        #expect(value?["apiVersion"] as? String == "vpcctl.dev/v1")
        #expect((value?["items"] as? [Any])?.count == 4)
    }

    @Test func aTraceNamesTheLineThatDecides() throws {
        let run = try Run.vpcctl("trace", "client1", "203.0.113.1", "-f", example("middlebox.yaml"))
        #expect(run.status == 1)
        let lines = run.output.split(separator: "\n")
        #expect(lines.first == "forward: 10.20.1.11 → 203.0.113.1, icmp echo-request")
        let text = "  h1  route         deny   route table inspected: 203.0.113.0/24 is a blackhole"
        #expect(lines.contains { $0.hasPrefix(text) && $0.hasSuffix("middlebox.yaml:73:7)") })
        #expect(lines.last == "  => dropped on h1 by route: blackhole")
        let good = try Run.vpcctl(
            "trace", "client1", "server1", "--port", "5432", "-o", "name", "-f", example("middlebox.yaml"))
        #expect(good.status == 0)
        #expect(good.output == "allow\n")
    }

    @Test func aTraceIsJSONToo() throws {
        let run = try Run.vpcctl(
            "trace", "client1", "client2", "--protocol", "udp", "--port", "53", "-o", "json", "-f",
            example("middlebox.yaml"))
        let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
        #expect(value?["kind"] as? String == "Trace")
        #expect(value?["answered"] as? Bool == true)
        let forward = value?["forward"] as? [String: Any]
        #expect(forward?["verdict"] as? String == "delivered")
        #expect(forward?["reached"] as? [String] == ["client2"])
        #expect(forward?["sourcePort"] as? Int == 49152)
    }

    @Test func aTraceComesFromOutside() throws {
        let run = try Run.vpcctl(
            "trace", "-o", "json", "-f", example("public-server.yaml"), "--from", "external:198.51.100.7", "--to",
            "203.0.113.50:443")
        #expect(run.status == 0)
        let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
        #expect(value?["from"] as? String == "external:198.51.100.7")
        let forward = try #require(value?["forward"] as? [String: Any])
        #expect((forward["arrival"] as? [String: Any])?["destination"] as? String == "10.0.1.11")
        let back = try #require((value?["returns"] as? [[String: Any]])?.first)
        #expect((back["arrival"] as? [String: Any])?["source"] as? String == "203.0.113.50")
        let steps = try #require(back["steps"] as? [[String: Any]])
        let translated = steps.compactMap { ($0["translated"] as? [String: Any])?["source"] as? String }
        #expect(translated == ["203.0.113.50"])
        // By the name of whoever has the address, and denied.
        let denied = try Run.vpcctl(
            "trace", "external:198.51.100.7", "web1:8080", "-o", "name", "-f", example("public-server.yaml"))
        #expect(denied.status == 1)
        #expect(denied.output == "deny\n")
    }

    @Test(arguments: [
        ["external:198.51.100.7", "10.0.1.11"], ["external:198.51.100.7", "db1"], ["external:web1", "203.0.113.50"],
        ["external:198.51.100.7", "203.0.113.50:443", "--port", "80"], ["external:198.51.100.7:5", "203.0.113.50"],
        ["web1", "db1", "--from", "web2"], ["--from", "web1"], ["external:198.51.100.7", "203.0.113.50", "--live"],
        ["external:198.51.100.7", "external:198.51.100.8"], ["10.0.1.11", "203.0.113.50"], ["web1", "db1:0"],
    ])
    func aTraceFromOutsideNamesWhatIsWrong(_ arguments: [String]) throws {
        let vpcctl = Run.program("vpcctl")
        let run = try Run([vpcctl, "trace"] + arguments + ["-f", example("public-server.yaml")])
        #expect(run.status == 64, "\(arguments): \(run.output)\(run.error)")
        #expect(run.output.isEmpty)
    }

    @Test(arguments: [
        ["client1", "nobody"], ["client1", "::1"], ["client1", "client2", "--protocol", "tcp"],
        ["client1", "client2", "--protocol", "icmp", "--port", "1"], ["client1", "client2", "--source-port", "1"],
        ["client1", "client2", "--source", "nowhere"],
    ])
    func aTraceOfNothingIsWrongUsage(_ arguments: [String]) throws {
        let vpcctl = Run.program("vpcctl")
        let run = try Run([vpcctl, "trace"] + arguments + ["-f", example("middlebox.yaml")])
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
    }
}
