import Glibc
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTP1
import VPCManifest

/// Between HTTP and the routes.
extension API {
    /// Answers one request.
    /// - Throws: where the connection does not take the answer.
    func respond(
        to request: Request, of client: Client, _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        let begin = ContinuousClock.now
        if client.isRefused {
            return try await send(
                Self.answer(to: .busy(client, "connections")), to: request, isRead: false, writer, channel)
        }
        guard client.isPermitted else {
            log.warning("\(client.description) may not use the API")
            return try await send(
                Self.answer(to: Self.forbidden), to: request, isRead: !Self.mayHaveBody(request), writer, channel)
        }
        var mayContinue = request.headers[.expect]?.lowercased() == "100-continue"
        if mayContinue, Self.length(of: request) ?? 0 <= Self.bodyLimit, [.post, .put].contains(request.method) {
            try await writer.writeInformationalHead(HTTPResponse(status: .continue))
            mayContinue = false
        }
        var isRead = !Self.mayHaveBody(request)
        var held = 0
        defer { bodies.giveBack(held, of: client.peer) }
        let answer = await answer(request, client, channel) {
            let bytes = try await body(of: request, client, &held)
            isRead = true
            return bytes
        }
        let isChange = ![.get, .head].contains(request.method) && request.uri.path != "/v1/plan"
        log.log(
            level: isChange ? .notice : .debug, "\(request.method) \(request.uri.path): \(answer.status.code)",
            metadata: ["client": "\(client.description)", "duration": "\(begin.duration(to: .now))"])
        try await send(answer, to: request, isRead: isRead, writer, channel)
    }

    private static let forbidden = HTTPProblem(
        status: .forbidden, code: "forbidden",
        message:
            "only root and the members of the socket's group may use the API; add the user to the group (usermod --append --groups) and log in anew"
    )

    // MARK: The request

    private static func length(of request: Request) -> Int? { request.headers[.contentLength].flatMap { Int($0) } }

    /// - Parameter held: Counts what is taken of the client's share.
    private func body(of request: Request, _ client: Client, _ held: inout Int) async throws -> [UInt8] {
        if let length = Self.length(of: request), length > Self.bodyLimit { throw Self.tooLarge }
        var bytes: [UInt8] = []
        do {
            for try await part in request.body {
                let count = part.readableBytes
                if bytes.count + count > Self.bodyLimit { throw Self.tooLarge }
                guard bodies.take(count, for: client.peer) else { throw HTTPProblem.busy(client, "large bodies") }
                held += count
                part.withUnsafeReadableBytes { bytes += $0 }
            }
        } catch let error as HTTPParserError {
            throw HTTPProblem.badRequest("the body is not HTTP/1.1: \(error)")
        }
        return bytes
    }

    private static let tooLarge = HTTPProblem(
        status: .contentTooLarge, code: "tooLarge",
        message: "a body has at most \(bodyLimit >> 20) MiB; put manifests of that size into the daemon's directory")

    // MARK: The answer

    private func send(
        _ answer: HTTPAnswer, to request: Request, isRead: Bool, _ writer: consuming ResponseWriter,
        _ channel: any Channel
    ) async throws {
        var head = HTTPResponse(answer, time: time(nil))
        head.headerFields[.server] = "vpcd/\(version)"
        // What is left of a body that nobody wants is not worth reading to its end.
        if !isRead { leaveSoon(&head, channel) }
        if request.method == .head { return try await writer.writeResponse(head) }
        var body = try await writer.writeHead(head)
        switch answer.body {
        case .bytes(let bytes): try await body.write(ByteBuffer(bytes: bytes))
        case .pieces(let count, let piece):
            for index in 0..<count { try await body.write(ByteBuffer(bytes: piece(index))) }
        case .lines(let lines, let end):
            // Nothing is read of such a connection: that it is gone must not wait for the next line.
            channel.closeFuture.whenComplete { _ in end() }
            for await line in lines { try await body.write(ByteBuffer(bytes: line)) }
        }
        try await body.finish(nil)
    }

    private static func mayHaveBody(_ request: Request) -> Bool {
        request.headers[.transferEncoding] != nil || length(of: request) ?? 0 > 0
    }

    private func leaveSoon(_ head: inout HTTPResponse, _ channel: any Channel) {
        head.headerFields[.connection] = "close"
        // The client is given the time to read the answer: closing at once could throw it away.
        channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
    }
}

extension HTTPResponse {
    /// - Parameter time: Seconds since 1970.
    init(_ answer: HTTPAnswer, time: Int?) {
        self.init(status: answer.status)
        headerFields[.contentType] = answer.contentType
        headerFields[.cacheControl] = "no-store"
        if let time { headerFields[.date] = httpDate(time) }
        if let location = answer.location { headerFields[.location] = location }
        if !answer.allow.isEmpty { headerFields[.allow] = answer.allow.joined(separator: ", ") }
        if case .bytes(let bytes) = answer.body { headerFields[.contentLength] = String(bytes.count) }
    }
}
