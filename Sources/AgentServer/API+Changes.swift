import Agent
import HTTPTypes
import Presentation
import VPCManifest

/// What changes something, or would.
extension API {
    var changeRoutes: [Route] {
        [
            Route(method: .post, path: "/v1/plan", takesBody: true, isWork: true) { call in
                plan(try await agent.plan(for: try call.body.planSubject(), while: call.isWanted))
            },
            Route(method: .post, path: "/v1/apply", query: ["confirm"], takesBody: true, isWork: true) { call in
                let seconds = try call.number("confirm", in: 1...86_400)
                return applied(try await agent.apply(try call.body.manifests(), confirmSeconds: seconds))
            },
            Route(method: .post, path: "/v1/confirm") { _ in
                let number = try await agent.confirm()
                return .json(["apiVersion": .apiVersion, "kind": "Confirmation", "revision": .integer(number)])
            },
            Route(method: .post, path: "/v1/rollback", takesBody: true, isWork: true) { call in
                applied(try await agent.rollback(to: try call.body.revision()))
            },
        ]
    }

    private func applied(_ applied: AppliedRevision) -> HTTPAnswer {
        var outcome = PresentedOutcome(applied.outcome, of: PlanPresentation(applied.planned))
        outcome.revision = applied.revision.number
        outcome.isReverted = applied.isReverted
        outcome.probes = applied.probes.map {
            PresentedProbe(name: $0.name, verdict: $0.verdict.rawValue, reason: $0.reason)
        }
        return .json(outcome.structured)
    }
}
