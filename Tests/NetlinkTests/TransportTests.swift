import CLinux
import TestSupport
import Testing

@testable import Netlink

@Suite(.timeLimit(minutes: 10)) struct TransportTests {
    /// libmnl compares a message's length with a sign: 0x80000010 is less than anything to it.
    @Test func aLengthBeyondTwoGibibytesIsNoMessage() {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes[0] = 0x10
        bytes[3] = 0x80
        #expect(throws: CodecError.messageLength(0x8000_0010, available: 64)) {
            var reader = MessageReader(bytes.span.bytes)
            _ = try reader.next()
        }
    }

    /// An answer that bears another socket's address, or another request's number, is nobody's.
    @Test func answersAreKnownByNumberAndAddress() throws {
        let header = nlmsghdr(nlmsg_len: 16, nlmsg_type: 2, nlmsg_flags: 0, nlmsg_seq: 7, nlmsg_pid: 99)
        let bytes = withUnsafeBytes(of: header) { Array($0) }
        var reader = MessageReader(bytes.span.bytes)
        guard let message = try reader.next() else {
            Issue.record("no message")
            return
        }
        // A message cannot leave its bytes, so it cannot be shown to the macro either.
        let answers = [
            message.isAnswer(to: 7, of: 99), message.isAnswer(to: 8, of: 99), message.isAnswer(to: 7, of: 98),
        ]
        #expect(answers == [true, false, false])
    }
}
