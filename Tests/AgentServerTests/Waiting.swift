import Foundation

/// Runs what blocks its thread on a thread of its own: the server under test needs Swift's few.
func waiting<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}

/// A script beside the tests, for Debian's own Python.
func script(_ name: String) -> [String] {
    ["/usr/bin/python3", URL(filePath: #filePath).deletingLastPathComponent().appending(path: name).path()]
}
