import Glibc
import IPAddressing
import KernelDriver
import KernelNames
import Netlink
import Traffic

/// Looks after the ways to external networks that this host alone has, on a thread of its own, whenever the kernel tells of
/// devices or neighbours. Those of pairs are looked after by who decides which of the two is active.
final class UplinkWatch: Sendable {
    private let publication: Publication
    private let thread: PlanThread<UplinkPlan>

    init(_ publication: Publication) throws(AgentError) {
        self.publication = publication
        thread = try PlanThread(UplinkPlan())
    }

    /// From now on these are the uplinks. The thread begins with the first of them.
    func follow(_ plan: UplinkPlan) {
        thread.follow(plan, isNeeded: !plan.uplinks.isEmpty) { [publication] in
            var watcher = UplinkWatcher(publication)
            return { watcher.turn($0, wokenBy: $1) }
        }
    }

    func stop() { thread.stop() }
}

/// Which uplinks are watched, and where.
struct UplinkPlan: Equatable, Sendable {
    /// The name of the VPCs' network namespace, and which one that is: another one may get its name.
    var namespace = ""
    var identity: UInt64 = 0
    /// By the name of the external network.
    var uplinks: [String: Uplink] = [:]

    struct Uplink: Equatable, Sendable {
        var device: InterfaceName
        /// What it sits upon, in the machine's own namespace.
        var base: InterfaceName
        var router: IPAddress
    }
}

/// What is known of the uplinks.
private struct UplinkWatcher {
    private let publication: Publication
    private var monitor: Monitor?
    private var faults: [String: UplinkMonitor.Fault] = [:]
    private var complaint: String?

    /// Of one thread.
    private final class Monitor {
        let identity: UInt64
        var kernel: UplinkMonitor

        init(in namespace: NetworkNamespace, _ identity: UInt64) throws(NetlinkError) {
            self.identity = identity
            kernel = try UplinkMonitor(in: namespace)
        }
    }

    init(_ publication: Publication) { self.publication = publication }

    /// When a socket that could not be had is asked for again.
    private static let patience = Duration.seconds(5)

    mutating func turn(_ plan: UplinkPlan, wokenBy bell: Int32) {
        look(plan)
        var poll = PollSet()
        poll.add(bell, POLLIN)
        if let monitor { poll.add(monitor.kernel.fileDescriptor, POLLIN) }
        poll.wait(until: monitor == nil && !plan.uplinks.isEmpty ? .now + Self.patience : nil)
    }

    private mutating func look(_ plan: UplinkPlan) {
        if plan.uplinks.isEmpty {
            monitor = nil
            return publication.uplinks([])
        }
        do {
            if monitor?.identity != plan.identity {
                monitor = nil
                monitor = try Monitor(in: .named(plan.namespace), plan.identity)
            }
            try monitor?.kernel.drain()
            publication.uplinks(try plan.uplinks.sorted { $0.key < $1.key }.map { try state(of: $0, $1) })
            complaint = nil
        } catch {
            monitor = nil
            if complaint != "\(error)" { publication.log.error("uplinks are not watched: \(error)") }
            complaint = "\(error)"
        }
    }

    private mutating func state(of network: String, _ uplink: UplinkPlan.Uplink) throws -> AgentStatus.Uplink {
        let fault = try monitor?.kernel.fault(of: uplink.device, to: uplink.router, after: faults[network])
        faults[network] = fault
        let reason: String? =
            switch fault {
            case .absent: "the uplink \(uplink.device) is not there"
            case .noCarrier: "device \(uplink.base) has no carrier"
            case .silent: "the provider's router \(uplink.router) does not answer by ARP on device \(uplink.base)"
            case nil: nil
            }
        return AgentStatus.Uplink(
            network: network, device: "\(uplink.device)", isUp: fault == nil, reason: reason)
    }
}
