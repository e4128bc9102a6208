package import VPCModel

extension ResolvedSecurityGroup {
    package func rules(isIngress: Bool) -> [ResolvedSecurityRule] { isIngress ? ingress : egress }
}

extension ResolvedSecurityRule {
    /// The rule as far as it names addresses.
    package var line: TrafficLine { TrafficLine(traffic, from: cidrs + balanced) }
}

extension [ResolvedSecurityRule] {
    /// For each group that the rules name, which rule allows what to its members.
    package var servicesOfGroups: [Int: GroupServices] {
        var lines: [Int: [(line: Int, services: [ServiceRange])]] = [:]
        for (position, rule) in enumerated() where !rule.groups.isEmpty {
            let services = rule.traffic.services
            for group in Set(rule.groups) { lines[group, default: []].append((position, services)) }
        }
        return lines.mapValues { GroupServices($0) }
    }
}

/// Which rule allows a service, whatever the address.
package struct GroupServices: Sendable {
    private let planes: TrafficPlanes
    private let plane: TrafficPlanes.Plane

    /// - Parameter lines: The first of those with a service decides.
    init(_ lines: [(line: Int, services: [ServiceRange])]) {
        var planes = TrafficPlanes()
        var own: [TrafficPlanes.Plane] = []
        for line in lines { own.append(planes.plane(of: line.services, line: line.line)) }
        plane = planes.plane(of: own)
        self.planes = planes
    }

    /// Services that are a box, with the line that decides on them.
    package struct Entry: Hashable, Sendable {
        package var services: ServiceRange
        package var line: Int
    }

    /// By service; none overlap.
    package var entries: [Entry] {
        var entries: [Entry] = []
        planes.forEachPiece(of: plane) { entries.append(Entry(services: $0.services, line: Int($0.line))) }
        return entries
    }

    package func line(_ service: UInt32) -> Int? { planes.line(on: plane, service) }
}

extension ResolvedACL {
    package func lines(isIngress: Bool) -> [ACLRule] { isIngress ? ingress : egress }
}

extension ACLRule {
    package var line: TrafficLine { TrafficLine(traffic, from: [cidr]) }
}
