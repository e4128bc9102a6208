import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// A guest with a kernel of its own behind a tap device that QEMU holds.
    @Suite(.needsOverlay, .timeLimit(minutes: 15)) struct VirtualMachineTests {
        static let scenario: Scenario = {
            var scenario = Scenario.pair
            scenario.host("h2", "172.31.0.2")
            scenario.interface("web3", "web", on: "h2", "10.0.1.13")
            return scenario
        }()

        private let tap = "tap9"

        /// Runs the product on a host, as an operator would.
        private func vpcctl(_ lab: TestLab, _ arguments: String...) throws {
            try Run.checked(
                ["ip", "netns", "exec", lab.namespace("h1"), Run.program("vpcctl")] + arguments + ["--host", "h1"])
        }

        /// The tap is moved into the VPCs' namespace while QEMU holds it, and back: the guest has network, loses it, and has it
        /// again, and never hears of any of that.
        @Test func itsDeviceIsTakenAndGivenBack() throws {
            try #require(VirtualMachine.obstacle == nil, "\(VirtualMachine.obstacle ?? "")")
            let lab = try TestLab(Self.scenario)
            defer { lab.tearDown() }
            var scenario = Self.scenario
            scenario.interface("vm", "web", on: "h1", "10.0.1.14", tap: tap)
            let topology = try #require(Topology.resolve(scenario.model, keeping: KeptAddresses()).topology)
            let interface = try #require(topology.interfaces.first { $0.name == "vm" })
            let file = "/tmp/vpclab-tests-vm-\(getpid()).json"
            defer { try? FileManager.default.removeItem(atPath: file) }
            try Data(scenario.text(prefix: lab.prefix).utf8).write(to: URL(filePath: file))
            let without = file + ".without.json"
            defer { try? FileManager.default.removeItem(atPath: without) }
            try Data(Self.scenario.text(prefix: lab.prefix).utf8).write(to: URL(filePath: without))

            try lab.shell("h1", "ip tuntap add dev \(tap) mode tap; ip link set \(tap) up")
            let machine = try VirtualMachine(
                in: lab.namespace("h1"),
                .init(tap: tap, mac: "\(interface.mac)", address: "10.0.1.14/24", gateway: "10.0.1.1"))
            defer { machine.stop() }
            // While it boots.
            try lab.shell("h2", "\(Run.program("vpcctl")) apply -q -f \(file) --host h2")
            try vpcctl(lab, "apply", "-q", "-f", file)
            #expect(try lab.shell("vpc-h1", "ip -br link show \(tap)").contains(tap))
            try machine.awaitBoot()
            try expectNetwork(of: machine, lab)

            try vpcctl(lab, "apply", "-q", "-f", without)
            try expectDeviceBack(lab, machine)
            #expect(!(try lab.station("web3").ping("10.0.1.14").isReply))

            try lab.shell("h1", "ip addr flush dev \(tap)")
            try vpcctl(lab, "apply", "-q", "-f", file)
            try expectNetwork(of: machine, lab)

            try vpcctl(lab, "delete", "-q")
            try expectDeviceBack(lab, machine)
            #expect(try machine.shell("ip -o link show eth0").contains("LOWER_UP"))
        }

        /// It speaks with guests of both hosts, and is spoken to, by ICMP and by TCP.
        private func expectNetwork(of machine: VirtualMachine, _ lab: TestLab) throws {
            for (name, address) in [("web1", "10.0.1.11"), ("web3", "10.0.1.13")] {
                let pings = try machine.shell("ping -c 3 -W 5 \(address)")
                #expect(pings.contains("3 packets received"), "\(pings)")
                let answer = try machine.shell(
                    "{ echo bulk 300000; head -c 300000 /dev/zero; } | nc \(address) \(Station.tcpPort)")
                #expect(answer.hasPrefix("\(name)|10.0.1.14:") && answer.hasSuffix("|300000"), "\(answer)")
                #expect(try lab.station(name).ping("10.0.1.14").isReply)
                let file = try lab.shell(
                    name,
                    "curl -s --max-time 60 -o /dev/null -w '%{http_code} %{size_download}' http://10.0.1.14/million")
                #expect(file == "200 1000000", "\(file)")
            }
        }

        /// The device is in the host's own namespace, and works there.
        private func expectDeviceBack(_ lab: TestLab, _ machine: VirtualMachine) throws {
            #expect(machine.isRunning)
            try lab.shell("h1", "ip addr add 10.0.1.99/24 dev \(tap); ip link set \(tap) up")
            try lab.shell("h1", "ping -c 3 -W 5 -w 20 -I \(tap) 10.0.1.14")
        }
    }
}
