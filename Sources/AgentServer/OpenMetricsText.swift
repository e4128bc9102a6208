/// Builds a text of OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/).
struct OpenMetricsText {
    static let contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    private var bytes: [UInt8] = []

    /// A label and its value.
    typealias Label = (name: String, value: String)

    struct Sample {
        var labels: [Label] = []
        var value: Value
    }

    enum Value {
        case integer(Int)
        case real(Double)

        var text: String {
            switch self {
            case .integer(let number): String(number)
            case .real(let number): "\(number)"
            }
        }
    }

    /// Numbers that only grow; `_total` is added to the name.
    mutating func counter(_ name: String, unit: String? = nil, _ help: String, _ samples: [Sample]) {
        family(name, "counter", unit, help)
        for sample in samples { line(name + "_total", sample.labels, sample.value) }
    }

    mutating func gauge(_ name: String, unit: String? = nil, _ help: String, _ samples: [Sample]) {
        family(name, "gauge", unit, help)
        for sample in samples { line(name, sample.labels, sample.value) }
    }

    /// A constant that tells something in its labels; `_info` is added to the name.
    mutating func info(_ name: String, _ help: String, _ labels: [Label]) {
        family(name, "info", nil, help)
        line(name + "_info", labels, .integer(1))
    }

    /// - Parameter counts: how many were at most as large as the bound, for each of `bounds`.
    mutating func histogram(
        _ name: String, unit: String, _ help: String, bounds: [Double], counts: [Int], count: Int, sum: Double
    ) {
        family(name, "histogram", unit, help)
        for (bound, number) in zip(bounds, counts) {
            line(name + "_bucket", [("le", "\(bound)")], .integer(number))
        }
        line(name + "_bucket", [("le", "+Inf")], .integer(count))
        line(name + "_count", [], .integer(count))
        line(name + "_sum", [], .real(sum))
    }

    func finished() -> [UInt8] { bytes + "# EOF\n".utf8 }

    // MARK: Lines

    private mutating func family(_ name: String, _ type: String, _ unit: String?, _ help: String) {
        bytes += "# TYPE \(name) \(type)\n".utf8
        if let unit { bytes += "# UNIT \(name) \(unit)\n".utf8 }
        bytes += "# HELP \(name) \(Self.escaped(help))\n".utf8
    }

    private mutating func line(_ name: String, _ labels: [Label], _ value: Value) {
        bytes += name.utf8
        if !labels.isEmpty {
            let list = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            bytes += "{\(list)}".utf8
        }
        bytes += " \(value.text)\n".utf8
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
