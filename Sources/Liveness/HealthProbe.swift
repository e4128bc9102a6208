internal import CTLS
internal import CTraffic
internal import Glibc
internal import IPAddressing
internal import Netlink
internal import Traffic

/// One question to a target, from the first packet to the answer, without ever waiting.
///
/// The answer comes by the target's own port and no other one: the socket is bound to that. What it says beyond a status is not
/// read.
final class HealthProbe {
    private let socket: Socket
    private let question: HealthCheck.Question
    private let target: SocketAddress
    private var link: HealthTLS?
    private var stage = Stage.connecting
    private var answer: [UInt8] = []

    private enum Stage {
        case connecting
        case shakingHands
        /// What has not gone out yet.
        case sending(ArraySlice<UInt8>)
        case hearing
    }

    /// Of a status line. Whoever sends more without an end of it does not speak HTTP.
    private static let longestStatusLine = 1024

    /// Begins, in the namespace of the calling thread.
    init(_ check: HealthCheck, of target: IPAddress, from source: IPAddress, by device: String?) throws(NetlinkError) {
        question = check.question
        self.target = SocketAddress(target, check.port)
        socket = try Socket(AF_INET, question == .udp ? SOCK_DGRAM : SOCK_STREAM)
        if let device { try socket.bind(toDevice: device) }
        try socket.bind(SocketAddress(source, 0))
        if question != .udp {
            // Reset at the end: a connection that lingers would count, on both hosts, for each question of two minutes.
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(socket.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        }
        if case .failure(let error) = socket.connect(self.target) { throw error }
        if question == .udp { stage = .sending([]) }
    }

    var descriptor: Int32 { socket.descriptor }

    /// What to wait for (poll(2)).
    var events: Int32 {
        switch stage {
        case .connecting: POLLOUT
        case .shakingHands: link?.events ?? POLLIN
        case .sending: POLLOUT
        case .hearing: POLLIN
        }
    }

    enum Progress: Hashable {
        case underWay
        case ended(HealthFlaw?)
    }

    /// Goes as far as it can.
    func advance() -> Progress {
        while true {
            switch step() {
            case .again: continue
            case .wait: return .underWay
            case .end(let flaw): return .ended(flaw)
            }
        }
    }

    private enum Step {
        case again
        case wait
        case end(HealthFlaw?)
    }

    private func step() -> Step {
        switch stage {
        case .connecting: finishConnecting()
        case .shakingHands: shakeHands()
        case .sending(let rest): send(rest)
        case .hearing: hear()
        }
    }

    private func finishConnecting() -> Step {
        var poll = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
        guard Glibc.poll(&poll, 1, 0) > 0 else { return .wait }
        let error = socket.pendingError
        guard error == 0 else { return .end(Self.words(error)) }
        switch question {
        case .tcp, .udp: return .end(nil)
        case .http(let request): stage = .sending(request.bytes(to: target)[...])
        case .https:
            guard let link = HealthTLS(socket) else { return .end("no TLS can be had here") }
            (self.link, stage) = (link, .shakingHands)
        }
        return .again
    }

    private func shakeHands() -> Step {
        guard let link, let request = question.request else { return .end(nil) }
        switch link.shakeHands() {
        case .done: stage = .sending(request.bytes(to: target)[...])
        case .wait: return .wait
        case .failed(let why): return .end(why)
        }
        return .again
    }

    private func send(_ rest: ArraySlice<UInt8>) -> Step {
        switch link.map({ $0.write(rest) }) ?? write(rest) {
        case .done(let count): stage = count == rest.count ? .hearing : .sending(rest.dropFirst(count))
        case .wait: return .wait
        case .failed(let why): return .end(why)
        }
        return .again
    }

    private func hear() -> Step {
        switch link.map({ $0.read() }) ?? read() {
        case .wait: return .wait
        case .failed(let why): return .end(why)
        case .done(let bytes):
            guard let request = question.request else { return .end(nil) }
            if bytes.isEmpty { return .end(Self.silence) }
            answer += bytes
            return judged(by: request)
        }
    }

    static let silence = "it closed the connection without an answer"

    private func judged(by request: HealthCheck.HTTPRequest) -> Step {
        let isHTTP = answer.starts(with: Array("HTTP/1.".utf8).prefix(answer.count))
        guard isHTTP, answer.count <= Self.longestStatusLine else { return .end(Self.noHTTP) }
        guard answer.contains(0x0A) else { return .again }
        let words = answer.split(separator: 0x20, maxSplits: 2)
        guard words.count >= 2, let status = Int(String(decoding: words[1].prefix(3), as: UTF8.self)) else {
            return .end(Self.noHTTP)
        }
        return .end(request.statuses.contains(status) ? nil : "it answered with status \(status)")
    }

    private static let noHTTP = "its answer is not HTTP"

    // MARK: Without TLS

    private func write(_ rest: ArraySlice<UInt8>) -> HealthTLS.Outcome<Int> {
        let count = rest.withUnsafeBytes {
            Glibc.send(socket.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if count >= 0 { return .done(count) }
        return errno == EAGAIN ? .wait : .failed(Self.words(errno))
    }

    private func read() -> HealthTLS.Outcome<[UInt8]> {
        var bytes = [UInt8](repeating: 0, count: Self.longestStatusLine)
        let count = recv(socket.descriptor, &bytes, bytes.count, 0)
        if count >= 0 { return .done(Array(bytes[..<count])) }
        return errno == EAGAIN ? .wait : .failed(Self.words(errno))
    }

    static func words(_ error: Int32) -> String {
        switch error {
        case ECONNREFUSED: "it refuses connections"
        case ECONNRESET: "it reset the connection"
        case EHOSTUNREACH, ENETUNREACH: "it cannot be reached"
        default: String(cString: strerror(error))
        }
    }
}

extension HealthCheck.Question {
    fileprivate var request: HealthCheck.HTTPRequest? {
        switch self {
        case .tcp, .udp: nil
        case .http(let request), .https(let request): request
        }
    }
}

extension HealthCheck.HTTPRequest {
    fileprivate func bytes(to target: SocketAddress) -> [UInt8] {
        Array(
            "GET \(path) HTTP/1.1\r\nHost: \(target)\r\nUser-Agent: vpcctl-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                .utf8)
    }
}

/// TLS to a target that is asked whether it is healthy: who it is has been settled by the port it answers from.
final class HealthTLS {
    enum Outcome<Value> {
        case done(Value)
        case wait
        case failed(HealthFlaw)
    }

    private let link: OpaquePointer
    /// What OpenSSL waits for.
    private(set) var events = POLLIN

    /// Shared by all: without sessions, nothing of a connection is kept.
    nonisolated(unsafe) private static let context: OpaquePointer? = {
        guard let context = SSL_CTX_new(TLS_client_method()), tls_require_1_2(context) == 1 else { return nil }
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        return context
    }()

    init?(_ socket: Socket) {
        guard let context = Self.context, let link = SSL_new(context) else { return nil }
        self.link = link
        SSL_set_fd(link, socket.descriptor)
        SSL_set_connect_state(link)
    }

    deinit { SSL_free(link) }

    func shakeHands() -> Outcome<Void> {
        let result = SSL_do_handshake(link)
        return result == 1 ? .done(()) : outcome(result, "the TLS handshake failed")
    }

    func write(_ bytes: ArraySlice<UInt8>) -> Outcome<Int> {
        let count = bytes.withUnsafeBytes { SSL_write(link, $0.baseAddress, Int32($0.count)) }
        return count > 0 ? .done(Int(count)) : outcome(count, "it closed the connection")
    }

    func read() -> Outcome<[UInt8]> {
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = SSL_read(link, &bytes, Int32(bytes.count))
        return count > 0 ? .done(Array(bytes[..<Int(count)])) : outcome(count, HealthProbe.silence)
    }

    private func outcome<Value>(_ result: Int32, _ flaw: HealthFlaw) -> Outcome<Value> {
        let error = SSL_get_error(link, result)
        ERR_clear_error()
        switch error {
        case SSL_ERROR_WANT_READ: events = POLLIN
        case SSL_ERROR_WANT_WRITE: events = POLLOUT
        default: return .failed(flaw)
        }
        return .wait
    }
}
