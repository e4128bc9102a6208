import Agent
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Synchronization
import VPCManifest

/// How many clients follow the events.
final class FollowerCount: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .relaxed) }
    func add(_ number: Int) { count.add(number, ordering: .relaxed) }
}

/// Every route, and what is the same for all of them.
struct API: Sendable {
    let agent: Agent
    let version: String
    let log: Logger
    let traffic = TrafficLedger()
    let followers = FollowerCount()
    /// For what reads the kernel, which takes its time.
    let threads: NIOThreadPool
    /// Requests that are worked on, by client.
    let work: Shares
    /// Bytes of bodies, by client.
    let bodies: Shares

    /// The largest body that is taken, in bytes: manifests of some 200,000 interfaces.
    static let bodyLimit = 64 << 20

    /// How a listener's clients may use the API.
    enum Access: Sendable {
        /// The Unix socket: everything.
        case full
        /// TCP: reading of what is public.
        case metrics
    }

    var routes: [Route] { stateRoutes + changeRoutes + resourceRoutes + healthRoutes }

    // MARK: One request

    /// Finds what is asked for, and what comes back; never throws, for an error is an answer too.
    func answer(
        _ request: Request, _ client: Client, _ channel: any Channel, body: () async throws -> [UInt8]
    ) async -> HTTPAnswer {
        do {
            let (route, parameters) = try route(for: request, client.access)
            var call = Route.Call(parameters: parameters)
            call.query = try query(of: request, route)
            call.isWanted = { channel.isActive }
            if route.takesBody {
                call.body = try RequestDocument(try await body(), contentType: request.headers[.contentType])
            }
            guard route.isWork else { return try await route.answer(call) }
            guard work.take(for: client.peer) else { throw HTTPProblem.busy(client, "requests") }
            defer { work.giveBack(of: client.peer) }
            return try await route.answer(call)
        } catch let problem as HTTPProblem {
            return Self.answer(to: problem)
        } catch let error as AgentError {
            return Self.answer(to: HTTPProblem(error))
        } catch {
            log.error("\(request.method) \(request.uri.path): \(error)")
            return Self.answer(
                to: HTTPProblem(status: .internalServerError, code: "internal", message: "\(error)"))
        }
    }

    static func answer(to problem: HTTPProblem) -> HTTPAnswer {
        var answer = HTTPAnswer.json(problem.structured, problem.status)
        answer.allow = problem.allow
        return answer
    }

    private func route(
        for request: Request, _ access: Access
    ) throws(HTTPProblem) -> (Route, parameters: [String]) {
        let segments = request.uri.path.split(separator: "/", omittingEmptySubsequences: false)
        var allowed: [String] = []
        for route in routes where access == .full || route.isPublic {
            guard let parameters = route.parameters(of: segments) else { continue }
            if route.method == request.method || (route.method == .get && request.method == .head) {
                return (route, parameters)
            }
            allowed += route.method == .get ? ["GET", "HEAD"] : [route.method.rawValue]
        }
        guard allowed.isEmpty else {
            throw HTTPProblem(
                status: .methodNotAllowed, code: "methodNotAllowed",
                message: "\(request.uri.path) takes \(allowed.joined(separator: ", ")), not \(request.method)",
                allow: allowed)
        }
        throw HTTPProblem(
            status: .notFound, code: "unknownPath",
            message: "there is nothing at \(request.uri.path)"
                + (access == .full ? "; /openapi.json has every path" : " on this listener"))
    }

    private func query(of request: Request, _ route: Route) throws(HTTPProblem) -> [String: String] {
        var query: [String: String] = [:]
        for item in try QueryString(request.uri.query ?? "").items {
            guard route.query.contains(item.name) else {
                let known = route.query.sorted().joined(separator: ", ")
                throw .badRequest(
                    "the query has the unknown parameter \"\(item.name)\"; "
                        + (known.isEmpty ? "\(route.path) takes none" : "known: \(known)"))
            }
            query[item.name] = item.value
        }
        return query
    }

    /// Runs what blocks its thread on a thread of its own.
    func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await threads.runIfActive(body)
    }
}
