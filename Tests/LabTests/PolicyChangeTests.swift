import CTraffic
import Glibc
import IPAddressing
import KernelDriver
import KernelModel
import Netlink
import Reconciler
import Synchronization
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel

@testable import VPCLab

extension LabTests {
    /// What packets see while a policy changes.
    @Suite(.needsOverlay, .lab(.guarded), .timeLimit(minutes: 10)) struct PolicyChangeTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.guarded)
        }

        private let quick = Duration.milliseconds(300)

        private var kernel: KernelDriver { lab.kernel("h1") }

        private func count(_ counter: String) throws -> UInt64 {
            let counters = try kernel.counters(of: FirewallTables.filter)
            return try #require(counters.first { $0.name == counter }).counts.packets
        }

        /// Connections begin all the time, each is judged by the ACL and by the group, and every policy allows them.
        @Test func newConnectionsPassWhilePoliciesChange() throws {
            let lines = (0..<40).map { ACLRule.denyUDP(priority: 100 + $0, port: UInt16(20 * $0)) }
            try lab.become(Scenario.guarded.with(aclIngress: lines + [.allowAll]))
            let before = try (count("denied_by_acl"), count("denied_by_group"))
            let connections = try Connections(from: lab.station("blue-far"), to: "10.0.2.21")
            for round in 0..<8 {
                // The lines and the rules are cut into other boxes, and the address is allowed by a group or by itself.
                var scenario = Scenario.guarded.with(aclIngress: Array(lines.dropFirst(round)) + [.allowAll])
                if round % 2 == 0 {
                    scenario = scenario.with(
                        ingress: [.udp(fromGroup: "client"), .udp(from: "10.0.1.11/32")], ofGroup: "server")
                }
                try lab.become(scenario.withClients)
                #expect(connections.waitForMore())
            }
            let begun = connections.stop()
            let after = try (count("denied_by_acl"), count("denied_by_group"))
            #expect(after == before)
            #expect(begun > 100)
            try lab.become(.guarded)
        }

        /// The firewall is gone under living guests. It comes back in many small transactions, and between two of them
        /// nobody reaches, or sends as, whom the policy forbids.
        @Test func aLargeFirstLoadAdmitsNobodyEarly() throws {
            let reconciler = HostReconciler(kernel: kernel)
            let topology = lab.lab.plan.topology
            let intent = try reconciler.plan(topology, host: 0).intent
            try lab.shell("vpc-h1", "nft delete table inet vpcctl")
            let snapshot = try kernel.observe(HostReconciler.observation(of: topology, host: 0))
            let plan = intent.changes(from: snapshot, owner: Conventions.ownership, elementLimit: 3)
            #expect(plan.steps.count > 8)
            #expect(plan.steps.allSatisfy { $0.work.kind == .firewall })
            try lab.shell("green-near", "ip addr add 10.0.1.99/32 dev lo")
            defer { _ = try? lab.shell("green-near", "ip addr del 10.0.1.99/32 dev lo") }
            let forger = try lab.station("green-near", source: "10.0.1.99")
            for step in plan.steps {
                var part = ChangePlan()
                part.steps = [step]
                let report = kernel.commit(part, owner: Conventions.ownership)
                try #require(report.failures.isEmpty, "\(report.failures)")
                for sender in ["green-near", "green-far"] {
                    #expect(try lab.station(sender).ask("10.0.2.21", timeout: quick, attempts: 1) == nil)
                }
                #expect(try forger.ask("10.0.1.12", timeout: quick, attempts: 1) == nil)
            }
            let rest = try reconciler.plan(topology, host: 0)
            #expect(rest.changes.isEmpty, "\(rest.changes.operations)")
            #expect(try lab.station("blue-near").ask("10.0.2.21")?.name == "blue-server")
            #expect(try lab.station("blue-far").ask("10.0.2.21")?.name == "blue-server")
        }

        /// A server that answers and answers, to a client that takes everything: its next datagram would begin the
        /// connection anew, from its own end.
        @Test func whoAnswersDoesNotReopenWhatWasCut() throws {
            let client: IPAddress = "10.0.1.12"
            let server: IPAddress = "10.0.2.21"
            let source = try #require(UInt16(exactly: 40000))
            #expect(try lab.station("blue-far").ask(server, sourcePort: source)?.name == "blue-server")
            let watch = try Capture(
                in: .named(lab.namespace("blue-far")), filter: CaptureFilter(between: client, and: server))
            let answers = try Datagrams(
                in: .named(lab.namespace("blue-server")),
                OutgoingPacket(
                    from: server, to: client, .udp(sourcePort: Station.udpPort, destinationPort: source, payload: [1])))
            defer { answers.stop() }
            #expect(watch.waits())
            let reports = try lab.become(
                Scenario.guarded.with(ingress: [.udp(from: "10.0.1.11/32")], ofGroup: "server"))
            let plans = try reports.map { try $0.result.get().plan.changes }
            #expect(plans.flatMap(\.operations).contains { $0.object.contains("connection 10.0.1.12:40000") })
            // What was under way arrives, nothing after it.
            answers.waitForMore()
            while watch.has() {}
            let denied = try count("denied_by_group")
            try lab.awaitDrops(25)
            #expect(!watch.has())
            #expect(try count("denied_by_group") > denied)
            let entry = try lab.shell("vpc-h1", "conntrack -L -p udp --orig-port-src 40000 2>/dev/null")
            #expect(entry.contains("mark=2097151"), "\(entry)")
            try lab.become(.guarded)
        }

        /// A version before had more bits for the epoch. What it has let pass is judged anew, even where the bits that are the
        /// epoch now are those of the policy that follows.
        @Test func marksOfAFormerVersionAreJudgedAnew() throws {
            // None that the kernel gives by itself: a connection of another test may have it, cut a moment ago.
            let port = UInt16(20001)
            let denying = Scenario.guarded.with(
                aclIngress: [.denyUDP(priority: 100, port: Station.udpPort), .allowAll])
            func renewal() throws -> (epoch: UInt32, handle: String) {
                let chain = try lab.shell("vpc-h1", "nft -a list chain inet vpcctl left")
                let found = try #require(
                    chain.firstMatch(of: /0x001fffff != 0x([0-9a-f]+).*# handle ([0-9]+)/), "\(chain)")
                return (try #require(UInt32(found.1, radix: 16)), String(found.2))
            }
            try lab.become(denying)
            let former = try renewal().epoch | 1 << 24
            try lab.become(.guarded)
            #expect(try lab.station("blue-far").ask("10.0.2.21", sourcePort: port)?.name == "blue-server")
            let handle = try renewal().handle
            try lab.shell(
                "vpc-h1",
                "nft 'replace rule inet vpcctl left handle \(handle) ct mark & 0x01ffffff != \(former)"
                    + " ct mark set ct mark & 0x0e000000 | \(former)'")
            let connections = try kernel.connections().filter { $0.sourcePort == port }
            #expect(connections.count == 1)
            var plan = ChangePlan()
            plan.steps = [
                ChangePlan.Step(.connections(connections, .marked(0xFC00_0000 | former, seconds: 60)))
            ]
            #expect(kernel.commit(plan, owner: Conventions.ownership).failures.isEmpty)
            try lab.become(denying)
            #expect(
                try lab.station("blue-far").ask("10.0.2.21", sourcePort: port, timeout: quick, attempts: 1) == nil)
            try lab.become(.guarded)
            #expect(try lab.station("blue-far").ask("10.0.2.21", sourcePort: port)?.name == "blue-server")
        }

        /// What the old policy lets begin between the plan and its execution ends like all the rest.
        @Test func connectionsThatBeginMeanwhileAreCut() throws {
            try lab.adopt(Scenario.guarded.with(ingress: [.udp(from: "10.0.1.12/32")], ofGroup: "server"))
            let reconciler = HostReconciler(kernel: kernel)
            let plan = try reconciler.plan(lab.lab.plan.topology, host: 0)
            #expect(plan.changes.counts.total > 0)
            let stream = try Stream(from: lab.station("blue-near"), to: "10.0.2.21", every: .milliseconds(20))
            #expect(stream.waitForAnswers(10))
            let outcome = try reconciler.apply(plan)
            #expect(outcome.report.failures.isEmpty)
            #expect(outcome.report.applied.deleted > plan.changes.counts.deleted)
            #expect(try lab.endsAnswers(of: stream))
            _ = stream.finish(patience: .zero)
            try lab.become(.guarded)
        }
    }
}

extension Scenario {
    /// The same with a group of which `blue-far` is a member.
    fileprivate var withClients: Scenario {
        var scenario = self
        scenario.group("client", "blue", ingress: [.all])
        return scenario.with(groups: ["client"], of: "blue-far")
    }
}

extension ACLRule {
    fileprivate static func denyUDP(priority: Int, port: UInt16) -> ACLRule {
        ACLRule(
            priority: priority, action: .deny, traffic: TrafficMatch(ipProtocol: .udp, ports: [port...port]),
            cidr: .defaultIPv4)
    }
}

/// Sends the same datagram again and again.
private final class Datagrams: Sendable {
    private let sent = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let thread: Mutex<BackgroundThread?>

    init(in namespace: NetworkNamespace, _ packet: OutgoingPacket) throws {
        thread = Mutex(nil)
        let sender = try PacketSender(in: namespace, as: packet.source)
        let started = try BackgroundThread { [self] in
            while !isStopped.load(ordering: .relaxed) {
                if sender.send(packet) == 0 { sent.add(1, ordering: .relaxed) }
                usleep(5000)
            }
        }
        thread.withLock { $0 = started }
    }

    func waitForMore() {
        let goal = sent.load(ordering: .relaxed) + 10
        for _ in 0..<10_000 where sent.load(ordering: .relaxed) < goal { usleep(1000) }
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { $0 }?.join()
    }
}

/// Begins one UDP connection after the other, a packet each.
private final class Connections: Sendable {
    private let begun = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let thread: Mutex<BackgroundThread?>

    init(from station: Station, to destination: IPAddress) throws {
        thread = Mutex(nil)
        let started = try BackgroundThread { [self] in
            let target = SocketAddress(destination, Station.udpPort)
            try? station.namespace.run {
                while !isStopped.load(ordering: .relaxed) {
                    guard let socket = try? Socket(AF_INET, SOCK_DGRAM), socket.send([0x71], to: target) == 0 else {
                        continue
                    }
                    begun.add(1, ordering: .relaxed)
                    // A host has room for so many connections.
                    usleep(2000)
                }
            }
        }
        thread.withLock { $0 = started }
    }

    /// Whether more of them begin.
    func waitForMore() -> Bool {
        let goal = begun.load(ordering: .relaxed) + 20
        for _ in 0..<10_000 where begun.load(ordering: .relaxed) < goal { usleep(1000) }
        return begun.load(ordering: .relaxed) >= goal
    }

    /// - Returns: How many have begun.
    func stop() -> Int {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { $0 }?.join()
        return begun.load(ordering: .relaxed)
    }
}
