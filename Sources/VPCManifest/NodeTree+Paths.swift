internal import VPCModel

/// The links upwards that a `NodeTree` lacks: made in one pass over the table, when something has to be explained.
struct Ancestry {
    /// By node, the container it is in; of a root, itself.
    private var parents: [UInt32] = []
    /// By node: an element's position in its sequence, a value's key, a key itself.
    private var links: [UInt32] = []

    init(of tree: NodeTree) {
        parents = Array(repeating: 0, count: tree.nodes.count)
        links = parents
        for (index, node) in tree.nodes.enumerated() where node.kind != .scalar {
            var child = index + 1
            var position = 0
            var key = child
            while child < tree.next(index) {
                parents[child] = UInt32(index)
                if node.kind == .sequence {
                    links[child] = UInt32(position)
                } else if position % 2 == 0 {
                    links[child] = UInt32(child)
                } else {
                    // Keys of any size: the value does not always follow its key's node directly.
                    links[child] = UInt32(key)
                }
                if position % 2 == 0 { key = child }
                child = tree.next(child)
                position += 1
            }
        }
    }

    /// The path of a node under `root`.
    func path(to node: Int, from root: Int, in tree: NodeTree) -> FieldPath {
        var components: [FieldPath.Component] = []
        var node = node
        while node != root, node > 0 {
            let parent = Int(parents[node])
            let link = Int(links[node])
            components.append(tree[parent].kind == .sequence ? .index(link) : .key(tree.keyText(link)))
            node = parent
        }
        return FieldPath(components.reversed())
    }

    /// The node that shows best where a node is: itself where it is a scalar or has no key, else its key. A block
    /// mapping begins where its first key does, which would point at the wrong field.
    func mark(of node: Int, from root: Int, in tree: NodeTree) -> Int {
        guard node != root, node > 0, tree[node].kind != .scalar, tree[Int(parents[node])].kind == .mapping else {
            return node
        }
        return Int(links[node])
    }
}

extension NodeTree {
    /// A key as text, for paths; keys need not be scalars.
    func keyText(_ key: Int) -> String { nodes[key].kind == .scalar ? text(key) : "?" }

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

/// Follows field paths into a node tree.
struct PathFinder {
    /// The elements of the sequences that were passed: many paths lead into the same long list.
    private var elements: [Int: [Int]] = [:]

    /// The mark of the field at `path` under `root`, or of its deepest ancestor that exists: a scalar itself, a
    /// container's key where it has one.
    mutating func mark(of path: FieldPath, from root: Int, in tree: NodeTree) -> Int {
        var node = root
        var key: Int?
        for component in path.components {
            switch component {
            case .key(let name):
                guard tree[node].kind == .mapping, let found = tree.key(named: name, of: node) else {
                    return key ?? node
                }
                key = found
                node = tree.next(found)
            case .index(let position):
                guard let element = element(position, of: node, in: tree) else { return key ?? node }
                key = nil
                node = element
            }
        }
        return tree[node].kind == .scalar ? node : key ?? node
    }

    mutating func element(_ position: Int, of sequence: Int, in tree: NodeTree) -> Int? {
        guard tree[sequence].kind == .sequence else { return nil }
        let all = elements[sequence] ?? Array(tree.elements(of: sequence))
        elements[sequence] = all
        return all.indices.contains(position) ? all[position] : nil
    }
}
