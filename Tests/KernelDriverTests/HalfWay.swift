import KernelDriver
import KernelModel
import KernelNames
import NFTables
import Netlink
import Testing

/// A host on which one change is refused in the middle of everything, and a look at what that leaves.
struct HalfWay {
    let host: Host
    /// Namespaces of guests, whether the intent has anything there or not.
    let guests: [NamespaceName]
    /// Tables that the intent has.
    let firewall: [NFTable]

    init(_ host: Host, _ guests: [String], firewall: [NFTable] = []) {
        self.host = host
        self.guests = guests.map { NamespaceName($0) }
        self.firewall = firewall
    }

    /// Has each change of an apply refused once: what is there then is removed without remains, and the next apply does
    /// all that is left to do.
    /// - Returns: How many changes there were.
    func failAtEveryStepOfAnApply() throws -> Int {
        let bare = try everything()
        var position = 0
        while let refused = try apply(failingAt: position) {
            // Removed at once.
            try remove("\(position) \(refused)")
            let left = difference(bare, try everything())
            #expect(left == [], "\(position) \(refused)")
            // Finished at once.
            _ = try apply(failingAt: position)
            #expect(try apply(failingAt: nil) == nil, "\(position) \(refused)")
            #expect(try plan().isEmpty, "\(position) \(refused)")
            try remove("\(position) \(refused)")
            let leftAfterAll = difference(bare, try everything())
            #expect(leftAfterAll == [], "\(position) \(refused)")
            position += 1
        }
        return position
    }

    /// Has each change of a removal refused once: the next removal leaves nothing.
    /// - Returns: How many changes there were.
    func failAtEveryStepOfARemoval() throws -> Int {
        let bare = try everything()
        var position = 0
        while true {
            #expect(try apply(failingAt: nil) == nil)
            let refusal = InjectedRefusal(at: position)
            var driver = host.driver
            driver.refusal = refusal
            _ = driver.commit(try removal(), owner: owner)
            try remove("\(position) \(refusal.refused ?? "nothing")")
            guard let refused = refusal.refused else { return position }
            let left = difference(bare, try everything())
            #expect(left == [], "\(position) \(refused)")
            position += 1
        }
    }

    // MARK: Pieces

    private func observe(guests: [NamespaceName]) throws -> KernelSnapshot {
        try host.driver.observe(
            ObservationRequest(owner: owner, sysctls: host.sysctls, guests: guests, firewall: firewall))
    }

    private func plan() throws -> ChangePlan {
        host.intent.changes(from: try observe(guests: host.guests), owner: owner)
    }

    /// - Returns: What was refused; nil where there was nothing at that position.
    private func apply(failingAt position: Int?) throws -> String? {
        let refusal = position.map { InjectedRefusal(at: $0) }
        var driver = host.driver
        driver.refusal = refusal
        let report = driver.commit(try plan(), owner: owner)
        #expect(report.failures.isEmpty == (refusal?.refused == nil), "\(report.failures)")
        return refusal?.refused
    }

    /// By whoever knows nothing but the marks.
    private func removal() throws -> ChangePlan {
        let snapshot = try observe(guests: [])
        var intent = KernelIntent()
        let moved = Rule(priority: 32765, action: .lookup(.local), routeProtocol: owner.routeProtocol)
        if snapshot.host.rules.contains(moved) {
            let local = Rule(priority: 0, action: .lookup(.local), routeProtocol: .kernel)
            intent.host.rules = [Attributed(local, from: .none)]
        }
        return intent.changes(from: snapshot, owner: owner)
    }

    private func remove(_ step: String) throws {
        let report = host.driver.commit(try removal(), owner: owner)
        #expect(report.failures == [], "\(step)")
        // Parameters stay as they are; the next apply is to begin with them again.
        for path in host.sysctls { try run("ip", "netns", "exec", host.name, "sysctl", "-qw", "\(path)=0") }
    }

    /// All that there is, ours or not, with all its settings.
    private func everything() throws -> [String: Set<String>] {
        let snapshot = try observe(guests: guests)
        var all = ["host": lines(snapshot.host)]
        for (name, guest) in snapshot.guests { all[name.rawValue] = lines(guest) }
        return all
    }

    private func lines(_ snapshot: NamespaceSnapshot) -> Set<String> {
        // Whether they are operational is up to the moment; IPv6 comes back without the address that it makes by itself.
        var lines = snapshot.links.map { "\($0.index) \(settings(of: $0.link)) \($0.isOwned)" }
        lines += snapshot.rules.map { "\($0.family) \($0) \($0.routeProtocol)" }
        lines += snapshot.addresses.map(\.description)
        lines += snapshot.foreignAddresses.filter { $0.address.family == .ipv4 }.map(\.description)
        lines += snapshot.neighbors.map(\.description) + snapshot.nexthops.map(\.description)
        lines += snapshot.routes.map(\.description) + snapshot.firewall.tables.map { "\($0.table)" }
        return Set(lines)
    }

    /// A link's description leaves most of them out.
    private func settings(of link: Link) -> String {
        Mirror(reflecting: link).children.map { "\($0.label ?? "")=\($0.value)" }.joined(separator: " ")
    }

    private func difference(_ before: [String: Set<String>], _ after: [String: Set<String>]) -> [String] {
        before.keys.sorted().flatMap { place in
            let (old, new) = (before[place] ?? [], after[place] ?? [])
            return new.subtracting(old).map { "\(place): + \($0)" }
                + old.subtracting(new).map { "\(place): - \($0)" }
        }
    }
}
