import Agent
import KernelModel
import TestSupport
import Testing

@testable import VPCLab

extension LabTests {
    /// What decides on each of our devices whether a packet is passed on.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct DeviceSettingTests {
        /// Other than what any device of ours has.
        private static func damaged(_ setting: IPv4DeviceConfiguration.Setting, _ value: String) -> String {
            setting == .mediumID ? "7" : value == "0" ? "1" : "0"
        }

        /// A host that forwards nothing by itself goes on forwarding nothing by its own devices, and all for guests.
        @Test func hostKeepsItsForwardingToItself() throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            for host in ["h1", "h2"] {
                try lab.lab.delete(host: host)
                try lab.shell(
                    host,
                    """
                    cd /proc/sys/net/ipv4/conf; echo 1 >../ip_forward; echo 0 >../ip_forward; echo 0 >default/forwarding
                    """)
            }
            try lab.requireClean(lab.lab.apply())
            #expect(try lab.station("web1").ask("10.0.1.12")?.name == "web2", "on one host")
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3", "between hosts")
            let own = try lab.shell(
                "h1", "cd /proc/sys/net/ipv4/conf; cat ../ip_forward default/forwarding lo/forwarding u0/forwarding")
            #expect(own.split(separator: "\n").allSatisfy { $0 == "0" }, "\(own)")
        }

        /// One after the other, whether the kernel tells of it or has to be asked.
        @Test func everySettingIsRepaired() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }

            func repairs(
                _ path: String, changedTo change: (String) -> String, _ repair: (String) -> String
            ) async throws {
                let value = try lab.shell("vpc-h1", "cat \(path)").filter { !$0.isNewline }
                let last = run.lastEvent
                try lab.shell("vpc-h1", "echo \(change(value)) >\(path)")
                let objects = try await run.repaired(after: last, of: path).compactMap(\.object)
                #expect(objects.contains { $0.contains(repair(value)) }, "\(path): \(objects)")
                #expect(try lab.shell("vpc-h1", "cat \(path)").filter { !$0.isNewline } == value)
            }
            // Of all devices of ours they are seen and put right in the same way: each is tried on one.
            let devices = ["e-web1", "vpc-g101", "vpc-v1000001", "vpc-gx"]
            for (position, setting) in IPv4DeviceConfiguration.Setting.allCases.enumerated() {
                let device = devices[position % devices.count]
                try await repairs("/proc/sys/net/ipv4/conf/\(device)/\(setting.rawValue)") { value in
                    Self.damaged(setting, value)
                } _: {
                    "ipv4.conf.\(setting.rawValue)=\($0)"
                }
            }
            for parameter in Self.parameters {
                try await repairs("/proc/sys/net/ipv4/\(parameter)") { value in
                    value == "1" ? "0" : "1"
                } _: {
                    "net.ipv4.\(parameter)=\($0)"
                }
            }
            #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
        }

        private static let parameters = [
            "tcp_l3mdev_accept", "udp_l3mdev_accept", "raw_l3mdev_accept", "fib_multipath_hash_policy",
            "fib_multipath_hash_fields", "nexthop_compat_mode",
        ]

        /// Who writes `ip_forward`, whatever the value, sets it on every device: told of, and put right at once.
        @Test func forwardingOfAllIsNotOurs() async throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = try AgentRun(lab, .agents)
            defer { run.remove() }
            try await run.event(after: 0) { $0.type == .revisionApplied }
            for value in ["1", "0"] {
                let last = run.lastEvent
                try lab.shell(
                    "vpc-h1", "cd /proc/sys/net/ipv4; echo $((1 - \(value))) >ip_forward; echo \(value) >ip_forward")
                _ = try await run.repaired(after: last, of: "ip_forward=\(value)")
                let values = try lab.shell(
                    "vpc-h1",
                    """
                    cd /proc/sys/net/ipv4/conf
                    cat ../ip_forward; for d in lo e-web1 vpc-g101 vpc-gx; do cat $d/forwarding; done
                    """)
                #expect(values.split(separator: "\n") == [value[...], value[...], "1", "1", "0"])
                #expect(try lab.station("web1").ask("10.0.1.13")?.name == "web3")
            }
        }
    }
}
