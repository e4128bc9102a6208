import Foundation
import Netlink
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// Programs that are killed in the middle of their work.
    @Suite(.needsRoot, .timeLimit(minutes: 10)) struct CrashTests {
        private let prefix = TestLab.uniquePrefix()

        private func namespaces() -> [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
            return names.filter { $0.hasPrefix(prefix) || $0.hasPrefix("vpclab-") }
        }

        /// Starts a program and kills it after a while.
        /// - Returns: Whether it was still at work then.
        private func kill(_ line: String, after delay: Duration) throws -> Bool {
            let program = try Program(["/bin/sh", "-c", "exec \(line)"])
            usleep(UInt32(delay.milliseconds * 1000))
            let wasRunning = program.isRunning
            program.send(SIGKILL)
            program.wait()
            return wasRunning
        }

        /// How long a program takes, and that it does what it should.
        private func time(_ line: String, statuses: Set<Int32> = [0]) throws -> Duration {
            let start = ContinuousClock.now
            let command = Command.run(line)
            try #require(statuses.contains(command.status), "\(line): \(command.output)")
            return start.duration(to: .now)
        }

        /// Whenever `up` dies, `down` finds everything, and another `up` completes it.
        @Test func upIsKilled() throws {
            let vpclab = Run.program("vpclab")
            let example = checkout.appendingPathComponent("Examples/one-host.yaml").path
            let choice = "--name \(prefix)lab --state-dir /tmp/vpclab-\(prefix)state"
            let up = "\(vpclab) up -q -f \(example) \(choice) --prefix \(prefix)"
            let down = "\(vpclab) down -q \(choice)"
            // 4: on a kernel without the devices the hosts' parts fail, and the lab is up all the same.
            let whole = try time(up, statuses: [0, 4])
            // The underlay's, the host's with that of its VPCs, and two guests'.
            #expect(namespaces().count == 5)
            _ = try time(down)

            let rounds = 6
            for round in 0..<rounds {
                _ = try kill(up, after: whole * (round + 1) / (rounds + 1))
                if round % 3 == 1 {
                    _ = try time(up, statuses: [0, 4])
                    #expect(namespaces().count == 5, "round \(round): \(namespaces())")
                }
                _ = try time(down)
                #expect(namespaces().isEmpty, "round \(round)")
                #expect(access("/tmp/vpclab-\(prefix)state", F_OK) != 0)
            }
        }

        /// Whenever `vpcctl apply` dies, the next one completes what it began, with nothing to repair by hand.
        @Test(.needsOverlay) func applyIsKilled() throws {
            let vpcctl = Run.program("vpcctl")
            let lab = try TestLab(.tenants)
            defer { lab.tearDown() }
            let manifest = "/tmp/\(lab.prefix)manifest.json"
            try Scenario.tenants.text(prefix: lab.prefix).write(toFile: manifest, atomically: true, encoding: .utf8)
            defer { unlink(manifest) }
            let host = "ip netns exec \(lab.namespace("h3"))"
            let apply = "\(host) \(vpcctl) apply --host h3 -f \(manifest)"
            let delete = "\(host) \(vpcctl) delete --yes --host h3"

            _ = try time(delete)
            let whole = try time(apply)
            let rounds = 5
            for round in 0..<rounds {
                try lab.lab.delete(host: "h3")
                // The program's start takes a good part of the time.
                _ = try kill(apply, after: whole / 2 + whole / 2 * round / rounds)
                try lab.requireClean(lab.lab.apply(hosts: ["h3"]))
                let again = try #require(try lab.lab.apply(hosts: ["h3"]).first).result.get()
                #expect(again.outcome.report.writes == 0, "round \(round): \(again.plan.changes.operations)")
            }
            #expect(try lab.station("app1").ask("10.0.1.11")?.name == "web1")
            // A removal that is cut off is completed as well.
            for round in 0..<3 {
                _ = try kill(delete, after: whole / 5 * (round + 1))
                #expect(try lab.lab.delete(host: "h3").remaining.isEmpty)
                #expect(!NetworkNamespace.named(lab.namespace("vpc-h3")).exists)
                try lab.requireClean(lab.lab.apply(hosts: ["h3"]))
            }
            #expect(try lab.station("app1").ask("10.0.1.11")?.name == "web1")
        }
    }
}
