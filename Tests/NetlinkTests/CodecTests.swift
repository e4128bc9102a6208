import CLinux
import Glibc
import TestSupport
import Testing

@testable import Netlink

/// Bytes from hexadecimal text; everything but digits is for the reader.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func array(_ writer: borrowing MessageWriter) -> [UInt8] { writer.bytes.withUnsafeBytes { Array($0) } }

@Suite(.timeLimit(minutes: 10)) struct CodecTests {
    @Test func routeMessage() {
        var writer = MessageWriter()
        writer.sequence = 5
        var header = rtmsg()
        header.rtm_family = UInt8(AF_INET)
        header.rtm_dst_len = 32
        header.rtm_protocol = 99
        header.rtm_type = UInt8(RTN_UNICAST)
        // ip route add 10.0.0.1/32 nhid 7 table 100 proto 99
        writer.message(MessageType(RTM_NEWROUTE), [.create, .exclusive], header) { message in
            message.put(RTA_TABLE.rawValue, UInt32(100))
            message.put(RTA_DST.rawValue, BigEndian(UInt32(0x0A00_0001)))
            message.put(RTA_NH_ID.rawValue, UInt32(7))
        }
        #expect(
            array(writer)
                == hex(
                    """
                    34000000 1800 0106 05000000 00000000
                    02 20 00 00 00 63 00 01 00000000
                    0800 0f00 64000000
                    0800 0100 0a000001
                    0800 1e00 07000000
                    """))
        #expect(writer.messageCount == 1)
    }

    @Test func linkMessageWithNestedAttributesAndPadding() {
        var writer = MessageWriter()
        writer.sequence = 1
        // ip link add g1 type gre local 172.31.0.1 key 5 (keyed) external…
        writer.message(MessageType(RTM_NEWLINK), [.create], ifinfomsg()) { message in
            message.put(IFLA_IFNAME, "g1")
            message.nested(IFLA_LINKINFO) { information in
                information.put(IFLA_INFO_KIND, "gre")
                information.nested(IFLA_INFO_DATA) { data in
                    data.put(IFLA_GRE_IFLAGS, BigEndian(UInt16(0x2000)))
                    data.put(IFLA_GRE_IKEY, BigEndian(UInt32(5)))
                    data.put(IFLA_GRE_TTL, UInt8(64))
                    data.put(flag: IFLA_GRE_COLLECT_METADATA)
                }
            }
        }
        #expect(
            array(writer)
                == hex(
                    """
                    54000000 1000 0104 01000000 00000000
                    00 00 0000 00000000 00000000 00000000
                    0700 0300 6731 00 00
                    2c00 1280
                      0800 0100 67726500
                      2000 0280
                        0600 0200 2000 0000
                        0800 0400 00000005
                        0500 0800 40 000000
                        0400 1200
                    """))
    }

    @Test func nexthopGroupMessage() {
        var writer = MessageWriter()
        writer.sequence = 0x0102_0304
        var members = [nexthop_grp(), nexthop_grp()]
        members[0].id = 7
        members[0].weight = 2
        members[1].id = 8
        // ip nexthop replace id 9 group 7,3/8 type resilient buckets 128
        writer.message(MessageType(RTM_NEWNEXTHOP), [.create, .replace], nhmsg()) { message in
            message.put(NHA_ID, UInt32(9))
            message.put(NHA_GROUP, array: members)
            message.put(NHA_GROUP_TYPE, UInt16(1))
            message.nested(NHA_RES_GROUP) { group in
                group.put(NHA_RES_GROUP_BUCKETS, UInt16(128))
            }
        }
        #expect(
            array(writer)
                == hex(
                    """
                    48000000 6800 0105 04030201 00000000
                    00 00 00 00 00000000
                    0800 0100 09000000
                    1400 0200 07000000 02 00 0000 08000000 00 00 0000
                    0600 0300 0100 0000
                    0c00 0c80 0600 0100 8000 0000
                    """))
    }

    @Test func neighbourMessage() {
        var writer = MessageWriter()
        var header = ndmsg()
        header.ndm_family = UInt8(AF_INET)
        header.ndm_ifindex = 3
        header.ndm_state = UInt16(NUD_PERMANENT)
        // ip neigh add 10.0.0.2 lladdr 02:00:0a:00:00:02 dev <3> nud permanent proto 99
        writer.message(MessageType(RTM_NEWNEIGH), [.create, .replace], header) { message in
            message.put(NDA_DST, BigEndian(UInt32(0x0A00_0002)))
            message.put(NDA_LLADDR, BigEndian(UInt64(0x0200_0A00_0002) << 16), count: 6)
            message.put(NDA_PROTOCOL, UInt8(99))
        }
        #expect(
            array(writer)
                == hex(
                    """
                    38000000 1c00 0105 00000000 00000000
                    02 00 0000 03000000 8000 00 00
                    0800 0100 0a000002
                    0a00 0200 02000a000002 0000
                    0500 0c00 63 000000
                    """))
    }

    @Test func severalMessagesAndTheAcknowledgement() throws {
        var writer = MessageWriter(capacity: 16)
        for sequence: UInt32 in 1...3 {
            writer.sequence = sequence
            writer.message(MessageType(RTM_DELLINK), [], ifinfomsg()) { $0.put(IFLA_GROUP, sequence) }
        }
        writer.acknowledgeLast()
        #expect(writer.messageCount == 3)
        #expect(writer.byteCount == 3 * 40)
        var reader = MessageReader(writer.bytes)
        var seen: [UInt32] = []
        while let message = try reader.next() {
            seen.append(message.sequence)
            #expect(message.type == MessageType(RTM_DELLINK))
            #expect(message.flags == (message.sequence == 3 ? [.request, .acknowledge] : .request))
            var attributes = message.attributes(after: ifinfomsg.self)
            let attribute = try attributes.next()
            #expect(attribute?.type == IFLA_GROUP)
            #expect(try attribute?.value(as: UInt32.self) == message.sequence)
            #expect(try attributes.next() == nil)
        }
        #expect(seen == [1, 2, 3])
    }

    @Test func anAttributeThatIsTooLongTakesTheMessageBack() {
        var writer = MessageWriter()
        writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { $0.put(IFLA_IFALIAS, "kept") }
        let before = array(writer)
        writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
            message.put(IFLA_IFALIAS, String(repeating: "x", count: 65_531))
        }
        #expect(writer.takeFailure() == .attributeTooLong(type: UInt16(IFLA_IFALIAS), length: 65_532))
        #expect(array(writer) == before)
        writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
            message.nested(IFLA_LINKINFO) { information in
                for _ in 0..<9000 { information.put(IFLA_INFO_KIND, UInt32(0)) }
            }
        }
        #expect(writer.takeFailure() == .attributeTooLong(type: UInt16(IFLA_LINKINFO), length: 72_000))
        #expect(array(writer) == before)
        #expect(writer.messageCount == 1)
        writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message in
            message.put(IFLA_IFALIAS, String(repeating: "x", count: 65_530))
        }
        #expect(writer.takeFailure() == nil)
        #expect(writer.messageCount == 2)
    }

    @Test func aMessageWhoseBodyThrowsIsTakenBack() {
        struct Refused: Error {}
        var writer = MessageWriter()
        #expect(throws: Refused.self) {
            try writer.message(MessageType(RTM_NEWLINK), [], ifinfomsg()) { message throws(Refused) in
                message.put(IFLA_MTU, UInt32(1500))
                throw Refused()
            }
        }
        #expect(writer.byteCount == 0)
        #expect(writer.messageCount == 0)
    }

    @Test(arguments: [
        ("01", CodecError.truncatedMessageHeader(available: 1)),
        ("10000000 0200 0000 00000000 000000", .truncatedMessageHeader(available: 15)),
        ("0f000000 0200 0000 00000000 00000000", .messageLength(15, available: 16)),
        ("00000000 0200 0000 00000000 00000000", .messageLength(0, available: 16)),
        ("11000000 0200 0000 00000000 00000000", .messageLength(17, available: 16)),
        ("ffffffff 0200 0000 00000000 00000000", .messageLength(.max, available: 16)),
    ]) func malformedMessages(bytes: String, error: CodecError) {
        let bytes = hex(bytes)
        #expect(throws: error) {
            var reader = MessageReader(bytes.span.bytes)
            while let _ = try reader.next() {}
        }
    }

    @Test(arguments: [
        ("080001", CodecError.truncatedAttributeHeader(available: 3)),
        ("0300 0100", .attributeLength(3, type: 1, available: 4)),
        ("0000 0100 00000000", .attributeLength(0, type: 1, available: 8)),
        ("0900 0100 00000000", .attributeLength(9, type: 1, available: 8)),
        ("ffff 0180 00000000", .attributeLength(0xFFFF, type: 0x8001, available: 8)),
        ("0800 0100 00000000 04", .truncatedAttributeHeader(available: 1)),
    ]) func malformedAttributes(bytes: String, error: CodecError) {
        let bytes = hex(bytes)
        #expect(throws: error) {
            var reader = AttributeReader(bytes.span.bytes)
            while let _ = try reader.next() {}
        }
    }

    @Test func valuesAreChecked() throws {
        let bytes = hex("0600 0180 6162 0000 0500 0240 07")
        var reader = AttributeReader(bytes.span.bytes)
        let first = try #require(try reader.next()?.facts)
        #expect(first.type == 1)
        #expect(first.nested)
        #expect(first.text == "ab")
        #expect(first.wide == .attributeValue(type: 1, length: 2, expected: 4))
        // The padding behind the last attribute is missing; that is fine.
        let second = try #require(try reader.next()?.facts)
        #expect(second.type == 2)
        #expect(!second.nested)
        #expect(second.byte == 7)
        #expect(try reader.next() == nil)
    }

    @Test func numbersInNetworkOrder() {
        #expect(withUnsafeBytes(of: BigEndian(UInt16(0x0102))) { Array($0) } == [1, 2])
        #expect(withUnsafeBytes(of: BigEndian(UInt64(1))) { Array($0) } == [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(BigEndian(UInt32(0xDEAD_BEEF)).value == 0xDEAD_BEEF)
    }

    @Test func anErrorNamesTheAttributeItIsAbout() throws {
        var writer = MessageWriter()
        writer.message(MessageType(RTM_NEWLINK), [.create], ifinfomsg()) { message in
            message.put(IFLA_IFNAME, "g1")
            message.nested(IFLA_LINKINFO) { information in
                information.put(IFLA_INFO_KIND, "gre")
                information.nested(IFLA_INFO_DATA) { data in
                    data.put(IFLA_GRE_TTL, UInt8(64))
                    data.put(IFLA_GRE_LOCAL, UInt32(0))
                }
            }
        }
        // The message starts with 32 bytes of headers, 8 of name, 4 + 8 of kind, 4 + 8 up to IFLA_GRE_LOCAL.
        func error(_ offset: UInt32?, missing: UInt32? = nil, nest: UInt32? = nil) throws -> NetlinkError {
            var reply = MessageWriter()
            var header = nlmsgerr()
            header.error = -EINVAL
            header.msg.nlmsg_len = UInt32(writer.byteCount)
            let flags: MessageFlags = [.capped, .extendedAcknowledgement]
            reply.message(.error, flags, header) { message in
                message.put(NLMSGERR_ATTR_MSG.rawValue, "no such thing")
                if let offset { message.put(NLMSGERR_ATTR_OFFS.rawValue, offset) }
                if let missing { message.put(NLMSGERR_ATTR_MISS_TYPE.rawValue, missing) }
                if let nest { message.put(NLMSGERR_ATTR_MISS_NEST.rawValue, nest) }
            }
            var messages = MessageReader(reply.bytes)
            guard let message = try messages.next() else { throw CodecError.truncatedMessageHeader(available: 0) }
            return try Reply(message).error(.route, about: writer.bytes)
        }
        #expect(try error(64).attribute == "IFLA_LINKINFO.IFLA_INFO_DATA.IFLA_GRE_LOCAL")
        #expect(try error(32).attribute == "IFLA_IFNAME")
        #expect(try error(40).attribute == "IFLA_LINKINFO")
        #expect(
            try error(64).description
                == "RTM_NEWLINK: no such thing (EINVAL, IFLA_LINKINFO.IFLA_INFO_DATA.IFLA_GRE_LOCAL)")
        #expect(try error(nil).description == "RTM_NEWLINK: no such thing (EINVAL)")
        #expect(
            try error(nil, missing: UInt32(IFLA_MTU)).description
                == "RTM_NEWLINK: no such thing (EINVAL, IFLA_MTU is missing)")
        #expect(
            try error(nil, missing: UInt32(IFLA_INFO_KIND), nest: 40).attribute == "IFLA_LINKINFO.IFLA_INFO_KIND")
        // Offsets that point nowhere name as much as is known and do no harm.
        for offset in [UInt32(0), 1, 33, 66, 10_000, .max] { _ = try error(offset).description }
    }
}

extension Attribute {
    /// What a test wants to know, as values that outlive the bytes.
    fileprivate var facts: (type: Int, nested: Bool, text: String, wide: CodecError?, byte: UInt8?) {
        var wide: CodecError?
        do { _ = try value(as: UInt32.self) } catch { wide = error }
        return (type, isNested, string(), wide, try? value(as: UInt8.self))
    }
}
