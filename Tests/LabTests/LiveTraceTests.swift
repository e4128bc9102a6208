import Foundation
import IPAddressing
import TestSupport
import Testing
import VPCModel

@testable import VPCLab

extension Scenario {
    /// Guests on two hosts: a front without policies, a back with an ACL that lets no answers to one of them pass, guests
    /// with a group that takes UDP to one port, and one that may send nothing.
    fileprivate static let judged: Scenario = {
        var scenario = Scenario()
        for number in 1...2 { scenario.host("h\(number)", IPAddress(v4: 0xAC1F_0000 + UInt32(number))) }
        scenario.vpc("blue", 101, "10.0.0.0/16")
        scenario.table("holes", "blue", blackhole("203.0.113.0/24"), via("0.0.0.0/0", ("box", 1)))
        scenario.subnet("front", "blue", "10.0.1.0/24", table: "holes")
        scenario.subnet("back", "blue", "10.0.2.0/24")
        scenario.subnet("edge", "blue", "10.0.9.0/24")
        scenario.interface("near", "front", on: "h1", "10.0.1.11")
        scenario.interface("mute", "front", on: "h1", "10.0.1.12")
        scenario.interface("far", "front", on: "h2", "10.0.1.13")
        scenario.interface("server", "back", on: "h1", "10.0.2.21")
        scenario.interface("store", "back", on: "h2", "10.0.2.22")
        scenario.interface("box", "edge", on: "h2", "10.0.9.10", forwards: true)
        scenario.interface("vm", "front", on: "h1", "10.0.1.14", tap: "tap7")
        let datagrams = TrafficMatch(ipProtocol: .udp, ports: [7000...7000])
        scenario.group(
            "takes-udp", "blue", ingress: [SecurityRule(traffic: datagrams, peers: [.cidr(.defaultIPv4)])])
        scenario.group("says-nothing", "blue", ingress: [], egress: [])
        let all = ACLRule(priority: 200, action: .allow, traffic: TrafficMatch(), cidr: .defaultIPv4)
        let noEchoes = ACLRule(
            priority: 100, action: .deny, traffic: TrafficMatch(ipProtocol: .icmp, icmpType: 0),
            cidr: prefix("10.0.1.11/32"))
        scenario.model.acls = [
            NetworkACL(metadata: Metadata(name: "back"), vpc: "blue", ingress: [all], egress: [noEchoes, all])
        ]
        for index in scenario.model.subnets.indices where scenario.model.subnets[index].metadata.name == "back" {
            scenario.model.subnets[index].acl = "back"
        }
        return scenario.with(groups: ["takes-udp"], of: "store").with(groups: ["says-nothing"], of: "mute")
    }()
}

extension LabTests {
    /// `vpcctl trace --live`, run on the hosts.
    @Suite(.needsOverlay, .lab(.judged), .timeLimit(minutes: 10)) struct LiveTraceTests {
        let lab: TestLab
        let manifest: String

        init() throws {
            lab = try TestLab.current
            manifest = "/tmp/\(lab.prefix)live.json"
            try Scenario.judged.text(prefix: lab.prefix).write(toFile: manifest, atomically: true, encoding: .utf8)
        }

        private struct Result {
            var status: Int32
            var output: String
            var verdict: String
            var answer: String
            var leftBy: [String]
            var counted: Set<String>
            var findings: [String]
        }

        /// Follows and sends `question`, such as `near far --protocol icmp`, on a host.
        private func live(_ host: String, _ question: String) throws -> Result {
            let vpcctl = Run.program("vpcctl")
            let run = Command.run(
                "\(vpcctl) trace \(question) --live --host \(host) -o json -f \(manifest)", in: lab.namespace(host))
            let value = try? JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
            let live = value?["live"] as? [String: Any]
            return Result(
                status: run.status, output: run.output, verdict: live?["verdict"] as? String ?? "",
                answer: live?["answer"] as? String ?? "-", leftBy: live?["leftBy"] as? [String] ?? [],
                counted: Set((live?["counted"] as? [String: Any])?.keys.map { $0 } ?? []),
                findings: live?["findings"] as? [String] ?? [])
        }

        private func expect(
            _ host: String, _ question: String, _ status: Int32, _ verdict: String, answer: String = "-",
            leaving: [String] = [], counting: Set<String> = [], saying words: String = "",
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let result = try live(host, question)
            #expect(
                result.status == status && result.verdict == verdict && result.leftBy == leaving
                    && result.answer == answer, "\(question): \(result.output)", sourceLocation: sourceLocation)
            #expect(result.counted.isSuperset(of: counting), "\(result.counted)", sourceLocation: sourceLocation)
            #expect(
                words.isEmpty || result.findings.contains { $0.contains(words) }, "\(result.findings)",
                sourceLocation: sourceLocation)
        }

        @Test func whatIsAllowed() throws {
            try expect(
                "h1", "near server --port 7001", 0, "agrees", answer: "reply", leaving: ["e-server"],
                counting: ["acl_back_in_200", "acl_back_out_200"])
            try expect("h1", "near far", 0, "agrees", answer: "reply", leaving: ["vpc-g101"])
            try expect("h1", "near far --port 9 --protocol tcp", 0, "agrees", answer: "refused", leaving: ["vpc-g101"])
            try expect(
                "h1", "near store --protocol udp --port 7000", 0, "agrees", answer: "reply", leaving: ["vpc-g101"])
            try expect(
                "h1", "near far --protocol udp --port 9", 0, "agrees", answer: "portUnreachable", leaving: ["vpc-g101"])
            try expect("h1", "near 10.0.1.1", 0, "agrees", answer: "reply")
            try expect("h1", "near near", 0, "agrees", answer: "reply")
            // The other way, from the other host.
            try expect("h2", "far server", 0, "agrees", answer: "reply", leaving: ["vpc-g101"])
        }

        @Test func whatIsDenied() throws {
            // By groups of the sender, on its host; of the receiver, on that one's.
            try expect(
                "h1", "mute near --timeout 1", 1, "agrees", counting: ["denied_by_group"],
                saying: "came into h1 and did not leave it")
            try expect("h1", "near store --port 7000 --timeout 1", 1, "agrees", leaving: ["vpc-g101"])
            // The answer, by the ACL: on this host, and on that one.
            try expect(
                "h1", "near server --timeout 1", 1, "agrees", leaving: ["e-server"], counting: ["acl_back_out_100"],
                saying: "the answer came back to h1 and did not leave it")
            try expect("h1", "near 10.0.1.1 --port 22 --timeout 1", 1, "agrees", counting: ["to_host"])
        }

        @Test func whatLeadsNowhere() throws {
            try expect("h1", "near 203.0.113.1 --timeout 1", 1, "agrees")
            // Nobody answers ARP for it, or somebody says that it cannot be reached.
            try expect("h1", "near 10.0.1.99 --timeout 1", 1, "agrees", saying: "by ARP and got no answer")
            let told = try live("h1", "near 10.0.2.99 --timeout 1")
            #expect(
                told.status == 1 && told.verdict == "agrees" && told.answer.hasPrefix("host unreachable, says"),
                "\(told)")
        }

        @Test func aForgedSource() throws {
            try expect(
                "h1", "near far --source 10.0.1.77 --timeout 1", 1, "agrees", counting: ["spoofed"],
                saying: "came into h1 and did not leave it")
        }

        /// What it does with the packet is the gateway's decision: it has no way to the internet here.
        @Test func aGatewaysDecision() throws {
            let result = try live("h1", "near 8.8.8.8 --timeout 1")
            #expect(result.status == 75 && result.verdict == "cannotTell" && result.leftBy == ["vpc-g101"], "\(result)")
            #expect(result.findings.contains("no answer came: a gateway decides what becomes of it"), "\(result)")
        }

        // MARK: Kernels that do something else

        /// Somebody else's rule drops what the trace says is delivered; the trace says nothing of it, the kernel does.
        @Test func somebodyElsesRuleIsFound() throws {
            let places = ["vpc-h1", "vpc-h2"]
            let rule = { (place: String, rule: String) in
                _ = try lab.shell(
                    place, "nft 'table inet theirs { chain f { type filter hook forward priority -10; \(rule); }; }'")
            }
            try rule(places[0], "ip daddr 10.0.1.13 drop")
            defer { for place in places { _ = try? lab.shell(place, "nft delete table inet theirs || true") } }
            try expect(
                "h1", "near far --timeout 1", 3, "differs",
                saying: "came into h1 and did not leave it: it should leave by the tunnel")
            // Only the answer's.
            try lab.shell("vpc-h1", "nft delete table inet theirs")
            try rule(places[0], "ip saddr 10.0.1.13 drop")
            try expect(
                "h1", "near far --timeout 1", 3, "differs", leaving: ["vpc-g101"],
                saying: "the answer came back to h1 and did not reach near")
            // On the other host it cannot be told from a guest that is silent.
            try lab.shell("vpc-h1", "nft delete table inet theirs")
            try rule(places[1], "ip daddr 10.0.1.13 drop")
            try expect(
                "h1", "near far --timeout 1", 75, "cannotTell", leaving: ["vpc-g101"],
                saying: "no answer came: h2 dropped it, or far said nothing")
        }

        /// Our own table, changed by hand: an element that is gone, a rule that opens what is shut.
        @Test func aChangedTableIsFound() throws {
            defer { _ = try? lab.lab.apply(hosts: ["h1"]) }
            let elements = try lab.shell("vpc-h1", "nft list map inet vpcctl port_zone | grep -o '\"e-near\" [^,}]*'")
            let element = elements.split(separator: "\n")[0]
            try lab.shell("vpc-h1", "nft 'delete element inet vpcctl port_zone { \(element) }'")
            try expect("h1", "near far --timeout 1", 3, "differs", counting: ["spoofed"], saying: "did not leave it")
            try lab.requireClean(lab.lab.apply(hosts: ["h1"]))
            try expect("h1", "near far", 0, "agrees", answer: "reply", leaving: ["vpc-g101"])

            try lab.shell("vpc-h1", "nft insert rule inet vpcctl forward accept")
            try expect(
                "h1", "mute near --timeout 1", 3, "differs", answer: "reply", leaving: ["e-near"],
                saying: "it should end there")
            // Delivered as it should be, but by somebody else's decision.
            try expect(
                "h1", "near server --port 7001", 3, "differs", answer: "reply", leaving: ["e-server"],
                saying: "acl_back_in_200 has counted nothing")
        }

        // MARK: Where it cannot be done

        @Test func itIsSentFromTheSendersHost() throws {
            let elsewhere = try live("h2", "near far")
            #expect(elsewhere.status == 64)
            #expect(elsewhere.output.contains("near is on h1, this is h2"), "\(elsewhere.output)")
            let machine = try live("h1", "vm far")
            #expect(machine.status == 1)
            #expect(machine.output.contains("vm is attached by a device"), "\(machine.output)")
        }

        /// As people read it.
        @Test func whatIsPrinted() throws {
            let vpcctl = Run.program("vpcctl")
            let run = Command.run(
                "\(vpcctl) trace near far --live --host h1 -f \(manifest) --no-color", in: lab.namespace("h1"))
            #expect(run.status == 0)
            let live = run.output.split(separator: "\n").drop { !$0.hasPrefix("live: ") }
            #expect(
                live == [
                    "live: sent from near, seen on h1", "  left h1 by the tunnel", "  was answered",
                    "  => agrees with the trace",
                ], "\(run.output)")
        }
    }
}
