import IPAddressing
import Testing

@testable import GatewayPair

@Suite(.timeLimit(minutes: 10)) struct PairMessageTests {
    @Test func bytesAreReadAsTheyWereWritten() throws {
        var message = PairMessage(pair: IPAddress(v4: 0xAC1F_0064), epoch: 7, interval: 300, priority: 200, number: 9)
        message.echo = .max
        message.counter = 1 << 40
        message.role = .active
        message.flags = [.leaves, .isSynchronized]
        message.underlayMAC = MACAddress(rawValue: 0x0200_5E00_0001)
        message.uplinkMAC = MACAddress(rawValue: 0xFFFF_FFFF_FFFF)
        #expect(PairMessage(message.bytes) == message)
        for count in message.bytes.indices { #expect(PairMessage(Array(message.bytes[..<count])) == nil) }
        #expect(PairMessage(message.bytes + [0]) == nil)
        var wrong = message.bytes
        wrong[0] ^= 1
        #expect(PairMessage(wrong) == nil)
    }
}
