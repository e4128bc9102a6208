/// Columns of text, padded to their widest cell, two spaces apart.
public struct TextTable: Sendable {
    public var header: [String]
    public var rows: [[String]] = []

    public init(_ header: [String]) { self.header = header }

    /// One line a row, the header first.
    public func lines(style: Style) -> [String] {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.enumerated().map { index, row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += column < row.count - 1 ? cell.padded(to: widths[column] + 2) : cell
            }
            return index == 0 ? style.bold(line) : line
        }
    }
}

extension String {
    /// The text with spaces behind it, where it is shorter than `width` characters.
    public func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
