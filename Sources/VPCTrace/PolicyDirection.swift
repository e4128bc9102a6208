import IPAddressing
import VPCCompiler

/// Which way a packet goes, seen from the guest.
enum PolicyDirection: String {
    case ingress
    case egress

    /// As the compiler calls it.
    var traffic: TrafficDirection { self == .ingress ? .ingress : .egress }

    func farAddress(_ packet: Packet) -> IPAddress { self == .ingress ? packet.source : packet.destination }
    /// `from` or `to`.
    var preposition: String { self == .ingress ? "from" : "to" }
}
