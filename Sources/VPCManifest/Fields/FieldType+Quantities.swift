internal import VPCModel

extension FieldType<Duration> {
    /// `300ms`, `10s`, `5m`, `1h`.
    static func duration(in range: ClosedRange<Duration>) -> FieldType {
        FieldType(
            "duration", read: { $0.duration($1, in: range) },
            write: { .string($0.text) })
    }

    /// With their milliseconds.
    fileprivate static var units: [(String, Int)] { [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)] }
}

extension Duration {
    fileprivate var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }

    /// With the largest unit that it is a multiple of.
    fileprivate var text: String {
        let unit = FieldType<Duration>.units.last { milliseconds % $0.1 == 0 } ?? ("ms", 1)
        return "\(milliseconds / unit.1)\(unit.0)"
    }
}

extension FieldType<Bitrate> {
    /// `10Mbit`, `5Gbit`: decimal, bits a second.
    static func rate(in range: ClosedRange<Bitrate>) -> FieldType {
        FieldType("rate", read: { $0.rate($1, in: range) }, write: { .string($0.text) })
    }

    fileprivate static var units: [(String, Int)] { [("kbit", 1000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)] }
}

extension Bitrate {
    /// With the largest unit that it is a multiple of.
    fileprivate var text: String {
        let unit =
            FieldType<Bitrate>.units.last { bitsPerSecond % UInt64($0.1) == 0 } ?? ("kbit", 1000)
        return "\(bitsPerSecond / UInt64(unit.1))\(unit.0)"
    }
}

extension DocumentReader {
    fileprivate mutating func rate(_ node: Int, in range: ClosedRange<Bitrate>) -> Bitrate? {
        let what = "a rate, a number with its unit"
        guard let (number, unit) = quantity(node, what, units: FieldType<Bitrate>.units, example: "10Mbit, 5Gbit")
        else {
            return nil
        }
        let (bits, isTooMuch) = UInt64(number).multipliedReportingOverflow(by: UInt64(unit))
        let rate = Bitrate(bitsPerSecond: isTooMuch ? .max : bits)
        guard range.contains(rate) else {
            report(
                "out-of-range",
                "\(path(node)) must be from \(range.lowerBound.text) to \(range.upperBound.text), not \(tree.text(node))",
                at: node)
            return nil
        }
        return rate
    }

    fileprivate mutating func duration(_ node: Int, in range: ClosedRange<Duration>) -> Duration? {
        let what = "a duration, a number with its unit"
        guard let (number, unit) = quantity(node, what, units: FieldType<Duration>.units, example: "300ms, 10s, 1h")
        else { return nil }
        let duration = Duration.milliseconds(number * unit)
        guard range.contains(duration) else {
            report(
                "out-of-range",
                "\(path(node)) must be from \(range.lowerBound.text) to \(range.upperBound.text), not \(tree.text(node))",
                at: node)
            return nil
        }
        return duration
    }

    /// A whole number with a unit behind it.
    private mutating func quantity(
        _ node: Int, _ what: String, units: [(String, Int)], example: String
    ) -> (number: Int, unit: Int)? {
        let hint = "write it with its unit: \(example)"
        guard tree[node].kind == .scalar else {
            reportType(what, at: node, hint: hint)
            return nil
        }
        let text = tree.text(node)
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let name = text.dropFirst(digits.count)
        guard let number = Int(digits), digits.count <= 12, let unit = units.first(where: { $0.0 == name }) else {
            report(
                "invalid-value", "\(path(node)) must be \(what), not \(quoted(short(text)))", hint: hint, at: node)
            return nil
        }
        return (number, unit.1)
    }
}
