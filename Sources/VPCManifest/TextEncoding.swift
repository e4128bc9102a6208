internal import Glibc

/// What a text is written in, as its first bytes tell (YAML 1.2.2, section 5.2): the first character of a document is
/// one of ASCII.
enum TextEncoding {
    /// With as many bytes of a byte order mark before it.
    case utf8(mark: Int)
    /// UTF-16 or UTF-32.
    case other(name: String)

    init(_ bytes: [UInt8]) {
        let first = Array(bytes.prefix(4))
        if first.count == 4, first == [0, 0, 0xFE, 0xFF] || first.prefix(3) == [0, 0, 0] && first[3] != 0 {
            self = .other(name: "UTF-32")
        } else if first.count == 4, first == [0xFF, 0xFE, 0, 0] || first[0] != 0 && first.suffix(3) == [0, 0, 0] {
            self = .other(name: "UTF-32")
        } else if first.starts(with: [0xFE, 0xFF]) || first.starts(with: [0xFF, 0xFE])
            || first.count >= 2 && (first[0] == 0) != (first[1] == 0)
        {
            self = .other(name: "UTF-16")
        } else {
            self = .utf8(mark: bytes.endOfMarks(from: 0))
        }
    }
}

/// A byte order mark at the start of a line, inside of a text. Files that were put together have one each.
struct InnerByteOrderMark {
    /// Where it begins.
    var byte: Int
    /// Where the text behind it goes on.
    var end: Int
    /// Whether a document ends before it or begins with it, so that it stands between two: YAML allows it there.
    var isBetweenDocuments: Bool
}

extension [UInt8] {
    private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// Behind the byte order marks at `start`, of which there may be none.
    func endOfMarks(from start: Int) -> Int {
        var end = start
        while self[end...].starts(with: Self.mark) { end += Self.mark.count }
        return end
    }

    /// The first byte order mark behind `start` with which a line begins.
    func innerMark(after start: Int) -> InnerByteOrderMark? {
        var from = start
        while let found = firstMark(from: from) {
            let isLineStart = found > start && isLineEnd(self[found - 1])
            guard isLineStart else {
                from = found + Self.mark.count
                continue
            }
            let end = endOfMarks(from: found)
            let isBetween =
                isMarker("---", at: end) || isMarker("---", at: lastLine(before: found, from: start))
                || isMarker("...", at: lastLine(before: found, from: start))
                || isBlank(self[start..<found]) || isBlank(self[end...])
            return InnerByteOrderMark(byte: found, end: end, isBetweenDocuments: isBetween)
        }
        return nil
    }

    private func firstMark(from start: Int) -> Int? {
        var from = start
        while let found = firstIndex(of: Self.mark[0], from: from) {
            if self[found...].starts(with: Self.mark) { return found }
            from = found + 1
        }
        return nil
    }

    /// memchr(3): a file may be large, and nearly none has such a byte.
    private func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, let found = memchr(base + start, Int32(byte), bytes.count - start)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    private func isBlank(_ text: ArraySlice<UInt8>) -> Bool { text.allSatisfy { " \t\r\n".utf8.contains($0) } }

    private func isLineEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") }

    /// The start of the last line before `end` that is not blank.
    private func lastLine(before end: Int, from start: Int) -> Int {
        var index = end
        while index > start, " \t\r\n".utf8.contains(self[index - 1]) { index -= 1 }
        while index > start, !isLineEnd(self[index - 1]) { index -= 1 }
        return index
    }

    /// Whether a line says nothing but where a document begins or ends.
    private func isMarker(_ marker: StaticString, at index: Int) -> Bool {
        let word = UnsafeBufferPointer(start: marker.utf8Start, count: marker.utf8CodeUnitCount)
        guard self[index...].starts(with: word) else { return false }
        let rest = self[(index + word.count)...]
        return rest.isEmpty || rest.first.map { " \t\r\n".utf8.contains($0) } == true
    }
}
