/// One YAML document as a flat table: the children of a node follow it directly, and a container knows where its
/// descendants end. 12 bytes a node; the text of all scalars lies in one arena.
///
/// A value tree of classes or enums costs 4 to 5 times the memory and 15 times the time for 100,000 resources.
struct NodeTree {
    private(set) var nodes: [Node] = []
    private(set) var arena: [UInt8] = []

    /// Half of the memory that a large document takes is this: its numbers have 29 bits, twice what a file may have bytes
    /// (``ManifestLimits/fileSize``), and the others hold the rest.
    struct Node {
        private var startAndTag: UInt32
        /// Of a scalar, where its text begins in the arena; of a container, the index after its last descendant.
        var offset: UInt32
        private var lengthAndKind: UInt32

        init(start: UInt32, offset: UInt32, length: UInt32, kind: Kind, tag: Tag, isPlain: Bool) {
            precondition(start <= Self.largest && length <= Self.largest, "a manifest of more than 512 MiB")
            startAndTag = start << 3 | UInt32(tag.rawValue)
            self.offset = offset
            lengthAndKind = length << 3 | UInt32(kind.rawValue) << 1 | (isPlain ? 1 : 0)
        }

        private static let largest: UInt32 = 1 << 29 - 1

        /// Where the node begins, in characters from the start of the parsed text.
        var start: UInt32 {
            get { startAndTag >> 3 }
            set { startAndTag = newValue << 3 | startAndTag & 7 }
        }
        /// Of a scalar, the bytes of its text.
        var length: UInt32 { lengthAndKind >> 3 }
        var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: lengthAndKind >> 1 & 3)) ?? .scalar }
        var tag: Tag { Tag(rawValue: UInt8(truncatingIfNeeded: startAndTag & 7)) ?? .implicit }
        /// A plain scalar or a block container, as opposed to a quoted scalar or a flow container.
        var isPlain: Bool { lengthAndKind & 1 == 1 }
    }

    enum Kind: UInt8 {
        case scalar
        case mapping
        case sequence
    }

    /// What the document itself says about a node's type.
    enum Tag: UInt8 {
        /// Nothing: a plain scalar is typed by its text, a quoted one is a string.
        case implicit
        case string
        case integer
        case floatingPoint
        case boolean
        case null
    }

    var isEmpty: Bool { nodes.isEmpty }

    mutating func removeAll() {
        nodes.removeAll(keepingCapacity: true)
        arena.removeAll(keepingCapacity: true)
    }

    /// Makes room for the documents of a source of that size. The room is not touched before it is needed, so that it
    /// costs nothing; growing step by step would hold the nodes of one large document twice.
    mutating func reserveCapacity(forBytes count: Int) {
        nodes.reserveCapacity(count / Self.bytesPerNode)
        arena.reserveCapacity(count)
    }

    /// Of dense JSON: a little less than it takes.
    private static let bytesPerNode = 7

    // MARK: Building

    mutating func appendScalar(_ text: UnsafeBufferPointer<UInt8>, start: UInt32, tag: Tag, isPlain: Bool) {
        let offset = UInt32(arena.count)
        arena.append(contentsOf: text)
        nodes.append(
            Node(start: start, offset: offset, length: UInt32(text.count), kind: .scalar, tag: tag, isPlain: isPlain))
    }

    mutating func openContainer(_ kind: Kind, start: UInt32, isPlain: Bool) {
        nodes.append(Node(start: start, offset: 0, length: 0, kind: kind, tag: .implicit, isPlain: isPlain))
    }

    mutating func closeContainer(_ index: Int) { nodes[index].offset = UInt32(nodes.count) }

    /// Repeats a finished node and its descendants at the end of the table. The copy begins where the alias stands,
    /// its descendants where they were written: there they have to be corrected.
    mutating func appendCopy(of index: Int, start: UInt32) {
        let end = next(index)
        let distance = UInt32(nodes.count - index)
        let copy = nodes.count
        for source in index..<end {
            var node = nodes[source]
            if node.kind != .scalar { node.offset += distance }
            nodes.append(node)
        }
        nodes[copy].start = start
    }

    // MARK: Reading

    subscript(index: Int) -> Node { nodes[index] }

    /// The index after a node and its descendants: its next sibling, where it has one.
    func next(_ index: Int) -> Int {
        let node = nodes[index]
        return node.kind == .scalar ? index + 1 : Int(node.offset)
    }

    func text(_ index: Int) -> String {
        withText(index) { String(decoding: $0, as: UTF8.self) }
    }

    func withText<Result>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        let node = nodes[index]
        return arena.withUnsafeBufferPointer { bytes in
            body(UnsafeBufferPointer(rebasing: bytes[Int(node.offset)..<Int(node.offset + node.length)]))
        }
    }

    /// Whether a node is a scalar of this text.
    func isText(_ index: Int, _ text: String) -> Bool {
        let node = nodes[index]
        guard node.kind == .scalar, Int(node.length) == text.utf8.count else { return false }
        return withText(index) { $0.elementsEqual(text.utf8) }
    }

    /// The key nodes of a mapping; each is followed by its value.
    func keys(of mapping: Int) -> Children { Children(tree: self, index: mapping + 1, end: next(mapping), stride: 2) }

    func elements(of sequence: Int) -> Children {
        Children(tree: self, index: sequence + 1, end: next(sequence), stride: 1)
    }

    struct Children: Sequence, IteratorProtocol {
        fileprivate let tree: NodeTree
        fileprivate var index: Int
        fileprivate let end: Int
        fileprivate let stride: Int

        mutating func next() -> Int? {
            guard index < end else { return nil }
            let child = index
            for _ in 0..<stride { index = tree.next(index) }
            return child
        }
    }
}
