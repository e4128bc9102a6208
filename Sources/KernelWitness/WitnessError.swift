/// Why libnl could tell nothing.
public enum WitnessError: Error, Hashable, Sendable {
    /// It is not on this machine, or is not what this was built for; in the words of dlopen(3) or dlsym(3).
    case missingLibrary(String)
    /// What was tried, and libnl's words for what became of it.
    case failed(String, String)
}

extension WitnessError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missingLibrary(let problem): problem
        case .failed(let operation, let message): "libnl: \(operation): \(message)"
        }
    }
}
