package import IPAddressing

/// Interfaces to take out of a topology and others to put in, see ``InterfaceIndex/exchange(_:in:)``.
public struct InterfaceExchange: Sendable {
    /// Ascending.
    let removedPositions: [Int]
    /// What is at these positions.
    let removed: [ResolvedInterface]
    /// By VPC, then address.
    let added: [ResolvedInterface]
    fileprivate let moves: Moves
    /// Where those are that stay.
    package let shift: PositionShift

    /// - Parameters:
    ///   - positions: Of those to take out of the topology, in any order.
    ///   - added: In any order.
    init(removing positions: [Int], adding added: [ResolvedInterface], in topology: Topology) {
        removedPositions = positions.sorted()
        removed = removedPositions.map { topology.interfaces[$0] }
        self.added = added.sorted { $0.isBefore($1) }
        moves = Moves(removedPositions, removed, self.added, in: topology)
        shift = PositionShift(departures: moves.departures, arrivals: moves.places)
    }

    /// No interface goes or comes.
    public static func nothing(in topology: Topology) -> InterfaceExchange {
        InterfaceExchange(removing: [], adding: [], in: topology)
    }

    /// Where an interface is, was, or both.
    package var places: [(vpc: Int, address: IPAddress)] { (removed + added).map { ($0.vpc, $0.address) } }

    /// The positions with other interfaces, and what was there; nil where some come or go, so that others move.
    public var replacements: [(position: Int, former: ResolvedInterface)]? {
        guard removed.count == added.count,
            zip(removed, added).allSatisfy({ ($0.vpc, $0.address) == ($1.vpc, $1.address) })
        else { return nil }
        return Array(zip(removedPositions, removed))
    }
}

/// What an exchange comes to: interfaces in the place of others, and interfaces that others make way for or close up behind.
private struct Moves {
    var replacements: [(position: Int, new: ResolvedInterface)] = []
    var departures: [Int] = []
    var arrivals: [ResolvedInterface] = []
    /// The positions that those come before.
    var places: [Int] = []

    init(_ positions: [Int], _ removed: [ResolvedInterface], _ added: [ResolvedInterface], in topology: Topology) {
        var next = 0
        for (position, old) in zip(positions, removed) {
            while next < added.count, added[next].isBefore(old) {
                arrivals.append(added[next])
                next += 1
            }
            if next < added.count, !old.isBefore(added[next]) {
                replacements.append((position, added[next]))
                next += 1
            } else {
                departures.append(position)
            }
        }
        arrivals += added[next...]
        places = arrivals.map { topology.insertionPosition(ofAddress: $0.address, inVPC: $0.vpc) }
    }
}

extension Topology {
    /// Leaves the topology as it would be if it had been resolved with the new interfaces.
    mutating func exchange(_ exchange: InterfaceExchange) {
        let moves = exchange.moves
        for (position, new) in moves.replacements { replace(at: position, with: new) }
        for position in moves.departures { leave(position) }
        if exchange.shift.isEmpty { return }
        move(moves, exchange.shift)
    }

    /// An interface in the place of another.
    private mutating func replace(at position: Int, with new: ResolvedInterface) {
        leave(position)
        interfaces[position] = new
        join(position)
    }

    private mutating func leave(_ position: Int) {
        interfacesOfHost[interfaces[position].host].removeSorted(position)
        for group in interfaces[position].securityGroups { securityGroups[group].members.removeSorted(position) }
    }

    private mutating func join(_ position: Int) {
        interfacesOfHost[interfaces[position].host].insertSorted(position)
        for group in interfaces[position].securityGroups { securityGroups[group].members.insertSorted(position) }
    }

    /// Takes out interfaces that nothing refers to any more and puts others in; every other one keeps its neighbours.
    private mutating func move(_ moves: Moves, _ shift: PositionShift) {
        for position in moves.departures { vpcs[interfaces[position].vpc].count -= 1 }
        for interface in moves.arrivals { vpcs[interface.vpc].count += 1 }
        var start = 0
        for vpc in vpcs.indices {
            vpcs[vpc].interfaces = start..<start + vpcs[vpc].count
            start = vpcs[vpc].interfaces.upperBound
        }
        if moves.departures.count + moves.arrivals.count <= Self.fewMoves {
            moveInPlace(moves)
        } else {
            rebuild(moves)
        }
        for host in interfacesOfHost.indices { shift.apply(to: &interfacesOfHost[host]) }
        for group in securityGroups.indices { shift.apply(to: &securityGroups[group].members) }
        for table in routeTables.indices {
            for route in routeTables[table].routes.indices {
                for hop in routeTables[table].routes[route].nextHops.indices {
                    guard var interface = routeTables[table].routes[route].nextHops[hop].interface else { continue }
                    shift.apply(to: &interface)
                    routeTables[table].routes[route].nextHops[hop].target = .interface(interface)
                }
            }
        }
        probes = probes.map { probe in
            var probe = probe
            shift.apply(to: &probe.from)
            if var target = probe.toInterface {
                shift.apply(to: &target)
                probe.toInterface = target
            }
            return probe
        }
        for (number, place) in moves.places.enumerated() { join(shift.position(ofArrival: number, at: place)) }
    }

    /// Each of them moves all that follow.
    private static let fewMoves = 8

    private mutating func moveInPlace(_ moves: Moves) {
        // From the end, so that the places before stay what they are.
        let (departures, arrivals, places) = (moves.departures, moves.arrivals, moves.places)
        var (left, right) = (departures.count - 1, arrivals.count - 1)
        while left >= 0 || right >= 0 {
            if left >= 0, right < 0 || departures[left] >= places[right] {
                interfaces.remove(at: departures[left])
                left -= 1
            } else {
                interfaces.insert(arrivals[right], at: places[right])
                right -= 1
            }
        }
    }

    private mutating func rebuild(_ moves: Moves) {
        let (departures, arrivals, places) = (moves.departures, moves.arrivals, moves.places)
        var result: [ResolvedInterface] = []
        result.reserveCapacity(interfaces.count + arrivals.count - departures.count)
        var (next, arrival) = (0, 0)
        for departure in departures + [interfaces.count] {
            while arrival < places.count, places[arrival] <= departure {
                result += interfaces[next..<places[arrival]]
                next = places[arrival]
                result.append(arrivals[arrival])
                arrival += 1
            }
            result += interfaces[next..<departure]
            next = departure + 1
        }
        interfaces = result
    }
}

/// Where positions of a list are after some elements have gone and others have come.
package struct PositionShift: Sendable {
    /// From `start` on, positions grow by `distance`. Ascending.
    private var segments: [(start: Int, distance: Int)] = []
    private let departures: [Int]

    /// - Parameters:
    ///   - departures: Positions, ascending.
    ///   - arrivals: Positions that the new ones come before, ascending.
    init(departures: [Int], arrivals: [Int]) {
        self.departures = departures
        let steps = (departures.map { ($0 + 1, -1) } + arrivals.map { ($0, 1) }).sorted { $0.0 < $1.0 }
        var distance = 0
        for (start, step) in steps {
            distance += step
            if segments.last?.start == start { segments.removeLast() }
            segments.append((start, distance))
        }
    }

    package var isEmpty: Bool { segments.isEmpty }

    /// The first position that is another afterwards, or was left.
    package var start: Int { min(segments.first?.start ?? .max, departures.first ?? .max) }

    /// The position of a new one: those before it have come, too.
    func position(ofArrival number: Int, at place: Int) -> Int {
        place + number - departures.partitionPoint { $0 < place }
    }

    package func apply(to position: inout Int) {
        if let segment = segments.last(where: { $0.start <= position }) { position += segment.distance }
    }

    /// - Parameter positions: Ascending.
    func apply(to positions: inout [Int]) {
        positions.withUnsafeMutableBufferPointer { positions in
            var end = positions.count
            for (start, distance) in segments.reversed() {
                var begin = end
                if end > 0, positions[end - 1] >= start {
                    begin = UnsafeBufferPointer(rebasing: positions[..<end]).partitionPoint { $0 < start }
                }
                for index in begin..<end { positions[index] += distance }
                end = begin
            }
        }
    }
}

extension ResolvedInterface {
    fileprivate func isBefore(_ other: ResolvedInterface) -> Bool { (vpc, address) < (other.vpc, other.address) }
}

extension ResolvedVPC {
    fileprivate var count: Int {
        get { interfaces.count }
        set { interfaces = interfaces.lowerBound..<interfaces.lowerBound + newValue }
    }
}

extension [Int] {
    fileprivate mutating func removeSorted(_ value: Int) { remove(at: partitionPoint { $0 < value }) }
    fileprivate mutating func insertSorted(_ value: Int) { insert(value, at: partitionPoint { $0 < value }) }
}
