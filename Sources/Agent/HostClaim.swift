import Glibc
import KernelDriver
import KernelModel
import NFTables
import Netlink

/// Says that a host and a state directory have their agent. The kernel takes it back when the process ends, however.
///
/// The host's sign is a table of nf_tables without content that belongs to the process: such tables belong to a network
/// namespace, as a host does, whatever the process sees of the file system, and only who may change the namespace's network
/// can make one.
final class HostClaim: Sendable {
    private let claim: NamespaceClaim
    private let namespace: NetworkNamespace
    private let lock: Int32

    /// `table inet vpcd`; docs/ownership.md.
    static let table = NFTable(.inet, "vpcd")

    init(stateDirectory: String, namespace: NetworkNamespace) throws(AgentError) {
        let file = try Self.lockFile(stateDirectory)
        do {
            claim = try Self.claim(namespace)
        } catch {
            close(file)
            throw error
        }
        lock = file
        self.namespace = namespace
    }

    /// The number of the network namespace; nil where that has gone.
    var networkNamespace: UInt64? { try? namespace.identity() }

    /// A child of this process that has not begun its program yet holds the file, too: so it is not only closed.
    deinit {
        flock(lock, LOCK_UN)
        close(lock)
    }

    private static func lockFile(_ stateDirectory: String) throws(AgentError) -> Int32 {
        let path = stateDirectory + "/lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o640)
        guard file >= 0 else { throw .system("open \(path)") }
        do throws(AgentError) {
            guard Files.isRegular(file) else { throw AgentError(.storage, "\(path) is no regular file; remove it") }
            guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
                let owner =
                    ((try? Files.read(path, limit: 32)) ?? nil).map { String(decoding: $0, as: UTF8.self) } ?? "?"
                throw AgentError(
                    .startup, "another vpcd (pid \(owner)) uses the state directory \(stateDirectory)")
            }
            let text = "\(getpid())"
            ftruncate(file, 0)
            guard pwrite(file, text, text.utf8.count, 0) == text.utf8.count else { throw .system("write \(path)") }
        } catch {
            close(file)
            throw error
        }
        return file
    }

    private static func claim(_ namespace: NetworkNamespace) throws(AgentError) -> NamespaceClaim {
        do throws(NamespaceClaim.Failure) {
            return try NamespaceClaim(table, comment: "pid \(getpid())", in: namespace)
        } catch {
            switch error {
            case .held(let holder):
                throw AgentError(
                    .startup,
                    "another vpcd (\(holder ?? "its pid cannot be told")) looks after this host; stop it first, or run"
                        + " this one in another network namespace")
            case .blocked:
                throw AgentError(
                    .startup,
                    "somebody has made a table of nf_tables with the name by which vpcd claims this host; 'nft delete"
                        + " table \(table)' removes it")
            case .kernel(let error): throw AgentError(.startup, "claim the host: \(error)")
            }
        }
    }
}
