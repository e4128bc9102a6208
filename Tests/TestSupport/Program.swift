import CTestSupport
package import Foundation
import Glibc
import Synchronization

/// A program beside the tests, in a process group of its own, with no signal blocked or ignored.
///
/// It gets the three descriptors it is given and no other. Foundation's `Process` hands on what other threads open while
/// it starts a program, be it the end of a pipe or of the socket by which it notices the end of another program: whoever
/// waits for that end then waits for the wrong program. Here tests run side by side, and some programs run for long.
package final class Program: Sendable {
    package let processIdentifier: Int32
    private let status: Mutex<Int32?> = Mutex(nil)

    /// Starts it.
    /// - Parameters:
    ///   - command: The program, looked up in `PATH`, and its arguments.
    ///   - environment: What is added to, or replaced in, the environment of the tests.
    ///   - input: What it reads; nil: nothing. Like the others, stays the caller's.
    ///   - output: Where its standard output goes; nil: nowhere.
    ///   - error: Where its standard error goes; nil: nowhere.
    package init(
        _ command: [String], environment: [String: String] = [:], input: Int32? = nil, output: Int32? = nil,
        error: Int32? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (given, wanted) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (error, STDERR_FILENO)] {
            if let given {
                posix_spawn_file_actions_adddup2(&actions, given, wanted)
            } else {
                posix_spawn_file_actions_addopen(&actions, wanted, "/dev/null", O_RDWR, 0)
            }
        }
        test_close_from(&actions, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var pid: pid_t = 0
        let failure = withStrings(command) { arguments in
            withStrings(variables) { posix_spawnp(&pid, command[0], &actions, &attributes, arguments, $0) }
        }
        guard failure == 0 else { throw ProgramFailure("\(command): \(String(cString: strerror(failure)))") }
        processIdentifier = pid
    }

    /// Whether it has not ended yet.
    package var isRunning: Bool { status.withLock { reap(&$0, WNOHANG) } == nil }

    /// Waits for its end.
    /// - Returns: The exit code, or 128 and the signal that ended it, like sh(1).
    @discardableResult
    package func wait() -> Int32 {
        // Without the lock: others may ask meanwhile.
        var information = siginfo_t()
        while waitid(P_PID, id_t(processIdentifier), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
        return status.withLock { reap(&$0, 0) } ?? -1
    }

    /// Sends a signal, unless it has ended.
    package func send(_ signal: Int32) {
        status.withLock { if reap(&$0, WNOHANG) == nil { kill(processIdentifier, signal) } }
    }

    private func reap(_ status: inout Int32?, _ options: Int32) -> Int32? {
        if status != nil { return status }
        var raw: Int32 = 0
        guard waitpid(processIdentifier, &raw, options) == processIdentifier else { return nil }
        let signal = raw & 0x7F
        status = signal == 0 ? (raw >> 8) & 0xFF : 128 + signal
        return status
    }
}

package struct ProgramFailure: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// The two ends of a pipe, closed with the last use of each.
package func openPipe() throws -> (reading: FileHandle, writing: FileHandle) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw ProgramFailure("pipe: \(String(cString: strerror(errno)))") }
    return (
        FileHandle(fileDescriptor: ends[0], closeOnDealloc: true),
        FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
    )
}

private func withStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
