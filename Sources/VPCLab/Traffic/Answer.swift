public import IPAddressing

/// What a responder said.
public struct Answer: Hashable, Sendable {
    /// Its name.
    public var name: String
    /// Where it saw the question come from.
    public var seenAddress: IPAddress
    public var seenPort: UInt16
    /// The question's own text, given back.
    public var text: String
    /// From the (first) question to the answer.
    public var delay: Duration

    init?(_ bytes: some Sequence<UInt8>, delay: Duration) {
        let parts = String(decoding: Array(bytes), as: UTF8.self).split(
            separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let colon = parts[1].lastIndex(of: ":"), let address = IPAddress(parts[1][..<colon]),
            let port = UInt16(parts[1][parts[1].index(after: colon)...])
        else { return nil }
        name = String(parts[0])
        seenAddress = address
        seenPort = port
        text = String(parts[2])
        self.delay = delay
    }
}
