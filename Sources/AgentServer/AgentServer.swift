public import Agent
import Glibc
import HTTPTypes
import HummingbirdCore
public import Logging
import NIOCore
import NIOExtras
import NIOPosix
public import ServiceLifecycle

/// The agent's API: HTTP/1.1 and JSON on a Unix socket, and where the configuration says so metrics and health over TCP.
/// docs/openapi.json describes it.
public final class AgentServer: Service {
    private let api: API
    private let log: Logger
    private let local: ListeningSocket
    private let tcp: ListeningSocket?
    private let group: gid_t?
    private let limits: ServerLimits

    /// Begins to listen; what comes is answered by ``run()``.
    /// - Parameters:
    ///   - version: Of the program.
    /// - Throws: `AgentError` where a socket is in use or cannot be made.
    public convenience init(_ agent: Agent, version: String, log: Logger) throws(AgentError) {
        try self.init(agent, version: version, log: log, limits: ServerLimits())
    }

    init(_ agent: Agent, version: String, log: Logger, limits: ServerLimits) throws(AgentError) {
        let configuration = agent.configuration
        group = groupNumber(of: configuration.socket.group)
        if group == nil {
            log.warning(
                "there is no group \(configuration.socket.group): only root can use \(configuration.socket.path); 'groupadd --system \(configuration.socket.group)' makes it"
            )
        }
        local = try .unix(configuration.socket.path, group: group)
        tcp = try configuration.metricsListen.map { (address) throws(AgentError) in try .tcp(address) }
        api = API(
            agent: agent, version: version, log: log, threads: NIOThreadPool(numberOfThreads: 2),
            work: Shares(limits.work), bodies: Shares(limits.bodies))
        self.log = log
        self.limits = limits
    }

    /// Answers until the service group is told to shut down; then requests under way are finished.
    public func run() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        api.threads.start()
        try await serve(loops)
        try await api.threads.shutdownGracefully()
        try await loops.shutdownGracefully()
    }

    private func serve(_ loops: MultiThreadedEventLoopGroup) async throws {
        var listeners = [try await Listener(local, .full, loops, self)]
        if let tcp { listeners.append(try await Listener(tcp, .metrics, loops, self)) }
        let all = listeners
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for listener in all { group.addTask { await listener.run() } }
            }
        } onGracefulShutdown: {
            self.local.removeFile()
            for listener in all { listener.shutDown() }
        }
    }

    // MARK: Listeners

    /// One socket with its connections.
    private struct Listener: Sendable {
        let channel: NIOAsyncChannel<Connection, Never>
        let quiescing: ServerQuiescingHelper
        let log: Logger

        init(
            _ socket: ListeningSocket, _ access: API.Access, _ loops: MultiThreadedEventLoopGroup,
            _ server: AgentServer
        ) async throws {
            guard let descriptor = socket.take() else {
                throw AgentError(.startup, "nobody listens at \(socket.name)")
            }
            let quiescing = ServerQuiescingHelper(group: loops)
            let isLocal = access == .full
            let places = ConnectionPlaces(
                isLocal ? server.limits.connections : server.limits.metrics, refusals: server.limits.refusals,
                givesWay: !isLocal)
            channel = try await ServerBootstrap(group: loops)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let operations = channel.pipeline.syncOperations
                        try operations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
                    }
                }
                // A client may say that it has sent everything and still wait for the answer.
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .bind(descriptor) { channel in server.connection(channel, access, places) }
            self.quiescing = quiescing
            log = server.log
        }

        func run() async {
            await withDiscardingTaskGroup { group in
                do {
                    try await channel.executeThenClose { connections in
                        for try await connection in connections { group.addTask { await connection.run(log) } }
                    }
                } catch {
                    log.error("the API does not take connections any more: \(error)")
                }
            }
        }

        func shutDown() { quiescing.initiateShutdown(promise: nil) }
    }

    private struct Connection: Sendable {
        let http: HTTP1Channel
        let value: HTTP1Channel.Value

        func run(_ log: Logger) async { await http.handle(value: value, logger: log) }
    }

    private func connection(
        _ channel: any Channel, _ access: API.Access, _ places: ConnectionPlaces
    ) -> EventLoopFuture<Connection> {
        var client = Client(channel, access, group)
        switch places.take(channel, of: client.peer) {
        case .served: break
        case .refused: client.isRefused = true
        case .none: return channel.eventLoop.makeFailedFuture(ChannelError.alreadyClosed)
        }
        let idleTimeout = TimeAmount(client.isRefused ? Self.timeOfRefusal : limits.idleTimeout)
        let http = HTTP1Channel(
            responder: { [api, client] request, writer, channel in
                try await api.respond(to: request, of: client, writer, channel)
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [
                    MalformedRequestHandler(), StalledConnectionHandler(patience: idleTimeout),
                ], idleTimeout: idleTimeout,
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
        return http.setup(channel: channel, logger: log).map { Connection(http: http, value: $0) }
    }

    /// In which a client for whom there is no place may ask, to be told so.
    private static let timeOfRefusal = Duration.seconds(2)
}

/// Who is at the other end of a connection.
struct Client: Sendable {
    var access: API.Access
    /// Nil over TCP, and where the kernel does not tell.
    var credentials: PeerCredentials?
    var isPermitted: Bool
    var peer: Peer
    /// There is no place for it.
    var isRefused = false

    /// On the channel's event loop.
    init(_ channel: any Channel, _ access: API.Access, _ group: gid_t?) {
        self.access = access
        switch access {
        case .metrics:
            isPermitted = true
            peer = Peer(channel.remoteAddress)
        case .full:
            credentials =
                (try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                    PeerCredentials(socket: $0)
                }) ?? nil
            isPermitted = credentials?.isPermitted(group) ?? false
            peer = Peer(credentials)
        }
    }

    var description: String { credentials.map { "uid \($0.uid), pid \($0.pid)" } ?? "-" }
}
