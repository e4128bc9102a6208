import IPAddressing
import TestSupport
import Testing

@testable import NFTables

@Suite(.timeLimit(minutes: 10)) struct NFRuleTests {
    private func lowered(_ family: NFFamily, _ statements: NFStatement...) -> String {
        NFRule(in: family, statements).description
    }

    /// Tests for a protocol are added once, where the table's family does not imply it.
    @Test func fieldsBringTheTestsTheyNeed() throws {
        let address = try #require(IPAddress("10.0.0.1"))
        #expect(
            lowered(.inet, .match(.ipSource, address), .match(.ipDestination, address))
                == "meta nfproto => r0; r0 == 0x02; @network,12,4 => r0; r0 == 0x0a000001; "
                + "@network,16,4 => r0; r0 == 0x0a000001")
        #expect(lowered(.ip, .match(.ipSource, address)) == "@network,12,4 => r0; r0 == 0x0a000001")
        #expect(
            lowered(.netdev, .match(.ipSource, address))
                == "meta protocol => r0; r0 == 0x0800; @network,12,4 => r0; r0 == 0x0a000001")
        #expect(
            lowered(.netdev, .match(.arpOperation, 1))
                == "meta protocol => r0; r0 == 0x0806; @network,6,2 => r0; r0 == 0x0001")
        #expect(
            lowered(.inet, .match(.etherSource, .ipSource, in: "s"))
                == "meta iiftype => r0; r0 == 0x0100; @link,12,2 => r0; r0 == 0x0800; @link,6,6 => r0; "
                + "@network,12,4 => r2; lookup @s r0")
        #expect(
            lowered(.inet, .match(.l4proto, NFProtocol.tcp), .match(.tcpDestination, 80), .match(.tcpSource, 81))
                == "meta l4proto => r0; r0 == 0x06; @transport,2,2 => r0; r0 == 0x0050; @transport,0,2 => r0; r0 == 0x0051"
        )
        #expect(
            lowered(.inet, .match(.etherType, NFEtherType.arp), .match(.arpOperation, 1))
                == "meta iiftype => r0; r0 == 0x0100; @link,12,2 => r0; r0 == 0x0806; @network,6,2 => r0; r0 == 0x0001")
    }

    @Test func addressesAndRanges() throws {
        func match(_ text: String) throws -> String {
            lowered(.ip, .match(.ipDestination, try #require(IPPrefix(text))))
        }
        #expect(try match("0.0.0.0/0") == "")
        #expect(try match("10.0.0.0/8") == "@network,16,1 => r0; r0 == 0x0a")
        #expect(try match("10.0.1.0/24") == "@network,16,3 => r0; r0 == 0x0a0001")
        #expect(
            try match("10.0.16.0/20")
                == "@network,16,4 => r0; r0 & 0xfffff000 ^ 0x00000000 => r0; r0 == 0x0a001000")
        #expect(try match("10.0.1.1/32") == "@network,16,4 => r0; r0 == 0x0a000101")
        #expect(
            lowered(.inet, .match(.destinationPort, NFPort(80)...NFPort(90)))
                == "@transport,2,2 => r0; r0 >= 0x0050; r0 <= 0x005a")
        #expect(
            lowered(.inet, .match(.destinationPort, .notEqual, NFPort(80)...NFPort(90)))
                == "@transport,2,2 => r0; r0 != 0x0050-0x005a")
        #expect(
            lowered(.inet, .match(.mark, NFMark(10)...NFMark(20)))
                == "meta mark => r0; hton(r0, 4, 4) => r0; r0 >= 0x0000000a; r0 <= 0x00000014")
        #expect(
            lowered(.inet, .match(.mark, .less, 10))
                == "meta mark => r0; hton(r0, 4, 4) => r0; r0 < 0x0000000a")
        #expect(lowered(.inet, .match(.iifname, beginsWith: "p")) == "meta iifname => r0; r0 == 0x70")
    }

    /// What a first map has takes the place of the first field, behind all tests, which need that register, too.
    @Test func aMapBeforeTheMap() {
        let direct = "meta nfproto => r0; r0 == 0x02; @network,12,4 => r0; @network,9,1 => r1; @transport,2,2 => r2; "
        let counted = lowered(
            .inet, .counter(map: "m", .ipSource, .ipProtocol, .destinationPort, through: "c"), .return)
        let plain = lowered(.inet, .counter(map: "m", .ipSource, .ipProtocol, .destinationPort), .return)
        #expect(plain.hasPrefix(direct))
        #expect(counted == direct + "lookup @c r0 => r0; " + plain.dropFirst(direct.count))
        #expect(
            lowered(.inet, .counter(map: "m", .ipSource, .ipProtocol, .destinationPort, through: nil), .return) == plain
        )
        let decided = lowered(.inet, .vmap(.ipSource, .ipProtocol, .destinationPort, through: "c", map: "m"))
        #expect(decided.hasPrefix(direct + "lookup @c r0 => r0; "))
    }

    @Test func statementsOnMarks() {
        #expect(
            lowered(.inet, .set(.ctMark, keeping: 0xFF, adding: 0x100))
                == "ct mark => r0; r0 & 0xff000000 ^ 0x00010000 => r0; ct mark set r0")
        #expect(
            lowered(.inet, .match([.established, .related]), .accept)
                == "ct state => r0; r0 & 0x06000000 ^ 0x00000000 => r0; r0 != 0x00000000; accept")
        #expect(lowered(.inet, .set(.mark, 3)) == "0x03000000 => r0; meta mark set r0")
    }

    /// It is stored in kernels: a change makes every rule look foreign to those who wrote it earlier.
    @Test func digestsStayWhatTheyAre() {
        let rule = NFRule(in: .inet, .match(.mark, 1), .counter("c"), .drop, comment: "why")
        #expect(rule.description == "meta mark => r0; r0 == 0x01000000; counter name c; drop comment \"why\"")
        #expect(rule.digest == 3819965495168752512)
        #expect(NFRule(in: .inet, .drop).digest != NFRule(in: .inet, .accept).digest)
    }
}
