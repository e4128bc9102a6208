public import IPAddressing

/// What the guests of a subnet are told by DHCP beside their address, mask, router and MTU.
public struct DHCPOptions: Hashable, Sendable {
    /// Whether they are answered at all.
    public var isEnabled: Bool
    /// How long a guest may use its address without asking again; it asks after half of it.
    public var lease: Duration
    public var nameServers: [IPAddress]
    public var timeServers: [IPAddress]
    /// A DNS domain, in which names are looked for.
    public var domain: String?
    /// By the subnet's gateway, beside the default route.
    public var routes: [Route]

    public struct Route: Hashable, Sendable {
        public var destination: IPPrefix

        public init(destination: IPPrefix) { self.destination = destination }
    }

    public static let leases: ClosedRange<Duration> = .seconds(60) ... .seconds(30 * 86400)
    public static let defaultLease = Duration.seconds(86400)
    /// Of name servers, time servers and routes each: all of them have to fit into a message of 576 bytes (RFC 2131).
    public static let mostEntries = 4

    public init(
        isEnabled: Bool = true, lease: Duration = defaultLease, nameServers: [IPAddress] = [],
        timeServers: [IPAddress] = [], domain: String? = nil, routes: [Route] = []
    ) {
        self.isEnabled = isEnabled
        self.lease = lease
        self.nameServers = nameServers
        self.timeServers = timeServers
        self.domain = domain
        self.routes = routes
    }
}

/// Names as hosts have them (RFC 1123, section 2.1).
public enum HostName {
    /// One label: letters, digits and hyphens inside, at most 63.
    public static func isLabel(_ text: some StringProtocol) -> Bool {
        (1...63).contains(text.utf8.count) && text.first != "-" && text.last != "-"
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
    }

    /// Labels with dots between them, at most 253 bytes.
    public static func isDomain(_ text: String) -> Bool {
        text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isLabel($0) }
    }
}
