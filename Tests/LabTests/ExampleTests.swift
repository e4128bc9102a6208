import Foundation
import TestSupport
import Testing
import VPCManifest
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// What the command itself does with the manifests that come with the product.
    @Suite(.needsOverlay, .timeLimit(minutes: 10)) struct ExampleTests {
        static let vpclab = Run.program("vpclab")
        /// The names of all of them, also of those that are added later.
        static let examples: [String] = {
            let folder = checkout.appendingPathComponent("Examples").path
            let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return files.filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()
        }()

        private let prefix = TestLab.uniquePrefix()
        /// The lab of this test.
        private var choice: String { "--name \(prefix)example --state-dir /tmp/vpclab-\(prefix)state" }
        private var options: String {
            "\(choice) --prefix \(prefix)"
        }

        private func path(_ example: String) -> String {
            checkout.appendingPathComponent("Examples/\(example).yaml").path
        }

        private func namespaces() -> [String] {
            Command.run("ip netns list").output.split(separator: "\n").map(String.init).filter { $0.hasPrefix(prefix) }
        }

        @Test func thereAreExamples() { #expect(Self.examples.contains("one-host")) }

        @Test(arguments: examples) func allProbesOfTheExamplePass(example: String) throws {
            let command = Command.run("\(Self.vpclab) test --keep -f \(path(example)) \(options)")
            #expect(command.status == 0, "\(command.output)")
            #expect(command.output.contains(" passed, 0 failed\n"))
            let lab = try lab(of: example)
            defer { _ = try? lab.store.remove(lab.plan.name) }
            try lab.requireUp()
            for report in try lab.apply() {
                #expect(report.problems == [])
                #expect(try report.result.get().outcome.report.writes == 0, "\(example): \(report.host)")
            }
        }

        /// The same lab from here: a program takes a second to start in emulation.
        private func lab(of example: String) throws -> Lab {
            let topology = try #require(Topology.resolve(ManifestSet.load(paths: [path(example)]).model).topology)
            let plan = try LabPlan(topology, name: "\(prefix)example", options: .init(prefix: prefix))
            return Lab(plan, store: LabStore(path: "/tmp/vpclab-\(prefix)state"))
        }

        /// A probe whose expectation is wrong fails, in words and in numbers, whether it expected more or less.
        @Test func failingProbes() throws {
            let file = "/tmp/\(prefix)wrong.yaml"
            let text = try String(contentsOfFile: path("one-host"), encoding: .utf8)
                .replacingOccurrences(of: "port: 80, expect: allow", with: "port: 80, expect: deny")
                .replacingOccurrences(
                    of: "to: 10.0.1.99, protocol: icmp, expect: deny",
                    with: "to: 10.0.1.99, protocol: icmp, expect: allow")
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            defer { unlink(file) }
            let command = Command.run("\(Self.vpclab) test -q -o json -f \(file) \(options)")
            #expect(command.status == 1)
            let report = try JSONSerialization.jsonObject(with: Data(command.output.utf8)) as? [String: Any]
            #expect(report?["passed"] as? Int == 1)
            #expect(report?["failed"] as? Int == 2)
            let probes = try #require(report?["probes"] as? [[String: Any]])
            #expect(probes.map { $0["seen"] as? String } == ["allow", "allow", "deny"])
            #expect(probes.first?["reason"] as? String == "answered by web1")
        }

        @Test func upExecTestDown() throws {
            let one = path("one-host")
            let up = Command.run("\(Self.vpclab) up -q -o json -f \(one) \(options)")
            #expect(up.status == 0, "\(up.output)")
            defer {
                _ = Command.run("\(Self.vpclab) down -f \(one) \(options.replacing(" --prefix \(prefix)", with: ""))")
            }
            #expect(up.output.contains("\"kind\": \"LabReport\""))
            // Three that the lab has made for itself and its guests, the host's, and that of its VPCs.
            #expect(namespaces().count == 5)

            let choice = options.replacing(" --prefix \(prefix)", with: "")
            let exec = Command.run(
                "\(Self.vpclab) exec \(choice) web1 -- sh -c 'ping -c 1 -W 2 10.0.1.12; ls /sys/class/net'")
            #expect(exec.status == 0, "\(exec.output)")
            #expect(exec.output.contains(" 0% packet loss"))
            #expect(exec.output.contains("eth0"), "/sys shows the guest's devices")
            #expect(Command.run("\(Self.vpclab) exec \(choice) web1 -- sh -c 'exit 42'").status == 42)
            #expect(Command.run("\(Self.vpclab) exec \(choice) web1 -- /no/such/command").status == 127)
            let unknown = Command.run("\(Self.vpclab) exec \(choice) web9 -- true")
            #expect(unknown.status == 1)
            #expect(unknown.output.contains("there are: underlay, h1, web1, web2"))

            let test = Command.run("\(Self.vpclab) test -f \(one) \(options)")
            #expect(test.status == 0, "\(test.output)")
            #expect(namespaces().count == 5, "what was up stays up")

            // A second one does nothing.
            let again = Command.run("\(Self.vpclab) up -q -o json -f \(one) \(options)")
            #expect(again.output.contains("\"writes\": 0"), "\(again.output)")

            let down = Command.run("\(Self.vpclab) down -f \(one) \(choice)")
            #expect(down.output.contains("removed 5 network namespaces"))
            #expect(namespaces().isEmpty)
            #expect(Command.run("\(Self.vpclab) down -f \(one) \(choice)").status == 0, "nothing to do is no error")
            #expect(access("/tmp/vpclab-\(prefix)state", F_OK) != 0)
        }
    }
}
