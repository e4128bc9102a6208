public import IPAddressing

/// Something that is routed to an interface beside its address.
public struct FurtherDestination: Hashable, Sendable {
    /// A block, or just one address.
    public var prefix: IPPrefix
    /// The guest has the block whole and its device has no address of it; else this is a further address of the device.
    public var isDelegated: Bool
    /// Whether it is an elastic IP, and no field of the interface.
    public var isPublic: Bool

    public init(_ prefix: IPPrefix, isDelegated: Bool, isPublic: Bool = false) {
        self.prefix = prefix
        self.isDelegated = isDelegated
        self.isPublic = isPublic
    }
}

/// What is routed to an interface.
public struct Destination: Hashable, Sendable {
    public var prefix: IPPrefix
    /// See ``FurtherDestination/isDelegated``.
    public var isDelegated: Bool
    /// A number of `Topology.interfaces`.
    public var interface: Int

    @inlinable
    public init(_ prefix: IPPrefix, isDelegated: Bool = false, of interface: Int) {
        self.prefix = prefix
        self.isDelegated = isDelegated
        self.interface = interface
    }
}

extension ResolvedInterface {
    /// Those of its device beside the first, ascending.
    public var furtherAddresses: [IPAddress] { further.filter { !$0.isDelegated }.map(\.prefix.address) }
    /// All of its device, the first one first.
    public var addresses: [IPAddress] { [address] + furtherAddresses }
    /// Blocks that the guest has whole, ascending.
    public var prefixes: [IPPrefix] { further.filter(\.isDelegated).map(\.prefix) }

    public var hasPrefixes: Bool { further.contains(where: \.isDelegated) }

    /// All that is routed to it, its address first.
    public var blocks: [IPPrefix] { [IPPrefix(address)] + further.map(\.prefix) }

    /// Whether it is an address of the guest's device.
    public func hasItself(_ address: IPAddress) -> Bool {
        self.address == address || further.contains { !$0.isDelegated && $0.prefix.address == address }
    }

    /// Whether packets to this address are for the guest, and it may send from it.
    public func has(_ address: IPAddress) -> Bool {
        self.address == address || further.contains { $0.prefix.contains(address) }
    }
}

extension Topology {
    /// All that is routed to the interfaces of a VPC: ascending and disjoint.
    @inlinable
    package func destinations(ofVPC vpc: Int) -> DestinationsOfVPC {
        DestinationsOfVPC(interfaces: interfaces, numbers: interfacesOfVPC[vpc], further: furtherOfVPC[vpc])
    }

    /// Those that begin at or behind an address.
    package func destinations(ofVPC vpc: Int, from address: IPAddress) -> DestinationsOfVPC {
        var destinations = destinations(ofVPC: vpc)
        destinations.nextNumber = destinations.numbers.partitionPoint { interfaces[$0].address < address }
        destinations.nextFurther = destinations.further.partitionPoint { $0.prefix.address < address }
        return destinations
    }

    /// Who has just this block, or this address.
    package func destination(_ prefix: IPPrefix, inVPC vpc: Int) -> Destination? {
        if prefix.length == prefix.family.bitWidth {
            let all = interfacesOfVPC[vpc]
            let place = all.partitionPoint { interfaces[$0].address < prefix.address }
            if place < all.count, interfaces[all[place]].address == prefix.address {
                return Destination(prefix, of: all[place])
            }
        }
        return further(around: prefix.address, inVPC: vpc).flatMap { $0.prefix == prefix ? $0 : nil }
    }

    /// What is routed beside the interfaces' first addresses and holds this one.
    @usableFromInline
    func further(around address: IPAddress, inVPC vpc: Int) -> Destination? {
        let all = furtherOfVPC[vpc]
        let place = all.partitionPoint { $0.prefix.address <= address }
        return place > 0 && all[place - 1].prefix.contains(address) ? all[place - 1] : nil
    }

    // MARK: Changes

    /// Enters something that is routed to an interface beside its address.
    /// - Returns: something that it has addresses in common with; then it is not entered.
    mutating func enter(_ destination: Destination) -> Destination? {
        let (prefix, vpc) = (destination.prefix, interfaces[destination.interface].vpc)
        let own = interfacesOfVPC[vpc]
        let first = own.partitionPoint { interfaces[$0].address < prefix.address }
        if first < own.count, prefix.contains(interfaces[own[first]].address) {
            return Destination(IPPrefix(interfaces[own[first]].address), of: own[first])
        }
        if let outer = further(around: prefix.address, inVPC: vpc) { return outer }
        let place = furtherOfVPC[vpc].partitionPoint { $0.prefix.address < prefix.address }
        if place < furtherOfVPC[vpc].count, prefix.contains(furtherOfVPC[vpc][place].prefix) {
            return furtherOfVPC[vpc][place]
        }
        furtherOfVPC[vpc].insert(destination, at: place)
        return nil
    }

    /// Enters all that is routed to an interface beside its address, where it has nothing in common with anything.
    mutating func enterFurther(of number: Int) {
        for further in interfaces[number].further {
            _ = enter(Destination(further.prefix, isDelegated: further.isDelegated, of: number))
        }
    }

    mutating func leaveFurther(of number: Int) {
        let vpc = interfaces[number].vpc
        for further in interfaces[number].further {
            let place = furtherOfVPC[vpc].partitionPoint { $0.prefix < further.prefix }
            if place < furtherOfVPC[vpc].count, furtherOfVPC[vpc][place].interface == number {
                furtherOfVPC[vpc].remove(at: place)
            }
        }
    }
}

/// The interfaces' first addresses and what is routed to them beside, merged.
@usableFromInline
package struct DestinationsOfVPC: Sequence, IteratorProtocol {
    @usableFromInline let interfaces: Slots<ResolvedInterface>
    @usableFromInline let numbers: [Int]
    @usableFromInline let further: [Destination]
    @usableFromInline var nextNumber = 0
    @usableFromInline var nextFurther = 0

    @inlinable
    init(interfaces: Slots<ResolvedInterface>, numbers: [Int], further: [Destination]) {
        self.interfaces = interfaces
        self.numbers = numbers
        self.further = further
    }

    @inlinable
    package mutating func next() -> Destination? {
        guard nextNumber < numbers.count else { return takeFurther() }
        let number = numbers[nextNumber]
        let address = interfaces[number].address
        if nextFurther < further.count, further[nextFurther].prefix.address < address { return takeFurther() }
        nextNumber += 1
        return Destination(IPPrefix(address), of: number)
    }

    @inlinable
    mutating func takeFurther() -> Destination? {
        guard nextFurther < further.count else { return nil }
        nextFurther += 1
        return further[nextFurther - 1]
    }
}
