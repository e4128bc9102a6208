import Foundation
import IPAddressing
import Netlink
import Synchronization
import TestSupport
import Testing
import Traffic
import VPCModel

@testable import VPCLab

extension Scenario {
    /// A NAT gateway with the same bandwidth in both directions.
    fileprivate static func capped(mbit: Int) -> Scenario {
        var scenario = Scenario.edge
        let rate = Bitrate(bitsPerSecond: UInt64(mbit) * 1_000_000)
        scenario.model.natGateways[0].limits = .init(bandwidth: Bandwidth(egress: rate, ingress: rate))
        scenario.model.natGateways[0].portForwards = [
            .init(address: "203.0.113.10", transport: .udp, port: 9999, interface: "blue1", interfacePort: 9999)
        ]
        return scenario
    }

    /// An elastic IP with the same bandwidth in both directions.
    fileprivate static func capped(mbit: Int, _ mode: ElasticIP.Mode) -> Scenario {
        var scenario = Scenario.edge
        let rate = Bitrate(bitsPerSecond: UInt64(mbit) * 1_000_000)
        scenario.elasticIP("web", "203.0.113.50", "blue1", mode)
        scenario.model.elasticIPs[0].bandwidth = Bandwidth(egress: rate, ingress: rate)
        return scenario
    }
}

extension LabTests {
    /// What may pass in a second, from the smallest to the largest.
    @Suite(.needsOverlay, .lab(.edge), .serialized, .timeLimit(minutes: 20)) struct BandwidthTests {
        let lab: TestLab
        init() throws { lab = try TestLab.current }

        /// Bytes of IP packets that have come in by a device, and when that was.
        private func passed(_ device: String, of place: String) throws -> (bytes: Int, time: ContinuousClock.Instant) {
            let (devices, time) = try lab.station(place).namespace.run {
                (try String(contentsOfFile: "/proc/thread-self/net/dev", encoding: .utf8), ContinuousClock.now)
            }
            let line = try #require(
                devices.split(separator: "\n").first { $0.drop { $0 == " " }.hasPrefix("\(device):") }, "\(devices)")
            let fields = line.split(whereSeparator: { $0 == " " || $0 == ":" }).compactMap { Int($0) }
            try #require(fields.count >= 16, "\(line)")
            // Each packet has a header of Ethernet.
            return (fields[0] - 14 * fields[1], time)
        }

        /// Bytes that a limit has dropped.
        private func dropped(_ counter: String) throws -> Int {
            let text = try lab.shell("vpc-gw", "nft -j list counter inet vpcctl \(counter)")
            return try #require(text.firstMatch(of: /"bytes": ([0-9]+)/).flatMap { Int($0.1) }, "\(text)")
        }

        /// Sends pieces that the kernel divides (`UDP_SEGMENT`), at a rate or as fast as it can, until it is let go.
        private final class Flood: Sendable {
            private static let (segment, pieces) = (1372, 16)
            /// `UDP_SEGMENT`.
            private static let udpSegment: Int32 = 103
            private let isOver = Atomic(false)

            func run(_ socket: Socket, to target: SocketAddress, mbit: Int?) {
                let payload = [UInt8](repeating: 7, count: Self.segment * Self.pieces)
                let bits = (Self.segment + 28) * Self.pieces * 8
                let interval = mbit.map { Duration.nanoseconds(bits * 1000 / $0) } ?? .zero
                var next = ContinuousClock.now
                while !isOver.load(ordering: .relaxed) {
                    _ = socket.send(payload, to: target)
                    next += interval
                    let pause = ContinuousClock.now.duration(to: next)
                    if pause > .milliseconds(1) { usleep(UInt32(pause / .microseconds(1))) }
                }
            }

            func end() { isOver.store(true, ordering: .relaxed) }

            static func socket(_ from: Station) throws -> Socket {
                try from.namespace.run {
                    let socket = try Socket(AF_INET, SOCK_DGRAM)
                    try socket.set(Int32(IPPROTO_UDP), udpSegment, Int32(segment))
                    if let source = from.source { try socket.bind(SocketAddress(source, 0)) }
                    return socket
                }
            }
        }

        private static let internet: IPAddress = "198.51.100.7"

        /// What passes when all that may come at once has come; nothing is dropped on a machine that cannot send so much.
        private func check(
            _ mbit: Int, from: Station, to address: IPAddress, at place: String, _ device: String, _ counter: String
        ) throws {
            // Somebody who takes them: else there are errors.
            let receiver = try lab.station(place).namespace.run {
                try Socket(datagramsTo: SocketAddress(place == "internet-inet" ? Self.internet : .anyIPv4, 9999))
            }
            let (flood, socket) = (Flood(), try Flood.socket(from))
            let start = try dropped(counter)
            let thread = try BackgroundThread {
                flood.run(socket, to: SocketAddress(address, 9999), mbit: mbit < 1000 ? mbit * 2 : nil)
            }
            defer {
                flood.end()
                thread.join()
            }
            let deadline = ContinuousClock.now + .seconds(6)
            var isFull = false
            while !isFull, ContinuousClock.now < deadline { isFull = try dropped(counter) > start }
            let before = try passed(device, of: place)
            // That is what a rate is about.
            usleep(4_000_000)
            let after = try passed(device, of: place)
            withExtendedLifetime(receiver) {}
            let rate =
                Double(after.bytes - before.bytes) * 8 / 1e6 / (before.time.duration(to: after.time) / .seconds(1))
            let what = "\(rate) Mbit/s to \(address) with \(mbit)"
            print(what)
            if isFull {
                #expect(abs(rate - Double(mbit)) <= Double(mbit) * 0.05, "\(what)")
            } else {
                #expect(mbit >= 1000, "\(what): nothing is dropped")
                #expect(rate > 20, "\(what)")
                #expect(try dropped(counter) == start || rate > Double(mbit) / 2, "\(what)")
            }
        }

        private func checkLimit(_ name: String, _ mbit: Int) throws {
            let limit = try lab.shell("vpc-gw", "nft list limit inet vpcctl \(name)_\(mbit)000000")
            let bytes = mbit * 125_000
            #expect(
                [(bytes, ""), (bytes / 1000, "k"), (bytes / 1_000_000, "m")].contains {
                    limit.contains("over \($0.0) \($0.1)bytes/second")
                }, "\(limit)")
        }

        @Test(arguments: [10, 100, 1000, 5000]) func aGatewaysRateHolds(mbit: Int) throws {
            try lab.become(.capped(mbit: mbit))
            for direction in ["in", "out"] { try checkLimit("rate_blue-nat_\(direction)", mbit) }
            let outside = try lab.station("internet-inet", source: "198.51.100.7")
            try check(
                mbit, from: lab.station("blue1"), to: Self.internet, at: "internet-inet", "gw", "rate_blue-nat_out")
            try check(mbit, from: outside, to: "203.0.113.10", at: "blue1", "eth0", "rate_blue-nat_in")
        }

        @Test(arguments: [100, 5000], ["nat", "stateless"])
        func anElasticIPsRateHolds(mbit: Int, mode: String) throws {
            let mode = try #require(ElasticIP.Mode(rawValue: mode))
            try lab.become(.capped(mbit: mbit, mode))
            for direction in ["in", "out"] { try checkLimit("eip_rate_web_\(direction)", mbit) }
            let outside = try lab.station("internet-inet", source: "198.51.100.7")
            try check(
                mbit, from: lab.station("blue1"), to: Self.internet, at: "internet-inet", "gw", "eip_rate_web_out")
            try check(mbit, from: outside, to: "203.0.113.50", at: "blue1", "eth0", "eip_rate_web_in")
        }
    }
}
