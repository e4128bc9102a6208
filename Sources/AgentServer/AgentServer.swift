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
    private let idleTimeout: TimeAmount

    /// Begins to listen; what comes is answered by ``run()``.
    /// - Parameters:
    ///   - version: Of the program.
    ///   - idleTimeout: After which a client that sends nothing, or only half a request, is cut off.
    /// - Throws: `AgentError` where a socket is in use or cannot be made.
    public init(
        _ agent: Agent, version: String, log: Logger, idleTimeout: Duration = .seconds(60)
    ) throws(AgentError) {
        let configuration = agent.configuration
        group = groupNumber(of: configuration.socket.group)
        if group == nil {
            log.warning(
                "there is no group \(configuration.socket.group): only root can use \(configuration.socket.path); 'groupadd --system \(configuration.socket.group)' makes it"
            )
        }
        local = try .unix(configuration.socket.path, group: group)
        tcp = try configuration.metricsListen.map { (address) throws(AgentError) in try .tcp(address) }
        api = API(agent: agent, version: version, log: log, threads: NIOThreadPool(numberOfThreads: 2))
        self.log = log
        self.idleTimeout = TimeAmount(idleTimeout)
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
            channel = try await ServerBootstrap(group: loops)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let operations = channel.pipeline.syncOperations
                        try operations.addHandler(
                            AvailableConnectionsChannelHandler<MaximumAvailableConnections>(
                                maxConnections: AgentServer.connectionLimit))
                        try operations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
                    }
                }
                // A client may say that it has sent everything and still wait for the answer.
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .bind(descriptor) { channel in server.connection(channel, access) }
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

    /// More wait until one of these has ended.
    private static let connectionLimit = 128

    private func connection(_ channel: any Channel, _ access: API.Access) -> EventLoopFuture<Connection> {
        let client = Client(channel, access, group)
        let http = HTTP1Channel(
            responder: { [api] request, writer, channel in
                try await api.respond(to: request, of: client, writer, channel)
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [MalformedRequestHandler()], idleTimeout: idleTimeout,
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
        return http.setup(channel: channel, logger: log).map { Connection(http: http, value: $0) }
    }
}

/// Who is at the other end of a connection.
struct Client: Sendable {
    var access: API.Access
    /// Nil over TCP, and where the kernel does not tell.
    var credentials: PeerCredentials?
    var isPermitted: Bool

    /// On the channel's event loop.
    init(_ channel: any Channel, _ access: API.Access, _ group: gid_t?) {
        self.access = access
        switch access {
        case .metrics: isPermitted = true
        case .full:
            credentials =
                (try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                    PeerCredentials(socket: $0)
                }) ?? nil
            isPermitted = credentials?.isPermitted(group) ?? false
        }
    }

    var description: String { credentials.map { "uid \($0.uid), pid \($0.pid)" } ?? "-" }
}
