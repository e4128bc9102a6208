import TestSupport
import Testing

@testable import Agent

@Suite(.timeLimit(minutes: 10)) struct EventLogTests {
    /// Readers get every event in order, what was before and what comes while they read.
    @Test func readersGetAllInOrder() async {
        let log = EventLog(capacity: 10_000)
        for _ in 0..<100 { log.add(.driftRepaired, "before") }
        await withTaskGroup(of: [Int].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var numbers: [Int] = []
                    for await event in log.stream() { numbers.append(event.sequence) }
                    return numbers
                }
            }
            for _ in 0..<2000 {
                log.add(.driftRepaired, "meanwhile")
                await Task.yield()
            }
            log.finish()
            for await numbers in group {
                #expect(numbers == Array(1..<1 + numbers.count))
            }
        }
    }

    /// Readers that go away while events come hold up nobody: a daemon must not hang because a follower hangs up.
    @Test func readersMayGoAtAnyTime() async {
        let log = EventLog()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for _ in 0..<50_000 { log.add(.driftRepaired, "") }
            }
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<5000 {
                        let reader = Task { for await _ in log.stream(after: .max) {} }
                        await Task.yield()
                        reader.cancel()
                    }
                }
            }
        }
        #expect(log.events().last?.sequence == 50_000)
    }
}
