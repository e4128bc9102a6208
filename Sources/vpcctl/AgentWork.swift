import AgentClient
import CommandOptions
import Console
import Glibc
import Presentation
import VPCManifest

/// `plan` and `apply` through the agent.
extension LocalAgent {
    func plan(_ manifests: Manifests, _ global: GlobalOptions) throws -> PresentedPlan {
        try askingAgent(global) { () throws(AgentClientError) in
            let value = try patientClient.post("/v1/plan", Self.request(manifests))
            guard let plan = PresentedPlan(value) else { throw Self.unknownAnswer }
            return plan
        }
    }

    /// - Parameter confirmSeconds: After which the agent goes back unless somebody confirms.
    func apply(
        _ manifests: Manifests, confirmSeconds: Int?, _ global: GlobalOptions
    ) throws -> PresentedOutcome {
        let progress = Progress(self, global)
        defer { progress.clear() }
        let path = AgentPath.path("/v1/apply", [("confirm", confirmSeconds.map { String($0) })])
        return try askingAgent(global) { () throws(AgentClientError) in
            let value = try patientClient.post(path, Self.request(manifests), while: progress.update)
            guard let outcome = PresentedOutcome(value) else { throw Self.unknownAnswer }
            return outcome
        }
    }

    func rollback(to number: Int, _ global: GlobalOptions) throws -> PresentedOutcome {
        let progress = Progress(self, global)
        defer { progress.clear() }
        return try askingAgent(global) { () throws(AgentClientError) in
            let value = try patientClient.post(
                "/v1/rollback", ["revision": .integer(number)], while: progress.update)
            guard let outcome = PresentedOutcome(value) else { throw Self.unknownAnswer }
            return outcome
        }
    }

    static let unknownAnswer = AgentClientError(
        .protocol, "the agent's answer is not what this program knows; are both of one version?")

    private static func request(_ manifests: Manifests) -> StructuredValue {
        let sources = manifests.set.sources.map { source -> StructuredValue in
            ["name": .string(source.name), "text": .string(String(decoding: source.bytes, as: UTF8.self))]
        }
        return ["sources": .list(sources)]
    }

    // MARK: Waiting

    /// Waits until every resource of a revision is ready.
    /// - Throws: `ExitCode` 75 when the time is over.
    func waitUntilReady(_ revision: Int, _ global: GlobalOptions) throws {
        let progress = Progress(self, global)
        defer { progress.clear() }
        let deadline = options.timeout.map { ContinuousClock.now + .seconds($0.count) }
        var last = status
        var isOver = false
        func isReady() throws(AgentClientError) -> Bool {
            last = try quickClient.get("/v1/status")
            progress.show(last)
            // A later revision has taken its place: that one is waited for.
            return (last["observedRevision"]?.number ?? 0) >= revision && last["phase"]?.text == "Ready"
        }
        try askingAgent(global) { () throws(AgentClientError) in
            while try !isReady() {
                if let deadline, ContinuousClock.now >= deadline {
                    isOver = true
                    return
                }
                // A device that appears is no event of ours: look now and then all the same.
                try waitForEvent(atMost: .milliseconds(500))
            }
        }
        guard isOver else { return }
        progress.clear()
        let reason = last["reason"]?.text ?? "no reason is known"
        global.error(
            "\(last["host"]?.text.map { "host \($0)" } ?? "this host") is not ready in time: \(last["phase"]?.text ?? "?"): \(reason)"
        )
        throw ExitStatus.timedOut.code
    }

    private func waitForEvent(atMost patience: Duration) throws(AgentClientError) {
        let deadline = ContinuousClock.now + patience
        let latest = try quickClient.get("/v1/events")["items"]?.elements.last?["sequence"]?.number ?? 0
        let path = AgentPath.path("/v1/events", [("after", String(latest)), ("follow", "true")])
        _ = try quickClient.follow(path, while: { ContinuousClock.now < deadline }, { _ in false })
    }
}

/// One line on a terminal that says how far the agent is, and goes away.
final class Progress {
    private let agent: LocalAgent
    private let isShown: Bool
    private var text = ""

    init(_ agent: LocalAgent, _ global: GlobalOptions) {
        self.agent = agent
        isShown = !global.quiet && isatty(STDERR_FILENO) == 1
    }

    /// Asks the agent and shows what it says.
    func update() {
        guard isShown,
            let status = try? AgentClient(socket: agent.quickClient.socket, timeout: .seconds(1)).get("/v1/status")
        else { return }
        show(status)
    }

    func show(_ status: StructuredValue) {
        guard isShown, let resources = status["resources"] else { return }
        let ready = resources["ready"]?.number ?? 0
        let total = resources["total"]?.number ?? 0
        let revision = status["desiredRevision"]?.number.map { "revision \($0): " } ?? ""
        let new = "\(revision)\(ready) of \(total) resources ready"
        if new != text {
            text = new
            Streams.error("\r\u{1B}[K" + new)
        }
    }

    func clear() {
        if !text.isEmpty { Streams.error("\r\u{1B}[K") }
        text = ""
    }
}
