internal import COpenSSL
internal import CTLS
internal import CTraffic
internal import GatewayControl
internal import Glibc
internal import Traffic

/// A TCP connection that is encrypted, and authenticated in both directions, by a key that both ends have: TLS 1.3 with an
/// external pre-shared key and an ephemeral exchange (RFC 8446, 2.2: `psk_dhe_ke`), by Debian's OpenSSL. Who gets hold of the
/// key later cannot read what was recorded. There are no certificates, and nothing else is agreed to.
final class TLSLink {
    /// What both ends are set up with.
    final class Context {
        fileprivate let context: OpaquePointer
        fileprivate let key: KeyBox

        /// - Parameter key: Any bytes; what TLS is given is made of them, and for nothing else.
        init(key: [UInt8]) throws {
            guard let context = SSL_CTX_new(TLS_method()), tls_require_1_3(context) == 1,
                SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1
            else { throw PairError("OpenSSL has no TLS 1.3") }
            SSL_CTX_set_num_tickets(context, 0)
            SSL_CTX_set_psk_client_callback(context) { link, _, identity, size, key, limit in
                TLSLink.identity.withCString { name in
                    guard let identity, strlen(name) < Int(size) else { return }
                    strcpy(identity, name)
                }
                return KeyBox.copy(of: link, to: key, limit)
            }
            SSL_CTX_set_psk_server_callback(context) { link, identity, key, limit in
                guard let identity, strcmp(identity, TLSLink.identity) == 0 else { return 0 }
                return KeyBox.copy(of: link, to: key, limit)
            }
            self.context = context
            self.key = KeyBox(key)
        }

        deinit { SSL_CTX_free(context) }
    }

    fileprivate static let identity = "vpcgw"

    /// OpenSSL asks for the key by a function that knows the connection alone.
    fileprivate final class KeyBox {
        private let derived: [UInt8]

        init(_ key: [UInt8]) {
            var derived = [UInt8](repeating: 0, count: 32)
            var count: UInt32 = 0
            let purpose = Array("vpcgw tls 1".utf8)
            HMAC(EVP_sha256(), key, Int32(key.count), purpose, purpose.count, &derived, &count)
            self.derived = derived
        }

        static func copy(of link: OpaquePointer?, to target: UnsafeMutablePointer<UInt8>?, _ limit: UInt32) -> UInt32 {
            guard let link, let target, let held = SSL_get_ex_data(link, 0) else { return 0 }
            let box = Unmanaged<KeyBox>.fromOpaque(held).takeUnretainedValue()
            guard box.derived.count <= Int(limit) else { return 0 }
            target.update(from: box.derived, count: box.derived.count)
            return UInt32(box.derived.count)
        }
    }

    enum State {
        /// Neither of the two has shown that it has the key.
        case opening
        case open
        /// And why.
        case closed(String)
    }

    let socket: Socket
    private let context: Context
    private let link: OpaquePointer
    private(set) var state = State.opening
    /// What is to go out, from `sent` on.
    private var outgoing: [UInt8] = []
    private var sent = 0
    private var wantsToWrite = true

    init(_ socket: Socket, isServer: Bool, _ context: Context) throws {
        guard let link = SSL_new(context.context) else { throw PairError("OpenSSL makes no connection") }
        (self.socket, self.context, self.link) = (socket, context, link)
        SSL_set_ex_data(link, 0, Unmanaged.passUnretained(context.key).toOpaque())
        SSL_set_fd(link, socket.descriptor)
        if isServer { SSL_set_accept_state(link) } else { SSL_set_connect_state(link) }
    }

    deinit { SSL_free(link) }

    var isOpen: Bool { if case .open = state { true } else { false } }

    /// Bytes that have not gone out yet.
    var backlog: Int { outgoing.count - sent }

    var events: Int32 { POLLIN | (wantsToWrite || backlog > 0 ? POLLOUT : 0) }

    /// Whether something has come that was not asked for yet, and that no poll tells of.
    var hasPending: Bool { isOpen && SSL_pending(link) > 0 }

    func close(_ reason: String) {
        if case .closed = state { return }
        state = .closed(reason)
    }

    func send(_ bytes: [UInt8]) { outgoing += bytes }

    /// Sends and receives what can be without waiting.
    /// - Returns: What has come.
    func turn() -> [UInt8] {
        if case .opening = state { shakeHands() }
        guard isOpen else { return [] }
        flush()
        return receive()
    }

    private func shakeHands() {
        wantsToWrite = false
        let result = SSL_do_handshake(link)
        if result == 1 { return state = .open }
        note(result, "the other end does not have the same key")
    }

    private func flush() {
        wantsToWrite = false
        while sent < outgoing.count {
            let count = outgoing.withUnsafeBytes { bytes in
                SSL_write(link, bytes.baseAddress?.advanced(by: sent), Int32(min(bytes.count - sent, 1 << 20)))
            }
            guard count > 0 else {
                note(count, "cannot send")
                break
            }
            sent += Int(count)
        }
        if sent == outgoing.count {
            outgoing.removeAll(keepingCapacity: outgoing.count < 1 << 20)
            sent = 0
        } else if sent > 1 << 22 {
            outgoing.removeFirst(sent)
            sent = 0
        }
    }

    private func receive() -> [UInt8] {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        // So much, then it is others' turn.
        while received.count < 1 << 20 {
            let count = SSL_read(link, &buffer, Int32(buffer.count))
            guard count > 0 else {
                note(count, "the other end has gone")
                break
            }
            received += buffer[..<Int(count)]
        }
        return received
    }

    private func note(_ result: Int32, _ failure: String) {
        let error = SSL_get_error(link, result)
        ERR_clear_error()
        switch error {
        case SSL_ERROR_WANT_READ: break
        case SSL_ERROR_WANT_WRITE: wantsToWrite = true
        default: close(failure)
        }
    }
}
