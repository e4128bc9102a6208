import Glibc
import IPAddressing
import Netlink
import VPCTopology

/// A line of the record of translations: who had which public address and port. The names of what happens are those of
/// RFC 8158, where it has one.
struct TranslationRecord {
    enum Event: String {
        /// From here on.
        case create
        case delete
        /// Was there when recording began, or began anew.
        case exists
        /// Recording begins.
        case start
        /// The kernel has thrown away what happened since the line before.
        case lost
        /// Fixed blocks of ports, from here on.
        case blocks
    }

    /// Who records.
    let host: String
    /// Milliseconds since 1970.
    let time: Int64

    init(host: String, time: Int64 = Self.now) { (self.host, self.time) = (host, time) }

    private static var now: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }

    /// A line about a NAT gateway itself.
    func line(_ event: Event, of gateway: String) -> String { "\(head(event, gateway))}\n" }

    func line(_ run: PortBlockRun, of gateway: String) -> String {
        let (address, ports) = (run.ports.address, run.ports.ports)
        return head(.blocks, gateway) + ",\"inside\":\"\(run.inside.lowerBound)-\(run.inside.upperBound)\""
            + ",\"public\":\"\(address):\(ports.lowerBound)-\(ports.upperBound)\",\"size\":\(run.size)}\n"
    }

    /// A line for each end that was translated: none, one, or both of a connection from inside to inside by public
    /// addresses.
    func lines(_ event: Event, _ copy: ConntrackCopy, of gateway: String) -> String {
        let isICMP = copy.protocol == UInt8(IPPROTO_ICMP)
        let (original, reply) = (copy.original, copy.reply)
        let client = (original.source, original.sourcePort)
        // An identifier is the same in both directions.
        let seenClient = (reply.destination, isICMP ? reply.sourcePort : reply.destinationPort)
        let target = (original.destination, isICMP ? original.sourcePort : original.destinationPort)
        let realTarget = (reply.source, isICMP ? original.sourcePort : reply.sourcePort)
        var text = ""
        if client != seenClient { text += line(event, copy, gateway, "out", client, seenClient, target) }
        if target != realTarget { text += line(event, copy, gateway, "in", realTarget, target, seenClient) }
        return text
    }

    private func line(
        _ event: Event, _ copy: ConntrackCopy, _ gateway: String, _ direction: String, _ inside: (UInt32, UInt16),
        _ outside: (UInt32, UInt16), _ remote: (UInt32, UInt16)
    ) -> String {
        let text = { (end: (UInt32, UInt16)) in "\(IPAddress(v4: end.0)):\(end.1)" }
        return head(event, gateway) + ",\"direction\":\"\(direction)\",\"protocol\":\"\(Self.name(copy.protocol))\""
            + ",\"inside\":\"\(text(inside))\",\"public\":\"\(text(outside))\",\"remote\":\"\(text(remote))\"}\n"
    }

    private static func name(_ number: UInt8) -> String {
        switch Int32(number) {
        case Int32(IPPROTO_TCP): "tcp"
        case Int32(IPPROTO_UDP): "udp"
        case Int32(IPPROTO_ICMP): "icmp"
        default: "\(number)"
        }
    }

    /// Names are of letters, digits and signs that mean nothing in JSON.
    private func head(_ event: Event, _ gateway: String) -> String {
        "{\"time\":\"\(timeText)\",\"host\":\"\(host)\",\"event\":\"\(event.rawValue)\",\"natGateway\":\"\(gateway)\""
    }

    /// `2026-01-31T12:00:00.000Z`.
    private var timeText: String {
        var seconds = time_t(time / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        let milliseconds = "00\(time % 1000)".suffix(3)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + ".\(milliseconds)Z"
    }
}
