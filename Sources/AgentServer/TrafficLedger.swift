import Agent
import KernelModel
import KernelNames
import Presentation
import Reconciler
import Synchronization
import VPCManifest
import VPCTopology

/// What went through this host's interfaces, seen from the guests: what a guest sends, its port receives.
///
/// The kernel forgets a device's numbers with the device. The sums of the VPCs go on: what was there at the last look
/// stays counted.
final class TrafficLedger: Sendable {
    private let state = Mutex(State())

    fileprivate struct State {
        /// At the last look.
        var interfaces: [String: LinkTraffic] = [:]
        var vpcs: [String: LinkTraffic] = [:]
    }

    /// The numbers of one moment.
    struct Reading: Sendable {
        var interfaces: [Interface] = []
        /// By name.
        var vpcs: [(name: String, traffic: LinkTraffic)] = []
        var refusals = Refusals()
    }

    struct Interface: Sendable {
        var name: String
        var vpc: String
        var subnet: String
        /// On the host.
        var device: String
        var traffic: LinkTraffic
    }

    /// Asks the kernel, on the calling thread; one caller after the other, or sums would run backwards.
    func collect(_ agent: Agent) throws(AgentError) -> Reading {
        try state.withLock { (state) throws(AgentError) in
            guard let desired = agent.desired else { return Reading() }
            let local = desired.topology.interfacesOfHost[desired.host].map { desired.topology.interfaces[$0] }
            let devices = try agent.traffic()
            let refusals = try agent.refusals()
            let interfaces = local.compactMap { interface -> Interface? in
                guard let port = InterfaceName(interface.portName.rawValue).flatMap({ devices[$0] }) else { return nil }
                return Interface(
                    name: interface.name, vpc: desired.topology.vpcs[interface.vpc].name,
                    subnet: desired.topology.subnets[interface.subnet].name, device: interface.portName.rawValue,
                    traffic: port.ofTheOtherEnd)
            }
            state.add(interfaces)
            let vpcs = Set(local.map { desired.topology.vpcs[$0.vpc].name }).sorted()
            return Reading(
                interfaces: interfaces.sorted { $0.name < $1.name },
                vpcs: vpcs.map { ($0, state.vpcs[$0] ?? LinkTraffic()) }, refusals: refusals)
        }
    }
}

extension TrafficLedger.State {
    fileprivate mutating func add(_ readings: [TrafficLedger.Interface]) {
        let before = interfaces
        interfaces = [:]
        for reading in readings {
            vpcs[reading.vpc, default: LinkTraffic()] += reading.traffic.since(before[reading.name] ?? LinkTraffic())
            interfaces[reading.name] = reading.traffic
        }
    }
}

extension LinkTraffic {
    /// The same packets as the other end of a veth counts them.
    fileprivate var ofTheOtherEnd: LinkTraffic {
        var other = LinkTraffic()
        (other.receivedBytes, other.transmittedBytes) = (transmittedBytes, receivedBytes)
        (other.receivedPackets, other.transmittedPackets) = (transmittedPackets, receivedPackets)
        (other.receivedDropped, other.transmittedDropped) = (transmittedDropped, receivedDropped)
        return other
    }

    /// What came after an earlier look; everything, where the device was made anew since.
    fileprivate func since(_ earlier: LinkTraffic) -> LinkTraffic {
        func isBehind(_ number: KeyPath<LinkTraffic, UInt64>) -> Bool {
            self[keyPath: number] < earlier[keyPath: number]
        }
        if isBehind(\.receivedPackets) || isBehind(\.transmittedPackets) || isBehind(\.receivedBytes)
            || isBehind(\.transmittedBytes)
        {
            return self
        }
        var difference = LinkTraffic()
        difference.receivedBytes = receivedBytes - earlier.receivedBytes
        difference.receivedPackets = receivedPackets - earlier.receivedPackets
        difference.receivedDropped = receivedDropped - min(receivedDropped, earlier.receivedDropped)
        difference.transmittedBytes = transmittedBytes - earlier.transmittedBytes
        difference.transmittedPackets = transmittedPackets - earlier.transmittedPackets
        difference.transmittedDropped = transmittedDropped - min(transmittedDropped, earlier.transmittedDropped)
        return difference
    }

    fileprivate static func += (sum: inout LinkTraffic, more: LinkTraffic) {
        sum.receivedBytes += more.receivedBytes
        sum.receivedPackets += more.receivedPackets
        sum.receivedDropped += more.receivedDropped
        sum.transmittedBytes += more.transmittedBytes
        sum.transmittedPackets += more.transmittedPackets
        sum.transmittedDropped += more.transmittedDropped
    }

    /// `received` and `transmitted`.
    var members: [StructuredValue.Member] {
        func side(_ bytes: UInt64, _ packets: UInt64, _ dropped: UInt64) -> StructuredValue {
            [
                "bytes": .integer(Int(clamping: bytes)), "packets": .integer(Int(clamping: packets)),
                "dropped": .integer(Int(clamping: dropped)),
            ]
        }
        return [
            StructuredValue.Member("received", side(receivedBytes, receivedPackets, receivedDropped)),
            StructuredValue.Member("transmitted", side(transmittedBytes, transmittedPackets, transmittedDropped)),
        ]
    }
}
