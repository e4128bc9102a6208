import Glibc
import IPAddressing
import TestSupport
import Testing

/// What the C library makes of an address.
private func libraryAddress(_ text: String) -> IPAddress? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 {
        return IPAddress(v4: bytes[..<4].reduce(0) { $0 << 8 | UInt32($1) })
    }
    guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
    return IPAddress(
        family: .ipv6, high: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) },
        low: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
}

@Suite(.timeLimit(minutes: 10)) struct IPAddressTests {
    @Test(
        arguments: [
            ("0.0.0.0", 0), ("10.0.0.1", 0x0A00_0001), ("255.255.255.255", 0xFFFF_FFFF), ("172.31.0.2", 0xAC1F_0002),
        ] as [(String, UInt32)])
    func ipv4TextIsItsNumber(_ text: String, _ value: UInt32) {
        #expect(IPAddress(text) == IPAddress(v4: value))
        #expect(IPAddress(v4: value).description == text)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.04",
        "1.2.3.4 ",
        " 1.2.3.4", "+1.2.3.4", "1.2.3.-4", "0x1.2.3.4", "1.2.3.4/8", "a.b.c.d", "٣.2.3.4", "1.2.3.4\0", ":", ":::",
        "1:", ":1",
        "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
        "fe80::1%eth0",
        "::1.2.3", "1.2.3.4::", "::g", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::+1", "1:2:3:4:5:6:7:",
    ])
    func otherTextIsNoAddress(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("2001:DB8::0001", "2001:db8::1"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("1:2:3:0:5:6:7:8", "1:2:3:0:5:6:7:8"), ("::ffff:10.0.0.1", "::ffff:a00:1"), ("fe80::", "fe80::"),
        ("::8", "::8"),
    ])
    func ipv6TextIsCanonical(_ text: String, _ canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    /// Addresses with random edits, so that about half are none: parsing agrees with inet_pton on every one.
    @Test func parsingAgreesWithTheLibrary() {
        var random = Dice(seed: 1)
        let alphabet = Array("0123456789abcdefABCDEF::::....%/ g")
        var valid = 0
        for _ in 0..<200_000 {
            var text: [Character]
            if Bool.random(using: &random) {
                text = (0..<8).map { _ in String(UInt16.random(in: 0...0xFFFF, using: &random), radix: 16) }.joined(
                    separator: ":"
                ).map(\.self)
                if Bool.random(using: &random) {
                    let first = Int.random(in: 0..<text.count, using: &random)
                    let last = Int.random(in: first..<text.count, using: &random)
                    text.replaceSubrange(first...last, with: "::")
                }
                if Int.random(in: 0..<4, using: &random) == 0 {
                    text.replaceSubrange((text.count / 2)..., with: ":10.9.8.7")
                }
            } else {
                text = (0..<4).map { _ in String(Int.random(in: 0...270, using: &random)) }.joined(separator: ".").map(
                    \.self)
            }
            if Int.random(in: 0..<3, using: &random) == 0 {
                text[Int.random(in: 0..<text.count, using: &random)] =
                    alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            let address = IPAddress(String(text))
            let expected = libraryAddress(String(text))
            #expect(address == expected, "\(String(text))")
            guard let address else { continue }
            valid += 1
            #expect(IPAddress(address.description) == address, "\(address) does not survive")
        }
        // An agreement on nothing but nonsense would prove little.
        #expect((40_000...180_000).contains(valid))
    }

    @Test func aSubstringIsParsedInPlace() {
        let text = "address=10.0.0.1;"
        #expect(IPAddress(text.dropFirst(8).dropLast()) == IPAddress(v4: 0x0A00_0001))
    }

    @Test func addressesAreOrderedByFamilyThenNumber() {
        let addresses = ["10.0.0.1", "10.0.0.2", "255.255.255.255", "::", "::1", "1::"].compactMap { IPAddress($0) }
        #expect(addresses == addresses.reversed().sorted())
    }

    @Test func advancingStopsAtTheEndOfTheFamily() {
        #expect(IPAddress(v4: .max).advanced(by: 1) == nil)
        #expect(IPAddress(v4: 0).advanced(by: UInt64(UInt32.max))?.description == "255.255.255.255")
        #expect(IPAddress("::ffff:ffff:ffff:ffff")?.advanced(by: 1)?.description == "0:0:0:1::")
        #expect(IPAddress("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")?.advanced(by: 1) == nil)
    }
}

@Suite(.timeLimit(minutes: 10)) struct IPPrefixTests {
    @Test(arguments: ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/32", "::/0", "2001:db8::/32", "::1/128"])
    func textIsKept(_ text: String) throws {
        #expect(try IPPrefix.parse(text).description == text)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0/8",
    ])
    func otherTextIsMalformed(_ text: String) {
        #expect(throws: IPPrefixError.malformed) { try IPPrefix.parse(text) }
    }

    @Test func lengthsBeyondTheFamilyAreNamed() {
        #expect(throws: IPPrefixError.lengthOutOfRange(maximum: 32)) { try IPPrefix.parse("10.0.0.0/33") }
        #expect(throws: IPPrefixError.lengthOutOfRange(maximum: 128)) { try IPPrefix.parse("::/129") }
        #expect(throws: IPPrefixError.lengthOutOfRange(maximum: 32)) {
            try IPPrefix.parse("10.0.0.0/99999999999999999999999999")
        }
    }

    @Test func hostBitsNameTheMeantPrefix() {
        let meant = IPPrefix(containing: IPAddress(v4: 0x0A00_0100), length: 24)
        #expect(throws: IPPrefixError.hostBitsSet(meant: meant)) { try IPPrefix.parse("10.0.1.7/24") }
    }

    /// Against the definition: an address is inside when its first `length` bits are the prefix's.
    @Test(arguments: [0, 1, 8, 24, 31, 32]) func containmentIsThatOfTheBits(_ length: Int) {
        var random = Dice(seed: UInt64(length))
        for _ in 0..<1000 {
            let base = UInt32.random(in: 0...UInt32.max, using: &random)
            let other = base ^ (Bool.random(using: &random) ? 1 << UInt32.random(in: 0...31, using: &random) : 0)
            let prefix = IPPrefix(containing: IPAddress(v4: base), length: length)
            #expect(
                prefix.contains(IPAddress(v4: other)) == ((UInt64(base) ^ UInt64(other)) >> UInt64(32 - length) == 0))
            #expect(
                prefix.last.v4 == UInt32(truncatingIfNeeded: UInt64(prefix.address.v4) + (1 << UInt64(32 - length)) - 1)
            )
        }
    }

    @Test func ipv6BlocksHaveTheirBounds() throws {
        #expect(try IPPrefix.parse("2001:db8::/32").last.description == "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")
        #expect(try IPPrefix.parse("2001:db8::/96").last.description == "2001:db8::ffff:ffff")
        #expect(try IPPrefix.parse("::/0").last == IPAddress("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
        #expect(try IPPrefix.parse("2001:db8::/64").contains(try #require(IPAddress("2001:db8::1"))))
        #expect(try !IPPrefix.parse("::/0").contains(.anyIPv4))
    }

    @Test func oneOfTwoOverlappingPrefixesContainsTheOther() throws {
        let blocks = try ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "::/0"].map { try IPPrefix.parse($0) }
        #expect(blocks[0].overlaps(blocks[1]) && blocks[1].overlaps(blocks[0]))
        #expect(!blocks[1].overlaps(blocks[2]) && !blocks[0].overlaps(blocks[3]))
        // A covering prefix sorts directly before what it covers.
        #expect(blocks == blocks.reversed().sorted())
        #expect(try IPPrefix.parse("10.0.0.0/8") < IPPrefix.parse("10.0.0.0/9"))
    }

    /// Every address of the block is in one part or in one of the others, and no two parts could be one.
    @Test(arguments: [
        [], ["10.0.1.32/28"], ["10.0.1.0/24"], ["10.0.1.32/32"], ["10.0.1.47/32", "10.0.1.36/30"], ["10.0.1.48/28"],
        ["10.0.1.32/29", "10.0.1.40/29"], ["2001:db8::/32"],
    ])
    func partsAreWhatIsLeft(_ others: [String]) throws {
        let block = try IPPrefix.parse("10.0.1.32/28")
        let others = try others.map { try IPPrefix.parse($0) }
        let parts = block.parts(without: others)
        for address in (0..<16).map({ IPAddress(v4: block.address.v4 + $0) }) {
            let isTaken = others.contains { $0.contains(address) }
            #expect(parts.count { $0.contains(address) } == (isTaken ? 0 : 1))
        }
        #expect(parts.allSatisfy(block.contains) && parts == parts.sorted())
        for (one, next) in zip(parts, parts.dropFirst()) {
            let joined = IPPrefix(containing: one.address, length: Int(one.length) - 1)
            #expect(one.length != next.length || !joined.contains(next))
        }
    }

    @Test func halvesAreOfEitherFamily() throws {
        let halves = try #require(try IPPrefix.parse("2001:db8::/63").halves)
        #expect("\(halves.0) \(halves.1)" == "2001:db8::/64 2001:db8:0:1::/64")
        #expect(IPPrefix(IPAddress(v4: 7)).halves == nil)
    }
}

@Suite(.timeLimit(minutes: 10)) struct MACAddressTests {
    @Test func textIsItsNumber() {
        #expect(MACAddress("02:00:5e:00:00:01")?.rawValue == 0x0200_5E00_0001)
        #expect(MACAddress("FE:DC:BA:98:76:54")?.description == "fe:dc:ba:98:76:54")
        #expect(MACAddress("00:0a:00:b0:0c:0d")?.octets == [0, 10, 0, 0xB0, 12, 13])
    }

    @Test(arguments: [
        "", "02:00:5e:00:00", "02:00:5e:00:00:01:02", "2:0:5e:0:0:1", "02-00-5e-00-00-01", "02:00:5e:00:00:0g",
        "02:00:5e:00:00:+1",
        "02:00:5e:00:0001", "0２:00:5e:00:00:1", "02:00:5e:00:00:01 ",
    ])
    func otherTextIsNoMAC(_ text: String) {
        #expect(MACAddress(text) == nil)
    }

    @Test func theGroupBitIsTheLowestOfTheFirstOctet() {
        #expect(MACAddress(rawValue: 0x0100_5E00_0001).isMulticast)
        #expect(MACAddress(rawValue: 0xFFFF_FFFF_FFFF).isMulticast)
        #expect(!MACAddress(rawValue: 0x0200_5E00_0001).isMulticast)
    }
}

/// Addresses as the numbers that algorithms work with.
@Suite(.timeLimit(minutes: 10)) struct AddressBitsTests {
    private func check<Bits: AddressBits>(_ texts: [String], _: Bits.Type) throws {
        for text in texts {
            let prefix = try #require(IPPrefix(text))
            let range = prefix.range(of: Bits.self)
            #expect(IPAddress(bits: range.lowerBound) == prefix.address)
            #expect(IPAddress(bits: range.upperBound) == prefix.last)
            #expect(ClosedRange(bits: range) == prefix.address...prefix.last)
            #expect(range.upperBound.masked(to: Int(prefix.length)) == range.lowerBound)
            #expect(UInt128(range.upperBound - range.lowerBound) == UInt128(Bits.max) >> prefix.length)
        }
    }

    @Test func numbersAreThoseOfTheAddresses() throws {
        try check(["0.0.0.0/0", "128.0.0.0/1", "10.0.1.0/24", "10.0.1.255/32", "255.255.255.255/32"], IPv4Bits.self)
        try check(
            ["::/0", "8000::/1", "2001:db8::/63", "2001:db8::/64", "2001:db8:0:1:8000::/65", "ffff::1/128"],
            IPv6Bits.self)
        #expect(IPv6Bits(bitsOf: try #require(IPAddress("2001:db8::1"))) == 0x2001_0DB8 << 96 | 1)
        #expect(IPv4Bits(bitsOf: try #require(IPAddress("10.0.1.2"))) == 0x0A00_0102)
    }
}
