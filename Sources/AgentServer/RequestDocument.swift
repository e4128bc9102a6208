import HTTPTypes
import VPCManifest

/// The body of a request, read.
enum RequestDocument: Sendable {
    case none
    case json(StructuredValue)
    /// Text that is itself a manifest.
    case yaml([UInt8])

    /// - Throws: `HTTPProblem` 415 where the type is unknown, 400 where the body is not of its type.
    init(_ bytes: [UInt8], contentType: String?) throws(HTTPProblem) {
        let type = contentType?.split(separator: ";").first.map { $0.lowercased().filter { $0 != " " } }
        switch type {
        case "application/json":
            do throws(JSONError) {
                self = .json(try StructuredValue(json: bytes))
            } catch {
                throw .badRequest("the body is no JSON: \(error)")
            }
        case "application/yaml", "application/x-yaml", "text/yaml": self = .yaml(bytes)
        default:
            let found = contentType.map { "\"\($0)\"" } ?? "none"
            throw HTTPProblem(
                status: .unsupportedMediaType, code: "unsupportedMediaType",
                message: "Content-Type must be application/json or application/yaml; it is \(found)")
        }
    }

    /// `{"sources": [{"name": …, "text": …}]}`, or one document of YAML.
    func manifests() throws(HTTPProblem) -> [ManifestSource] {
        switch self {
        case .none: throw .badRequest("the request has no body; it takes manifests")
        case .yaml(let bytes): return [ManifestSource(name: "request", bytes: bytes)]
        case .json(let value):
            let members = try value.members(["sources"], of: "the body")
            guard case .list(let elements)? = members["sources"] else {
                throw .badRequest("the body must have a list named sources")
            }
            return try elements.enumerated().map { (position, element) throws(HTTPProblem) in
                let source = try element.members(["name", "text"], of: "sources[\(position)]")
                guard let name = source["name"]?.text, let text = source["text"]?.text else {
                    throw .badRequest("sources[\(position)] must have the strings name and text")
                }
                return ManifestSource(name: name, text: text)
            }
        }
    }

    /// `{"revision": 7}`.
    func revision() throws(HTTPProblem) -> Int {
        guard case .json(let value) = self else { throw .badRequest("the body must be JSON: {\"revision\": 7}") }
        guard let number = try value.members(["revision"], of: "the body")["revision"]?.number, number > 0 else {
            throw .badRequest("revision must be a whole number from 1 up")
        }
        return number
    }
}

extension StructuredValue {
    /// The members of an object that has no others.
    func members(
        _ names: Set<String>, of subject: String
    ) throws(HTTPProblem) -> [String: StructuredValue] {
        guard case .object(let members) = self else { throw .badRequest("\(subject) must be an object") }
        if let unknown = members.first(where: { !names.contains($0.name) }) {
            throw .badRequest(
                "\(subject) has the unknown field \"\(unknown.name)\"; known: \(names.sorted().joined(separator: ", "))"
            )
        }
        return Dictionary(members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }
}
