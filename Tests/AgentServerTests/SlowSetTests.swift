import Foundation
import TestSupport
import Testing

@testable import Agent

/// The API while a set takes long.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"), .timeLimit(minutes: 10)) struct SlowSetTests {
    @Test(arguments: ["plan", "apply"]) func aSetThatTakesLongHoldsUpNoAnswer(_ request: String) async throws {
        try await InProcessRun.with { run in
            #expect(try await run.post("/v1/apply", InProcessRun.sources(InProcessRun.manifest)).status == 200)
            let (entered, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            run.agent.beforePreparation.withLock { hook in
                hook = {
                    entered.signal()
                    go.wait()
                }
            }
            let text = InProcessRun.manifest + "# another\n"
            async let answer = run.post("/v1/" + request, InProcessRun.sources(text))
            try await waiting { entered.wait() }
            #expect(try await run.curl("/healthz").status == 200)
            #expect(try await run.curl("/v1/status").json["desiredRevision"]?.number == 1)
            #expect(try await run.curl("/metrics").status == 200)
            run.agent.beforePreparation.withLock { $0 = nil }
            go.signal()
            #expect(try await answer.status == 200)
        }
    }
}
