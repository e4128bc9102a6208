internal import CLinux
internal import Glibc

/// Is told which connections begin and which end, as far as the rules have them told (`ct event set`).
public struct ConntrackLifeMonitor: ~Copyable, Sendable {
    public enum Event: Sendable {
        case began(ConntrackCopy)
        case ended(ConntrackCopy)
    }

    private var monitor: NetlinkMonitor

    /// - Parameter receiveBuffer: Bytes, for what is not read yet: an event takes some 800.
    public init(in namespace: NetworkNamespace, receiveBuffer: Int = 32 << 20) throws(NetlinkError) {
        let groups = [NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY].map { MulticastGroup(rawValue: $0.rawValue) }
        monitor = try NetlinkMonitor(.conntrack, groups: groups, in: namespace, receiveBuffer: receiveBuffer)
    }

    public var fileDescriptor: Int32 { monitor.fileDescriptor }

    /// Hands over what has come; does not wait.
    /// - Parameter limit: Datagrams that are taken.
    /// - Returns: Whether the kernel has thrown messages away, and whether all were taken.
    public mutating func receive(limit: Int, _ each: (Event) -> Void) throws(NetlinkError) -> (
        isOverrun: Bool, isEmpty: Bool
    ) {
        try monitor.receiveConnections(limit: limit) { each($1 ? .ended($0) : .began($0)) }
    }
}
