// Single objects of a normalized table.
extension NFTableIntent {
    /// Puts a normalized set in the place of the one of its name.
    /// - Returns: whether it is another than before.
    public mutating func put(_ set: NFSet) -> Bool {
        sets.put(set) { $0 == set && $0.elements.origins == set.elements.origins }
    }

    /// - Returns: whether it is another than before.
    public mutating func put(_ chain: NFChain) -> Bool { chains.put(chain) { $0 == chain } }

    /// - Returns: whether it is another than before.
    public mutating func put(_ counter: NFCounter) -> Bool { counters.put(counter) { $0 == counter } }

    /// - Returns: whether it is another than before.
    public mutating func put(_ object: NFObject) -> Bool { objects.put(object) { $0 == object } }

    /// - Returns: whether it is another than before.
    public mutating func put(_ flowtable: NFFlowtable) -> Bool { flowtables.put(flowtable) { $0 == flowtable } }

    /// Does nothing where there is none of that name.
    public mutating func remove(_ kind: NFPart.Kind, named name: String) {
        switch kind {
        case .set: sets.remove(named: name)
        case .chain: chains.remove(named: name)
        case .object:
            counters.remove(named: name)
            objects.remove(named: name)
        case .flowtable: flowtables.remove(named: name)
        }
    }

    /// The position of the set of that name.
    public func position(ofSet name: String) -> Int? { sets.position(of: name) }
}

extension [NFTableIntent] {
    public func position(of table: NFTable) -> Int? { firstIndex { $0.table == table } }
}

private protocol Named { var name: String { get } }

extension NFSet: Named {}
extension NFChain: Named {}
extension NFCounter: Named {}
extension NFObject: Named {}
extension NFFlowtable: Named {}

/// Of a list that is in order of the names.
extension Array where Element: Named {
    fileprivate func position(of name: String) -> Int? {
        let place = partitionPoint { $0.name < name }
        return place < count && self[place].name == name ? place : nil
    }

    /// - Parameter isSame: Whether the one of that name is no other.
    /// - Returns: whether it is another than before.
    fileprivate mutating func put(_ element: Element, where isSame: (Element) -> Bool) -> Bool {
        guard let place = position(of: element.name) else {
            insert(element, at: partitionPoint { $0.name < element.name })
            return true
        }
        if isSame(self[place]) { return false }
        self[place] = element
        return true
    }

    fileprivate mutating func remove(named name: String) {
        if let place = position(of: name) { remove(at: place) }
    }
}
