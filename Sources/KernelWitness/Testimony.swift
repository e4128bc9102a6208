import IPAddressing
import KernelModel
import KernelNames

/// What one reader tells of one network namespace, as far as the other one can tell of it too. Sorted by key.
struct Testimony: Hashable {
    var devices: [Device] = []
    /// The owner's, and those of others.
    var addresses: [Address] = []
    var foreignAddresses: [Address] = []
    /// The owner's.
    var neighbors: [Neighbor] = []
    /// Everybody's.
    var rules: [Rule] = []
    /// The owner's.
    var routes: [Route] = []
}

extension Testimony {
    /// Our own reader's.
    init(_ snapshot: NamespaceSnapshot) {
        devices = snapshot.links.map { Device($0) }
        addresses = snapshot.addresses
        foreignAddresses = snapshot.foreignAddresses
        neighbors = snapshot.neighbors
        rules = snapshot.rules
        routes = snapshot.routes
    }

    /// Where the other one tells something else.
    /// - Parameter place: The guest's namespace; nil: the host's.
    func disagreements(with witness: Testimony, in place: NamespaceName?) -> [Disagreement] {
        var found: [Disagreement] = []
        found += compare(devices, witness.devices(asToldBy: self), place)
        found += compare(addresses, witness.addresses, place)
        found += compare(foreignAddresses, witness.foreignAddresses, place)
        found += compare(neighbors, witness.neighbors, place)
        found += compare(rules, witness.rules, place)
        found += compare(routes, witness.routes, place)
        return found
    }

    /// Without the form of those of which the other one does not tell it.
    private func devices(asToldBy other: Testimony) -> [Device] {
        let formed = Set(other.devices.lazy.filter { $0.form != nil }.map(\.name))
        return devices.map { device in
            if formed.contains(device.name) { return device }
            var device = device
            device.form = nil
            return device
        }
    }

    private func compare<Object: Witnessed>(
        _ ours: [Object], _ theirs: [Object], _ place: NamespaceName?
    ) -> [Disagreement] {
        var found: [Disagreement] = []
        var (left, right) = (ours[...], theirs[...])
        while let key = [left.first?.key, right.first?.key].compactMap({ $0 }).min() {
            if let one = left.first, let other = right.first, one == other {
                left.removeFirst()
                right.removeFirst()
                continue
            }
            // To the kernel several objects can have one key.
            let (one, other) = (left.prefix { $0.key == key }, right.prefix { $0.key == key })
            left = left[one.endIndex...]
            right = right[other.endIndex...]
            found += Disagreement.between(one, other, place)
        }
        return found
    }
}

extension Disagreement {
    /// - Parameters: Objects that have one key.
    fileprivate static func between<Object: Witnessed>(
        _ ours: ArraySlice<Object>, _ theirs: ArraySlice<Object>, _ place: NamespaceName?
    ) -> [Disagreement] {
        var unseen = Array(theirs)
        let alone = ours.filter { object in
            guard let index = unseen.firstIndex(of: object) else { return true }
            unseen.remove(at: index)
            return false
        }
        return (0..<max(alone.count, unseen.count)).map { position in
            let one = position < alone.count ? alone[position] : nil
            let other = position < unseen.count ? unseen[position] : nil
            return Disagreement(place: place, one, other)
        }
    }

    private init<Object: Witnessed>(place: NamespaceName?, _ one: Object?, _ other: Object?) {
        self.place = place
        object = (one ?? other)?.title ?? ""
        guard let one, let other else {
            ours = one.map { _ in "there" } ?? "not there"
            witness = other.map { _ in "there" } ?? "not there"
            return
        }
        let pairs = zip(one.fields, other.fields).filter { $0.value != $1.value }
        ours = pairs.map { "\($0.0.name) \($0.0.value)" }.joined(separator: ", ")
        witness = pairs.map { "\($0.1.name) \($0.1.value)" }.joined(separator: ", ")
    }
}

/// What a difference is told by.
protocol Witnessed: KernelObject {
    /// By what the kernel tells it from others.
    var title: String { get }
    /// Everything else, always in the same order.
    var fields: [(name: String, value: String)] { get }
}

extension Device: Witnessed {
    var title: String { description }
    var fields: [(name: String, value: String)] {
        let settings = IPv4DeviceConfiguration.Setting.allCases.map { setting in
            (name: "ipv4.conf.\(setting.rawValue)", value: ipv4.map { "\($0[setting])" } ?? "none")
        }
        return [
            ("index", "\(index)"), ("type", kindName), ("form", form.map { "\($0)" } ?? "untold"), ("up", "\(isUp)"),
            ("operational", "\(isOperational)"), ("loopback", "\(isLoopback)"), ("alias", "'\(alias)'"),
            ("master", master.map { "\($0)" } ?? "none"), ("group", "\(group)"), ("mtu", mtu.map { "\($0)" } ?? "none"),
            ("address", hardwareAddress.map { "\($0)" } ?? "none"), ("link", "\(lower)"),
            ("link in another namespace", "\(isLowerElsewhere)"),
            ("promote_secondaries", promotesSecondaries.map { "\($0)" } ?? "none"),
            ("addr_gen_mode", addressGeneration.map { "\($0)" } ?? "none"),
        ] + settings
    }
}

extension Address: Witnessed {
    var title: String { description }
    var fields: [(name: String, value: String)] { [] }
}

extension Neighbor: Witnessed {
    var title: String { "neigh \(address) dev \(device)" }
    var fields: [(name: String, value: String)] { [("lladdr", "\(linkLayerAddress)")] }
}

extension Rule: Witnessed {
    var title: String { description }
    var fields: [(name: String, value: String)] { [] }
}

extension Route: Witnessed {
    var title: String {
        "route \(key.destination) table \(key.table)" + (key.metric == 0 ? "" : " metric \(key.metric)")
            + (key.tos == 0 ? "" : " tos \(key.tos)")
    }
    var fields: [(name: String, value: String)] {
        [
            ("type", "\(kind)"), ("scope", "\(scope)"), ("nhid", "\(nexthop)"),
            ("via", gateway.map { "\($0)" } ?? "none"), ("dev", device.isNone ? "none" : "\(device)"),
        ]
    }
}
