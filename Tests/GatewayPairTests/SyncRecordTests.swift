import IPAddressing
import Netlink
import Testing

@testable import GatewayPair

@Suite(.timeLimit(minutes: 10)) struct SyncRecordTests {
    @Test func bytesAreReadAsTheyWereWritten() {
        var copy = ConntrackCopy()
        (copy.protocol, copy.tcpState, copy.mark, copy.status, copy.timeout) = (6, 3, 1 << 31, 0x1FF, 432_000)
        (copy.original.source, copy.original.destination) = (0x0A00_010B, 0xC633_6407)
        (copy.original.sourcePort, copy.original.destinationPort) = (65535, 443)
        (copy.reply.source, copy.reply.destination) = (0xC633_6407, 0xCB00_710A)
        (copy.reply.sourcePort, copy.reply.destinationPort) = (443, 1024)
        let all: [SyncRecord] = [
            .hello(pair: IPAddress(v4: 0xAC1F_0064)), .put(copy, key: 0x8000_0001), .delete(copy, key: 1),
            .merge(copy, key: .max), .begin, .end, .merged, .flush(.max), .flushed(1), .again,
        ]
        var bytes: [UInt8] = []
        for record in all { record.append(to: &bytes) }
        #expect(bytes.count == all.count * SyncRecord.size)
        for (index, record) in all.enumerated() {
            #expect(SyncRecord(bytes[index * SyncRecord.size..<(index + 1) * SyncRecord.size]) == record)
        }
        #expect(SyncRecord(ArraySlice(repeating: 99, count: SyncRecord.size)) == nil)
        #expect(SyncRecord(bytes[..<7]) == nil)
    }
}
