import KernelModel
import Reconciler
import Synchronization

/// Looks now and then whether the machine's own filters let the tunnels of the other hosts in and out: nobody tells of
/// others' rules in a way that says what they do.
final class FilterWatch: Sendable {
    private let publication: Publication
    private let reconciler = Mutex<HostReconciler?>(nil)
    private let thread = PeriodicThread(every: 10_000, niceness: 10)

    init(_ publication: Publication) { self.publication = publication }

    /// The host that this machine is.
    func follow(_ reconciler: HostReconciler) { self.reconciler.withLock { $0 = reconciler } }

    func start() {
        // What could not be read is no news again and again.
        thread.start(String?.none) { [self] complaint in
            guard let reconciler = reconciler.withLock(\.self) else { return }
            do {
                publication.filtered(try reconciler.tunnelObstacles() ?? [])
                complaint = nil
            } catch {
                if complaint != "\(error)" { publication.log.error("the machine's filters cannot be read: \(error)") }
                complaint = "\(error)"
            }
        }
    }

    func stop() { thread.stop() }
}
