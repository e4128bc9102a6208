import IPAddressing
import Netlink
import TestSupport
import Testing
import VPCModel
import VPCTopology

@testable import VPCLab

extension LabTests {
    /// Whether probes tell the truth, in a lab that is broken on purpose. The guests are joined by a plain cable: this
    /// needs no special kernel.
    @Suite(.needsRoot, .timeLimit(minutes: 10)) struct ProbeTests {
        private let prefix = TestLab.uniquePrefix()
        private let store: LabStore

        init() { store = LabStore(path: "/tmp/vpclab-\(prefix)state") }

        /// Two guests, 10.0.1.11 and 10.0.1.12, on one wire.
        private func run(
            _ probes: [(Probe.Transport, Probe.Expectation)], to: IPAddress? = nil,
            breaking: (_ from: String, _ to: String) -> String? = { _, _ in nil }
        ) throws -> [ProbeResult] {
            var scenario = Scenario.pair
            for (index, (transport, expectation)) in probes.enumerated() {
                if let to {
                    scenario.probe("p\(index)", "web1", toAddress: to, transport, expectation)
                } else {
                    scenario.probe("p\(index)", "web1", to: "web2", transport, expectation)
                }
            }
            let topology = try #require(Topology.resolve(scenario.model).topology)
            let lab = Lab(
                try LabPlan(topology, name: prefix + "lab", options: .init(prefix: prefix)), store: store)
            _ = try lab.up(applying: false)
            defer { _ = try? store.remove(lab.plan.name) }
            let (from, target) = (prefix + "web1", prefix + "web2")
            let wires = """
                ip -n \(from) link add eth0 type veth peer name eth0 netns \(target)
                ip -n \(from) addr add 10.0.1.11/24 dev eth0; ip -n \(from) link set eth0 up
                ip -n \(target) addr add 10.0.1.12/24 dev eth0; ip -n \(target) link set eth0 up
                ip -n \(from) route add default via 10.0.1.12
                """
            #expect(Command.run(wires).status == 0)
            if let line = breaking(from, target) {
                let command = Command.run(line)
                #expect(command.status == 0, "\(command.output)")
            }
            var timing = ProbeTiming()
            timing.patience = .milliseconds(1500)
            timing.minimumSilence = .milliseconds(700)
            return try lab.runProbes(timing: timing).results
        }

        private static let all: [Probe.Transport] = [.icmp, .tcp(port: 80), .udp(port: 53)]

        @Test func whatWorksIsSeen() throws {
            let results = try run(Self.all.map { ($0, .allow) })
            #expect(results.allSatisfy { $0.isPassed }, "\(results)")
            #expect(results.allSatisfy { $0.seen == .allow && $0.time < .seconds(1) })
        }

        @Test func anAnswerFailsADeny() throws {
            let results = try run(Self.all.map { ($0, .deny) })
            #expect(results.map(\.seen) == [.allow, .allow, .allow])
            #expect(results.allSatisfy { $0.reason == "answered by web2" })
        }

        /// Dropped at the target: the sender did its part, and the target answers in its own namespace.
        @Test func silenceIsADeny() throws {
            let results = try run(Self.all.flatMap { [($0, .deny), ($0, .allow)] }) { _, target in
                "ip netns exec \(target) nft 'add table ip t; add chain ip t c { type filter hook prerouting priority 0; }; add rule ip t c iifname eth0 drop'"
            }
            #expect(results.allSatisfy { $0.seen == .deny }, "\(results)")
            #expect(
                results.allSatisfy { $0.reason == "the request arrived at web2, no answer came back" }, "\(results)")
            #expect(results.filter(\.isPassed).count == 3)
        }

        @Test func refusalIsADeny() throws {
            let reject = "reject with icmp type admin-prohibited"
            let results = try run(Self.all.map { ($0, .deny) }) { _, target in
                "ip netns exec \(target) nft 'add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c iifname eth0 \(reject)'"
            }
            #expect(results.allSatisfy { $0.isPassed }, "\(results)")
            #expect(results.allSatisfy { $0.reason == "administratively prohibited, says 10.0.1.12" }, "\(results)")
        }

        /// A sender without a cable denies nothing.
        @Test func aSenderThatCannotSendProvesNothing() throws {
            for line in ["ip -n FROM link set eth0 down", "ip -n FROM addr del 10.0.1.11/24 dev eth0"] {
                let results = try run(Self.all.map { ($0, .deny) }) { from, _ in line.replacing("FROM", with: from) }
                #expect(results.allSatisfy { $0.seen == .unclear && !$0.isPassed }, "\(results)")
            }
            // Its packets end in its own firewall.
            let results = try run(Self.all.map { ($0, .deny) }) { from, _ in
                "ip netns exec \(from) nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c oifname eth0 drop'"
            }
            #expect(results.allSatisfy { $0.seen == .unclear }, "\(results)")
            #expect(results.first?.reason.contains("web1") == true || results.first?.reason.contains("EPERM") == true)
        }

        /// A target that would not answer anybody denies nothing.
        @Test func aTargetThatCannotAnswerProvesNothing() throws {
            let results = try run(Self.all.map { ($0, .deny) }) { _, target in
                "ip netns exec \(target) nft 'add table ip t; add chain ip t c { type filter hook input priority 0; policy drop; }'"
            }
            #expect(results.allSatisfy { $0.seen == .unclear }, "\(results)")
            #expect(results.allSatisfy { $0.reason == "web2 does not answer even in its own namespace" }, "\(results)")
        }

        @Test func aServerInTheWayIsNamed() throws {
            let responders = try Responders()
            defer { responders.stop() }
            var occupied: (any Error)?
            let results = try run([(.tcp(port: 80), .allow)]) { _, target in
                do {
                    try responders.serve(as: "other", in: .named(target), udp: [], tcp: [80])
                } catch {
                    occupied = error
                }
                return nil
            }
            #expect(occupied == nil)
            #expect(results.map(\.seen) == [.unclear])
            #expect(results.first?.reason.contains("EADDRINUSE") == true)
        }

        @Test func nobodyIsNobody() throws {
            let results = try run([(.icmp, .deny), (.udp(port: 9), .deny)], to: "10.0.1.99")
            #expect(results.allSatisfy { $0.isPassed }, "\(results)")
            #expect(results.allSatisfy { $0.reason == "no answer to ARP, nobody has that address" }, "\(results)")
        }
    }

    /// The parts of which probes and tests are made, between two namespaces on one wire.
    @Suite(.needsRoot, .timeLimit(minutes: 10)) struct StationTests {
        private func withWire(_ body: (_ left: Station, _ right: Station, _ names: (String, String)) throws -> Void)
            throws
        {
            let (left, right) = (TestLab.uniquePrefix() + "left", TestLab.uniquePrefix() + "right")
            for name in [left, right] { try NetworkNamespace.create(named: name) }
            defer { for name in [left, right] { try? NetworkNamespace.remove(named: name) } }
            let wires = """
                ip -n \(left) link add eth0 type veth peer name eth0 netns \(right)
                ip -n \(left) addr add 10.0.1.11/24 dev eth0; ip -n \(left) link set eth0 up
                ip -n \(right) addr add 10.0.1.12/24 dev eth0; ip -n \(right) link set eth0 up
                ip -n \(left) link set lo up; ip -n \(right) link set lo up
                """
            try #require(Command.run(wires).status == 0)
            try body(Station(.named(left)), Station(.named(right)), (left, right))
        }

        @Test func respondersSayWhoTheyAre() throws {
            try withWire { left, right, _ in
                let responders = try Responders()
                defer { responders.stop() }
                try responders.serve(as: "right", in: right.namespace, udp: [7000], tcp: [7001])
                let answer = try #require(try left.ask("10.0.1.12", sourcePort: 3333))
                #expect(answer.name == "right")
                #expect(answer.seenAddress == "10.0.1.11")
                #expect(answer.seenPort == 3333)
                let many = try left.askMany("10.0.1.12", sourcePorts: 4000...4099)
                #expect(many.count == 100)
                #expect(many.allSatisfy { $0.key == $0.value.seenPort })
                guard case .answered(let bulk) = try left.connect("10.0.1.12", sending: 3_000_000) else {
                    Issue.record("no transfer")
                    return
                }
                #expect(bulk.text == "3000000")
                #expect(
                    try left.connect("10.0.1.12", port: 7002) == .failed("connect: Connection refused (ECONNREFUSED)"))
                #expect(try left.ask("10.0.1.12", port: 7002, timeout: .milliseconds(50)) == nil)
            }
        }

        @Test func streamsCountWhatIsLost() throws {
            try withWire { left, right, names in
                let responders = try Responders()
                defer { responders.stop() }
                try responders.serve(as: "right", in: right.namespace, udp: [7000], tcp: [7001])
                let whole = try Stream(from: left, to: "10.0.1.12", every: .milliseconds(5))
                #expect(whole.waitForAnswers(20))
                let good = whole.finish()
                #expect(good.lost.isEmpty)
                #expect(good.answeredBy == ["right": good.sent])

                let broken = try Stream(from: left, to: "10.0.1.12", every: .milliseconds(5))
                #expect(broken.waitForAnswers(10))
                #expect(Command.run("ip -n \(names.1) link set eth0 down").status == 0)
                #expect(!broken.waitForAnswers(1, timeout: .milliseconds(100)))
                let bad = broken.finish(patience: .milliseconds(100))
                #expect(!bad.lost.isEmpty)
            }
        }

        @Test func pingsAndNeighbors() throws {
            try withWire { left, _, names in
                #expect(try left.ping("10.0.1.12").isReply)
                #expect(try left.ping("10.0.1.12", PingOptions(size: 1472, fragmentation: .forbidden)).isReply)
                let tooBig = try left.ping("10.0.1.12", PingOptions(size: 1473, fragmentation: .forbidden))
                #expect(tooBig == .notSent(90), "EMSGSIZE")
                #expect(try left.ping("10.0.1.12", PingOptions(size: 8000)).isReply)
                let station = Station(left.namespace, source: "10.0.1.11")
                let text = Command.run("cat /sys/class/net/eth0/address", in: names.1).output.prefix(17)
                #expect(try station.resolve("10.0.1.12", on: "eth0") == MACAddress(text))
                #expect(try station.resolve("10.0.1.13", on: "eth0", timeout: .milliseconds(50), attempts: 1) == nil)
            }
        }
    }
}
