// Single objects of a normalized table.
extension NFTableIntent {
    /// Puts a normalized set in the place of the one of its name.
    /// - Returns: whether it is another than before.
    public mutating func put(_ set: NFSet) -> Bool {
        let place = sets.partitionPoint { $0.name < set.name }
        guard place < sets.count, sets[place].name == set.name else {
            sets.insert(set, at: place)
            return true
        }
        if sets[place] == set, sets[place].elements.origins == set.elements.origins { return false }
        sets[place] = set
        return true
    }

    /// - Returns: whether it is another than before.
    public mutating func put(_ chain: NFChain) -> Bool {
        let place = chains.partitionPoint { $0.name < chain.name }
        guard place < chains.count, chains[place].name == chain.name else {
            chains.insert(chain, at: place)
            return true
        }
        if chains[place] == chain { return false }
        chains[place] = chain
        return true
    }

    /// - Returns: whether it is another than before.
    public mutating func put(_ counter: NFCounter) -> Bool {
        let place = counters.partitionPoint { $0.name < counter.name }
        guard place < counters.count, counters[place].name == counter.name else {
            counters.insert(counter, at: place)
            return true
        }
        if counters[place] == counter { return false }
        counters[place] = counter
        return true
    }

    public mutating func removeSet(named name: String) {
        let place = sets.partitionPoint { $0.name < name }
        if place < sets.count, sets[place].name == name { sets.remove(at: place) }
    }

    public mutating func removeChain(named name: String) {
        let place = chains.partitionPoint { $0.name < name }
        if place < chains.count, chains[place].name == name { chains.remove(at: place) }
    }

    public mutating func removeCounter(named name: String) {
        let place = counters.partitionPoint { $0.name < name }
        if place < counters.count, counters[place].name == name { counters.remove(at: place) }
    }

    /// The position of the set of that name.
    public func position(ofSet name: String) -> Int? {
        let place = sets.partitionPoint { $0.name < name }
        return place < sets.count && sets[place].name == name ? place : nil
    }
}

extension [NFTableIntent] {
    public func position(of table: NFTable) -> Int? { firstIndex { $0.table == table } }
}
