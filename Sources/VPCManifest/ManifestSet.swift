public import VPCModel

/// All manifests of a command: what they say, what is wrong with them, and where.
///
/// Loading never throws: every problem of every document is a diagnostic, and what could be decoded is in `model`.
/// `model.gaps` tells a model with errors from a complete one.
public struct ManifestSet: Sendable {
    /// The resources that were decoded, in the order of the documents.
    public let model: Model
    /// Everything that is wrong with the sources and the documents on their own, by file and line.
    public let diagnostics: [LocatedDiagnostic]
    public let sources: [ManifestSource]
    public let limits: ManifestLimits
    /// Where each named document is, by kind.
    let places: DocumentPlaces
    /// The `resourceVersion` of those that state one, see ``ManifestLimits/allowsAnswers``.
    public let versions: [ResourceReference: String]

    /// True where the model is all that the sources say.
    public var isValid: Bool { !diagnostics.contains { $0.severity == .error } }

    /// Reads files, directories (`*.yaml`, `*.yml` and `*.json`, recursively, sorted) and, for `-`, standard input.
    public static func load(
        paths: [String], standardInput: Int32 = 0, limits: ManifestLimits = ManifestLimits()
    ) -> ManifestSet {
        ManifestSet(ManifestFiles(paths: paths, standardInput: standardInput, limits: limits), limits: limits)
    }

    /// - Parameter more: Sources behind those of the files.
    public init(
        _ files: ManifestFiles, and more: [ManifestSource] = [], limits: ManifestLimits = ManifestLimits()
    ) {
        self.init(files.sources + more, limits: limits, unread: files.diagnostics)
    }

    public init(_ sources: [ManifestSource], limits: ManifestLimits = ManifestLimits()) {
        self.init(sources, limits: limits, unread: [])
    }

    /// A set of one source.
    public init(text: String, name: String = "manifest.yaml") {
        self.init([ManifestSource(name: name, text: text)])
    }

    private init(_ sources: [ManifestSource], limits: ManifestLimits, unread: [LocatedDiagnostic]) {
        var loader = ManifestLoader(limits: limits)
        if !unread.isEmpty { loader.model.gaps.kinds = Set(ResourceKind.allCases) }
        for (index, source) in sources.enumerated() { loader.load(source, index: index) }
        var diagnostics = unread
        if loader.documentCount == 0, unread.isEmpty, loader.findings.isEmpty {
            loader.model.gaps.kinds = Set(ResourceKind.allCases)
            diagnostics.append(
                LocatedDiagnostic(
                    rule: "empty-set", message: "the manifests hold no resources",
                    hint: "an empty set would mean to delete everything; nothing is deleted until the desired state is"
                        + " known to be complete"))
        }
        self.sources = sources
        self.limits = limits
        model = loader.model
        versions = loader.versions
        places = loader.places
        let locator = SourceLocator(sources: sources, places: loader.places, limits: limits)
        self.diagnostics = diagnostics + locator.finished(loader.findings)
    }

    // MARK: Places

    /// The source that has a resource, and the line where its document begins; nil where no document has this name.
    public func document(of resource: ResourceReference) -> (source: ManifestSource, line: Int)? {
        places[resource].map { (sources[Int($0.source)], Int($0.line)) }
    }

    /// Where a field of a resource is, or its deepest ancestor that exists; nil where no document has this name.
    public func locate(_ resource: ResourceReference, _ path: FieldPath = []) -> SourcePosition? {
        locations(of: [(resource, path)])[0]?.position
    }

    /// `locate` for many fields, with what stands there. Each document is read again once, however many are asked for.
    public func locations(of fields: [(resource: ResourceReference, path: FieldPath)]) -> [SourceSpan?] {
        SourceLocator(sources: sources, places: places, limits: limits).locations(of: fields)
    }

    /// The set's own diagnostics together with those of later stages, by file and line.
    public func located(_ diagnostics: [Diagnostic]) -> [LocatedDiagnostic] {
        let locator = SourceLocator(sources: sources, places: places, limits: limits)
        return locator.sorted(self.diagnostics + locator.located(diagnostics))
    }
}

/// Where a document begins.
struct DocumentPlace: Sendable {
    /// Index into the sources.
    var source: UInt32
    /// The first byte of its first line.
    var byte: UInt32
    /// The number of that line.
    var line: UInt32
    /// The position among the items where the document is a list, else -1.
    var item: Int32
}

/// Where each named document is. A dictionary per kind keeps an entry at 32 bytes.
struct DocumentPlaces: Sendable {
    private var byKind = [[String: DocumentPlace]](repeating: [:], count: ResourceKind.allCases.count)

    subscript(resource: ResourceReference) -> DocumentPlace? {
        get { byKind[resource.kind.ordinal][resource.name] }
        set { byKind[resource.kind.ordinal][resource.name] = newValue }
    }
}
