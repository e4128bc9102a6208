public import IPAddressing

/// An expectation about traffic between two interfaces, or between one and somebody outside.
public struct Probe: Hashable, Sendable {
    public var metadata: Metadata
    public var from: Sender
    public var to: Target
    public var transport: Transport
    public var expect: Expectation

    public enum Sender: Hashable, Sendable {
        /// Name of a network interface.
        case interface(String)
        /// Somebody in an external network.
        case external(IPAddress)
    }

    public enum Target: Hashable, Sendable {
        /// Name of a network interface.
        case interface(String)
        case address(IPAddress)
        /// Somebody in an external network.
        case external(IPAddress)
    }

    public enum Transport: Hashable, Sendable {
        case icmp
        case tcp(port: UInt16)
        case udp(port: UInt16)
        case sctp(port: UInt16)
    }

    public enum Expectation: String, Hashable, Sendable, CaseIterable {
        case allow
        case deny
    }

    public init(metadata: Metadata, from: Sender, to: Target, transport: Transport, expect: Expectation) {
        self.metadata = metadata
        self.from = from
        self.to = to
        self.transport = transport
        self.expect = expect
    }
}

extension Probe: ResourceType {
    public static let names = KindNames("Probe")
    public static var kind: ResourceKind { .probe }
}

extension ResourceKind {
    public static let probe = ResourceKind(of: Probe.self)
}

extension Model {
    public var probes: [Probe] {
        get { self[Probe.self] }
        _modify { yield &self[Probe.self] }
    }
}
