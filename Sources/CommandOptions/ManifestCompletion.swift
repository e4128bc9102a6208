public import ArgumentParser
import VPCManifest
public import VPCModel

extension CompletionKind {
    /// The names of resources in the manifests that the command line names with `-f`.
    ///
    /// What is not valid there is passed over in silence: whoever is still typing wants no messages.
    /// - Parameter kinds: Those wanted, given the words of the command line.
    public static func resourceNames(
        _ kinds: @escaping @Sendable (_ words: [String]) -> [ResourceKind]
    ) -> CompletionKind {
        .custom { words, _, _ in
            let kinds = kinds(words)
            let paths = manifestPaths(words)
            if kinds.isEmpty || paths.isEmpty { return [] }
            let model = ManifestSet.load(paths: paths).model
            return Set(kinds.flatMap { model.resources(of: $0) }.map(\.metadata.name)).sorted()
        }
    }

    public static func resourceNames(_ kind: ResourceKind) -> CompletionKind { resourceNames { _ in [kind] } }

    /// The values of `-f`, which takes every word up to the next option. Standard input is not ours to read here.
    private static func manifestPaths(_ words: [String]) -> [String] {
        var paths: [String] = []
        var isValue = false
        for word in words {
            if word.hasPrefix("-"), word != "-" {
                isValue = word == "-f" || word == "--filename"
                if word.hasPrefix("--filename=") { paths.append(String(word.dropFirst("--filename=".count))) }
            } else if isValue, word != "-", !word.isEmpty {
                paths.append(word)
            }
        }
        return paths
    }
}
