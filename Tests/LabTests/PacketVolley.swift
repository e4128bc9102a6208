import Glibc
import IPAddressing
import Netlink
import Traffic

@testable import VPCLab

/// Many packets at once, each told from all others by its numbers wherever it is seen: hundreds in a second or two, where
/// questions with sockets of their own take a minute.
struct PacketVolley {
    /// One packet, what is expected of it, and what was seen.
    struct Shot {
        var packet: OutgoingPacket
        /// The sender, by name, and the address that decides about its routes.
        var sender: String
        var address: IPAddress
        /// Waited for: who shall get it, and whether there is an answer.
        var receivers: Set<String> = []
        var isAnswerAwaited = false

        fileprivate(set) var hasLeft = false
        /// The sender asked on the wire for the destination's MAC address, and got no further without an answer.
        fileprivate(set) var isNeighborSought = false
        fileprivate(set) var arrivedAt: Set<String> = []
        fileprivate(set) var isAnswered = false
        fileprivate(set) var failure: Int32 = 0

        fileprivate var isComplete: Bool { receivers.isSubset(of: arrivedAt) && (isAnswered || !isAnswerAwaited) }
    }

    private(set) var shots: [Shot]
    private let places: [String: NetworkNamespace]
    private let captures: [(name: String, capture: Capture)]
    private var senders: [IPAddress: [String: PacketSender]] = [:]
    /// Which shots a packet with these addresses and numbers may be, or may answer.
    private var questions: [Key: Int] = [:]
    private var answers: [Key: Int] = [:]

    private struct Key: Hashable {
        var packet: [UInt8]

        /// Addresses, protocol, and the first numbers of its payload.
        init?(_ packet: IPv4Packet) {
            guard packet.isFirstFragment, packet.payload.count >= 8 else { return nil }
            let isICMP = Int(packet.protocolNumber) == IPPROTO_ICMP
            self.packet = Array(packet.bytes.dropFirst(12).prefix(8)) + [packet.protocolNumber]
            self.packet += isICMP ? packet.payload.dropFirst(4).prefix(2) : packet.payload.prefix(4)
        }

        /// That of an answer.
        var reversed: Key {
            var key = self
            key.packet.replaceSubrange(0..<8, with: packet[4..<8] + packet[0..<4])
            if packet.count == 13 { key.packet.replaceSubrange(9..<13, with: packet[11..<13] + packet[9..<11]) }
            return key
        }
    }

    /// - Parameter places: Where to look, by name.
    init(_ shots: [Shot], places: [String: NetworkNamespace]) throws {
        self.shots = shots
        self.places = places
        captures = try places.sorted { $0.key < $1.key }.map { ($0.key, try Capture(in: $0.value)) }
        for (index, shot) in shots.enumerated() {
            guard let packet = IPv4Packet(shot.packet.bytes[...]), let key = Key(packet) else { continue }
            questions[key] = index
            answers[key.reversed] = index
        }
    }

    /// Sends them and looks, until all has come that is awaited, and for a while after.
    /// - Parameters:
    ///   - patience: For what is awaited.
    ///   - silence: How long nothing else may be seen.
    mutating func run(patience: Duration, silence: Duration) throws {
        var buffer = [UInt8](repeating: 0, count: 2048)
        let start = ContinuousClock.now
        for index in shots.indices {
            try send(index)
            look(&buffer)
        }
        // What is lost on the way is no verdict: a neighbour's queue is short.
        var again = start + patience / 8
        while shots.contains(where: { !$0.isComplete }), .now < start + patience {
            wait(until: again)
            look(&buffer)
            guard .now >= again else { continue }
            for index in shots.indices where !shots[index].isComplete { try send(index) }
            again = .now + patience / 4
        }
        var end = ContinuousClock.now + silence
        while .now < end {
            wait(until: end)
            if look(&buffer) { end = .now + silence }
        }
    }

    private mutating func send(_ index: Int) throws {
        let shot = shots[index]
        guard let place = places[shot.sender] else { return }
        let sender = try senders[shot.address]?[shot.sender] ?? PacketSender(in: place, as: shot.address)
        senders[shot.address, default: [:]][shot.sender] = sender
        shots[index].failure = sender.send(shot.packet)
    }

    private func wait(until deadline: ContinuousClock.Instant) {
        var polls = PollSet()
        for (_, capture) in captures { polls.add(capture.socket.descriptor, POLLIN) }
        polls.wait(until: deadline)
    }

    /// - Returns: Whether anything of ours was seen.
    @discardableResult
    private mutating func look(_ buffer: inout [UInt8]) -> Bool {
        var hasSeen = false
        for (name, capture) in captures {
            while let sight = capture.next(&buffer) {
                switch sight {
                case .packet(let packet, let direction, _):
                    if note(packet, direction, at: name) { hasSeen = true }
                case .question(let neighbor):
                    for index in shots.indices
                    where shots[index].sender == name && shots[index].packet.destination == neighbor {
                        shots[index].isNeighborSought = true
                    }
                }
            }
        }
        return hasSeen
    }

    private mutating func note(_ packet: IPv4Packet, _ direction: Capture.Direction, at name: String) -> Bool {
        guard let key = Key(packet) else { return false }
        if let index = questions[key], shots[index].packet.isSame(as: packet) {
            switch direction {
            case .leaving: if shots[index].sender == name { shots[index].hasLeft = true }
            case .entering: shots[index].arrivedAt.insert(name)
            }
            return true
        }
        guard case .entering = direction, let index = answers[key], shots[index].sender == name,
            shots[index].packet.isAnswered(by: packet)
        else { return false }
        shots[index].isAnswered = true
        return true
    }
}
