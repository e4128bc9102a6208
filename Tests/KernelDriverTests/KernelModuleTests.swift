import Foundation
import KernelNames
import NFTables
import Testing

@testable import KernelDriver

/// What is read of a kernel module's file: whether tunnels make room for their header.
@Suite struct KernelModuleTests {
    /// An object with a function of 16 bytes that calls `callee`, the shortest that ld(1) would take.
    private static func object(
        function: String, calling callee: String, at offset: UInt64 = 4, build: [UInt8] = [7, 7]
    )
        -> [UInt8]
    {
        var strings: [UInt8] = [0]
        func name(_ text: String) -> UInt32 {
            defer { strings += Array(text.utf8) + [0] }
            return UInt32(strings.count)
        }
        func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
            withUnsafeBytes(of: number.littleEndian) { Array($0) }
        }
        func symbol(_ text: String, section: UInt16, size: UInt64) -> [UInt8] {
            bytes(name(text)) + [0x12, 0] + bytes(section) + bytes(UInt64(0)) + bytes(size)
        }
        let symbols =
            [UInt8](repeating: 0, count: 24) + symbol(function, section: 1, size: 16)
            + symbol(callee, section: 0, size: 0)
        let relocation = bytes(offset) + bytes(UInt32(4)) + bytes(UInt32(2)) + bytes(UInt64(0))
        let names = (text: name(".text"), note: name(".note.gnu.build-id"))
        var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 57)
        var headers = [UInt8](repeating: 0, count: 64)
        func section(_ name: UInt32, _ type: UInt32, _ content: [UInt8], link: UInt32 = 0, info: UInt32 = 0) {
            headers += bytes(name) + bytes(type) + bytes(UInt64(0)) + bytes(UInt64(0)) + bytes(UInt64(file.count))
            headers += bytes(UInt64(content.count)) + bytes(link) + bytes(info) + bytes(UInt64(1)) + bytes(UInt64(24))
            file += content
        }
        section(names.text, 1, [UInt8](repeating: 0x90, count: 16))
        section(0, 2, symbols, link: 4)
        section(0, 4, relocation, link: 2, info: 1)
        section(0, 3, strings)
        section(names.note, 7, build)
        let start = UInt64(file.count)
        file.replaceSubrange(0x28..<0x30, with: bytes(start))
        file.replaceSubrange(0x3A..<0x40, with: bytes(UInt16(64)) + bytes(UInt16(6)) + bytes(UInt16(4)))
        return file + headers
    }

    @Test func callsAreFoundWhereTheyAre() throws {
        func calls(_ bytes: [UInt8]) -> Bool? {
            KernelModule(bytes)?.function("ipgre_header", calls: "pskb_expand_head")
        }
        #expect(calls(Self.object(function: "ipgre_header", calling: "pskb_expand_head")) == true)
        // What the compiler has put elsewhere is a part of the function; another function is none.
        #expect(calls(Self.object(function: "ipgre_header.cold", calling: "pskb_expand_head")) == true)
        #expect(calls(Self.object(function: "ipgre_header_parse", calling: "pskb_expand_head")) == false)
        #expect(calls(Self.object(function: "ipgre_header", calling: "skb_push")) == false)
        #expect(calls(Self.object(function: "ipgre_header", calling: "pskb_expand_head", at: 16)) == false)
        #expect(calls(Array("no module".utf8)) == nil)
    }

    /// Nothing else is believed: not a file of another build than the module that runs.
    @Test func whatRunsIsWhatWasRead() throws {
        let good = try #require(KernelModule(Self.object(function: "ipgre_header", calling: "pskb_expand_head")))
        let bad = try #require(KernelModule(Self.object(function: "ipgre_header", calling: "skb_push")))
        func obstacle(_ module: KernelModule, _ loaded: [UInt8]?) -> String? {
            KernelDriver.tunnelObstacle(of: module, in: "ip_gre.ko", loaded: loaded)
        }
        #expect(obstacle(good, nil) == nil)
        #expect(obstacle(good, [7, 7]) == nil)
        #expect(try #require(obstacle(good, [7, 8])).contains("reboot"))
        #expect(try #require(obstacle(bad, [7, 7])).contains("a guest could stop it"))
        #expect(try #require(obstacle(bad, nil)).contains("use a newer one"))
    }

    /// Whatever the bytes are, they are read or refused.
    @Test func damagedFilesAreRefused() {
        let whole = Self.object(function: "ipgre_header", calling: "pskb_expand_head")
        for end in whole.indices { _ = KernelModule(Array(whole[..<end]))?.function("ipgre_header", calls: "x") }
        for place in whole.indices {
            for value: UInt8 in [0, 0x7F, 0xFF] {
                var damaged = whole
                damaged[place] = value
                let module = KernelModule(damaged)
                _ = module?.function("ipgre_header", calls: "pskb_expand_head")
                _ = module?.buildID
            }
        }
    }

    @Test func compressedModulesAreRead() throws {
        let object = Self.object(function: "ipgre_header", calling: "pskb_expand_head")
        let folder = FileManager.default.temporaryDirectory.appending(path: "vpcctl-xz-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "ip_gre.ko")
        try Data(object).write(to: file)
        let xz = try Process.run(URL(filePath: "/usr/bin/xz"), arguments: ["--check=crc32", file.path()])
        xz.waitUntilExit()
        let packed = Array(try Data(contentsOf: folder.appending(path: "ip_gre.ko.xz")))
        #expect(XZ.decompressed(packed) == object)
        #expect(XZ.decompressed(Array(packed.dropLast(9))) == nil)
        #expect(XZ.decompressed([]) == nil)
    }
}
