import ArgumentParser
import CommandOptions
import Console

struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Check manifests and report every error with its place.")

    @OptionGroup var manifests: ManifestOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let (set, _, isValid) = try Manifests.check(manifests, global, addresses: .recipient)
        guard isValid else { throw ExitStatus.invalidManifest.code }
        if !global.quiet {
            let count = set.model.count
            Streams.outputLine("\(count) \(count == 1 ? "resource is" : "resources are") valid")
        }
    }
}
