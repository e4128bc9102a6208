import Foundation
import TestSupport
import Testing

@Suite(.timeLimit(minutes: 10)) struct ProgramTests {
    /// Whatever is open here stays here.
    @Test func aProgramGetsThreeDescriptors() throws {
        let pipes = try (0..<20).map { _ in try openPipe() }
        let result = try Run(["sh", "-c", "exec ls /proc/self/fd"])
        // The fourth is that of the listing.
        #expect(result.output == "0\n1\n2\n3\n")
        withExtendedLifetime(pipes) {}
    }

    @Test func theEndIsTold() throws {
        let result = try Run(["sh", "-c", "cat; echo wrong >&2; exit 7"], input: Data("right".utf8))
        #expect(result.status == 7)
        #expect(result.output == "right")
        #expect(result.error == "wrong\n")
        let merged = try Run(["sh", "-c", "echo a; echo b >&2; echo c"], mergingErrors: true)
        #expect(merged.output == "a\nb\nc\n")
        #expect(throws: ProgramFailure.self) { try Run(["/nonexistent"]) }
        // Signals are not blocked, as they are in threads of tests.
        let program = try Program(["sleep", "1000"])
        #expect(program.isRunning)
        program.send(SIGTERM)
        #expect(program.wait() == 128 + SIGTERM)
        #expect(!program.isRunning)
    }
}
