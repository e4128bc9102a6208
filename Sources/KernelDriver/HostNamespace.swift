import CLinux
import KernelModel
import KernelNames
import Netlink

/// The network namespace of a host, found by its mark: the alias of its loopback device, which says whose it is
/// (`vpcctl:Host/h1`), and from which namespace the packets of its tunnels come (` underlay 4711`, SO_NETNS_COOKIE).
///
/// A name alone says nothing: anybody may have a namespace of that name, and on one machine many hosts may be, each with
/// an underlay of its own.
struct HostNamespace {
    var standing: NamespaceStanding
    /// The one to look at; nil where there is none.
    var namespace: NetworkNamespace?

    /// - Parameters:
    ///   - name: What it is called, or shall be.
    ///   - underlay: Whose it is.
    ///   - held: The same one as was found before, in case it has lost its name.
    init(
        named name: NamespaceName, of underlay: NetworkNamespace, owner: Ownership, held: OpenNamespace? = nil
    ) throws(NetlinkError) {
        let cookie = try underlay.cookie()
        let named = NetworkNamespace.named(name.rawValue)
        if named.exists {
            switch try HostMark(in: named, owner) {
            case let mark? where mark.underlay == cookie:
                self.init(.own(OwnNamespace(name: name, alias: mark.alias)), named)
            case let mark? where try !mark.isUsed(named, owner):
                // What its tunnels came from is gone, and they with it.
                self.init(.own(OwnNamespace(name: name, alias: "")), named)
            case .some:
                self.init(.foreign(name, "it belongs to another host of this machine"), nil)
            case nil:
                self.init(.foreign(name, "it has not been made by us"), nil)
            }
            return
        }
        if let (other, mark) = try Self.find(cookie, owner) {
            self.init(.own(OwnNamespace(name: other, alias: mark.alias)), .named(other.rawValue))
        } else if let held, let mark = try HostMark(in: held.namespace, owner) {
            self.init(.own(OwnNamespace(name: name, alias: mark.alias, isNamed: false)), held.namespace)
        } else {
            self.init(.absent, nil)
        }
    }

    init(_ standing: NamespaceStanding, _ namespace: NetworkNamespace?) {
        self.standing = standing
        self.namespace = namespace
    }

    /// The one that has the mark, by whatever name.
    static func find(_ cookie: UInt64, _ owner: Ownership) throws(NetlinkError) -> (NamespaceName, HostMark)? {
        for name in try NetworkNamespace.names() {
            let namespace = NetworkNamespace.named(name)
            // One that goes while it is looked at is none of ours.
            guard namespace.exists, let mark = try? HostMark(in: namespace, owner), mark.underlay == cookie else {
                continue
            }
            return (NamespaceName(name), mark)
        }
        return nil
    }
}

/// What the alias of a loopback device says.
struct HostMark {
    /// `vpcctl:Host/h1`.
    var alias: String
    /// The cookie of the underlay's namespace.
    var underlay: UInt64

    private static let word = "underlay"

    init(alias: String, underlay: UInt64) {
        self.alias = alias
        self.underlay = underlay
    }

    /// Nil where the loopback device has none of the owner's.
    init?(in namespace: NetworkNamespace, _ owner: Ownership) throws(NetlinkError) {
        var socket = try NetlinkSocket(in: namespace)
        guard let alias = try socket.link(Self.loopback)?.alias, alias.hasPrefix(owner.aliasPrefix) else { return nil }
        let words = alias.split(separator: " ")
        guard words.count == 3, words[1] == Self.word, let cookie = UInt64(words[2]) else { return nil }
        self.init(alias: String(words[0]), underlay: cookie)
    }

    /// The first device of every namespace.
    private static let loopback: UInt32 = 1

    /// Writes it, and sets the loopback device up: without it no route has a next hop.
    // ip link set lo up alias …
    func write(in namespace: NetworkNamespace) throws(NetlinkError) {
        var socket = try NetlinkSocket(in: namespace)
        let text = "\(alias) \(Self.word) \(underlay)"
        try socket.modify { writer in
            writer.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: Self.loopback, isUp: true)) {
                $0.put(IFLA_IFALIAS, text)
            }
        }
    }

    /// Whether the underlay is still there, whose tunnels go with it. A namespace that nobody knows but by a descriptor is
    /// found by these alone.
    func isUsed(_ namespace: NetworkNamespace, _ owner: Ownership) throws(NetlinkError) -> Bool {
        if try NetworkNamespace.isThere(underlay) { return true }
        var socket = try NetlinkSocket(in: namespace)
        return try socket.links().contains { $0.kindName == LinkKindName.gre && $0.alias.hasPrefix(owner.aliasPrefix) }
    }
}
