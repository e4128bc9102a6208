import CTraffic
import Glibc
import IPAddressing
import Netlink
import TestSupport
import Testing
import Traffic
import VPCCompiler
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A gateway and an elastic IP with bandwidths, and ports that lead in.
    static let limited: Scenario = {
        var scenario = Scenario.edge
        scenario.elasticIP("web", "203.0.113.50", "blue2")
        scenario.model.elasticIPs[0].bandwidth = Bandwidth(egress: .mbit(10), ingress: .mbit(20))
        scenario.elasticIP("fast", "203.0.113.60", "green1", .stateless)
        scenario.model.elasticIPs[1].bandwidth = Bandwidth(egress: .mbit(20), ingress: .mbit(10))
        scenario.model.natGateways[0].limits = .init(
            bandwidth: Bandwidth(egress: .mbit(20), ingress: .mbit(10)), newConnectionsPerSecond: 100,
            idleTimeouts: .init(tcp: .seconds(100), udp: .seconds(40), icmp: .seconds(7)))
        scenario.model.natGateways[0].portForwards = [
            .init(address: "203.0.113.10", transport: .udp, port: 9999, interface: "blue1", interfacePort: 9999)
        ]
        return scenario
    }()
}

extension Bitrate {
    fileprivate static func mbit(_ number: UInt64) -> Bitrate { Bitrate(bitsPerSecond: number * 1_000_000) }
}

extension LabTests {
    /// What passes NAT gateways and elastic IPs in a second, and what they remember.
    @Suite(.needsOverlay, .lab(.limited), .serialized, .timeLimit(minutes: 20)) struct GatewayLimitTests {
        let lab: TestLab
        init() throws {
            lab = try TestLab.current
            try lab.become(.limited)
        }

        private static let internet: IPAddress = "198.51.100.7"

        private func count(_ counter: String) throws -> Int {
            let text = try lab.shell("vpc-gw", "nft -j list counter inet vpcctl \(counter)")
            let digits = text.components(separatedBy: "\"packets\": ").last?.prefix { $0.isNumber }
            return try #require(digits.flatMap { Int($0) }, "\(text)")
        }

        /// Bits a second that get through of more than may: of IP packets, after the first second's worth.
        private func sustained(from: Station, to: Station, _ address: IPAddress, _ port: UInt16 = 9999) throws -> Double
        {
            let payload = [UInt8](repeating: 7, count: 1372)
            let receiver = try to.namespace.run {
                try Socket(datagramsTo: SocketAddress(to.source ?? .anyIPv4, 9999))
            }
            let sender = try from.namespace.run {
                let socket = try Socket(AF_INET, SOCK_DGRAM)
                if let source = from.source { try socket.bind(SocketAddress(source, 0)) }
                return socket
            }
            let begin = ContinuousClock.now
            let (settled, end) = (begin + .seconds(3), begin + .seconds(7))
            let flood = try BackgroundThread {
                var next = ContinuousClock.now
                while ContinuousClock.now < end {
                    // 44 Mbit a second.
                    for _ in 0..<4 { _ = sender.send(payload, to: SocketAddress(address, port)) }
                    next += .milliseconds(1)
                    let pause = ContinuousClock.now.duration(to: next)
                    if pause > .zero { usleep(UInt32(pause / .microseconds(1))) }
                }
            }
            defer { flood.join() }
            var polls = PollSet()
            var bytes = 0
            while ContinuousClock.now < end {
                polls.removeAll()
                polls.add(receiver.descriptor, POLLIN)
                polls.wait(until: end)
                while let datagram = receiver.receive() {
                    if ContinuousClock.now >= settled { bytes += datagram.bytes.count + 28 }
                }
            }
            return Double(bytes * 8) / 4
        }

        private func expect(_ rate: Double, _ mbit: Double, _ what: String) {
            #expect(abs(rate / 1e6 - mbit) <= mbit * 0.05, "\(what): \(rate / 1e6) Mbit/s instead of \(mbit)")
        }

        @Test func bandwidthIsSustained() throws {
            let outside = try lab.station("internet-inet", source: "198.51.100.7")
            let blue1 = try lab.station("blue1")
            expect(try sustained(from: blue1, to: outside, Self.internet), 20, "out by the gateway")
            expect(try sustained(from: outside, to: blue1, "203.0.113.10"), 10, "in by the gateway")
            #expect(try count("rate_blue-nat_out") > 0)
            #expect(try count("rate_blue-nat_in") > 0)
            let blue2 = try lab.station("blue2")
            expect(try sustained(from: blue2, to: outside, Self.internet), 10, "out by the elastic IP")
            #expect(try count("eip_rate_web_out") > 0)
            let green1 = try lab.station("green1")
            expect(try sustained(from: green1, to: outside, Self.internet), 20, "out by the stateless one")
            expect(try sustained(from: outside, to: green1, "203.0.113.60"), 10, "in by the stateless one")
            #expect(try count("eip_rate_fast_in") > 0)
        }

        /// A rate that changes is another object, and nothing else.
        @Test func bandwidthsChange() throws {
            var changed = Scenario.limited
            changed.model.natGateways[0].limits.bandwidth = Bandwidth(egress: .mbit(10))
            try lab.become(changed)
            let outside = try lab.station("internet-inet", source: "198.51.100.7")
            expect(try sustained(from: lab.station("blue1"), to: outside, Self.internet), 10, "out by the gateway")
            for report in try lab.lab.apply() {
                let applied = try report.result.get()
                #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
            }
            changed.model.natGateways[0].limits = .init()
            changed.model.elasticIPs[0].bandwidth = Bandwidth()
            changed.model.elasticIPs[1].bandwidth = Bandwidth()
            try lab.become(changed)
            #expect(try !lab.shell("vpc-gw", "nft list ruleset").contains("egress_rates"))
            #expect(try lab.station("blue1").ask(Self.internet)?.seenAddress == "203.0.113.10")
        }

        /// Somebody puts another limit in the place of ours.
        @Test func damageIsRepaired() throws {
            for line in [
                "nft delete element inet vpcctl egress_rates '{ '$(nft list map inet vpcctl egress_rates | grep -o '\"vpc-v[0-9]*\"')' }'",
                "nft flush map inet vpcctl egress_rates; nft delete limit inet vpcctl rate_blue-nat_out_20000000",
                "nft flush map inet vpcctl egress_rates; nft delete limit inet vpcctl rate_blue-nat_out_20000000;"
                    + " nft add limit inet vpcctl rate_blue-nat_out_20000000 '{ rate over 1 mbytes/second; }'",
            ] {
                try lab.shell("vpc-gw", line)
                try lab.requireClean(try lab.lab.apply(hosts: ["gw"]))
                let listing = try lab.shell("vpc-gw", "nft list map inet vpcctl egress_rates")
                #expect(listing.contains("rate_blue-nat_out_20000000"), "\(line): \(listing)")
                let limit = try lab.shell("vpc-gw", "nft list limit inet vpcctl rate_blue-nat_out_20000000")
                #expect(
                    limit.contains("over 2500 kbytes/second") || limit.contains("over 2500000 bytes/second"), "\(limit)"
                )
                for report in try lab.lab.apply() {
                    let applied = try report.result.get()
                    #expect(applied.plan.changes.operations.map(\.object) == [], "\(report.host)")
                }
            }
        }

        @Test func connectionsAreForgottenInTime() throws {
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5000) != nil)
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5000) != nil)
            #expect(try lab.station("blue1").ping(Self.internet).isReply)
            let gateway = lab.namespace("vpc-gw")
            let text = try lab.shell(
                "blue1",
                "bash -c 'exec 3<>/dev/tcp/198.51.100.7/\(Station.tcpPort);"
                    + " ip netns exec \(gateway) grep -e ESTABLISHED -e udp -e icmp /proc/net/nf_conntrack'")
            func seconds(_ words: String...) throws -> Int {
                let line = try #require(
                    text.split(separator: "\n").first { line in
                        line.contains("src=10.0.1.11 dst=198.51.100.7") && words.allSatisfy(line.contains)
                    }, "\(words) in \(text)")
                return try #require(Int(line.split(whereSeparator: \.isWhitespace)[4]))
            }
            #expect((90...100).contains(try seconds("tcp", "ESTABLISHED")))
            #expect((20...40).contains(try seconds("udp", "sport=5000 ")))
            #expect((0...7).contains(try seconds("icmp")))
        }

        @Test func connectionsBeginAtARate() throws {
            let before = try count("gateway_refused_blue-nat")
            let blue = try lab.station("blue1").askMany(
                Self.internet, sourcePorts: (30_000..<30_800), timeout: .milliseconds(800), attempts: 1)
            #expect(!blue.isEmpty && blue.count < 400, "\(blue.count) of 800 at once with 100 a second")
            #expect(try count("gateway_refused_blue-nat") > before)
            // Nobody else's.
            let green = try lab.station("green2").askMany(
                Self.internet, sourcePorts: (30_000..<30_100), timeout: .seconds(1), attempts: 1)
            #expect(green.count == 100)
        }

        /// Who is over its bound begins none, and what it has goes on.
        @Test func aFullOneBeginsNone() throws {
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5001) != nil)
            let entries = try lab.shell("vpc-gw", "grep 'sport=5001 ' /proc/net/nf_conntrack")
            let word = try #require(entries.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("zone=") })
            let zone = try #require(UInt16(word.dropFirst(5)))
            let refusal = ConnectionBound.refusal(of: [zone])
            #expect(lab.kernel("gw").commit(refusal, owner: Conventions.ownership).failures.isEmpty)
            let answer = try lab.station("blue1").ask(
                Self.internet, sourcePort: 5002, timeout: .milliseconds(300), attempts: 2)
            #expect(answer == nil)
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5001) != nil)
            try lab.shell("vpc-gw", "nft flush set inet vpcctl full")
            #expect(try lab.station("blue1").ask(Self.internet, sourcePort: 5002) != nil)
        }
    }
}
