import IPAddressing
import KernelDriver
import Reconciler
import TestSupport
import Testing
import VPCModel

@testable import VPCLab

extension Scenario {
    mutating func group(_ name: String, _ vpc: String, ingress: [SecurityRule], egress: [SecurityRule] = [.all]) {
        model.securityGroups.append(
            SecurityGroup(metadata: Metadata(name: name), vpc: vpc, ingress: ingress, egress: egress))
    }

    /// The same with other groups on one interface.
    func with(groups: [String], of interface: String) -> Scenario {
        var changed = self
        for index in model.interfaces.indices where model.interfaces[index].metadata.name == interface {
            changed.model.interfaces[index].securityGroups = groups
        }
        return changed
    }

    func with(ingress: [SecurityRule], ofGroup name: String) -> Scenario {
        var changed = self
        for index in model.securityGroups.indices where model.securityGroups[index].metadata.name == name {
            changed.model.securityGroups[index].ingress = ingress
        }
        return changed
    }

    func with(aclIngress: [ACLRule]) -> Scenario {
        var changed = self
        changed.model.acls[0].ingress = aclIngress
        return changed
    }

    /// Two tenants with the same addresses and opposite policies on two hosts.
    static let guarded: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        for (vpc, id) in [("blue", UInt32(101)), ("green", 102)] {
            scenario.vpc(vpc, id, "10.0.0.0/16")
            scenario.subnet("\(vpc)-front", vpc, "10.0.1.0/24")
            scenario.subnet("\(vpc)-back", vpc, "10.0.2.0/24")
            scenario.interface("\(vpc)-near", "\(vpc)-front", on: "h1", "10.0.1.11")
            scenario.interface("\(vpc)-far", "\(vpc)-front", on: "h2", "10.0.1.12")
            scenario.interface("\(vpc)-server", "\(vpc)-back", on: "h1", "10.0.2.21")
            scenario.interface("\(vpc)-store", "\(vpc)-back", on: "h2", "10.0.2.22")
        }
        scenario.model.acls = [
            NetworkACL(
                metadata: Metadata(name: "back"), vpc: "blue", ingress: [.allowAll], egress: [.allowAll])
        ]
        for index in scenario.model.subnets.indices where scenario.model.subnets[index].metadata.name == "blue-back" {
            scenario.model.subnets[index].acl = "back"
        }
        scenario.group("server", "blue", ingress: [.udp(from: "10.0.1.11/32"), .udp(from: "10.0.1.12/32")])
        scenario.group("store", "blue", ingress: [.udp(fromGroup: "server")])
        scenario.group("closed", "green", ingress: [.tcp(7001, from: "0.0.0.0/0")])
        return scenario.with(groups: ["server"], of: "blue-server").with(groups: ["store"], of: "blue-store")
            .with(groups: ["closed"], of: "green-server")
    }()
}

extension SecurityRule {
    static let all = SecurityRule(traffic: TrafficMatch(), peers: [.cidr(.defaultIPv4)])

    static func udp(from cidr: String) -> SecurityRule {
        SecurityRule(traffic: TrafficMatch(ipProtocol: .udp, ports: [7000...7000]), peers: [.cidr(IPPrefix(cidr)!)])
    }

    static func udp(fromGroup name: String) -> SecurityRule {
        SecurityRule(traffic: TrafficMatch(ipProtocol: .udp, ports: [7000...7000]), peers: [.securityGroup(name)])
    }

    fileprivate static func tcp(_ port: UInt16, from cidr: String) -> SecurityRule {
        SecurityRule(traffic: TrafficMatch(ipProtocol: .tcp, ports: [port...port]), peers: [.cidr(IPPrefix(cidr)!)])
    }
}

extension ACLRule {
    static let allowAll = ACLRule(
        priority: 200, action: .allow, traffic: TrafficMatch(), cidr: .defaultIPv4)

    fileprivate static func deny(udpFrom cidr: String) -> ACLRule {
        ACLRule(
            priority: 100, action: .deny, traffic: TrafficMatch(ipProtocol: .udp), cidr: IPPrefix(cidr)!)
    }
}

extension LabTests {
    /// Groups, ACLs and anti-spoofing, while they change.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct SecurityTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.guarded)
        }

        /// What the kernel counted, by the counter's name.
        private func count(_ counter: String, on host: String, family: String = "inet") throws -> Int {
            let text = try lab.shell("vpc-\(host)", "nft -j list counter \(family) vpcctl \(counter)")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        @Test func equalAddressesOppositePolicies() throws {
            for sender in ["near", "far"] {
                #expect(try lab.station("blue-\(sender)").ask("10.0.2.21")?.name == "blue-server")
                #expect(try lab.drops(from: lab.station("green-\(sender)"), to: "10.0.2.21"))
                #expect(try !lab.drops(from: lab.station("blue-\(sender)"), to: "10.0.2.21"), "else nothing is proved")
                guard case .answered = try lab.station("green-\(sender)").connect("10.0.2.21") else {
                    Issue.record("green allows TCP")
                    continue
                }
                #expect(try lab.dropsConnections(from: lab.station("blue-\(sender)"), to: "10.0.2.21"))
            }
        }

        /// Exactly the flows that the rule allowed, and no other rule does, end; the plan says how many.
        @Test func aRemovedRuleCutsItsFlows() throws {
            let cut = try Stream(from: lab.station("blue-near"), to: "10.0.2.21", every: .milliseconds(20))
            let kept = try Stream(from: lab.station("blue-far"), to: "10.0.2.21", every: .milliseconds(20))
            #expect(cut.waitForAnswers(10) && kept.waitForAnswers(10))
            let reports = try lab.become(
                Scenario.guarded.with(ingress: [.udp(from: "10.0.1.12/32")], ofGroup: "server"))
            let forgotten = try reports.flatMap { try $0.result.get().plan.changes.operations }.filter {
                $0.kind == .connection && $0.action == .delete
            }
            #expect(!forgotten.isEmpty)
            #expect(forgotten.allSatisfy { $0.object.contains("connection 10.0.1.11:") }, "\(forgotten)")
            // What was under way arrives, nothing after it.
            #expect(try lab.endsAnswers(of: cut))
            #expect(try !lab.endsAnswers(of: kept), "else nothing is proved")
            #expect(kept.waitForAnswers(10))
            _ = cut.finish(patience: .zero)
            let report = kept.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }

        /// An ACL is stateless: what it forbids ends at once, also in flows that live, and goes on when it is allowed again.
        @Test func aChangedACLIsInForceAtOnce() throws {
            let stream = try Stream(from: lab.station("blue-far"), to: "10.0.2.21", every: .milliseconds(20))
            let other = try Stream(from: lab.station("blue-near"), to: "10.0.2.21", every: .milliseconds(20))
            #expect(stream.waitForAnswers(10) && other.waitForAnswers(10))
            try lab.become(Scenario.guarded.with(aclIngress: [.deny(udpFrom: "10.0.1.12/32"), .allowAll]))
            #expect(try lab.endsAnswers(of: stream))
            #expect(try count("acl_back_in_100", on: "h1") > 0)
            try lab.become(.guarded)
            #expect(stream.waitForAnswers(10) && other.waitForAnswers(10))
            _ = stream.finish()
            let report = other.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }

        /// A member of a group on another host: an element comes, an element goes, no chain and no rule changes.
        @Test func membersJoinAndLeave() throws {
            #expect(try lab.station("blue-server").ask("10.0.2.22")?.name == "blue-store")
            #expect(try lab.drops(from: lab.station("blue-near"), to: "10.0.2.22"))
            // The new member's own host makes chains for its first guest with that list; the others only learn an address.
            let joined = Scenario.guarded.with(groups: ["server"], of: "blue-near")
            let reports = try lab.become(joined)
            let elsewhere = try #require(reports.first { $0.host == "h2" }).result.get().plan.changes.operations
            #expect(elsewhere.map(\.object) == ["element inet vpcctl members_server { 10.0.1.11 }"])
            #expect(try lab.station("blue-near").ask("10.0.2.22")?.name == "blue-store")
            try lab.become(.guarded)
            #expect(try lab.drops(from: lab.station("blue-near"), to: "10.0.2.22"))
        }

        /// The port is in the first fragment only.
        @Test func fragmentsAreJudgedWhole() throws {
            let allowed = try count("sg_server_in_1", on: "h1")
            let denied = try count("denied_by_group", on: "h1")
            try lab.shell(
                "blue-far", "printf %03000d 0 >/tmp/datagram && bash -c \"cat /tmp/datagram >/dev/udp/10.0.2.21/7000\"")
            // Behind the large datagram on the same way.
            #expect(try lab.station("blue-far").ask("10.0.2.21")?.name == "blue-server")
            #expect(try count("sg_server_in_1", on: "h1") == allowed + 2)
            #expect(try count("denied_by_group", on: "h1") == denied)
        }

        @Test func spoofedAddressesAreDroppedAndCounted() throws {
            try lab.shell("blue-far", "ip addr add 10.0.1.99/32 dev lo")
            defer { _ = try? lab.shell("blue-far", "ip addr del 10.0.1.99/32 dev lo") }
            let before = try count("spoofed", on: "h2")
            #expect(try lab.drops(from: lab.station("blue-far", source: "10.0.1.99"), to: "10.0.2.21"))
            #expect(try count("spoofed", on: "h2") > before)
        }

        @Test func spoofedMACAddressesAreDroppedAndCounted() throws {
            let mac = try lab.shell("blue-far", "cat /sys/class/net/eth0/address").prefix(17)
            try lab.shell("blue-far", "ip link set eth0 address 02:00:00:00:00:66")
            defer { _ = try? lab.shell("blue-far", "ip link set eth0 address \(mac)") }
            let before = try count("spoofed", on: "h2") + count("spoofed", on: "h2", family: "arp")
            #expect(try lab.drops(from: lab.station("blue-far"), to: "10.0.2.21"))
            #expect(try count("spoofed", on: "h2") + count("spoofed", on: "h2", family: "arp") > before)
        }

        /// A forged ARP announcement of a neighbour's address gets no answer and teaches nobody.
        @Test func forgedARPIsDropped() throws {
            let before = try count("spoofed", on: "h2", family: "arp")
            try lab.shell("blue-far", "ip addr add 10.0.1.98/24 dev eth0")
            defer { _ = try? lab.shell("blue-far", "ip addr del 10.0.1.98/24 dev eth0") }
            _ = try? lab.shell("blue-far", "ip neigh flush dev eth0; ping -c 1 -W 1 -I 10.0.1.98 10.0.1.77; true")
            #expect(try count("spoofed", on: "h2", family: "arp") > before)
        }

        @Test func rulesCountWhatTheyDecide() throws {
            let before = try count("sg_server_in_1", on: "h1")
            let first = try count("sg_server_in_0", on: "h1")
            #expect(try lab.station("blue-far").ask("10.0.2.21", sourcePort: 40123)?.name == "blue-server")
            #expect(try count("sg_server_in_1", on: "h1") == before + 1)
            #expect(try count("sg_server_in_0", on: "h1") == first)
        }

        /// `vpcctl get --host` shows a line for each thing that nft(8) lists, with how much there is in it.
        @Test func everyFirewallObjectIsListed() throws {
            let objects = try HostReconciler(kernel: lab.kernel("h1")).ownedObjects().filter { $0.kind == .firewall }
            let listing =
                try lab.shell(
                    "vpc-h1", "nft list table inet vpcctl; nft list table arp vpcctl; nft list table inet vpcctl_flow")
                + lab.shell("h1", "nft list table ip vpcctl_underlay")
            let words = ["table", "chain", "set", "map", "counter", "flowtable"]
            let named = listing.split(separator: "\n").filter { line in
                line.hasSuffix(" {") && words.contains { line.drop { $0 == "\t" }.hasPrefix("\($0) ") }
            }
            #expect(objects.count == named.count)
            func object(_ text: String) -> String? {
                objects.first { $0.object.hasPrefix(text) }.map { "\($0.resource ?? "-") \($0.detail ?? "-")" }
            }
            #expect(object("map inet vpcctl sg_server_in_map") == "SecurityGroup/server 2 elements")
            #expect(object("chain inet vpcctl subnet_blue-back_in") == "Subnet/blue-back 2 rules")
            #expect(object("chain inet vpcctl acl_back_in") == "NetworkACL/back 3 rules")
            #expect(object("set inet vpcctl ports") == "Host/h1 4 elements")
            #expect(object("table arp vpcctl") == "Host/h1 -")
            #expect(object("chain inet vpcctl forward { type filter hook forward")?.hasPrefix("Host/h1 ") ?? false)
            #expect(object("counter inet vpcctl sg_server_in_0")?.hasSuffix(" bytes") ?? false)
        }

        /// Somebody deletes an element and a rule of ours: the next apply puts back just those.
        @Test func driftOfTheFirewallIsRepaired() throws {
            try lab.shell("vpc-h1", "nft delete element inet vpcctl ports { \"\(port("blue-near"))\" }")
            try lab.shell("vpc-h1", "nft add rule inet vpcctl forward counter accept")
            let report = try #require(try lab.lab.apply(hosts: ["h1"]).first).result.get()
            // And the port is one that has just come.
            #expect(report.plan.changes.operations.count == 3, "\(report.plan.changes.operations)")
            #expect(report.outcome.remaining.isEmpty)
            #expect(try lab.station("blue-far").ask("10.0.1.11")?.name == "blue-near")
        }

        private func port(_ interface: String) -> String {
            (try? lab.shell("vpc-h1", "ip -o link"))?.split(separator: "\n").compactMap { line in
                line.contains("NetworkInterface/\(interface) ")
                    ? line.split(separator: " ")[1].split(separator: "@").first.map(String.init) : nil
            }.first ?? "e-\(interface)"
        }
    }
}
