import CLinux
import Glibc
import TestSupport
import Testing

@testable import Netlink

@Suite(.timeLimit(minutes: 10)) struct FuzzTests {
    /// A million damaged messages through everything that reads bytes. The readers must end, by the last message or by
    /// a typed error, and never read outside: RawSpan would stop the process.
    @Test(arguments: Seeds.fresh()) func damagedMessages(_ seed: UInt64) throws {
        var random = Dice(seed: seed)
        let samples = Self.samples()
        var messages = 0
        var errors = 0
        for round in 0..<1_000_000 {
            var bytes = samples[round % samples.count]
            damage(&bytes, &random)
            let span = bytes.span.bytes
            do {
                var reader = MessageReader(span)
                while let message = try reader.next() {
                    messages += 1
                    try walk(message, &random)
                }
            } catch {
                errors += 1
            }
        }
        // Damage is light enough that much of it gets through, and heavy enough that much of it is found.
        #expect(messages > 100_000)
        #expect(errors > 100_000)
    }

    /// Replies that were damaged: the error that comes out names something or nothing, but comes out.
    @Test(arguments: Seeds.fresh()) func damagedRepliesAndRequests(_ seed: UInt64) throws {
        var random = Dice(seed: seed)
        let requests = Self.samples()
        for round in 0..<50_000 {
            var request = requests[round % requests.count]
            var reply = Self.reply(offset: UInt32(truncatingIfNeeded: random.next() % 128), &random)
            if round % 2 == 0 { damage(&request, &random) } else { damage(&reply, &random) }
            var reader = MessageReader(reply.span.bytes)
            guard let message = try? reader.next(), let parsed = try? Reply(message) else { continue }
            _ = parsed.error(.route, about: request.span.bytes).description
            var cursor = RequestCursor()
            _ = cursor.find(parsed.request, in: request.span.bytes)
        }
    }

    /// Whatever is written is read back the same.
    @Test(arguments: Seeds.fresh()) func randomTreesSurvive(_ seed: UInt64) throws {
        var random = Dice(seed: seed)
        for _ in 0..<2000 {
            var writer = MessageWriter(capacity: 1)
            var expected: [[UInt8]] = []
            writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
                Self.write(&message, depth: 0, &random, &expected)
            }
            var found: [[UInt8]] = []
            var reader = MessageReader(writer.bytes)
            while let message = try reader.next() {
                var attributes = message.attributes(after: ifinfomsg.self)
                try Self.read(&attributes, &found)
            }
            #expect(found == expected)
        }
    }

    // MARK: -

    private func walk(_ message: borrowing Message, _ random: inout Dice) throws(CodecError) {
        var progress = AnswerProgress()
        try progress.take(message) { _ in }
        _ = try message.header(as: ifinfomsg.self)
        var attributes = message.attributes(after: ifinfomsg.self)
        try walk(&attributes, depth: 0)
    }

    private func walk(_ attributes: inout AttributeReader, depth: Int) throws(CodecError) {
        while let attribute = try attributes.next() {
            if attribute.isNested, depth < 8 {
                var nested = attribute.nested
                try walk(&nested, depth: depth + 1)
            } else {
                _ = try? attribute.value(as: UInt64.self)
                for index in 0..<attribute.count(of: nexthop_grp.self) {
                    _ = attribute.element(index, as: nexthop_grp.self)
                }
            }
        }
    }

    /// One to three faults: a changed byte, a changed bit, a length field with an unpleasant value, a cut.
    private func damage(_ bytes: inout [UInt8], _ random: inout Dice) {
        let word = random.next()
        for fault in 0..<Int(word % 3) + 1 {
            let choice = random.next()
            let position = Int(choice >> 32) % bytes.count
            switch (choice >> UInt64(fault)) % 8 {
            case 0: bytes[position] = UInt8(truncatingIfNeeded: choice >> 8)
            case 1: bytes[position] ^= 1 << UInt8(choice >> 8 & 7)
            case 2: bytes[position & ~3] = [0, 1, 3, 4, 5, 0x7F, 0x80, 0xFF][Int(choice >> 8 & 7)]
            case 3: bytes[(position & ~3) + (bytes.count > (position & ~3) + 1 ? 1 : 0)] = UInt8(choice >> 8 & 0xFF)
            case 4: bytes.removeLast(min(bytes.count - 1, Int(choice >> 8 & 15)))
            default: bytes[position] = UInt8(choice >> 8 & 0x1F)
            }
        }
    }

    /// Messages of every shape: flat, nested, with structures inside, several in one datagram, replies, ends of dumps.
    private static func samples() -> [[UInt8]] {
        var list: [[UInt8]] = []
        func add(_ encode: (inout MessageWriter) -> Void) {
            var writer = MessageWriter()
            encode(&writer)
            list.append(array(writer))
        }
        add { writer in
            writer.message(MessageType(RTM_NEWROUTE), [.create], rtmsg()) { message in
                message.put(RTA_TABLE.rawValue, UInt32(100))
                message.put(RTA_DST.rawValue, BigEndian(UInt32(0x0A00_0001)))
                message.put(RTA_NH_ID.rawValue, UInt32(7))
            }
        }
        add { writer in
            writer.message(MessageType(RTM_NEWLINK), [.create], ifinfomsg()) { message in
                message.put(IFLA_IFNAME, "veth0")
                message.nested(IFLA_LINKINFO) { information in
                    information.put(IFLA_INFO_KIND, "veth")
                    information.nested(IFLA_INFO_DATA) { data in
                        data.nested(VETH_INFO_PEER) { peer in
                            peer.put(structure: ifinfomsg())
                            peer.put(IFLA_IFNAME, "veth1")
                        }
                    }
                }
            }
        }
        add { writer in
            for id: UInt32 in 1...2 {
                writer.message(MessageType(RTM_NEWNEXTHOP), [.create], nhmsg()) { message in
                    message.put(NHA_ID, id)
                    message.put(NHA_GROUP, array: [nexthop_grp(), nexthop_grp()])
                    message.nested(NHA_RES_GROUP) { $0.put(NHA_RES_GROUP_BUCKETS, UInt16(128)) }
                }
            }
        }
        add { writer in writer.message(.done, .multipart, Int32(0)) }
        var random = Dice(seed: 1)
        list.append(reply(offset: 36, &random))
        return list
    }

    private static func reply(offset: UInt32, _ random: inout Dice) -> [UInt8] {
        var writer = MessageWriter()
        var header = nlmsgerr()
        header.error = -EINVAL
        header.msg.nlmsg_len = 52
        header.msg.nlmsg_type = UInt16(RTM_NEWROUTE)
        let capped: MessageFlags = random.next() % 2 == 0 ? .capped : []
        writer.message(.error, [capped, .extendedAcknowledgement], header) { message in
            message.put(NLMSGERR_ATTR_MSG.rawValue, "no")
            message.put(NLMSGERR_ATTR_OFFS.rawValue, offset)
            if random.next() % 4 == 0 { message.put(NLMSGERR_ATTR_MISS_TYPE.rawValue, UInt32(1)) }
            if random.next() % 4 == 0 { message.put(NLMSGERR_ATTR_MISS_NEST.rawValue, offset) }
        }
        return array(writer)
    }

    private static func write(
        _ writer: inout MessageWriter, depth: Int, _ random: inout Dice, _ expected: inout [[UInt8]]
    ) {
        for _ in 0..<Int(random.next() % 5) {
            let type = Int(random.next() % 0x3FFF)
            if depth < 4, random.next() % 3 == 0 {
                expected.append([UInt8(depth), UInt8(truncatingIfNeeded: type)])
                var inner: [[UInt8]] = []
                writer.nested(type) { write(&$0, depth: depth + 1, &random, &inner) }
                expected += inner
            } else {
                let value = (0..<Int(random.next() % 9)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                writer.put(type, bytes: value.span.bytes)
                expected.append(value)
            }
        }
    }

    private static func read(
        _ attributes: inout AttributeReader, depth: Int = 0, _ found: inout [[UInt8]]
    ) throws(CodecError) {
        while let attribute = try attributes.next() {
            if attribute.isNested {
                found.append([UInt8(depth), UInt8(truncatingIfNeeded: attribute.type)])
                var nested = attribute.nested
                try read(&nested, depth: depth + 1, &found)
            } else {
                found.append(attribute.payload.withUnsafeBytes { Array($0) })
            }
        }
    }
}
