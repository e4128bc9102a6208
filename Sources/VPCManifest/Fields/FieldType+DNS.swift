internal import VPCModel

extension FieldType<String> {
    /// What a host is called, without its domain.
    static let hostName = FieldType("host name", read: { $0.hostName($1) }, write: { .string($0) })

    static let domain = FieldType("DNS domain", read: { $0.domain($1) }, write: { .string($0) })
}

extension DocumentReader {
    fileprivate mutating func hostName(_ node: Int) -> String? {
        named(node, "host name", hint: "letters, digits and hyphens, at most 63 of them, and no dots: web1") {
            HostName.isLabel($0)
        }
    }

    fileprivate mutating func domain(_ node: Int) -> String? {
        named(node, "DNS domain", hint: "labels of letters, digits and hyphens with dots between: blue.example") {
            HostName.isDomain($0)
        }
    }

    private mutating func named(
        _ node: Int, _ what: String, hint: String, _ isValid: (String) -> Bool
    ) -> String? {
        guard let text = string(node) else { return nil }
        if isValid(text) { return text }
        report("invalid-value", "\(path(node)): \(quoted(short(text))) is no \(what)", hint: hint, at: node)
        return nil
    }
}
