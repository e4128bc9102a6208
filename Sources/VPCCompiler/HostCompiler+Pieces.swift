import KernelModel
import KernelNames
import NFTables
import VPCModel
import VPCTopology

/// Puts what pieces come to into the intent, in the place of what they came to before.
extension HostCompiler {
    /// Makes a piece anew.
    mutating func bring(_ piece: Piece) {
        var part = part(of: [piece])
        if piece == .host { addPlaces(to: &part) }
        replace(piece, by: part)
        replaceRows(of: [piece], by: part)
    }

    /// Takes a piece away.
    mutating func drop(_ piece: Piece) {
        let nothing = Part()
        replace(piece, by: nothing)
        replaceRows(of: [piece], by: nothing)
        made[piece] = nil
    }

    /// What pieces come to together.
    private func part(of pieces: [Piece]) -> Part {
        var part = Part()
        for feature in Self.features {
            for piece in pieces { feature.contribute(piece, to: &part, of: self) }
        }
        return part
    }

    /// Makes pieces of one kind anew, all at once, that are nothing but elements of the host's sets.
    /// - Parameter gone: Those that are to be taken away.
    mutating func bringElements(of pieces: [Piece], without gone: [Piece] = []) {
        replaceRows(of: pieces + gone, by: part(of: pieces))
    }

    // MARK: Ports

    /// Makes the ports of interfaces anew, all at once, and takes those away that are no longer here.
    /// - Parameter former: The names that they had.
    mutating func bringPorts(_ numbers: [Int], former: [Int: InterfaceName]) {
        let part = part(of: numbers.filter(isAttachedHere).map { .port($0) })
        replaceRows(of: numbers.map { .port($0) }, by: part)
        let gone = former.filter { ports[$0.key]?.name != $0.value }
        replaceObjects(of: gone.values + part.links.map { $0.object.name }, by: part)
    }

    private mutating func replaceObjects(of devices: [InterfaceName], by part: Part) {
        if intent.host.links.count + part.links.count > 64, devices.count > 16 || intent.host.addresses.count < 2 {
            let all = Set(devices)
            intent.host.links.removeAll { all.contains($0.object.name) }
            intent.host.addresses.removeAll { all.contains($0.object.device) }
            intent.host.neighbors.removeAll { all.contains($0.object.device) }
            intent.host.links += part.links
            intent.host.addresses += part.addresses
            intent.host.neighbors += part.neighbors
            intent.host.links.sort { $0.object.key < $1.object.key }
            intent.host.addresses.sort { $0.object.key < $1.object.key }
            intent.host.neighbors.sort { $0.object.key < $1.object.key }
            changed.links.insert(devices)
            (changed.addresses, changed.neighbors) = (.any, .any)
            return
        }
        for device in devices {
            let links = part.links.filter { $0.object.name == device }
            Self.replace(&intent.host.links, \.name, device, by: links, &changed.links)
            let addresses = part.addresses.filter { $0.object.device == device }
            Self.replace(&intent.host.addresses, \.device, device, by: addresses, &changed.addresses)
            let neighbors = part.neighbors.filter { $0.object.device == device }
            Self.replace(&intent.host.neighbors, \.device, device, by: neighbors, &changed.neighbors)
        }
    }

    /// Puts objects in the place of those with a value of what the list is sorted by in the first place.
    static func replace<Object: KernelObject, Part: Comparable>(
        _ list: inout [Attributed<Object>], _ part: (Object) -> Part, _ value: Part, by objects: [Attributed<Object>],
        _ changed: inout ChangedKeys<Object.Key>
    ) {
        let start = list.partitionPoint { part($0.object) < value }
        var end = start
        while end < list.count, part(list[end].object) == value { end += 1 }
        let objects = objects.sorted { $0.object.key < $1.object.key }
        if Array(list[start..<end]) == objects { return }
        changed.insert(list[start..<end].map(\.object.key) + objects.map(\.object.key))
        list.replaceSubrange(start..<end, with: objects)
    }

    // MARK: Rules at places

    private func addPlaces(to part: inout Part) {
        var firewall = Firewall(origin: Origin(.host, host))
        for feature in Self.features { feature.contribute(to: &firewall, of: self) }
        part.tables = firewall.completed()
    }

    // MARK: Named objects

    private mutating func replace(_ piece: Piece, by part: Part) {
        let former = made[piece]
        var names = PieceNames()
        for link in part.links {
            names.links.append(link.object.name)
            Self.replace(&intent.host.links, \.name, link.object.name, by: [link], &changed.links)
        }
        for address in part.addresses {
            names.addresses.append(address.object.key)
            Self.replace(&intent.host.addresses, \.key, address.object.key, by: [address], &changed.addresses)
        }
        for name in former?.links ?? [] where !names.links.contains(name) {
            Self.replace(&intent.host.links, \.name, name, by: [], &changed.links)
        }
        for key in former?.addresses ?? [] where !names.addresses.contains(key) {
            Self.replace(&intent.host.addresses, \.key, key, by: [], &changed.addresses)
        }
        for table in part.tables + [part.filter] { put(table, of: piece, &names) }
        if let former, former.parts != names.parts {
            for part in Set(former.parts).subtracting(names.parts) { remove(part) }
        }
        if former != nil || names != PieceNames() { made[piece] = names }
    }

    private mutating func put(_ table: NFTableIntent, of piece: Piece, _ names: inout PieceNames) {
        guard let index = intent[tablesWith: table.table].position(of: table.table) else { return }
        for set in table.sets {
            let part = NFPart(table.table, .set, set.name)
            names.parts.append(part)
            var set = set
            if piece == .host {
                // Others have their elements in it.
                if intent[tablesWith: table.table][index].position(ofSet: set.name) != nil { continue }
            } else {
                set.elements.normalize()
            }
            if intent[tablesWith: table.table][index].put(set) { note(part) }
        }
        for chain in table.chains {
            let part = NFPart(table.table, .chain, chain.name)
            names.parts.append(part)
            if intent[tablesWith: table.table][index].put(chain) { note(part) }
        }
        for flowtable in table.flowtables {
            let part = NFPart(table.table, .flowtable, flowtable.name)
            names.parts.append(part)
            if intent[tablesWith: table.table][index].put(flowtable) { note(part) }
        }
        for counter in table.counters {
            let part = NFPart(table.table, .object, counter.name)
            names.parts.append(part)
            if intent[tablesWith: table.table][index].put(counter) { note(part) }
        }
        for object in table.objects {
            let part = NFPart(table.table, .object, object.name)
            names.parts.append(part)
            if intent[tablesWith: table.table][index].put(object) { note(part) }
        }
    }

    private mutating func remove(_ part: NFPart) {
        guard let index = intent[tablesWith: part.table].position(of: part.table) else { return }
        intent[tablesWith: part.table][index].remove(part.kind, named: part.name)
        note(part)
    }

    // MARK: Elements

    /// Puts the elements of pieces of one kind in the place of those that they had.
    private mutating func replaceRows(of pieces: [Piece], by part: Part) {
        guard let kind = pieces.first?.kind else { return }
        for row in part.rows {
            let set = NFPart(row.table, .set, row.set.name)
            if rowSets[kind]?.contains(set) != true { rowSets[kind, default: []].append(set) }
        }
        guard let sets = rowSets[kind] else { return }
        let origins = Set(pieces.lazy.map { $0.origin })
        for set in sets {
            guard let table = intent[tablesWith: set.table].position(of: set.table),
                let place = intent[tablesWith: set.table][table].position(ofSet: set.name)
            else { continue }
            let row = part.position(of: set.name, in: set.table)
            let layout = intent[tablesWith: set.table][table].sets[place].elements.layout
            var elements = row.map { part.rows[$0].set.elements } ?? NFElements(layout: layout)
            elements.normalize()
            if intent[tablesWith: set.table][table].sets[place].elements.replace(from: origins, with: elements) {
                note(set)
            }
        }
    }

    private mutating func note(_ part: NFPart) {
        if part.table == FirewallTables.underlay { changed.underlay = true } else { changed.firewall.insert(part) }
    }
}

extension KernelIntent {
    /// The tables of the namespace that this one is in.
    fileprivate subscript(tablesWith table: NFTable) -> [NFTableIntent] {
        _read {
            if table == FirewallTables.underlay { yield underlay.firewall } else { yield host.firewall }
        }
        _modify {
            if table == FirewallTables.underlay { yield &underlay.firewall } else { yield &host.firewall }
        }
    }
}
