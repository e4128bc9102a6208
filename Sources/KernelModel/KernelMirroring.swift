public import KernelNames

/// What is known of a host's namespace and those of its guests, kept equal to the kernel by what the kernel tells:
/// `KernelMirror` of a real one.
public protocol KernelMirroring: AnyObject {
    /// As of the last update.
    var snapshot: KernelSnapshot { get }
    /// Readable as long as notifications wait.
    var fileDescriptor: Int32 { get }
    /// Takes in all notifications that have come, also those of what was committed.
    ///
    /// - Parameter plan: What was committed since the last update: what its changes bring about without a notification is
    ///   read.
    /// - Throws: when the kernel cannot be read. What is known is then not reliable any more: make another mirror.
    func update(after plan: ChangePlan?) throws -> KernelUpdate
    /// From now on mirrors what this request names.
    func follow(_ request: ObservationRequest) throws
    /// Reads everything again.
    func resynchronize() throws -> KernelUpdate
    /// Reads the request's parameters, of whose changes nobody tells.
    func checkParameters() throws -> KernelUpdate
    /// Takes in all notifications and reads the settings of devices of whose changes nobody tells.
    func checkLinks() throws -> KernelUpdate
}

/// What one update of a mirror brought.
public struct KernelUpdate: Sendable, Hashable {
    /// The kinds of objects that may have changed, in the host's namespace.
    public var kinds: Set<ObjectKind> = []
    /// Where something may have changed, of these kinds.
    public var objects = SuspectObjects()
    /// The guests whose namespaces may have changed, have come or have gone.
    public var guests: Set<NamespaceName> = []
    /// Whether something may have changed where the tunnels' packets travel, or the host's namespace is another one.
    public var isUnderlayConcerned = false
    /// How many notifications came, those that changed nothing among them.
    public var notifications = 0
    /// Whether the kernel threw notifications away, so that everything was read again.
    public var wasOverrun = false
    /// How many objects were read from the kernel because notifications did not say what became of them.
    public var objectsRead = 0

    public init() {}

    public var isEmpty: Bool { kinds.isEmpty && guests.isEmpty && !isUnderlayConcerned }

    /// Objects of a kind may have changed, nobody knows which.
    public mutating func insert(_ kind: ObjectKind) {
        kinds.insert(kind)
        objects.insert(kind)
    }

    /// Where anything may have changed.
    public var suspects: SuspectObjects {
        var suspects = objects
        suspects.guests.insert(guests)
        suspects.underlay = isUnderlayConcerned
        return suspects
    }

    /// Adds what another update brought.
    public mutating func add(_ other: KernelUpdate) {
        kinds.formUnion(other.kinds)
        objects.formUnion(other.objects)
        guests.formUnion(other.guests)
        isUnderlayConcerned = isUnderlayConcerned || other.isUnderlayConcerned
        notifications += other.notifications
        wasOverrun = wasOverrun || other.wasOverrun
        objectsRead += other.objectsRead
    }
}
