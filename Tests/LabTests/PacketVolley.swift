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
        /// As what: the source and destination that it had there.
        fileprivate(set) var ends: [String: Set<Ends>] = [:]
        fileprivate(set) var isAnswered = false
        fileprivate(set) var failure: Int32 = 0

        fileprivate var isComplete: Bool {
            (hasLeft || isNeighborSought) && receivers.isSubset(of: arrivedAt) && (isAnswered || !isAnswerAwaited)
        }
    }

    struct Ends: Hashable, CustomStringConvertible {
        var source: IPAddress
        var destination: IPAddress
        var description: String { "\(source) → \(destination)" }
    }

    private(set) var shots: [Shot]
    /// Whether addresses may change on the way: then packets are known by their numbers alone.
    private let areTranslated: Bool
    private let places: [String: NetworkNamespace]
    private let captures: [(name: String, capture: Capture)]
    private var senders: [IPAddress: [String: PacketSender]] = [:]
    /// Which shots a packet with these addresses and numbers may be, or may answer.
    private var questions: [[UInt8]: Int] = [:]
    private var answers: [[UInt8]: Int] = [:]

    /// What tells a packet from others, and what tells its answer from them.
    private struct Keys {
        var own: [UInt8]
        var answer: [UInt8]

        /// Addresses, protocol, and the first numbers of its payload.
        init?(_ packet: IPv4Packet, withAddresses: Bool) {
            guard packet.isFirstFragment, packet.payload.count >= 8 else { return nil }
            let head = Array(packet.payload.prefix(6))
            let ends = withAddresses ? Array(packet.bytes.dropFirst(12).prefix(8)) : []
            let reversed = Array(ends.suffix(4) + ends.prefix(4))
            let kind = [packet.protocolNumber]
            guard Int(packet.protocolNumber) == IPPROTO_ICMP else {
                own = ends + kind + head[0..<4]
                answer = reversed + kind + head[2..<4] + head[0..<2]
                return
            }
            // Echo and timestamp requests are answered by another type, errors quote what they are about (RFC 792).
            guard ![3, 11].contains(head[0]) else { return nil }
            let answerType: UInt8 = [8: 0, 13: 14][head[0]] ?? 255
            own = ends + kind + head[0..<1] + head[4..<6]
            answer = reversed + kind + [answerType] + head[4..<6]
        }
    }

    /// - Parameter places: Where to look, by name.
    init(_ shots: [Shot], places: [String: NetworkNamespace], areTranslated: Bool = false) throws {
        self.shots = shots
        self.places = places
        self.areTranslated = areTranslated
        captures = try places.sorted { $0.key < $1.key }.map { ($0.key, try Capture(in: $0.value)) }
        for (index, shot) in shots.enumerated() {
            guard let packet = IPv4Packet(shot.packet.bytes[...]),
                let keys = Keys(packet, withAddresses: !areTranslated)
            else { continue }
            questions[keys.own] = index
            answers[keys.answer] = index
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
        // What is lost on the way is no verdict, nor what has not left: a neighbour's queue is short.
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
        guard let key = Keys(packet, withAddresses: !areTranslated)?.own else { return false }
        if let index = questions[key], areTranslated || shots[index].packet.isSame(as: packet) {
            switch direction {
            case .leaving: if shots[index].sender == name { shots[index].hasLeft = true }
            case .entering:
                shots[index].arrivedAt.insert(name)
                let ends = Ends(source: packet.source, destination: packet.destination)
                shots[index].ends[name, default: []].insert(ends)
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
