/// What a firewall says about devices that are about to go.
///
/// Until its routes have been moved, a departing port still gets packets: its elements leave in a transaction of their
/// own, after it. Not so where its policy could not be kept as it is: then the port is closed first.
struct DepartingDevices {
    /// The wanted table with the departing devices' elements as they are now.
    let transition: NFTableIntent
    /// What is left to do when the devices are gone.
    let farewell: NFChangeSet

    init(_ wanted: NFTableIntent, _ observed: NFObservedTable, _ devices: Set<InterfaceName>) {
        let chains = Set(wanted.chains.map(\.name))
        let known = Dictionary(observed.sets.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var kept = devices
        for set in observed.sets where set.shape.isKeyedByDevice {
            for index in 0..<set.elements.verdicts.count {
                guard let chain = set.elements.verdicts[index].chain, !chains.contains(chain) else { continue }
                kept.remove(set.elements.device(of: index))
            }
        }
        var transition = wanted
        var farewell = NFChangeSet(wanted.table)
        for index in wanted.sets.indices where wanted.sets[index].shape.isKeyedByDevice {
            let set = wanted.sets[index]
            guard let present = known[set.name], present.shape == set.shape else { continue }
            let departing = present.elements.filtered { kept.contains($0) }
            if departing.isEmpty { continue }
            transition.sets[index].elements.append(contentsOf: departing, 0..<departing.count)
            transition.sets[index].elements.normalize()
            farewell.operations.append(.removeElements(set: set.name, set.shape, departing))
        }
        self.transition = transition
        self.farewell = farewell
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
    /// The name that the element's key begins with.
    fileprivate func device(of index: Int) -> InterfaceName {
        let start = index * layout.stride
        return slots[start..<start + 4].withUnsafeBytes { InterfaceName(bytes: $0) }
    }

    fileprivate func filtered(_ isIncluded: (InterfaceName) -> Bool) -> NFElements {
        var part = NFElements(layout: layout)
        for index in 0..<count where isIncluded(device(of: index)) { part.append(contentsOf: self, index..<index + 1) }
        return part
    }
}
