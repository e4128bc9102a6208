import CLinux
import Netlink
import TestSupport
import Testing

@testable import KernelDriver
@testable import NFTables

/// Whatever a kernel might say, reading it ends and does not trap.
@Suite(.timeLimit(minutes: 10)) struct FirewallFuzzTests {
    private struct Noise {
        var state: UInt64

        mutating func next(_ limit: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(limit))
        }
    }

    /// Everything that the kernel lists of the table.
    private func messages(_ scratch: FirewallScratch) throws -> [[UInt8]] {
        var socket = try NFTablesSocket(in: scratch.namespace)
        var list: [[UInt8]] = []
        let family = FirewallCodes.family(.inet)
        for message in [NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETOBJ] {
            list += try socket.dump(message, family: family, into: []) { list, message throws(CodecError) in
                list.append(message.bytes.withUnsafeBytes { Array($0) })
            }
        }
        for set in FirewallTables.router.sets {
            list += try socket.dump(NFT_MSG_GETSETELEM, family: family, into: []) {
                $0.put(NFTA_SET_ELEM_LIST_TABLE, "probe")
                $0.put(NFTA_SET_ELEM_LIST_SET, set.name)
            } each: { list, message throws(CodecError) in
                list.append(message.bytes.withUnsafeBytes { Array($0) })
            }
        }
        return list
    }

    /// Reads one message as everything it might be, and with another as parts of one listing.
    private func read(_ bytes: [UInt8], and other: [UInt8], _ shapes: [NFSetShape]) throws(CodecError) {
        var messages = MessageReader(bytes.span.bytes)
        var others = MessageReader(other.span.bytes)
        guard let message = try messages.next(), let other = try others.next() else { return }
        _ = try? NFObservedChain.read(message, .inet)
        _ = try? NFObservedRule.read(message).1.rule.description
        _ = try? NFObservedObject(message)
        _ = try? NFTablesGeneration(message)
        var all = shapes
        if let set = try? NFObservedSet(message) { all.append(set.shape) }
        for shape in all {
            var reader = FirewallElementReader(shape: shape)
            try? reader.read(message)
            try? reader.read(other)
            try? reader.read(message)
            let result = reader.finished()
            for index in 0..<min(result.elements.count, 3) { _ = shape.text(of: index, in: result.elements) }
            let copy = result.elements[0..<result.elements.count / 2]
            _ = result.elements.difference(from: copy)
        }
    }

    @Test func damagedListingsAreRead() throws {
        try withFirewall { scratch, driver in
            try driver.apply(FirewallTables.router)
            let messages = try messages(scratch)
            #expect(messages.count > 80)
            let shapes = Array(Set(FirewallTables.router.sets.map(\.shape)))
            var noise = Noise(state: 0x5EED)
            for round in 0..<300 {
                for original in messages {
                    var bytes = original
                    // The header stays: what is in it has been read when the listing gets here.
                    for _ in 0...noise.next(4) where round > 0 {
                        let position = 20 + noise.next(max(bytes.count - 20, 1))
                        if position < bytes.count {
                            bytes[position] =
                                [0, 1, 255, UInt8(noise.next(256)), bytes[position] ^ 0x80][noise.next(5)]
                        }
                    }
                    let other = messages[noise.next(messages.count)]
                    try read(bytes, and: other, [shapes[noise.next(shapes.count)], shapes[noise.next(shapes.count)]])
                }
            }
        }
    }
}
