// Only where tests are built: a plain build has no module of this name.
#if canImport(Testing)
    import Dispatch
    package import Testing

    /// How long each test of a suite may take, whichever thread it waits on.
    ///
    /// A test that takes longer fails and is cancelled. One that does not heed that, because it waits in a system call, ends
    /// the process a minute later: nothing else can end it, and so whoever waits for the tests learns which it was. Swift
    /// Testing's own limit waits for such a test for ever.
    package struct TimeLimit: SuiteTrait, TestTrait, TestScoping {
        let minutes: Int

        package var isRecursive: Bool { true }

        package func provideScope(
            for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
        ) async throws {
            let complaint = "\(test.name) takes longer than \(minutes) minutes"
            try await withoutActuallyEscaping(function) { function in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let (begun, beginning) = AsyncStream<Void>.makeStream()
                    group.addTask {
                        // From here on: before, it may have waited for other tests to give up a thread.
                        beginning.finish()
                        let expiry = DispatchWorkItem { fatalError("\(complaint) and cannot be cancelled") }
                        DispatchQueue.global().asyncAfter(
                            deadline: .now() + .seconds(60 * (minutes + 1)), execute: expiry)
                        defer { expiry.cancel() }
                        try await function()
                    }
                    group.addTask {
                        for await _ in begun {}
                        try await Task.sleep(for: .seconds(60 * minutes))
                        Issue.record("\(complaint)")
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        }
    }

    extension Trait where Self == TimeLimit {
        package static func timeLimit(minutes: Int) -> TimeLimit { TimeLimit(minutes: minutes) }
    }
#endif
