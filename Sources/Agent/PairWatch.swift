import Dispatch
import Foundation
import GatewayControl
import Synchronization
import VPCModel
import VPCTopology

/// Asks `vpcgw` how the pairs of gateways are that this host is in, as long as it is in any, on a thread of its own: whoever
/// is asked answers when there is something new.
final class PairWatch: Sendable {
    private let path: String
    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)
    private let whenChanged: @Sendable ([AgentStatus.GatewayPair]) -> Void

    private struct State {
        /// Names of external networks.
        var networks: [String] = []
        var isRunning = false
        var isStopped = false
    }

    /// Between two questions where nobody answers.
    private static let pause = DispatchTimeInterval.seconds(1)
    /// Longer than it takes `vpcgw` to answer where nothing changes.
    private static let patience = 15

    /// - Parameters:
    ///   - path: The socket of `vpcgw`.
    ///   - whenChanged: Called on the thread, with one for each network, in the order of their names.
    init(path: String, whenChanged: @escaping @Sendable ([AgentStatus.GatewayPair]) -> Void) {
        (self.path, self.whenChanged) = (path, whenChanged)
    }

    /// Says which networks this host is one of two gateways of. A thread is begun when there is one for the first time.
    func follow(_ networks: [String]) {
        let (isFirst, isOther) = state.withLock { state in
            let isFirst = !state.isRunning && !networks.isEmpty && !state.isStopped
            let isOther = state.networks != networks
            state.networks = networks
            if isFirst { state.isRunning = true }
            return (isFirst, isOther)
        }
        if isFirst { Thread.detachNewThread { self.run() } } else if isOther { bell.signal() }
    }

    /// It ends when it is answered next, and tells nothing any more.
    func stop() {
        state.withLock { $0.isStopped = true }
        bell.signal()
    }

    private func run() {
        var number: UInt64 = 0
        while let networks = state.withLock({ $0.isStopped ? nil : $0.networks }) {
            if networks.isEmpty {
                whenChanged([])
                bell.wait()
                continue
            }
            var answer: ControlAnswer?
            var complaint = "no vpcgw answers at \(path)"
            do {
                answer = try ControlClient.ask(.watch(since: number), at: path, seconds: Self.patience)
            } catch {
                complaint = "\(error)"
            }
            // Of what was asked for: while it was waited for it may have become another list.
            guard state.withLock({ !$0.isStopped && $0.networks == networks }) else { continue }
            whenChanged(
                networks.map { network in
                    let status = answer?.pairs.first { $0.network == network }
                    let silence = answer.map { $0.error ?? "vpcgw does not know of it" } ?? complaint
                    return AgentStatus.GatewayPair(network: network, complaint: status == nil ? silence : nil, status)
                })
            number = answer?.number ?? 0
            if number == 0 { _ = bell.wait(timeout: .now() + Self.pause) }
        }
    }
}

extension Topology {
    /// External networks that a host is one of two gateways of, in the order of their names.
    func pairedNetworks(of host: Int) -> [String] {
        externalNetworks.filter { $0.pair != nil && $0.uplink(of: host) != nil }.map(\.name).sorted()
    }
}
