public import KernelNames
public import NFTables

/// What a firewall says about devices that are about to go.
///
/// Until its routes have been moved, a departing port still gets packets: its elements stay as they are, with the chains
/// they lead to, and go when the device is gone. Those that lead there by a name that maps have of them stay with it.
struct DepartingDevices {
    /// The wanted table with the departing devices' elements as they are now.
    private(set) var transition: NFTableIntent
    /// Those elements, by the wanted name of the set.
    private(set) var elements: [(set: String, NFElements)] = []

    init(_ wanted: NFTableIntent, _ observed: NFObservedTable, _ devices: Set<InterfaceName>) {
        transition = wanted
        if devices.isEmpty { return }
        let present = NFPresentSets(wanted, observed)
        let keyed = wanted.sets.indices.filter { wanted.sets[$0].shape.isKeyedByDevice }
        var names: Set<InterfaceName> = []
        for index in keyed {
            let departing = keep(devices, of: wanted.sets[index], at: index, present)
            if departing.layout.dataSlots != departing.layout.keySlots { continue }
            names.formUnion((0..<departing.count).map(departing.name))
        }
        for index in keyed where wanted.sets[index].shape.data == .verdict {
            let set = wanted.sets[index]
            let known = Set((0..<set.elements.count).map(set.elements.device))
            keep(names.subtracting(known).subtracting(devices), of: set, at: index, present)
        }
    }

    /// Keeps elements with some keys as they are.
    /// - Returns: what there is of them.
    @discardableResult
    private mutating func keep(
        _ keys: Set<InterfaceName>, of set: NFSet, at index: Int, _ present: NFPresentSets
    ) -> NFElements {
        let nothing = NFElements(layout: set.shape.layout)
        guard !keys.isEmpty, let seen = present.current(set.name), seen.shape.isLike(set.shape) else { return nothing }
        let kept = seen.elements.filtered { keys.contains($0) }
        if kept.isEmpty { return nothing }
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

    /// The name that an element of a map has as its data.
    fileprivate func name(of index: Int) -> InterfaceName {
        let start = index * layout.stride + layout.keyStride
        return slots[start..<start + 4].withUnsafeBytes { InterfaceName(bytes: $0) }
    }

    fileprivate func filtered(_ isIncluded: (InterfaceName) -> Bool) -> NFElements {
        var part = NFElements(layout: layout)
        for index in 0..<count where isIncluded(device(of: index)) { part.append(contentsOf: self, index..<index + 1) }
        return part
    }
}
