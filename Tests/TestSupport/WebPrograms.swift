import Foundation

/// Programs of HTTP's other ends, in Python (the folder `Web`): servers that say who they are and what they were asked, and
/// somebody who asks again and again.
package enum WebPrograms {
    private static func file(_ name: String) -> String {
        checkout.appending(path: "Tests/TestSupport/Web/\(name).py").path()
    }

    /// Serves as `NAME=ADDRESS:PORT`, each of them, until it is ended. Answers a request with a line: the name, and what
    /// the request and the connection said. `/slow` takes a second, `/sick` turns `/health` over, and who asks for a
    /// websocket has all he writes back behind the name.
    package static let server = file("server")

    /// Asks `ADDRESS PORT HOST`, each time by a connection of its own, until its input ends; then says how often it was
    /// answered with 200, how often not, the names of all who answered, and the last failure. Says `began` after the tenth.
    package static let load = file("load")

    /// Asks `ADDRESS PORT HOST` for `/slow`, twice, and prints both answers.
    package static let slow = file("slow")

    /// Opens a websocket at `ADDRESS PORT HOST` and prints what comes back for each line of its input.
    package static let websocket = file("websocket")
}

/// A program that is spoken with line by line.
package final class Conversation {
    private let program: Program
    private let input: FileHandle
    private let output: FileHandle
    private var unread: [UInt8] = []

    /// - Parameter namespace: A named network namespace; nil: where the tests are.
    package init(python script: String, _ arguments: [String], in namespace: String? = nil) throws {
        // Speaking to one that has ended is an error, and not the end of the tests.
        signal(SIGPIPE, SIG_IGN)
        let (given, writing) = try openPipe()
        let (reading, taken) = try openPipe()
        let enter = namespace.map { ["ip", "netns", "exec", $0] } ?? []
        program = try Program(
            enter + ["/usr/bin/python3", script] + arguments, input: given.fileDescriptor,
            output: taken.fileDescriptor, error: STDERR_FILENO)
        try given.close()
        try taken.close()
        (input, output) = (writing, reading)
    }

    deinit {
        program.send(SIGKILL)
        program.wait()
    }

    /// The next line that it prints; nil at its end.
    package func line() -> String? {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            let more = output.availableData
            if more.isEmpty { return nil }
            unread += more
        }
    }

    package func say(_ line: String) throws { try input.write(contentsOf: Data((line + "\n").utf8)) }

    /// Ends its input.
    package func hush() throws { try input.close() }
}

/// What somebody was answered who asked again and again.
package struct WebLoad {
    package var good: Int
    package var bad: Int
    package var names: [String]
    package var lastFailure: String

    /// Of the last line that ``WebPrograms/load`` prints.
    package init(_ conversation: Conversation) throws {
        try conversation.hush()
        guard let words = conversation.line()?.split(separator: " "), words.count == 4, let good = Int(words[0]),
            let bad = Int(words[1])
        else { throw ProgramFailure("the load has no result") }
        (self.good, self.bad) = (good, bad)
        names = words[2].split(separator: ",").map(String.init)
        lastFailure = String(words[3])
    }
}
