import IPAddressing
import KernelModel
import Netlink

extension Connection {
    init(_ flow: ConntrackFlow) {
        let tuple = flow.original
        self.init(
            id: flow.id, zone: flow.zone, ipProtocol: tuple.protocol, source: IPAddress(tuple.source),
            destination: IPAddress(tuple.destination), sourcePort: tuple.sourcePort,
            destinationPort: tuple.destinationPort, replySource: IPAddress(flow.reply.source),
            replyDestination: IPAddress(flow.reply.destination), replySourcePort: flow.reply.sourcePort,
            replyDestinationPort: flow.reply.icmp?.id ?? flow.reply.destinationPort,
            icmp: tuple.icmp.map { ICMP(type: $0.type, code: $0.code, id: $0.id) }, mark: flow.mark,
            status: flow.status)
    }

    /// The entry as the kernel is asked for it.
    var flow: ConntrackFlow {
        var tuple = ConntrackTuple(
            source: ConntrackTuple.Address(source), destination: ConntrackTuple.Address(destination),
            protocol: ipProtocol)
        tuple.sourcePort = sourcePort
        tuple.destinationPort = destinationPort
        tuple.icmp = icmp.map { ConntrackTuple.ICMP(type: $0.type, code: $0.code, id: $0.id) }
        var flow = ConntrackFlow(id: id, zone: zone, original: tuple)
        flow.mark = mark
        flow.status = status
        return flow
    }
}

extension IPAddress {
    fileprivate init(_ address: ConntrackTuple.Address) {
        self.init(
            family: address.isIPv6 ? .ipv6 : .ipv4, high: UInt64(truncatingIfNeeded: address.value >> 64),
            low: UInt64(truncatingIfNeeded: address.value))
    }
}

extension ConntrackTuple.Address {
    fileprivate init(_ address: IPAddress) {
        self.init(isIPv6: address.family == .ipv6, value: UInt128(address.high) << 64 | UInt128(address.low))
    }
}
