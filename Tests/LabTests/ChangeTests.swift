import IPAddressing
import TestSupport
import Testing
import Traffic

@testable import VPCLab

extension LabTests {
    /// A network that changes while it is used.
    @Suite(.needsOverlay, .lab(.tenants), .timeLimit(minutes: 10)) struct ChangeTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.tenants)
        }

        @Test func applyingAgainWritesNothing() throws {
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.counts.total == 0, "\(report.host): \(applied.plan.changes.operations)")
                #expect(applied.outcome.report.writes == 0)
            }
        }

        /// The new host first, then the old one, which passes on what still comes to it, then the others. The streams come
        /// from the old host, from the new one, and from one that learns of the move last. The only request that may stay
        /// without an answer is one that the old guest had when it was unplugged.
        @Test func anInterfaceMovesBetweenHosts() throws {
            let senders = [("web3", "10.0.1.13"), ("app1", "10.0.2.15"), ("web2", "10.0.1.12")]
            let oldGuest = try Capture(in: .named(lab.namespace("web1")))
            let streams = try senders.map {
                try Stream(from: lab.station($0.0), to: "10.0.1.11", every: .milliseconds(20))
            }
            for stream in streams { #expect(stream.waitForAnswers(10)) }

            try lab.adopt(Scenario.tenants.moving("web1", to: "h3", netns: "web1-moved"))
            try lab.requireClean(lab.lab.apply(hosts: ["h3"]))
            for stream in streams { #expect(stream.waitForAnswers(5)) }
            try lab.requireClean(lab.lab.apply(hosts: ["h1"]))
            for stream in streams { #expect(stream.waitForAnswers(5)) }
            #expect(try lab.station("web2").ask("10.0.1.11")?.name == "web1-moved", "relayed by the old host")
            try lab.requireClean(lab.lab.apply(hosts: ["h2"]))
            for stream in streams { #expect(stream.waitForAnswers(5)) }

            let delivered = requests(in: oldGuest)
            for (stream, (name, address)) in zip(streams, senders) {
                let report = stream.finish()
                #expect(report.lost.allSatisfy { delivered.contains("\(address) \($0)") }, "\(name): \(report)")
                #expect(report.lost.count <= 1, "\(name): \(report)")
                #expect(Set(report.answeredBy.keys) == ["web1", "web1-moved"], "\(name): \(report)")
            }
            // What was told by the gateway's MAC address before still holds: nobody had to learn anything.
            #expect(try lab.station("web1-moved").ask("10.0.1.13")?.name == "web3")
        }

        /// The senders and texts of the datagrams that came in.
        private func requests(in capture: Capture) -> Set<String> {
            var buffer = [UInt8](repeating: 0, count: 2048)
            var texts: Set<String> = []
            while let sight = capture.next(&buffer) {
                guard case .packet(let packet, .entering, _) = sight, packet.flow?.port == Station.udpPort else {
                    continue
                }
                let text = String(decoding: packet.payload.dropFirst(8), as: UTF8.self)
                texts.insert("\(packet.source) \(text)")
            }
            return texts
        }

        @Test func interfacesComeAndGoWithoutDisturbingOthers() throws {
            let stream = try Stream(from: lab.station("web1"), to: "10.0.1.12", every: .milliseconds(20))
            #expect(stream.waitForAnswers(10))
            try lab.become(Scenario.tenants.without(interface: "web3"))
            #expect(try lab.station("web1").ask("10.0.1.13", timeout: .milliseconds(200)) == nil)
            try lab.become(.tenants)
            #expect(try lab.station("web2").ask("10.0.1.13")?.name == "web3")
            let report = stream.finish()
            #expect(report.lost.isEmpty, "\(report)")
        }

        /// Other routes, the same ways: what the kernel itself says of many addresses in every table, and no packet lost.
        @Test func routesAreAggregatedWithoutDisturbance() throws {
            let before = try ways()
            let streams = try ["10.0.1.12", "10.0.1.13", "10.0.2.15"].map {
                try Stream(from: lab.station("web1"), to: try #require(IPAddress($0)), every: .milliseconds(10))
            }
            for stream in streams { #expect(stream.waitForAnswers(10)) }
            let reports = try lab.become(Scenario.tenants.aggregatingRoutes)
            #expect(try reports.contains { try $0.result.get().plan.changes.counts.deleted > 0 })
            #expect(try ways() == before)
            try lab.become(.tenants)
            #expect(
                before.contains { $0.contains("via 172.31.0.2 dev vpc-g") }
                    && before.contains { $0.contains("No route to host") }
            )
            for stream in streams {
                let report = stream.finish()
                #expect(report.lost.isEmpty, "\(report)")
            }
        }

        /// Where each VRF of each host leads the addresses of the subnets, used and unused.
        private func ways() throws -> [String] {
            try ["h1", "h2", "h3"].flatMap { host in
                let devices = try lab.shell("vpc-\(host)", "ip -br link show type vrf | cut -d' ' -f1")
                return try devices.split(separator: "\n").map { device in
                    let command = """
                        for s in 1 2; do for a in $(seq 0 20); do echo "route get 10.0.$s.$a vrf \(device)"; done; done |
                            ip -force -batch - 2>&1 | sed 's/ uid 0//'
                        """
                    return "\(host) \(device): \(try lab.shell("vpc-\(host)", command))"
                }
            }
        }

        /// What others changed or took away is put back, and nothing else is touched.
        @Test func driftIsRepaired() throws {
            try lab.shell(
                "vpc-h3",
                """
                table=$(ip -o route show table all | sed -n 's/^10.0.1.12 .* table \\([0-9]*\\).*/\\1/p' | head -n 1)
                ip route del 10.0.1.12/32 table $table
                """)
            let reports = try lab.lab.apply(hosts: ["h3"])
            try lab.requireClean(reports)
            let applied = try #require(reports.first).result.get()
            #expect(applied.outcome.report.applied.total == 1, "\(applied.plan.changes.operations)")
        }
    }
}
