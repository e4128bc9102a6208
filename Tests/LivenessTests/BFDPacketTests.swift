import Liveness
import TestSupport
import Testing

@Suite(.timeLimit(minutes: 10))
struct BFDPacketTests {
    /// RFC 5880, section 4.1: version 1, diagnostic 1, state Up with P, multiplier 3, from 0x01020304 to 0x0A0B0C0D, 300 ms,
    /// 50 ms, no echo.
    private static let known: [UInt8] = [
        0x21, 0xE0, 3, 24, 1, 2, 3, 4, 0x0A, 0x0B, 0x0C, 0x0D, 0, 0x04, 0x93, 0xE0, 0, 0, 0xC3, 0x50, 0, 0, 0, 0,
    ]

    private static var packet: BFDPacket {
        var packet = BFDPacket(
            .up, .detectionTimeExpired, detectMultiplier: 3, from: 0x0102_0304, to: 0x0A0B_0C0D,
            desiredMinimumTransmit: 300_000, requiredMinimumReceive: 50_000)
        packet.isPoll = true
        return packet
    }

    @Test func bytesAreThoseOfTheStandard() throws {
        #expect(Self.packet.bytes == Self.known)
        #expect(try BFDPacket(Self.known) == Self.packet)
        // What follows is no part of it.
        #expect(try BFDPacket(Self.known + [1, 2, 3]) == Self.packet)
    }

    private func flaw(_ bytes: [UInt8]) -> BFDPacket.Flaw? {
        do throws(BFDPacket.Flaw) {
            _ = try BFDPacket(bytes)
            return nil
        } catch {
            return error
        }
    }

    private func flaw(at place: Int, _ byte: UInt8) -> BFDPacket.Flaw? {
        var bytes = Self.known
        bytes[place] = byte
        return flaw(bytes)
    }

    @Test func whatIsNoPacketIsRefused() {
        for count in 0..<24 { #expect(flaw(Array(Self.known[..<count])) == .tooShort(count)) }
        #expect(flaw(at: 0, 0x01) == .version(0))
        #expect(flaw(at: 0, 0x41) == .version(2))
        #expect(flaw(at: 3, 23) == .length(23))
        #expect(flaw(at: 3, 25) == .length(25))
        #expect(flaw(at: 2, 0) == .noMultiplier)
        #expect(flaw(at: 1, 0xC1) == .multipoint)
        var nobody = Self.known
        nobody.replaceSubrange(4..<8, with: [0, 0, 0, 0])
        #expect(flaw(nobody) == .noDiscriminator)
        for (state, isStray) in [(UInt8(0), false), (1, false), (2, true), (3, true)] {
            var bytes = Self.known
            bytes.replaceSubrange(8..<12, with: [0, 0, 0, 0])
            bytes[1] = state << 6
            #expect(flaw(bytes) == (isStray ? .strayState : nil))
        }
    }

    /// A simple password of three bytes (RFC 5880, section 4.2).
    @Test func authenticationIsRefusedByItsName() {
        var bytes = Self.known + [1, 6, 1, 0x61, 0x62, 0x63]
        (bytes[1], bytes[3]) = (0xC4, 30)
        #expect(flaw(bytes) == .authenticated)
        #expect(flaw(bytes)?.description.contains("switch authentication off") == true)
    }

    @Test(arguments: Seeds.fresh())
    func whateverComesIsRefusedOrWrittenAsItCame(seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = Self.known
            for _ in 0..<Int.random(in: 0...4, using: &dice) {
                bytes[Int.random(in: bytes.indices, using: &dice)] = .random(in: 0 ... .max, using: &dice)
            }
            if dice.happens(20) { bytes.removeLast(Int.random(in: 0...24, using: &dice)) }
            if dice.happens(20) { bytes += [UInt8](repeating: 0xFF, count: Int.random(in: 0...300, using: &dice)) }
            guard let packet = try? BFDPacket(bytes) else { continue }
            accepted += 1
            var wanted = Array(bytes.prefix(24))
            wanted[3] = 24
            #expect(packet.bytes == wanted)
        }
        #expect(accepted > 5000)
    }
}
