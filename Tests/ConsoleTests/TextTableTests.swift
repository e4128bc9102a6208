import Console
import TestSupport
import Testing

@Suite(.timeLimit(minutes: 10)) struct TextTableTests {
    @Test func columnsArePadded() {
        var table = TextTable(["NAME", "ID"])
        table.rows = [["blue", "101"], ["a-long-name", "7"]]
        #expect(table.lines(style: .plain) == ["NAME         ID", "blue         101", "a-long-name  7"])
    }

    @Test func onlyTheHeaderIsBold() {
        var table = TextTable(["A"])
        table.rows = [["b"]]
        #expect(table.lines(style: Style(isColored: true)) == ["\u{1B}[1mA\u{1B}[0m", "b"])
    }
}
