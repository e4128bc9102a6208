import KernelModel
import KernelNames
import Netlink

/// Keeps what is known of the namespace in which the packets of a host's tunnels travel equal to the kernel: its devices,
/// addresses, ways to others, and our tables.
final class UnderlayMirror {
    private var namespace: NamespaceMirror
    private var firewall: FirewallMirror

    /// Nil where it is the host's own, which is mirrored anyway.
    init?(
        _ driver: KernelDriver, _ request: ObservationRequest, receiveBuffer: Int,
        into snapshot: inout NamespaceSnapshot
    ) throws(NetlinkError) {
        if driver.own == nil { return nil }
        var changes = NamespaceChanges()
        namespace = try NamespaceMirror(
            driver.underlay, owner: request.owner, isGuest: false, paths: request.paths, receiveBuffer: receiveBuffer,
            into: &snapshot, &changes)
        firewall = try FirewallMirror(
            driver.underlay, request.underlayFirewall, receiveBuffer: receiveBuffer, into: &snapshot.firewall, &changes)
    }

    /// Readable as long as notifications wait.
    var fileDescriptors: [Int32] { [namespace.fileDescriptor, firewall.fileDescriptor] }

    var deviceNames: DeviceNames { namespace.deviceNames }

    func follow(_ request: ObservationRequest) {
        namespace.owner = request.owner
        namespace.paths = request.paths
        firewall.tables = request.underlayFirewall
    }

    func suspectEverything() {
        namespace.suspectEverything()
        firewall.suspectEverything()
    }

    func suspectLinks() { namespace.suspectLinks() }

    func update(_ snapshot: inout NamespaceSnapshot, _ update: inout KernelUpdate) throws(NetlinkError) {
        var changes = NamespaceChanges()
        try namespace.update(&snapshot, &changes)
        try firewall.update(&snapshot.firewall, &changes)
        update.isUnderlayConcerned = update.isUnderlayConcerned || !changes.kinds.isEmpty
        update.notifications += changes.notifications
        update.wasOverrun = update.wasOverrun || changes.wasOverrun
        update.objectsRead += changes.objectsRead
    }
}
