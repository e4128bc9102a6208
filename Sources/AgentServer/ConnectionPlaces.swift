import NIOCore
import Synchronization

/// The connections of one listener.
///
/// Where a peer has all of its share a newcomer is refused; or, where connections are short, takes the place of the peer's
/// oldest: who holds many open without asking for anything then keeps nobody out.
final class ConnectionPlaces: Sendable {
    private let shares: Shares
    private let refusals: Shares
    private let givesWay: Bool
    /// Oldest first.
    private let held = Mutex<[Peer: [any Channel]]>([:])

    enum Place {
        case served
        /// There is none; the client is still told so.
        case refused
        /// Not even that.
        case none
    }

    init(_ limits: Shares.Limits, refusals: Int, givesWay: Bool) {
        shares = Shares(limits)
        self.refusals = Shares(Shares.Limits(total: refusals, reserved: 0, each: refusals))
        self.givesWay = givesWay
    }

    /// Held until the channel closes.
    func take(_ channel: any Channel, of peer: Peer) -> Place {
        if !shares.take(for: peer) {
            guard givesWay, let oldest = removeOldest(of: peer) else { return refuse(channel) }
            // It has handed its place over.
            oldest.close(promise: nil)
        }
        held.withLock { $0[peer, default: []].append(channel) }
        channel.closeFuture.whenComplete { [self] _ in
            if remove(channel, of: peer) { shares.giveBack(of: peer) }
        }
        return .served
    }

    private func refuse(_ channel: any Channel) -> Place {
        guard refusals.take(for: .unknown) else { return .none }
        channel.closeFuture.whenComplete { [self] _ in refusals.giveBack(of: .unknown) }
        return .refused
    }

    private func removeOldest(of peer: Peer) -> (any Channel)? {
        held.withLock { held in held[peer]?.isEmpty == false ? held[peer]?.removeFirst() : nil }
    }

    private func remove(_ channel: any Channel, of peer: Peer) -> Bool {
        held.withLock { held in
            guard let index = held[peer]?.firstIndex(where: { $0 === channel }) else { return false }
            held[peer]?.remove(at: index)
            if held[peer]?.isEmpty == true { held[peer] = nil }
            return true
        }
    }
}
