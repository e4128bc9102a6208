public import KernelModel
public import KernelNames
public import Netlink

/// A second reader of the kernel, which shares no code with the first: libnl-3 builds and parses the messages,
/// libnl-route-3 makes objects of them.
///
/// Links, addresses, neighbours, rules, VRF tables and routes. Of what libnl-route 3.7 has no words for (who made an address
/// or a neighbour, a route's nexthop id) the bare attribute is taken, which libnl-3 finds; nexthop objects it does not
/// know at all.
public struct KernelWitness: Sendable {
    /// The host's namespace.
    public var namespace: NetworkNamespace

    public init(namespace: NetworkNamespace = .current) { self.namespace = namespace }

    /// Has both read the host's namespace and its guests'.
    ///
    /// They cannot read at one moment: what they do not agree on is read again, and only what they never agree on counts.
    ///
    /// - Parameter kernel: The first reader, of the same namespace.
    /// - Throws: ``WitnessError``, or what `kernel` throws.
    public func examine(_ kernel: some KernelAccess, owner: Ownership) throws -> WitnessReport {
        var report = try compare(with: kernel, owner)
        for _ in 1..<Self.attempts where !report.disagreements.isEmpty {
            let again = try compare(with: kernel, owner)
            let lasting = Set(report.disagreements)
            report = again
            report.disagreements.removeAll { !lasting.contains($0) }
        }
        return report
    }

    private static let attempts = 3

    private func compare(with kernel: some KernelAccess, _ owner: Ownership) throws -> WitnessReport {
        var report = WitnessReport()
        let snapshot = try kernel.observe(ObservationRequest(owner: owner))
        var socket = try WitnessSocket(in: namespace)
        report.add(Testimony(snapshot.host), try socket.testimony(owner, withNeighbors: true), in: nil)
        for (guest, seen) in snapshot.guests.sorted(by: { $0.key < $1.key }) {
            let namespace = NetworkNamespace.named(guest.rawValue)
            // Gone since it was looked at.
            guard namespace.exists else { continue }
            socket = try WitnessSocket(in: namespace)
            report.add(Testimony(seen), try socket.testimony(owner, withNeighbors: false), in: guest)
        }
        return report
    }
}

/// What two readers told of one kernel.
public struct WitnessReport: Sendable, Hashable {
    public var namespaces = 0
    /// How many objects the second one saw, by kind.
    public var objects: [ObjectKind: Int] = [:]
    public var disagreements: [Disagreement] = []

    fileprivate mutating func add(_ ours: Testimony, _ witness: Testimony, in place: NamespaceName?) {
        namespaces += 1
        objects[.link, default: 0] += witness.devices.count
        objects[.address, default: 0] += witness.addresses.count + witness.foreignAddresses.count
        objects[.neighbor, default: 0] += witness.neighbors.count
        objects[.rule, default: 0] += witness.rules.count
        objects[.route, default: 0] += witness.routes.count
        disagreements += ours.disagreements(with: witness, in: place)
    }
}

/// An object that two readers see differently.
public struct Disagreement: Sendable, Hashable {
    /// The guest's namespace that it is in; nil: the host's.
    public var place: NamespaceName?
    /// As ip(8) would name it.
    public var object: String
    /// What the first reader says of it, in what they differ.
    public var ours: String
    /// What libnl says of it.
    public var witness: String
}

extension Disagreement: CustomStringConvertible {
    public var description: String {
        "\(object)\(place.map { " in \($0)" } ?? ""): vpcctl reads \(ours); libnl reads \(witness)"
    }
}
