import TestSupport
import Testing

@testable import VPCManifest

/// https://yaml.org/spec/1.2.2/#103-core-schema
@Suite(.timeLimit(minutes: 10)) struct ScalarTypeTests {
    private func type(_ text: String) -> ScalarType {
        Array(text.utf8).withUnsafeBufferPointer { ScalarType(plain: $0) }
    }

    @Test(arguments: ["", "~", "null", "Null", "NULL"]) func nulls(_ text: String) {
        #expect(type(text) == .null)
    }

    @Test(arguments: ["true", "True", "TRUE", "false", "False", "FALSE"]) func booleans(_ text: String) {
        #expect(type(text) == .boolean)
    }

    @Test(
        arguments: [
            ("0", 0), ("7", 7), ("-7", -7), ("+7", 7), ("007", 7), ("0o17", 15), ("0x1F", 31),
            ("0xdeadBEEF", 0xDEAD_BEEF),
            ("9223372036854775807", .max), ("-9223372036854775808", .min), ("9223372036854775808", nil),
            ("0xFFFFFFFFFFFFFFFF", nil),
        ] as [(String, Int?)])
    func integers(_ text: String, _ value: Int?) {
        #expect(type(text) == .integer)
        #expect(ScalarType.integer(text) == value)
    }

    @Test(arguments: [
        "0.", "1.", ".5", "1.5", "-1.5", "+.5", "1e3", "1E3", "1.e3", "1.5e-3", "1e+3", ".inf", ".Inf", ".INF", "-.inf",
        "+.INF",
        ".nan", ".NaN", ".NAN", "12345678901234567890.0",
    ])
    func floatingPoints(_ text: String) {
        #expect(type(text) == .floatingPoint)
    }

    @Test(arguments: [
        "nULL", "nuLl", "nulls", "nul", "tRUE", "TrUE", "truE", "truest", "fALSE", "fals", "yes", "no", "on", "off",
        "y", "n",
        "~~", "0x", "0o", "0o8", "0xg", "0X1F", "0b1", "-0x1F", "+0o7", "1_000", "1,000", "12:30", "--1", "+-1", "+",
        "-", ".",
        "..", "-.", "+.", "e3", "1e", "1e+", "1.5.5", "1e3e", "1e3.5", ".e3", ".iNf", ".infinity", ".nAN", "-.nan",
        "+.NaN",
        "10.0.0.1", "10.0.0.0/8", "02:00:0a:00:01:0a", "1-2", "2024-01-01", "1a", "a1", "é", "１",
    ])
    func strings(_ text: String) {
        #expect(type(text) == .string)
    }
}
