internal import VPCModel

extension NodeTree {
    /// Where a node stands under `root`: the path to it, and its key where it is a value of a mapping.
    ///
    /// The table has no links upwards; this walks down, and is for diagnostics only.
    func way(to target: Int, from root: Int) -> (path: FieldPath, key: Int?) {
        var components: [FieldPath.Component] = []
        var container = root
        var keyOfTarget: Int?
        while container != target, nodes[container].kind != .scalar {
            var found: Int?
            keyOfTarget = nil
            if nodes[container].kind == .mapping {
                for key in keys(of: container) {
                    let value = next(key)
                    guard key <= target, target < next(value) else { continue }
                    components.append(.key(text(key)))
                    if target < value { return (FieldPath(components), nil) }
                    (found, keyOfTarget) = (value, key)
                    break
                }
            } else {
                for (position, element) in elements(of: container).enumerated() {
                    guard element <= target, target < next(element) else { continue }
                    components.append(.index(position))
                    found = element
                    break
                }
            }
            guard let found else { break }
            container = found
        }
        return (FieldPath(components), keyOfTarget)
    }

    /// The node that shows best where a node is: itself where it is a scalar or has no key, else its key. A block
    /// mapping begins where its first key does, which would point at the wrong field.
    func mark(of target: Int, from root: Int) -> Int {
        nodes[target].kind == .scalar ? target : way(to: target, from: root).key ?? target
    }

    /// The mark of the field at `path` under `root`, or of its deepest ancestor that exists.
    func mark(of path: FieldPath, from root: Int) -> Int {
        var node = root
        var key: Int?
        for component in path.components {
            switch component {
            case .key(let name):
                guard nodes[node].kind == .mapping, let found = self.key(named: name, of: node) else {
                    return key ?? node
                }
                key = found
                node = next(found)
            case .index(let position):
                guard nodes[node].kind == .sequence,
                    let element = elements(of: node).dropFirst(position).first(where: { _ in true })
                else { return key ?? node }
                key = nil
                node = element
            }
        }
        return nodes[node].kind == .scalar ? node : key ?? node
    }

    /// The key of a field, which a merge key (`<<`) may contribute.
    func key(named name: String, of mapping: Int) -> Int? {
        for key in keys(of: mapping) where isText(key, name) { return key }
        for key in keys(of: mapping) where isMergeKey(key) {
            let value = next(key)
            let sources = nodes[value].kind == .sequence ? Array(elements(of: value)) : [value]
            for source in sources where nodes[source].kind == .mapping {
                if let found = self.key(named: name, of: source) { return found }
            }
        }
        return nil
    }

    func isMergeKey(_ key: Int) -> Bool {
        nodes[key].isPlain && nodes[key].tag == .implicit && isText(key, "<<")
    }
}
