public import KernelNames
public import NFTables

/// What a firewall says about devices that are about to go.
///
/// Until its routes have been moved, a departing port still gets packets: its elements stay as they are, with the chains
/// they lead to, and go when the device is gone. What a number of theirs leads to stays with them.
struct DepartingDevices {
    /// The wanted table with the departing devices' elements as they are now.
    private(set) var transition: NFTableIntent
    /// Those elements, by the wanted name of the set.
    private(set) var elements: [(set: String, NFElements)] = []

    init(_ wanted: NFTableIntent, _ observed: NFObservedTable, _ devices: Set<InterfaceName>) {
        transition = wanted
        if devices.isEmpty { return }
        let present = NFPresentSets(wanted, observed)
        var numbers: Set<UInt32> = []
        for (index, set) in wanted.sets.enumerated() where set.shape.isKeyedByDevice {
            let departing = keep(of: set, at: index, present) { devices.contains($0.device(of: $1)) }
            guard case .value(code: NFType.mark.code, length: _) = set.shape.data else { continue }
            numbers.formUnion((0..<departing.count).map { departing.number(of: $0, behindKey: true) })
        }
        if numbers.isEmpty { return }
        for (index, set) in wanted.sets.enumerated()
        where set.shape.data == .verdict && set.shape.keyCode == NFType.mark.code {
            let known = Set((0..<set.elements.count).map { set.elements.number(of: $0, behindKey: false) })
            keep(of: set, at: index, present) {
                let number = $0.number(of: $1, behindKey: false)
                return numbers.contains(number) && !known.contains(number)
            }
        }
    }

    /// Keeps elements as they are.
    /// - Returns: what there is of them.
    @discardableResult
    private mutating func keep(
        of set: NFSet, at index: Int, _ present: NFPresentSets, where isKept: (NFElements, Int) -> Bool
    ) -> NFElements {
        var kept = NFElements(layout: set.shape.layout)
        guard let seen = present.current(set.name), seen.shape.isLike(set.shape) else { return kept }
        for position in 0..<seen.elements.count where isKept(seen.elements, position) {
            kept.append(contentsOf: seen.elements, position..<position + 1)
        }
        if kept.isEmpty { return kept }
        transition.sets[index].elements.append(contentsOf: kept, 0..<kept.count)
        transition.sets[index].elements.normalize()
        elements.append((set.name, kept))
        return kept
    }

    /// What is left to do when the devices are gone.
    /// - Parameter names: The names of those sets that bear another one than wanted.
    func farewell(_ names: [String: String]) -> [NFOperation] {
        elements.compactMap { set, elements in
            let name = names[set] ?? set
            guard let shape = transition.sets.first(where: { $0.name == set })?.shape else { return nil }
            return .removeElements(set: name, shape, elements)
        }
    }
}

extension NFSetShape {
    /// Whether a key begins with a device's name.
    fileprivate var isKeyedByDevice: Bool {
        var first = keyCode
        while first >> NFType.codeBits != 0 { first >>= NFType.codeBits }
        return first == NFType.interfaceName.code && !isInterval
    }
}

extension NFElements {
    /// The name of the device that the element's key begins with.
    public func device(of index: Int) -> InterfaceName {
        let start = index * layout.stride
        return slots[start..<start + 4].withUnsafeBytes { InterfaceName(bytes: $0) }
    }

    /// The number that an element has as its key, or as its data.
    fileprivate func number(of index: Int, behindKey: Bool) -> UInt32 {
        slots[index * layout.stride + (behindKey ? layout.keyStride : 0)]
    }
}
