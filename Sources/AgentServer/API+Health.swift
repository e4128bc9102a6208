import Agent
import COpenAPI
import HTTPTypes
import VPCManifest

extension API {
    var healthRoutes: [Route] {
        [
            Route(method: .get, path: "/healthz", isPublic: true) { _ in await health() },
            Route(method: .get, path: "/readyz", isPublic: true) { _ in readiness() },
            Route(method: .get, path: "/metrics", isPublic: true, isWork: true) { _ in try await metrics() },
            Route(method: .get, path: "/openapi.json") { _ in
                HTTPAnswer(body: .bytes(Self.description))
            },
        ]
    }

    private static let description = Array(
        UnsafeBufferPointer(start: openapi_document(), count: Int(openapi_document_size())))

    /// Whether the agent's thread takes requests. A pass may take its time; a thread that hangs takes more.
    private func health() async -> HTTPAnswer {
        switch await pinged(within: Self.patience) {
        case true?: .text("ok\n")
        case false?: .text("the agent is about to end\n", .serviceUnavailable)
        case nil: .text("the agent's thread has not answered for \(Self.patience)\n", .serviceUnavailable)
        }
    }

    private static let patience: Duration = .seconds(30)

    /// - Returns: nil when the time is over.
    private func pinged(within patience: Duration) async -> Bool? {
        let (answers, continuation) = AsyncStream.makeStream(of: Bool?.self)
        Task { continuation.yield((try? await agent.ping()) != nil) }
        let timer = Task {
            try? await Task.sleep(for: patience)
            continuation.yield(nil)
        }
        defer { timer.cancel() }
        for await answer in answers { return answer }
        return nil
    }

    /// Whether a complete desired state was in the kernel at least once.
    private func readiness() -> HTTPAnswer {
        if agent.isReady { return .text("ready\n") }
        let status = agent.status
        return .text("\(status.phase.rawValue): \(status.reason ?? "no desired state yet")\n", .serviceUnavailable)
    }

    private func metrics() async throws -> HTTPAnswer {
        let agent = self.agent
        let (version, ledger, followers) = (version, traffic, followers.value)
        let text = try await blocking {
            var text = OpenMetricsText()
            text.append(agent, version: version)
            text.append(followers: followers)
            text.append(ProcessFigures(started: agent.status.started))
            text.append(try? ledger.collect(agent))
            return text.finished()
        }
        return HTTPAnswer(contentType: OpenMetricsText.contentType, body: .bytes(text))
    }
}
