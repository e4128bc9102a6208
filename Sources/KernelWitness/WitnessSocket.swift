internal import CLibNL
internal import CLinux
internal import Netlink

/// A socket of libnl's: it builds, sends, receives, checks and parses; nothing of this is `Netlink`'s.
struct WitnessSocket: ~Copyable {
    let nl: UnsafePointer<libnl>
    let socket: OpaquePointer

    init(in namespace: NetworkNamespace) throws {
        var problem: UnsafePointer<CChar>?
        guard let nl = libnl_load(&problem) else {
            throw WitnessError.missingLibrary(problem.map { String(cString: $0) } ?? "libnl-route-3.so.200")
        }
        guard let socket = nl.pointee.nl_socket_alloc() else {
            throw WitnessError.failed("nl_socket_alloc", "no memory")
        }
        do {
            // A socket belongs to the namespace that it was made in.
            let result = try namespace.enter { () throws(NetlinkError) in
                nl.pointee.nl_connect(socket, NETLINK_ROUTE)
            }
            guard result == 0 else { throw WitnessError.failed("nl_connect", nl.words(for: result)) }
            _ = nl.pointee.nl_socket_set_msg_buf_size(socket, Self.bufferSize)
        } catch {
            nl.pointee.nl_socket_free(socket)
            throw error
        }
        self.nl = nl
        self.socket = socket
    }

    deinit { nl.pointee.nl_socket_free(socket) }

    /// The kernel fills at most 32 KiB of a dump into one datagram.
    private static let bufferSize = 64 << 10
    /// A dump that somebody's change has interrupted is made again so many times.
    private static let attempts = 16

    /// Lists all objects of a kind.
    /// - Parameters:
    ///   - type: RTM_GET*.
    ///   - header: What follows the netlink header.
    ///   - each: Called with every message; what it returns is kept.
    func list<Header: BitwiseCopyable, Value>(
        _ type: Int, _ header: Header, _ each: (WitnessMessage) throws -> Value?
    ) throws -> [Value] {
        for _ in 0..<Self.attempts {
            var values: [Value] = []
            var failure: (any Error)?
            let result = dump(type, header) { message in
                if failure != nil { return }
                do {
                    if let value = try each(message) { values.append(value) }
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            if result == -LIBNL_DUMP_INTERRUPTED { continue }
            guard result >= 0 else { throw WitnessError.failed("list \(type)", nl.words(for: result)) }
            return values
        }
        throw WitnessError.failed("list \(type)", "changes all the time")
    }

    /// - Returns: libnl's result: 0, or the negative of its error code.
    func dump<Header: BitwiseCopyable>(
        _ type: Int, _ header: Header, _ each: (WitnessMessage) -> Void
    ) -> Int32 {
        withoutActuallyEscaping(each) { each in
            var context = MessageVisitor(nl: nl, headerSize: MemoryLayout<Header>.size, visit: each)
            return withUnsafeMutablePointer(to: &context) { context in
                _ = libnl_on_message(
                    socket,
                    { message, context in
                        if let message { context?.assumingMemoryBound(to: MessageVisitor.self).pointee(message) }
                        return 0
                    }, context)
                var header = header
                let sent = nl.pointee.nl_send_simple(
                    socket, Int32(type), NLM_F_DUMP, &header, MemoryLayout<Header>.size)
                return sent < 0 ? sent : nl.pointee.nl_recvmsgs_default(socket)
            }
        }
    }
}

extension UnsafePointer<libnl> {
    /// libnl's words for one of its codes, which are negative.
    func words(for code: Int32) -> String { pointee.nl_geterror(code).map { String(cString: $0) } ?? "code \(code)" }
}

/// What is done with each message of a dump.
private struct MessageVisitor {
    let nl: UnsafePointer<libnl>
    let headerSize: Int
    let visit: (WitnessMessage) -> Void

    func callAsFunction(_ message: OpaquePointer) {
        guard let header = nl.pointee.nlmsg_hdr(message) else { return }
        visit(WitnessMessage(nl: nl, message: message, header: header, headerSize: Int32(headerSize)))
    }
}

/// One message, valid while it is visited.
struct WitnessMessage {
    let nl: UnsafePointer<libnl>
    let message: OpaquePointer
    let header: UnsafeMutablePointer<nlmsghdr>
    /// Bytes between the netlink header and the attributes.
    let headerSize: Int32

    /// Has libnl-route make an object of the message, which is valid inside `body`.
    /// - Throws: ``WitnessError`` where libnl-route has no such object.
    func object<Value>(_ body: (OpaquePointer) -> Value) throws -> Value {
        var value: Value?
        let result = parse { value = body($0) }
        guard result >= 0, let value else {
            throw WitnessError.failed("message of type \(header.pointee.nlmsg_type)", nl.words(for: result))
        }
        return value
    }

    private func parse(_ visit: (OpaquePointer) -> Void) -> Int32 {
        withoutActuallyEscaping(visit) { visit in
            var context = ObjectVisitor(visit: visit)
            return withUnsafeMutablePointer(to: &context) { context in
                nl.pointee.nl_msg_parse(
                    message,
                    { object, context in
                        if let object { context?.assumingMemoryBound(to: ObjectVisitor.self).pointee.visit(object) }
                    }, context)
            }
        }
    }

    /// What libnl-route has no words for, as libnl finds it among the attributes.
    func number(_ type: some BinaryInteger) -> UInt32? {
        guard let attribute = attribute(type), nl.pointee.nla_len(attribute) >= 4 else { return nil }
        return nl.pointee.nla_get_u32(attribute)
    }

    func byte(_ type: some BinaryInteger) -> UInt8? {
        attribute(type).map { nl.pointee.nla_get_u8($0) }
    }

    func has(_ type: some BinaryInteger) -> Bool { attribute(type) != nil }

    func bytes(_ type: some BinaryInteger) -> UnsafeRawBufferPointer? {
        guard let attribute = attribute(type) else { return nil }
        return UnsafeRawBufferPointer(start: nl.pointee.nla_data(attribute), count: Int(nl.pointee.nla_len(attribute)))
    }

    private func attribute(_ type: some BinaryInteger) -> UnsafeMutablePointer<nlattr>? {
        nl.pointee.nlmsg_find_attr(header, headerSize, Int32(type))
    }

    /// Calls `body` with the type of each attribute and its value as a number, where it is one.
    func forEachAttribute(_ body: (_ type: Int, _ number: UInt32?) -> Void) {
        var attribute = nl.pointee.nlmsg_attrdata(header, headerSize)
        var left = nl.pointee.nlmsg_attrlen(header, headerSize)
        while let current = attribute, nl.pointee.nla_ok(current, left) != 0 {
            let isNumber = nl.pointee.nla_len(current) == 4
            body(Int(nl.pointee.nla_type(current)), isNumber ? nl.pointee.nla_get_u32(current) : nil)
            attribute = nl.pointee.nla_next(current, &left)
        }
    }

    /// The fixed part behind the netlink header.
    func fixed<Header: BitwiseCopyable>(as type: Header.Type) -> Header {
        UnsafeRawPointer(header).loadUnaligned(fromByteOffset: MemoryLayout<nlmsghdr>.size, as: type)
    }
}

private struct ObjectVisitor {
    let visit: (OpaquePointer) -> Void
}
