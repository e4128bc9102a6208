/// How a target of a load balancer is asked whether it can take connections.
public struct HealthCheck: Hashable, Sendable {
    public var question: Question
    public var port: UInt16
    /// From one question to the next.
    public var interval: Duration
    /// For the whole answer.
    public var timeout: Duration
    /// So many good answers in a row, and it is healthy again.
    public var healthy: Int
    /// So many bad ones in a row, or none, and it is not any more.
    public var unhealthy: Int

    public enum Question: Hashable, Sendable {
        /// A connection has to come about.
        case tcp
        /// An empty datagram has to be answered, by any.
        case udp
        case http(HTTPRequest)
        /// Certificates are not looked at, only answers.
        case https(HTTPRequest)
    }

    /// A `GET` of HTTP/1.1.
    public struct HTTPRequest: Hashable, Sendable {
        public var path: String
        public var statuses: Set<Int>

        public init(path: String, statuses: Set<Int>) { (self.path, self.statuses) = (path, statuses) }
    }

    public init(
        _ question: Question, port: UInt16, interval: Duration, timeout: Duration, healthy: Int, unhealthy: Int
    ) {
        (self.question, self.port) = (question, port)
        (self.interval, self.timeout) = (interval, timeout)
        (self.healthy, self.unhealthy) = (healthy, unhealthy)
    }
}

extension FactKind {
    /// Whether a target can take connections, by its group's and its interface's name, with a slash between.
    public static let health = FactKind(rawValue: 3)
}
