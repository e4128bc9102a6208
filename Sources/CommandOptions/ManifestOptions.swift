public import ArgumentParser
import Console
public import VPCManifest
public import VPCTopology

/// Where the manifests are.
public struct ManifestOptions: ParsableArguments {
    @Option(
        name: [.customShort("f"), .customLong("filename")], parsing: .upToNextOption,
        help: "Manifest files, directories (*.yaml, *.yml, *.json, recursively) or - for standard input.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    public var paths: [String] = []

    public init() {}

    /// Loads and resolves everything and prints all that is wrong with it.
    /// - Parameter kept: What interfaces keep that leave their addresses out, asked for where there are any; nil: they may
    ///   not.
    /// - Returns: the set, what it resolves to, and the number of errors.
    /// - Throws: `ValidationError` without any path.
    public func check(
        _ global: GlobalOptions, keeping kept: () -> KeptAddresses?
    ) throws -> (set: ManifestSet, resolution: Resolution, errors: Int) {
        let set = try loaded()
        let resolution = Topology.resolve(set.model, keeping: set.model.leavesAddressesOut ? kept() : nil)
        return (set, resolution, show(set.located(resolution.diagnostics), global))
    }

    /// Loads everything, each document on its own, and prints all that is wrong with it.
    /// - Returns: the set, and the number of errors.
    /// - Throws: `ValidationError` without any path.
    public func load(
        _ global: GlobalOptions, limits: ManifestLimits = ManifestLimits()
    ) throws -> (set: ManifestSet, errors: Int) {
        let set = try loaded(limits)
        return (set, show(set.diagnostics, global))
    }

    private func loaded(_ limits: ManifestLimits = ManifestLimits()) throws -> ManifestSet {
        guard !paths.isEmpty else {
            throw ValidationError("No manifests: name files, directories or - with -f.")
        }
        return ManifestSet.load(paths: paths, limits: limits)
    }

    /// Prints what is wrong.
    /// - Returns: the number of errors.
    public func show(_ diagnostics: [LocatedDiagnostic], _ global: GlobalOptions) -> Int {
        let style: DiagnosticStyle = global.errorStyle.isColored ? .colored : .plain
        for diagnostic in diagnostics where !(global.quiet && diagnostic.severity == .warning) {
            Streams.error(diagnostic.rendered(style: style))
        }
        return diagnostics.count { $0.severity == .error }
    }
}
