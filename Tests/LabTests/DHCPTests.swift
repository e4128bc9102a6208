import Agent
import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCModel

extension Scenario {
    /// Two tenants with the same addresses, whose guests are behind devices that somebody else makes, and have none yet.
    fileprivate static let asking: Scenario = {
        var scenario = Scenario()
        scenario.host("h1", "172.31.0.1")
        for (name, id) in [("blue", 101), ("green", 102)] as [(String, UInt32)] {
            scenario.vpc(name, id, "10.0.0.0/16")
            scenario.subnet("\(name)-web", name, "10.0.1.0/24")
            scenario.model.subnets[scenario.model.subnets.count - 1].dhcp = DHCPOptions(
                lease: .seconds(3600), nameServers: ["10.0.1.53"], timeServers: ["10.0.1.123"],
                domain: "\(name).example", routes: [.init(destination: prefix("192.168.7.0/24"))])
            scenario.interface("\(name)1", "\(name)-web", on: "h1", "10.0.1.11", tap: "tap-\(name)1", mtu: 1400)
        }
        scenario.model.interfaces[0].hostName = "first"
        scenario.interface("blue2", "blue-web", on: "h1", "10.0.1.12", tap: "tap-blue2")
        scenario.interface("router", "blue-web", on: "h1", "10.0.1.13", forwards: true, tap: "tap-router")
        scenario.subnet("silent", "blue", "10.0.2.0/24")
        scenario.interface("mute", "silent", on: "h1", "10.0.2.11", tap: "tap-mute")
        return scenario
    }()
}

extension LabTests {
    /// Guests that ask for their addresses, by the clients that they use.
    @Suite(.needsOverlay, .serialized, .timeLimit(minutes: 10)) struct DHCPTests {
        /// A host with its daemon, and guests with nothing but a device.
        private final class World {
            let lab: TestLab
            private(set) var agent: AgentRun
            private let scenario: Scenario
            let folder: String

            init(_ scenario: Scenario = .asking) async throws {
                self.scenario = scenario
                var bare = scenario
                bare.model.interfaces = []
                lab = try TestLab(bare)
                folder = "/tmp/\(lab.prefix)dhcp"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                do {
                    for interface in scenario.model.interfaces { try World.makeGuest(interface, lab) }
                    agent = try AgentRun(
                        namespace: lab.namespace("h1"), host: "h1", scenario.text(prefix: lab.prefix))
                } catch {
                    lab.tearDown()
                    throw error
                }
                try await agent.event(after: 0) { $0.type == .revisionApplied }
            }

            func tearDown() {
                agent.remove()
                for interface in scenario.model.interfaces {
                    _ = Command.run("ip netns del \(lab.namespace(interface.metadata.name))")
                }
                lab.tearDown()
                try? FileManager.default.removeItem(atPath: folder)
            }

            private static func makeGuest(_ interface: NetworkInterface, _ lab: TestLab) throws {
                guard case .device(let tap) = interface.attachment, let address = interface.address else { return }
                let guest = lab.namespace(interface.metadata.name)
                let vpc = interface.metadata.name.hasPrefix("green") ? 102 : 101
                // As it is derived: 02, the VPC, the address.
                let mac = String(
                    format: "02:%02x:%02x:%02x:%02x:%02x", vpc, 10, 0, address.v4 >> 8 & 255, address.v4 & 255)
                let made = Command.run(
                    """
                    ip netns add \(guest) && ip -n \(lab.namespace("h1")) link add \(tap) type veth peer name eth0 \
                    address \(mac) netns \(guest) && ip -n \(guest) link set eth0 up
                    """)
                try #require(made.status == 0, "\(made.output)")
            }

            /// The daemon ends, and another one takes over its state.
            func restartAgent() throws {
                agent.stop()
                agent = try AgentRun(namespace: lab.namespace("h1"), host: "h1", nil, folder: agent.folder)
            }

            func stopAgent() { agent.stop() }

            /// What clients tell scripts.
            func script(_ name: String, _ text: String) throws -> String {
                let path = "\(folder)/\(name)"
                try ("#!/bin/sh\n" + text).write(toFile: path, atomically: true, encoding: .utf8)
                try #require(chmod(path, 0o755) == 0)
                return path
            }

            /// A client that stays: what it has heard, each time.
            func udhcpc(in guest: String) throws -> (program: Program, output: String) {
                let output = "\(folder)/\(guest)"
                let script = try script(
                    "\(guest)-script",
                    """
                    [ "$1" = deconfig ] && exit 0
                    [ -n "$ip" ] && ip addr replace $ip/$mask dev $interface && ip route replace default via $router
                    echo "$1 ip=$ip mask=$mask router=$router dns=$dns ntp=$ntpsrv domain=$domain search=$search \
                    mtu=$mtu hostname=$hostname routes=$staticroutes lease=$lease server=$serverid" >>\(output)
                    """)
                try Data().write(to: URL(fileURLWithPath: output))
                let program = try Program([
                    "ip", "netns", "exec", lab.namespace(guest), "udhcpc", "-i", "eth0", "-f", "-t", "10", "-T", "1",
                    "-O", "search", "-O", "staticroutes", "-O", "ntpsrv", "-O", "mtu", "-s", script,
                ])
                return (program, output)
            }

            /// Waits until a client has told of something.
            func line(
                _ number: Int, of output: String, sourceLocation: SourceLocation = #_sourceLocation
            ) async throws -> String {
                while true {
                    let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
                    if lines.count > number { return String(lines[number]) }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }

        private func inWorld(_ body: (World) async throws -> Void) async throws {
            let world = try await World()
            do { try await body(world) } catch {
                world.tearDown()
                throw error
            }
            world.tearDown()
        }

        /// Everything that was asked for, to two tenants with one address, and then packets.
        @Test func tenantsGetTheirOwn() async throws {
            try await inWorld { world in
                for name in ["blue", "green"] {
                    let (client, output) = try world.udhcpc(in: name + "1")
                    defer { client.send(SIGKILL) }
                    let told = try await world.line(0, of: output)
                    let host = name == "blue" ? "first" : "green1"
                    #expect(
                        told == """
                            bound ip=10.0.1.11 mask=24 router=10.0.1.1 dns=10.0.1.53 ntp=10.0.1.123 \
                            domain=\(name).example search=\(name).example mtu=1400 hostname=\(host) \
                            routes=192.168.7.0/24 10.0.1.1 0.0.0.0/0 10.0.1.1 lease=3600 server=10.0.1.1
                            """)
                }
                let (client, output) = try world.udhcpc(in: "blue2")
                defer { client.send(SIGKILL) }
                #expect(try await world.line(0, of: output).contains("ip=10.0.1.12 "))
                #expect(try world.lab.shell("blue2", "ping -n -c 2 -W 5 10.0.1.11").contains(" 0% packet loss"))
            }
        }

        /// By unicast to the gateway, from the address that it has; also to the daemon that came after.
        @Test func leasesAreRenewed() async throws {
            try await inWorld { world in
                let (client, output) = try world.udhcpc(in: "blue1")
                defer { client.send(SIGKILL) }
                #expect(try await world.line(0, of: output).hasPrefix("bound ip=10.0.1.11 "))
                client.send(SIGUSR1)
                #expect(try await world.line(1, of: output).hasPrefix("renew ip=10.0.1.11 "))
                try world.restartAgent()
                client.send(SIGUSR1)
                #expect(try await world.line(2, of: output).hasPrefix("renew ip=10.0.1.11 "))
            }
        }

        /// One that may use any address is not checked, and asks all the same.
        @Test func guestsThatForwardAreAnswered() async throws {
            try await inWorld { world in
                let (client, output) = try world.udhcpc(in: "router")
                defer { client.send(SIGKILL) }
                #expect(try await world.line(0, of: output).hasPrefix("bound ip=10.0.1.13 "))
            }
        }

        /// Until the subnet says so nobody is answered, and no longer than it says so.
        @Test func subnetsSayWhoIsAnswered() async throws {
            try await inWorld { world in
                let asked = "udhcpc -i eth0 -f -n -q -t 2 -T 1 -s /bin/true"
                let mute = Command.run(asked, in: world.lab.namespace("mute"))
                #expect(mute.status != 0)
                var scenario = Scenario.asking
                scenario.model.subnets[0].dhcp?.isEnabled = false
                scenario.model.subnets[2].dhcp = DHCPOptions()
                let last = world.agent.lastEvent
                try AgentRun.write(
                    ManifestHead.placed(scenario.text(prefix: world.lab.prefix), on: world.lab.namespace("h1")),
                    to: world.agent.manifests + "/all.json")
                try await world.agent.event(after: last) { $0.type == .revisionApplied }
                let (client, output) = try world.udhcpc(in: "mute")
                defer { client.send(SIGKILL) }
                #expect(try await world.line(0, of: output).hasPrefix("bound ip=10.0.2.11 "))
                #expect(Command.run(asked, in: world.lab.namespace("blue1")).status != 0)
            }
        }

        /// Who comes back with an address that is not his is told so, and asks anew.
        @Test func wrongAddressesAreRefused() async throws {
            try await inWorld { world in
                let leases = "\(world.folder)/leases"
                try """
                lease {
                  interface "eth0";
                  fixed-address 10.0.1.77;
                  option subnet-mask 255.255.255.0;
                  option routers 10.0.1.1;
                  option dhcp-lease-time 3600;
                  option dhcp-message-type 5;
                  option dhcp-server-identifier 10.0.1.1;
                  renew 6 2035/01/06 00:00:00;
                  rebind 6 2036/01/05 00:00:00;
                  expire 6 2037/01/03 00:00:00;
                }
                """.write(toFile: leases, atomically: true, encoding: .utf8)
                let heard = "\(world.folder)/heard"
                let script = try world.script("dhclient-script", "echo \"$reason $new_ip_address\" >>\(heard)\n")
                let told = try world.lab.shell(
                    "blue1",
                    """
                    timeout 60 dhclient -4 -v -1 -lf \(leases) -pf \(world.folder)/pid -cf /dev/null -sf \(script) eth0
                    kill $(cat \(world.folder)/pid)
                    """)
                #expect(told.contains("DHCPNAK from 10.0.1.1"))
                #expect(told.contains("bound to 10.0.1.11"))
                #expect(try String(contentsOfFile: heard, encoding: .utf8).contains("BOUND 10.0.1.11"))
            }
        }

        @Test func dhcpcdGetsItsAddress() async throws {
            try await inWorld { world in
                let configuration = "\(world.folder)/dhcpcd.conf"
                try "option interface_mtu, classless_static_routes\nnoipv4ll\n".write(
                    toFile: configuration, atomically: true, encoding: .utf8)
                let told = try world.lab.shell(
                    "blue1",
                    "unshare -m sh -c 'mkdir -p /var/lib/dhcpcd; mount -t tmpfs none /var/lib/dhcpcd; mount -t tmpfs none /run;"
                        + " timeout 60 dhcpcd -4 -1 -B -d -f \(configuration) -c /bin/true eth0' 2>&1")
                #expect(told.contains("leased 10.0.1.11 for 3600 seconds"), "\(told)")
                #expect(try world.lab.shell("blue1", "ip -4 addr show dev eth0").contains("10.0.1.11/24"))
            }
        }

        @Test func networkdGetsItsAddress() async throws {
            try await inWorld { world in
                let network = "\(world.folder)/10-eth0.network"
                try """
                [Match]
                Name=eth0
                [Network]
                DHCP=ipv4
                LinkLocalAddressing=no
                [DHCPv4]
                UseMTU=yes
                RapidCommit=yes
                """.write(toFile: network, atomically: true, encoding: .utf8)
                let networkd = try Program([
                    "ip", "netns", "exec", world.lab.namespace("blue1"), "unshare", "-m", "sh", "-c",
                    """
                    # Else it waits for a udev that is not there.
                    mount -o remount,ro,bind /sys
                    mount -t tmpfs none /run
                    mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp /run/systemd/network
                    chown -R systemd-network /run/systemd/netif
                    cp \(network) /run/systemd/network/
                    exec /lib/systemd/systemd-networkd
                    """,
                ])
                defer { networkd.send(SIGKILL) }
                while !(try world.lab.shell("blue1", "ip -4 addr show dev eth0").contains("10.0.1.11/24")) {
                    try #require(networkd.isRunning)
                    try await Task.sleep(for: .milliseconds(50))
                }
                #expect(try world.lab.shell("blue1", "ip link show dev eth0").contains("mtu 1400"))
                #expect(try world.lab.shell("blue1", "ip route").contains("192.168.7.0/24 via 10.0.1.1"))
            }
        }

        /// A guest's flood is held up in the kernel, and costs another guest nothing.
        @Test func floodsAreHeldUp() async throws {
            try await inWorld { world in
                let flood = try Program([
                    "ip", "netns", "exec", world.lab.namespace("green1"), "sh", "-c",
                    "while :; do udhcpc -i eth0 -f -n -q -t 1 -T 0 -s /bin/true; done",
                ])
                defer { flood.send(SIGKILL) }
                let (client, output) = try world.udhcpc(in: "blue1")
                defer { client.send(SIGKILL) }
                #expect(try await world.line(0, of: output).hasPrefix("bound ip=10.0.1.11 "))
                let rule = try world.lab.shell("vpc-h1", "nft list set inet vpcctl dhcp_rate")
                #expect(rule.contains("limit rate 5/second burst 20 packets"))
            }
        }
    }
}
