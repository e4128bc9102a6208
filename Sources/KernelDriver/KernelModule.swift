import Glibc
import Netlink

/// The file of a kernel module: an ELF object (elf(5)) of 64 bits, little endian, that is yet to be relocated.
///
/// So what its functions call stands in it by name.
struct KernelModule {
    private let bytes: [UInt8]
    private let sections: [Section]

    private struct Section {
        var name: String
        var type: UInt32
        var range: Range<Int>
        /// Of a table of symbols: that of their names; of relocations: that of the symbols.
        var link: Int
        /// Of relocations: what is relocated.
        var info: Int
    }

    private struct Symbol {
        var name: String
        var section: Int
        var place: Range<UInt64>
    }

    /// - Returns: nil where that is no such file.
    init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        // ELFMAG, ELFCLASS64, ELFDATA2LSB
        guard bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return nil }
        guard let start = Self.number(bytes, 0x28, as: UInt64.self),
            let size = Self.number(bytes, 0x3A, as: UInt16.self),
            let count = Self.number(bytes, 0x3C, as: UInt16.self),
            let names = Self.number(bytes, 0x3E, as: UInt16.self),
            start <= bytes.count, size >= 64
        else { return nil }
        var headers: [(name: UInt32, section: Section)] = []
        for index in 0..<Int(count) {
            let place = Int(start) + index * Int(size)
            guard let name = Self.number(bytes, place, as: UInt32.self),
                let type = Self.number(bytes, place + 4, as: UInt32.self),
                let offset = Self.number(bytes, place + 24, as: UInt64.self),
                let length = Self.number(bytes, place + 32, as: UInt64.self),
                let link = Self.number(bytes, place + 40, as: UInt32.self),
                let info = Self.number(bytes, place + 44, as: UInt32.self)
            else { return nil }
            // SHT_NOBITS has no bytes.
            let isEmpty = type == 0 || type == 8
            guard isEmpty || offset <= bytes.count && length <= UInt64(bytes.count) - offset else { return nil }
            let range = isEmpty ? 0..<0 : Int(offset)..<Int(offset + length)
            headers.append((name, Section(name: "", type: type, range: range, link: Int(link), info: Int(info))))
        }
        guard headers.indices.contains(Int(names)) else { return nil }
        let strings = headers[Int(names)].section.range
        sections = headers.map { header in
            var section = header.section
            section.name = Self.text(bytes, strings, Int(header.name))
            return section
        }
    }

    /// What tells this build from all others; nil where there is none.
    var buildID: ArraySlice<UInt8>? { sections.first { $0.name == ".note.gnu.build-id" }.map { bytes[$0.range] } }

    /// Whether a function calls another one, in any of the parts that the compiler made of it (`NAME.cold`).
    func function(_ name: String, calls other: String) -> Bool {
        // SHT_SYMTAB
        guard let table = sections.firstIndex(where: { $0.type == 2 }) else { return false }
        let symbols = symbols(of: sections[table])
        let parts = symbols.filter { $0.name == name || $0.name.hasPrefix("\(name).") }
        // SHT_RELA
        for relocations in sections where relocations.type == 4 && relocations.link == table {
            let places = parts.filter { $0.section == relocations.info }.map(\.place)
            if places.isEmpty { continue }
            for entry in stride(from: relocations.range.lowerBound, to: relocations.range.upperBound - 23, by: 24) {
                guard let offset = Self.number(bytes, entry, as: UInt64.self),
                    let symbol = Self.number(bytes, entry + 12, as: UInt32.self).map(Int.init),
                    symbols.indices.contains(symbol), symbols[symbol].name == other
                else { continue }
                if places.contains(where: { $0.contains(offset) }) { return true }
            }
        }
        return false
    }

    private func symbols(of table: Section) -> [Symbol] {
        guard sections.indices.contains(table.link) else { return [] }
        let strings = sections[table.link].range
        return stride(from: table.range.lowerBound, to: table.range.upperBound - 23, by: 24).map { entry in
            let start = Self.number(bytes, entry + 8, as: UInt64.self) ?? 0
            let size = Self.number(bytes, entry + 16, as: UInt64.self) ?? 0
            return Symbol(
                name: Self.text(bytes, strings, Int(Self.number(bytes, entry, as: UInt32.self) ?? 0)),
                section: Int(Self.number(bytes, entry + 6, as: UInt16.self) ?? 0),
                place: start..<(start &+ size < start ? start : start &+ size))
        }
    }

    private static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ place: Int, as: Number.Type) -> Number? {
        guard place >= 0, place <= bytes.count - MemoryLayout<Number>.size else { return nil }
        return bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: Number.self)) }
    }

    private static func text(_ bytes: [UInt8], _ strings: Range<Int>, _ place: Int) -> String {
        guard strings.contains(strings.lowerBound + place) else { return "" }
        let text = bytes[(strings.lowerBound + place)..<strings.upperBound].prefix { $0 != 0 }
        return String(decoding: text, as: UTF8.self)
    }
}
