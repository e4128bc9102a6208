import Glibc

/// Colours of a terminal, or none.
public struct Style: Hashable, Sendable {
    public var isColored: Bool

    public init(isColored: Bool) { self.isColored = isColored }

    public static let plain = Style(isColored: false)

    /// Colours where `descriptor` is a terminal and NO_COLOR (no-color.org) is not set.
    public static func automatic(for descriptor: Int32) -> Style {
        let forbidden = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
        return Style(isColored: isatty(descriptor) == 1 && !forbidden)
    }

    private func sgr(_ code: Int, _ text: String) -> String { isColored ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }

    public func bold(_ text: String) -> String { sgr(1, text) }
    public func red(_ text: String) -> String { sgr(31, text) }
    public func green(_ text: String) -> String { sgr(32, text) }
    public func yellow(_ text: String) -> String { sgr(33, text) }
    public func dim(_ text: String) -> String { sgr(2, text) }
}
