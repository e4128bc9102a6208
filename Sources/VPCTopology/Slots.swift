/// Things under numbers: one keeps its number for as long as it is there, whatever comes and goes beside it.
///
/// An index is a number. In ascending order these say nothing but which was free when something came; the order of the
/// things themselves is that of ``Topology/inOrder(_:of:)``, which a topology that was resolved afresh has its numbers in.
public struct Slots<Element> {
    /// By number. What was there last stays until another one comes, so that what is there can be read where it is.
    @usableFromInline var elements: [Element] = []
    @usableFromInline var isThere: [Bool] = []
    /// Numbers below the bound that nobody has.
    private var free: [Int] = []
    public private(set) var count = 0

    public init() {}

    /// Empty, with the numbers of others set apart for those of them that come again.
    init(reserving former: Slots) {
        elements = former.elements
        isThere = Array(repeating: false, count: elements.count)
        free = former.free
    }

    /// - Parameter reserved: A number that was set apart for it.
    /// - Returns: its number.
    @discardableResult
    public mutating func add(_ element: consuming Element, at reserved: Int? = nil) -> Int {
        count += 1
        if let number = reserved.flatMap({ isThere[$0] ? nil : $0 }) ?? free.popLast() {
            elements[number] = element
            isThere[number] = true
            return number
        }
        elements.append(element)
        isThere.append(true)
        return elements.count - 1
    }

    /// Puts something back under the number that it had.
    mutating func restore(_ element: Element, at number: Int) {
        elements[number] = element
        if isThere[number] { return }
        isThere[number] = true
        count += 1
        free.removeAll { $0 == number }
    }

    /// Gives its number away to whoever comes next.
    mutating func remove(at number: Int) {
        check(number)
        isThere[number] = false
        count -= 1
        free.append(number)
    }

    /// Gives the numbers away that were set apart in vain.
    mutating func release() {
        free = isThere.indices.reversed().filter { !isThere[$0] }
    }

    public func contains(number: Int) -> Bool { isThere.indices.contains(number) && isThere[number] }

    /// By number, what is there.
    public var numbered: some Sequence<(number: Int, element: Element)> {
        indices.lazy.map { (number: $0, element: elements[$0]) }
    }

    @available(*, unavailable, message: "what counts is the number: see numbered")
    public func enumerated() -> EnumeratedSequence<Slots> { fatalError("unavailable") }

    mutating func reserveCapacity(_ capacity: Int) {
        elements.reserveCapacity(capacity)
        isThere.reserveCapacity(capacity)
    }

    @inlinable
    func check(_ number: Int) { precondition(isThere[number], "nobody has this number") }
}

extension Slots: MutableCollection, BidirectionalCollection {
    @inlinable public var startIndex: Int { isThere.firstIndex(of: true) ?? isThere.count }
    /// Greater than all numbers.
    @inlinable public var endIndex: Int { isThere.count }

    @inlinable
    public func index(after number: Int) -> Int {
        var next = number + 1
        while next < isThere.count, !isThere[next] { next += 1 }
        return next
    }

    @inlinable
    public func index(before number: Int) -> Int {
        var next = number - 1
        while next > 0, !isThere[next] { next -= 1 }
        return next
    }

    @inlinable
    public subscript(number: Int) -> Element {
        _read {
            check(number)
            yield elements[number]
        }
        _modify {
            check(number)
            yield &elements[number]
        }
    }
}

extension Slots: Sendable where Element: Sendable {}
