/// Things under numbers: one keeps its number for as long as it is there, whatever comes and goes beside it.
///
/// An index is a number. In ascending order these say nothing but which was free when something came; the order of the
/// things themselves is that of ``Topology/inOrder(_:of:)``, which a topology that was resolved afresh has its numbers in.
public struct Slots<Element> {
    /// By number.
    @usableFromInline var storage: [Element?] = []
    /// Numbers below the bound that nobody has.
    private var free: [Int] = []
    public private(set) var count = 0

    public init() {}

    /// Empty, with the numbers of others set apart for those of them that come again.
    init(reserving former: Slots) {
        storage = Array(repeating: nil, count: former.storage.count)
        free = former.free
    }

    /// - Parameter reserved: A number that was set apart for it.
    /// - Returns: its number.
    @discardableResult
    public mutating func add(_ element: Element, at reserved: Int? = nil) -> Int {
        count += 1
        if let number = reserved.flatMap({ storage[$0] == nil ? $0 : nil }) ?? free.popLast() {
            storage[number] = element
            return number
        }
        storage.append(element)
        return storage.count - 1
    }

    /// Puts something back under the number that it had.
    mutating func restore(_ element: Element, at number: Int) {
        if storage[number] == nil {
            count += 1
            free.removeAll { $0 == number }
        }
        storage[number] = element
    }

    /// Gives its number away to whoever comes next.
    @discardableResult
    mutating func remove(at number: Int) -> Element {
        guard let element = storage[number].take() else { Self.fail(number) }
        count -= 1
        free.append(number)
        return element
    }

    /// Gives the numbers away that were set apart in vain.
    mutating func release() {
        free = storage.indices.reversed().filter { storage[$0] == nil }
    }

    public func contains(number: Int) -> Bool { storage.indices.contains(number) && storage[number] != nil }

    /// By number, what is there.
    public var numbered: some Sequence<(number: Int, element: Element)> {
        storage.lazy.enumerated().compactMap { number, element in element.map { (number, $0) } }
    }

    @available(*, unavailable, message: "what counts is the number: see numbered")
    public func enumerated() -> EnumeratedSequence<Slots> { fatalError() }

    mutating func reserveCapacity(_ capacity: Int) { storage.reserveCapacity(capacity) }

    @usableFromInline
    static func fail(_ number: Int) -> Never { preconditionFailure("there is no \(Element.self) \(number)") }
}

extension Slots: MutableCollection, BidirectionalCollection {
    @inlinable public var startIndex: Int { storage.firstIndex { $0 != nil } ?? storage.count }
    /// Greater than all numbers.
    @inlinable public var endIndex: Int { storage.count }

    @inlinable
    public func index(after number: Int) -> Int {
        var next = number + 1
        while next < storage.count, storage[next] == nil { next += 1 }
        return next
    }

    @inlinable
    public func index(before number: Int) -> Int {
        var next = number - 1
        while next > 0, storage[next] == nil { next -= 1 }
        return next
    }

    @inlinable
    public subscript(number: Int) -> Element {
        get {
            guard let element = storage[number] else { Self.fail(number) }
            return element
        }
        _modify {
            // Taken out, so that what it holds is not copied.
            guard var element = storage[number].take() else { Self.fail(number) }
            defer { storage[number] = element }
            yield &element
        }
    }
}

extension Slots: Sendable where Element: Sendable {}
