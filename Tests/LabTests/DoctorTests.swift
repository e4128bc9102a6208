import CLinux
import Foundation
import TestSupport
import Testing

@testable import KernelWitness

extension LabTests {
    /// What makes packets dearer is found where it is, and nowhere else.
    @Suite(.needsOverlay, .timeLimit(minutes: 10)) struct DoctorTests {
        private struct Finding {
            var isGood: Bool
            var isCostly: Bool
            var detail: String
            var remedy: String
        }

        private func doctor(in namespace: String? = nil) throws -> [String: Finding] {
            let run = Command.run("\(Run.program("vpcctl")) doctor -o json", in: namespace)
            #expect(run.status == 0, "\(run.output)")
            let value = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
            var findings: [String: Finding] = [:]
            for finding in try #require(value["findings"] as? [[String: Any]]) {
                findings[try #require(finding["subject"] as? String)] = Finding(
                    isGood: try #require(finding["good"] as? Bool), isCostly: try #require(finding["costly"] as? Bool),
                    detail: try #require(finding["detail"] as? String), remedy: finding["remedy"] as? String ?? "")
            }
            return findings
        }

        /// Whether a new namespace in which nobody has done anything tracks a ping, asked in another way.
        private func isTrackedAnyway() -> Bool {
            let command = Command.run(
                "unshare --net sh -c 'ip link set lo up; ping -c 1 127.0.0.1 >/dev/null;"
                    + " cat /proc/sys/net/netfilter/nf_conntrack_count'")
            return command.status == 0 && command.output.split(separator: "\n").last.map { $0 != "0" } == true
        }

        /// getsockopt(2) with IPT_SO_GET_INFO and the table's name.
        private static let askForMangle = """
            python3 -c "import ctypes, socket
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            info, size = ctypes.create_string_buffer(b'mangle', 84), ctypes.c_uint(84)
            assert ctypes.CDLL(None).getsockopt(s.fileno(), 0, 64, info, ctypes.byref(size)) == 0"
            """

        private func modprobe(_ arguments: String) {
            let command = Command.run("modprobe \(arguments)")
            #expect(command.status == 0, "\(arguments): \(command.output)")
        }

        @Test func openvswitchIsFoundWhereItCosts() throws {
            let subject = "connection tracking only where it is asked for"
            modprobe("nf_conntrack_netlink")
            let without = try #require(try doctor()[subject])
            #expect(!isTrackedAnyway())
            #expect(without.isGood && !without.isCostly && without.remedy.isEmpty)

            modprobe("openvswitch")
            defer { modprobe("-r openvswitch") }
            let with = try #require(try doctor()[subject])
            // Kernels since 6.12 do better.
            #expect(with.isCostly == isTrackedAnyway())
            #expect(with.isGood && with.isCostly == with.detail.contains("openvswitch"))
            #expect(with.isCostly == with.remedy.contains("modprobe -r openvswitch"))
        }

        /// On a host with all that the product makes, whose guests are other namespaces.
        @Test func libnlReadsTheSame() throws {
            let lab = try TestLab(.agents)
            defer { lab.tearDown() }
            let run = Command.run("\(Run.program("vpcctl")) doctor --witness", in: lab.namespace("h1"))
            #expect(run.status == 0, "\(run.output)")
            let line = try #require(run.output.split(separator: "\n").first { $0.contains("libnl as a second reader") })
            #expect(line.hasPrefix("ok ") && line.hasSuffix("in 2 guests"), "\(line)")
            #expect(!line.contains(" 0 "))
        }

        /// Why it does not do the driver's work; docs/architecture.md says so.
        @Test func libnlRefusesRoutesByNexthopsWithGRE() throws {
            try withScratchNamespace { name, namespace in
                for line in [
                    "link add gx type gre external", "link set gx up",
                    "nexthop add id 9 encap ip id 5 dst 192.0.2.2 src 192.0.2.1 ttl 64 dev gx",
                    "route add 10.8.0.0/16 nhid 9",
                ] { try run("sh", "-c", "ip -n \(name) \(line)") }
                let socket = try WitnessSocket(in: namespace)
                let error = #expect(throws: WitnessError.self) {
                    try socket.list(RTM_GETROUTE, rtmsg()) { message -> Bool? in
                        message.number(RTA_NH_ID.rawValue) == 9 ? try message.object { _ in true } : nil
                    }
                }
                #expect(error?.description.contains("Netlink message type is not supported") == true)
            }
        }

        @Test func otherFiltersAreFound() throws {
            let namespace = "doctor-\(getpid())"
            #expect(Command.run("ip netns add \(namespace)").status == 0)
            defer { _ = Command.run("ip netns del \(namespace)") }
            let (iptables, bridges) = ("no tables of the old iptables", "bridges apart from IP filters")
            modprobe("br_netfilter")
            #expect(Command.run("sysctl -qw net.bridge.bridge-nf-call-iptables=0", in: namespace).status == 0)
            var findings = try doctor(in: namespace)
            #expect(findings[iptables] == nil && findings[bridges] == nil)

            #expect(Command.run("sysctl -qw net.bridge.bridge-nf-call-iptables=1", in: namespace).status == 0)
            modprobe("iptable_mangle")
            // A table comes with the first who asks for it.
            let asked = Command.run(Self.askForMangle, in: namespace)
            #expect(asked.status == 0, "\(asked.output)")
            findings = try doctor(in: namespace)
            #expect(findings[bridges]?.isCostly == true)
            #expect(findings[iptables]?.detail.contains("mangle") == true, "\(findings[iptables]?.detail ?? "none")")
        }
    }
}
