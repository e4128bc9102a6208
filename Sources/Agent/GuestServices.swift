import DHCP
import Glibc
import IPAddressing
import Netlink
import Traffic
import VPCCompiler
import VPCModel
import VPCTopology

/// Answers what the guests of this host ask by DHCP, on a thread of its own: whatever keeps the loop busy, they are
/// answered. What it knows is all in the plan; of who has asked nothing is kept.
final class GuestServices: Sendable {
    private let publication: Publication
    private let thread: PlanThread<GuestServicePlan>

    init(_ publication: Publication) throws(AgentError) {
        self.publication = publication
        thread = try PlanThread(GuestServicePlan())
    }

    /// From now on these are the guests that are answered. The thread begins with the first of them.
    func follow(_ plan: GuestServicePlan) {
        thread.follow(plan, isNeeded: !plan.isEmpty) { [publication] in
            var responder = Responder(publication)
            return { responder.turn($0, wokenBy: $1) }
        }
    }

    func stop() { thread.stop() }
}

/// Who is answered, and where.
struct GuestServicePlan: Equatable, Sendable {
    /// The name of the VPCs' network namespace, and which one that is: another one may get its name.
    var namespace = ""
    var identity: UInt64 = 0
    /// By the names of their ports.
    var clients: [String: DHCPClient] = [:]
    /// The ports, by VRF and hardware address: what renews a lease comes as a packet of the VRF.
    var ports: [Station: String] = [:]

    struct Station: Hashable, Sendable {
        var vrf: String
        var hardwareAddress: MACAddress
    }

    var isEmpty: Bool { clients.isEmpty }
}

/// The sockets of a namespace, and what is done with what comes there.
private struct Responder {
    private let publication: Publication
    private var sockets: Sockets?
    private var complaint: String?

    /// Of one thread.
    private final class Sockets {
        let identity: UInt64
        var requests: PacketLogSocket
        let sender: FrameSender

        init(in namespace: NetworkNamespace, _ identity: UInt64) throws {
            self.identity = identity
            // A request with its headers takes less; who floods is held up before.
            requests = try PacketLogSocket(groups: [Conventions.guestRequests], in: namespace, snapLength: 1600)
            sender = try FrameSender(in: namespace)
        }
    }

    init(_ publication: Publication) { self.publication = publication }

    /// When sockets that could not be had are asked for again.
    private static let patience = Duration.seconds(5)

    /// Waits for requests, or the bell, and answers.
    mutating func turn(_ plan: GuestServicePlan, wokenBy bell: Int32) {
        bringSockets(plan)
        var poll = PollSet()
        poll.add(bell, POLLIN)
        if let descriptor = sockets?.requests.fileDescriptor { poll.add(descriptor, POLLIN) }
        let isFailing = sockets == nil && !plan.isEmpty
        poll.wait(until: isFailing ? .now + Self.patience : nil)
        if sockets != nil { answerAll(plan) }
    }

    /// The sockets of the plan's namespace; none where there is nobody to answer.
    private mutating func bringSockets(_ plan: GuestServicePlan) {
        if plan.isEmpty { return sockets = nil }
        if sockets?.identity == plan.identity { return }
        sockets = nil
        do {
            sockets = try Sockets(in: .named(plan.namespace), plan.identity)
            complain(nil)
        } catch let error as NetlinkError where error.errno == EPERM {
            complain("another program reads nflog group \(Conventions.guestRequests): a group has one reader")
        } catch {
            complain("\(error)")
        }
    }

    private mutating func complain(_ reason: String?) {
        if let reason, reason != complaint { publication.log.error("DHCP is not answered: \(reason)") }
        complaint = reason
    }

    private mutating func answerAll(_ plan: GuestServicePlan) {
        do {
            while let event = try sockets?.requests.next(timeout: .zero), event != .timedOut {
                // Clients ask again: what was lost is nothing to do about.
                if case .packet(let packet, _) = event { answer(packet, plan) }
            }
        } catch {
            sockets = nil
            complain("\(error)")
        }
    }

    private func answer(_ packet: LoggedPacket, _ plan: GuestServicePlan) {
        guard let request = DHCPMessage(packet: packet.bytes),
            let (client, device) = client(asking: packet, request, plan),
            let answer = client.answer(to: request)
        else { return }
        let frame = answer.frame(from: client.network.gateway, Conventions.gatewayMAC)
        _ = sockets?.sender.send(frame, by: device)
    }

    /// Who asks, by the port and the hardware address, which the firewall has compared; and the number of the port.
    private func client(
        asking packet: LoggedPacket, _ request: DHCPMessage, _ plan: GuestServicePlan
    ) -> (DHCPClient, UInt32)? {
        guard let name = sockets?.sender.name(of: packet.inputDevice) else { return nil }
        if let client = plan.clients[name] { return (client, packet.inputDevice) }
        let station = GuestServicePlan.Station(vrf: name, hardwareAddress: request.hardwareAddress)
        guard packet.hardwareAddress == request.hardwareAddress.bytes, let port = plan.ports[station],
            let client = plan.clients[port], let device = sockets?.sender.index(of: port)
        else { return nil }
        return (client, device)
    }
}

extension GuestServicePlan {
    /// - Parameter ports: Those whose guests are answered.
    init(_ ports: [Compilation.ServedPort], in topology: Topology, namespace: String, identity: UInt64) {
        self.init()
        (self.namespace, self.identity) = (namespace, identity)
        var networks: [Int: DHCPNetwork] = [:]
        for port in ports {
            let interface = topology.interfaces[port.interface]
            let subnet = topology.subnets[interface.subnet]
            guard let options = subnet.dhcp else { continue }
            let network = networks[interface.subnet] ?? DHCPNetwork(options, of: subnet)
            networks[interface.subnet] = network
            clients[port.name.description] = DHCPClient(
                hardwareAddress: interface.mac, address: interface.address,
                hostName: interface.hostName ?? interface.name, mtu: interface.mtu, network: network)
            self.ports[Station(vrf: port.vrf.description, hardwareAddress: interface.mac)] = port.name.description
        }
    }
}

extension DHCPNetwork {
    fileprivate init(_ options: DHCPOptions, of subnet: ResolvedSubnet) {
        self.init(prefix: subnet.cidr, gateway: subnet.gateway, lease: options.lease)
        (nameServers, timeServers, domain) = (options.nameServers, options.timeServers, options.domain)
        routes = options.routes.map(\.destination)
    }
}
