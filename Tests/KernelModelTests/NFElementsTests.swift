import IPAddressing
import KernelNames
import TestSupport
import Testing

@testable import KernelModel
@testable import NFTables

@Suite(.timeLimit(minutes: 10)) struct NFElementsTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
    private func device(_ text: String) throws -> InterfaceName { try #require(InterfaceName(text)) }

    // MARK: Keys

    @Test func keysAreBytesAsTheKernelHoldsThem() throws {
        #expect(NFKey(try address("10.0.1.2")).bytes == [10, 0, 1, 2])
        #expect(NFKey(NFPort(0x1F90)).bytes == [0x1F, 0x90])
        #expect(NFKey(NFProtocol.udp).bytes == [17])
        #expect(NFKey(NFEtherType.arp).bytes == [8, 6])
        #expect(NFKey(try device("eth0")).bytes == Array("eth0".utf8) + Array(repeating: 0, count: 12))
        let mac = try #require(MACAddress("02:00:5e:00:53:01"))
        #expect(NFKey(mac).bytes == [2, 0, 0x5E, 0, 0x53, 1])
        let wide = try address("2001:db8::1")
        #expect(NFKey(wide).bytes == [0x20, 1, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [1])
        // Numbers of the machine's own.
        #expect(NFKey(NFMark(0x0102_0304)).bytes == withUnsafeBytes(of: UInt32(0x0102_0304)) { Array($0) })
        #expect(NFKey(NFZone(0x0102)).bytes == withUnsafeBytes(of: UInt16(0x0102)) { Array($0) })
        #expect(NFKey(NFDirection.reply).bytes == [1])
        // One behind the other, each from a multiple of 4 bytes on; alone a field is as long as it is.
        #expect(NFKey(NFProtocol.tcp, NFPort(80)).bytes == [6, 0, 0, 0, 0, 80, 0, 0])
        #expect(NFKey(mac, NFPort(1)).bytes == [2, 0, 0x5E, 0, 0x53, 1, 0, 0, 0, 1, 0, 0])
        #expect(NFKey(NFDirection.reply, NFProtocol.tcp).bytes == [1, 0, 0, 0, 6, 0, 0, 0])
        // 64 bytes are the most.
        #expect(NFKey(wide, wide, wide, wide).bytes.count == 64)
    }

    @Test func rangesHaveTwoKeys() throws {
        let prefix = try #require(IPPrefix("10.0.1.0/24"))
        let ports = NFPort(80)...NFPort(90)
        #expect(NFKey(prefix, NFProtocol.tcp, ports).bytes == [10, 0, 1, 0, 6, 0, 0, 0, 0, 80, 0, 0])
        #expect(NFKey(upperOf: prefix, NFProtocol.tcp, ports).bytes == [10, 0, 1, 255, 6, 0, 0, 0, 0, 90, 0, 0])
        #expect(NFKey(upperOf: NFProtocol.any, NFPort.any).bytes == [255, 0, 0, 0, 255, 255, 0, 0])
    }

    @Test func typesHaveTheNumbersOfNft() {
        // What nft(8) writes for these declarations.
        #expect(NFType.code(of: [.interfaceName]) == 0x29)
        #expect(NFType.code(of: [.interfaceName, .etherAddress, .ipv4Address]) == 0x29247)
        #expect(NFType.code(of: [.connectionDirection, .mark]) == 0x6D3)
        #expect(NFType.code(of: [.ipv4Address, .internetService]) == 0x1CD)
        for type in NFType.allCases {
            #expect(NFType.types(of: NFType.code(of: [type, .ipv4Address]), length: 8)?.count == 2)
        }
        #expect(NFType.types(of: 63, length: 4) == nil)
    }

    // MARK: Order

    private func set(_ numbers: [UInt32]) -> NFElements {
        var set = NFSet("s", of: .ipv4Address, to: .values(.mark))
        // What an element bears says where it came from.
        for (index, number) in numbers.enumerated() {
            set.add(
                IPAddress(v4: number), data: NFMark(UInt32(index)), comment: index % 5 == 0 ? "\(index)" : nil,
                origin: index % 3 == 0 ? Origin(UInt32(index)) : .none)
        }
        set.elements.normalize()
        return set.elements
    }

    @Test(arguments: Seeds.fresh()) func elementsAreSortedWithAllThatTheyBear(_ seed: UInt64) {
        var random = Dice(seed: seed)
        for count in [0, 1, 2, 50, 1000] {
            let numbers = (0..<count).map { _ in UInt32.random(in: 0...300, using: &random) << 20 }
            let elements = set(numbers)
            var first: [UInt32: Int] = [:]
            for (index, number) in numbers.enumerated() where first[number] == nil { first[number] = index }
            let expected = first.sorted { $0.key < $1.key }
            #expect(elements.count == expected.count)
            for (position, (number, index)) in expected.enumerated() {
                #expect(UInt32(bigEndian: elements.slots[position * 2]) == number)
                #expect(elements.slots[position * 2 + 1] == UInt32(index))
                #expect(elements.comments[position] == (index % 5 == 0 ? "\(index)" : nil))
                #expect(elements.origin(of: position) == (index % 3 == 0 ? Origin(UInt32(index)) : .none))
            }
        }
    }

    /// Keys that have the same beginning are told apart by their end.
    @Test func longKeysAreSorted() throws {
        var set = NFSet("s", of: .interfaceName, .ipv4Address, to: .verdict)
        for (name, last) in [("e-long-name-2", 1), ("e-long-name-1", 2), ("e-long-name-1", 1), ("a", 9)] {
            set.add(try device(name), IPAddress(v4: UInt32(last)), verdict: .goto("\(name)\(last)"))
        }
        set.elements.normalize()
        #expect(
            set.elements.verdicts.compactMap(\.chain)
                == ["a9", "e-long-name-11", "e-long-name-12", "e-long-name-21"])
    }

    // MARK: Difference

    @Test(arguments: Seeds.fresh()) func differenceIsWhatIsMissingAndWhatIsTooMuch(_ seed: UInt64) {
        var random = Dice(seed: seed)
        for round in 0..<300 {
            func some() -> [UInt32: UInt32] {
                let limit = UInt32.random(in: 1...40, using: &random)
                return Dictionary(
                    (0..<round % 30).map { _ in
                        (UInt32.random(in: 0..<limit, using: &random), UInt32.random(in: 0..<3, using: &random))
                    }, uniquingKeysWith: { first, _ in first })
            }
            func elements(_ values: [UInt32: UInt32]) -> NFElements {
                var set = NFSet("s", of: .ipv4Address, to: .values(.mark))
                for (key, value) in values { set.add(IPAddress(v4: key), data: NFMark(value)) }
                set.elements.normalize()
                return set.elements
            }
            let (wanted, seen) = (some(), some())
            let (removed, added) = elements(wanted).difference(from: elements(seen))
            #expect(removed == elements(seen.filter { wanted[$0.key] != $0.value }))
            #expect(added == elements(wanted.filter { seen[$0.key] != $0.value }))
        }
    }

    @Test func commentsAndVerdictsAreDifferences() throws {
        var left = NFSet("s", of: .ipv4Address, to: .verdict)
        var right = left
        for last in 0..<4 as Range<UInt32> {
            left.add(IPAddress(v4: last), verdict: .drop, comment: last == 1 ? "x" : nil)
            right.add(IPAddress(v4: last), verdict: last == 2 ? .accept : .drop)
        }
        let (removed, added) = left.elements.difference(from: right.elements)
        #expect(removed.count == 2 && added.count == 2)
        #expect(removed.verdicts == [.drop, .accept] && added.verdicts == [.drop, .drop])
        #expect(added.comments == [0: "x"] && removed.comments.isEmpty)
        #expect(left.elements.difference(from: left.elements).added.isEmpty)
    }

    @Test func elementsAreDescribed() throws {
        var table = NFChangeSet(NFTable(.inet, "t"))
        var map = NFSet("m", of: .interfaceName, .etherAddress, .ipv4Address, to: .values(.zone))
        map.add(
            try device("e-web1"), try #require(MACAddress("02:00:00:00:00:01")), try address("10.0.0.1"),
            data: NFZone(7), origin: Origin(3))
        var rules = NFSet("r", of: .ipv6Address, .internetProtocol, .internetService, to: .verdict, isInterval: true)
        rules.add(
            try #require(IPPrefix("2001:db8::/32")), NFProtocol.tcp, NFPort(1)...NFPort(9), verdict: .goto("x"),
            comment: "c")
        table.turn = [
            .addElements(set: "m", map.shape, map.elements), .removeElements(set: "r", rules.shape, rules.elements),
        ]
        #expect(
            table.description == """
                create element inet t m { "e-web1" . 02:00:00:00:00:01 . 10.0.0.1 : 7 }
                delete element inet t r { 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff . 6 . 1-9 comment "c" : goto x }
                """)
        #expect(table.items.map(\.origin) == [Origin(3), .none])
        #expect(table.counts == ChangePlan.Counts(created: 1, deleted: 1))
    }
}
