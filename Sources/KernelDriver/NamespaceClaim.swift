import CLinux
import Glibc
import KernelModel
public import NFTables
public import Netlink
import Synchronization

/// A name in a network namespace that one process has at a time: an empty table of nf_tables that belongs to the socket it
/// was made with (`NFT_TABLE_F_OWNER`, Linux 5.12).
///
/// Taking it takes CAP_NET_ADMIN over the namespace. Nobody else can change or delete the table, `nft flush ruleset` passes
/// it by, and the kernel removes it with the socket, however the process ends. No packet ever meets it.
public final class NamespaceClaim: Sendable {
    private let table: NFTable
    private let socket: Mutex<NFTablesSocket>
    private let isHeld: Bool

    /// Why it cannot be had.
    public enum Failure: Error {
        /// Another process has it, which has left this comment.
        case held(comment: String?)
        /// There is a table of that name which is nobody's claim.
        case blocked
        case kernel(NetlinkError)
    }

    /// - Parameter comment: For those who come later and for `nft list ruleset`; less than 128 bytes.
    public init(
        _ table: NFTable, comment: String, in namespace: NetworkNamespace = .current
    ) throws(Failure) {
        let failure: Failure?
        do throws(NetlinkError) {
            var socket = try NFTablesSocket(in: namespace, receiveBuffer: 64 << 10)
            if let refusal = try Self.make(table, comment, &socket) {
                failure = try Self.failure(refusal, table, &socket)
            } else {
                failure = nil
            }
            self.socket = Mutex(socket)
        } catch {
            throw .kernel(error)
        }
        self.table = table
        isHeld = failure == nil
        if let failure { throw failure }
    }

    /// Said, not left to the socket's end: a child that has not begun its program yet holds that open, too.
    deinit {
        guard isHeld else { return }
        socket.withLock { socket in
            _ = try? socket.transact(generation: nil) { writer in
                Self.message(NFT_MSG_DELTABLE, [], table, &writer) { _ in }
            } failed: { _, _, _ in
            }
        }
    }

    /// - Returns: why the kernel has not made it; nil where it has.
    private static func make(
        _ table: NFTable, _ comment: String, _ socket: inout NFTablesSocket
    ) throws(NetlinkError) -> NetlinkError? {
        var refusal: NetlinkError?
        _ = try socket.transact(generation: nil) { writer in
            message(NFT_MSG_NEWTABLE, [.create, .exclusive], table, &writer) {
                $0.put(NFTA_TABLE_FLAGS, number: NFT_TABLE_F_OWNER.rawValue)
                $0.put(NFTA_TABLE_USERDATA, bytes: FirewallNotes.bytes(comment: comment).span.bytes)
            }
        } failed: { _, _, error in
            refusal = error
        }
        return refusal
    }

    private static func message(
        _ type: nf_tables_msg_types, _ flags: MessageFlags, _ table: NFTable, _ writer: inout MessageWriter,
        _ more: (inout MessageWriter) -> Void
    ) {
        writer.message(.tables(type), flags, nfgenmsg(family: FirewallCodes.family(table.family))) {
            $0.put(NFTA_TABLE_NAME, table.name)
            more(&$0)
        }
        writer.sequence &+= 1
    }

    /// Another's table gives EPERM, as a lack of permission does: who may not take it may not look at it either.
    private static func failure(
        _ refusal: NetlinkError, _ table: NFTable, _ socket: inout NFTablesSocket
    ) throws(NetlinkError) -> Failure {
        guard refusal.errno == EPERM || refusal.errno == EEXIST else { return .kernel(refusal) }
        var comment: String?
        var isOwned = false
        try socket.query(NFT_MSG_GETTABLE, family: FirewallCodes.family(table.family)) {
            $0.put(NFTA_TABLE_NAME, table.name)
        } each: { message throws(CodecError) in
            var attributes = message.attributes(after: nfgenmsg.self)
            while let attribute = try attributes.next() {
                switch UInt32(attribute.type) {
                case NFTA_TABLE_OWNER.rawValue: isOwned = true
                case NFTA_TABLE_USERDATA.rawValue: comment = FirewallNotes.read(attribute.payload).comment
                default: break
                }
            }
        }
        return isOwned ? .held(comment: comment) : .blocked
    }
}
