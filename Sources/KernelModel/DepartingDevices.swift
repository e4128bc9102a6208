public import KernelNames
public import NFTables

/// What a firewall says about devices that are about to go.
///
/// Until its routes have been moved, a departing port still gets packets: its elements stay as they are, with the chains
/// they lead to, and go when the device is gone.
struct DepartingDevices {
    /// The wanted table with the departing devices' elements as they are now.
    private(set) var transition: NFTableIntent
    /// Those elements, by the wanted name of the set.
    private(set) var elements: [(set: String, NFElements)] = []

    init(_ wanted: NFTableIntent, _ observed: NFObservedTable, _ devices: Set<InterfaceName>) {
        transition = wanted
        if devices.isEmpty { return }
        let present = NFPresentSets(wanted, observed)
        for index in wanted.sets.indices where wanted.sets[index].shape.isKeyedByDevice {
            let set = wanted.sets[index]
            guard let seen = present.current(set.name), seen.shape.isLike(set.shape) else { continue }
            let departing = seen.elements.filtered { devices.contains($0) }
            if departing.isEmpty { continue }
            transition.sets[index].elements.append(contentsOf: departing, 0..<departing.count)
            transition.sets[index].elements.normalize()
            elements.append((set.name, departing))
        }
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

    fileprivate func filtered(_ isIncluded: (InterfaceName) -> Bool) -> NFElements {
        var part = NFElements(layout: layout)
        for index in 0..<count where isIncluded(device(of: index)) { part.append(contentsOf: self, index..<index + 1) }
        return part
    }
}
