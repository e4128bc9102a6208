import IPAddressing
import Liveness
import TestSupport
import Testing

/// An owner and its readers, and a network that loses, doubles and delays.
private struct Network {
    typealias Instant = ContinuousClock.Instant

    var owner: FactOwner<Int>
    var readers: [FactReader<Int>]
    var now = Instant.now
    var dice: Dice
    var loss = 0
    var messages = 0
    var heard: [FactMessage] = []
    private var packets: [(arrival: Instant, from: Int, to: Int, bytes: [UInt8])] = []

    /// The owner is 0, readers are 1 and more.
    init(readers count: Int, seed: UInt64) {
        dice = Dice(seed: seed)
        owner = FactOwner(epoch: .random(in: 1 ... .max, using: &dice))
        readers = []
        for _ in 0..<count { readers.append(newReader()) }
        owner.setReaders(Set(1...count), at: now)
    }

    mutating func newReader() -> FactReader<Int> {
        var reader = FactReader<Int>()
        reader.setOwners([0], at: now, using: &dice)
        return reader
    }

    mutating func restartOwner() {
        let former = owner
        owner = FactOwner(epoch: .random(in: 1 ... .max, using: &dice))
        owner.setReaders(Set(1...readers.count), at: now)
        for key in former.keys { owner.set(key, to: former.value(of: key), at: now) }
    }

    mutating func send(_ message: FactMessage, from: Int, to: Int) {
        messages += 1
        if from == 0 { heard.append(message) }
        #expect(message.bytes.count <= 1280)
        for _ in 0..<(dice.happens(loss) ? 0 : dice.happens(loss / 2) ? 2 : 1) {
            let delay = loss == 0 ? 1 : Int64.random(in: 1...120, using: &dice)
            packets.append((now + .milliseconds(delay), from, to, message.bytes))
        }
    }

    mutating func run(for duration: Duration) throws {
        let end = now + duration
        while true {
            let deadlines =
                [owner.deadline].compactMap(\.self) + readers.compactMap(\.deadline) + packets.map(\.arrival)
            guard let next = deadlines.min(), next < end else { break }
            now = max(now, next)
            while let first = packets.firstIndex(where: { $0.arrival <= now }) {
                let (_, from, to, bytes) = packets.remove(at: first)
                let message = try FactMessage(bytes)
                if to == 0 {
                    owner.take(message, from: from, at: now)
                } else {
                    _ = readers[to - 1].take(message, from: 0, at: now, using: &dice)
                }
            }
            for (reader, message) in owner.advance(to: now) { send(message, from: 0, to: reader) }
            for number in readers.indices {
                for (_, message) in readers[number].advance(to: now) { send(message, from: number + 1, to: 0) }
            }
        }
        now = end
    }

    var truth: [FactKey: FactValue] {
        Dictionary(uniqueKeysWithValues: owner.keys.map { ($0, owner.value(of: $0) ?? []) })
    }
    var isKnownToAll: Bool { readers.allSatisfy { $0.facts(of: 0) == truth } }
}

@Suite(.timeLimit(minutes: 10))
struct FactTests {
    private static func key(_ number: Int) -> FactKey { FactKey(.bfd, "gateway-\(number)") }

    @Test func aChangeIsKnownAfterOneWay() throws {
        var network = Network(readers: 3, seed: 1)
        try network.run(for: .seconds(1))
        network.owner.set(Self.key(1), to: [1], at: network.now)
        try network.run(for: .milliseconds(3))
        #expect(network.isKnownToAll && network.readers[0].value(of: Self.key(1), by: 0) == [1])
        network.owner.set(Self.key(1), to: nil, at: network.now)
        try network.run(for: .milliseconds(3))
        #expect(network.isKnownToAll && network.readers[0].facts(of: 0).isEmpty)
    }

    @Test func inPeaceThereIsNothingButBeats() throws {
        var network = Network(readers: 1, seed: 1)
        for number in 0..<100 { network.owner.set(Self.key(number), to: [1], at: network.now) }
        try network.run(for: .seconds(2))
        network.messages = 0
        try network.run(for: .seconds(10))
        #expect((48...52).contains(network.messages))
        #expect(network.readers[0].silence(of: 0, at: network.now).map { $0 <= .milliseconds(201) } == true)
    }

    /// More than one datagram holds, and more that is gone than is remembered.
    @Test func aReaderThatIsNewLearnsEverything() throws {
        var network = Network(readers: 2, seed: 1)
        try network.run(for: .seconds(1))
        for number in 0..<1500 { network.owner.set(Self.key(number), to: [UInt8(number % 251)], at: network.now) }
        try network.run(for: .seconds(2))
        #expect(network.isKnownToAll)
        network.readers[1] = network.newReader()
        try network.run(for: .seconds(2))
        #expect(network.isKnownToAll && network.truth.count == 1500)
    }

    @Test func whoWasAwayWhileMoreWentThanIsRememberedLosesIt() throws {
        var network = Network(readers: 1, seed: 1)
        for number in 0..<1500 { network.owner.set(Self.key(number), to: [1], at: network.now) }
        try network.run(for: .seconds(2))
        network.loss = 100
        for number in 0..<1400 { network.owner.set(Self.key(number), to: nil, at: network.now) }
        try network.run(for: .seconds(2))
        #expect(network.readers[0].facts(of: 0).count == 1500)
        network.loss = 0
        try network.run(for: .seconds(3))
        #expect(network.isKnownToAll && network.truth.count == 100)
    }

    @Test func anOwnerThatWasStartedAnewIsBelievedAndForgottenWhatItDoesNotSay() throws {
        var network = Network(readers: 1, seed: 1)
        network.owner.set(Self.key(1), to: [1], at: network.now)
        network.owner.set(Self.key(2), to: [1], at: network.now)
        try network.run(for: .seconds(1))
        network.restartOwner()
        network.owner.set(Self.key(2), to: nil, at: network.now)
        network.owner.set(Self.key(1), to: [0], at: network.now)
        try network.run(for: .seconds(1))
        #expect(network.readers[0].facts(of: 0) == [Self.key(1): [0]])
    }

    @Test func anOwnerOfTooMuchIsHeardSoFar() throws {
        var network = Network(readers: 1, seed: 1)
        for number in 0..<5000 { network.owner.set(Self.key(number), to: [1], at: network.now) }
        try network.run(for: .seconds(10))
        #expect(network.readers[0].facts(of: 0).count == 4096)
    }

    /// Somebody who has recorded everything says it once more, later, and to a reader that was started anew.
    @Test func whatWasRecordedIsOfNoUse() throws {
        var network = Network(readers: 1, seed: 1)
        network.owner.set(Self.key(1), to: [1], at: network.now)
        try network.run(for: .seconds(1))
        let record = network.heard
        network.owner.set(Self.key(1), to: [0], at: network.now)
        try network.run(for: .seconds(1))
        let all = network.heard
        network.loss = 100
        try network.run(for: .seconds(5))
        for message in record + all {
            _ = network.readers[0].take(message, from: 0, at: network.now, using: &network.dice)
        }
        #expect(network.readers[0].value(of: Self.key(1), by: 0) == [0])
        // Not even that somebody is there.
        #expect(network.readers[0].silence(of: 0, at: network.now).map { $0 > .seconds(4) } == true)
        network.readers[0] = network.newReader()
        for message in record {
            _ = network.readers[0].take(message, from: 0, at: network.now, using: &network.dice)
        }
        #expect(network.readers[0].facts(of: 0).isEmpty)
        #expect(network.readers[0].silence(of: 0, at: network.now) == nil)
        network.loss = 0
        network.restartOwner()
        try network.run(for: .seconds(2))
        #expect(network.isKnownToAll)
    }

    /// Whoever can send with an owner's address, and sees nothing, makes no fact, and has few questions asked.
    @Test func whatWasMadeUpIsOfNoUse() throws {
        var network = Network(readers: 1, seed: 1)
        network.owner.set(Self.key(1), to: [0], at: network.now)
        try network.run(for: .seconds(1))
        let former = network.messages
        for _ in 0..<5000 {
            let forged = FactMessage(
                epoch: network.dice.happens(50) ? network.owner.epoch : .random(in: 1 ... .max, using: &network.dice),
                challenge: .random(in: 0 ... .max, using: &network.dice), sequence: .max,
                .update(FactUpdate(after: 0, upTo: 9, latest: 9, base: 9, [.init(Self.key(1), [1])])))
            _ = network.readers[0].take(forged, from: 0, at: network.now, using: &network.dice)
            try network.run(for: .milliseconds(1))
            #expect(network.readers[0].value(of: Self.key(1), by: 0) == [0])
        }
        // Twenty-five beats, and twice a second a question with its answers.
        #expect(network.messages - former < 100)
        try network.run(for: .seconds(2))
        #expect(network.isKnownToAll)
    }

    @Test(arguments: Seeds.fresh(with: 1, 2)) func whateverIsLostAllIsKnownInTheEnd(_ seed: UInt64) throws {
        var network = Network(readers: 3, seed: seed)
        var dice = Dice(seed: seed &+ 7)
        for _ in 0..<150 {
            network.loss = dice.pick([0, 10, 50, 90])
            for _ in 0..<Int.random(in: 0...40, using: &dice) {
                let key = FactKey(dice.happens(50) ? .bfd : .echo, "gateway-\(Int.random(in: 0..<300, using: &dice))")
                network.owner.set(key, to: dice.happens(60) ? [.random(in: 0...3, using: &dice)] : nil, at: network.now)
            }
            if dice.happens(5) { network.restartOwner() }
            if dice.happens(5) { network.readers[Int.random(in: 0..<3, using: &dice)] = network.newReader() }
            try network.run(for: .milliseconds(Int64.random(in: 1...400, using: &dice)))
        }
        network.loss = 0
        try network.run(for: .seconds(5))
        #expect(network.isKnownToAll, "seed \(seed)")
    }
}

@Suite(.timeLimit(minutes: 10))
struct FactMessageTests {
    private static let messages = [
        FactMessage(epoch: 1, challenge: 2, sequence: 3, .beat(version: 4)),
        FactMessage(epoch: 0, challenge: .max, sequence: 0, .acknowledgement(version: 0, base: 7)),
        FactMessage(
            epoch: 1, challenge: 2, sequence: 3,
            .update(
                FactUpdate(
                    after: 1, upTo: 3, latest: 9, base: 2,
                    [.init(FactKey(.bfd, "fw-a"), [1]), .init(FactKey(.echo, "ü"), nil), .init(FactKey(.bfd, "x"), [])])
            )),
    ]

    @Test(arguments: messages) func bytesAreReadAsTheyWereWritten(_ message: FactMessage) throws {
        #expect(try FactMessage(message.bytes) == message)
        for count in 0..<message.bytes.count {
            #expect(throws: FactMessage.Flaw.self) { try FactMessage(message.bytes[..<count]) }
        }
        #expect(throws: FactMessage.Flaw.self) { try FactMessage(message.bytes + [0]) }
    }

    @Test(arguments: Seeds.fresh()) func whateverComesIsRefusedOrWrittenAsItCame(_ seed: UInt64) {
        var dice = Dice(seed: seed)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = dice.pick(Self.messages).bytes
            for _ in 0..<Int.random(in: 0...3, using: &dice) {
                bytes[Int.random(in: bytes.indices, using: &dice)] = .random(in: 0 ... .max, using: &dice)
            }
            if dice.happens(10) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &dice)) }
            guard let message = try? FactMessage(bytes) else { continue }
            accepted += 1
            #expect(message.bytes == bytes)
        }
        #expect(accepted > 3000)
    }

    @Test func aSealIsOfItsKeyItsMessageAndItsWay() throws {
        let (one, other) = (Array("a key of the hosts".utf8), Array("a key of the others".utf8))
        let (seal, foreign) = (try #require(FactSeal(key: one)), try #require(FactSeal(key: other)))
        let (a, b) = (IPAddress(v4: 0x0A00_0001), IPAddress(v4: 0x0A00_0002))
        let message = Self.messages[2].bytes
        let sealed = seal.sealed(message, from: a, to: b)
        #expect(seal.opened(sealed, from: a, to: b) == message)
        #expect(foreign.opened(sealed, from: a, to: b) == nil)
        #expect(seal.opened(sealed, from: b, to: a) == nil)
        for place in sealed.indices {
            var damaged = sealed
            damaged[place] ^= 1
            #expect(seal.opened(damaged, from: a, to: b) == nil)
        }
        #expect(seal.opened(Array(sealed.prefix(31)), from: a, to: b) == nil)
        #expect(FactSeal(key: Array("too short".utf8)) == nil)
    }

    /// HMAC-SHA-256 by another hand (Python's hmac) over addresses and message.
    @Test func theSealIsTheStandards() throws {
        let seal = try #require(FactSeal(key: Array("a key of the hosts".utf8)))
        let sealed = seal.sealed(Array("hello".utf8), from: IPAddress(v4: 0x0A00_0001), to: IPAddress(v4: 0x0A00_0002))
        let code = sealed.dropFirst(5).map { byte in String(byte, radix: 16).padded }.joined()
        let python = """
            print(__import__('hmac').new(b'a key of the hosts', bytes([10,0,0,1,10,0,0,2]) + b'hello', 'sha256').hexdigest())
            """
        #expect(try Run.checked("python3", "-c", python) == code + "\n")
    }
}

extension String {
    fileprivate var padded: String { count < 2 ? "0" + self : self }
}
