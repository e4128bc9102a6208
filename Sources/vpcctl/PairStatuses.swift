import Foundation
import GatewayControl
import VPCTopology

/// What the process that decides says of the pairs that this host is in, for the columns of `get`; asked once.
enum PairStatuses {
    static let all: [String: PairStatus] = {
        let path = ProcessInfo.processInfo.environment["VPCGW_SOCKET"] ?? ControlClient.standardPath
        let answer = (try? ControlClient.ask(.status, at: path, seconds: 2)) ?? nil
        return Dictionary((answer?.pairs ?? []).map { ($0.network, $0) }, uniquingKeysWith: { first, _ in first })
    }()

    /// `gw1 since 2026-01-31T12:00:00Z`; `-` where this host knows nothing of it.
    static func active(ofNetwork name: String, _ topology: Topology) -> String {
        guard let pair = all[name] else { return "-" }
        guard let active = pair.active else { return "nobody" }
        let host = topology.hosts.first { "\($0.underlayAddress)" == active }?.metadata.name ?? active
        return pair.role == "active" ? "\(host) since \(WallClock.text(secondsSince1970: pair.since))" : host
    }

    /// How the other one is.
    static func standby(ofNetwork name: String) -> String {
        guard let pair = all[name] else { return "-" }
        if pair.peerRole == nil { return "silent" }
        return pair.isSynchronized ? "synchronized, \(pair.connections) connections" : "not synchronized"
    }
}
