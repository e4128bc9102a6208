public import VPCModel

/// What became of one Probe.
public struct ProbeResult: Sendable, Hashable {
    public var name: String
    /// The sending interface.
    public var from: String
    /// The target: an interface or an address.
    public var to: String
    public var transport: Probe.Transport
    public var expected: Probe.Expectation
    public var seen: Seen
    /// From the first question to the answer, or to the end of waiting for one.
    public var time: Duration
    /// What there is to say beyond that; empty: nothing.
    public var reason: String

    public enum Seen: String, Sendable, Hashable {
        case allow
        case deny
        /// The lab is not in order, so nothing follows from what was seen.
        case unclear
    }

    public var isPassed: Bool { seen.rawValue == expected.rawValue }
}

/// What became of all Probes, in the order of their names.
public struct ProbeReport: Sendable, Hashable {
    public var results: [ProbeResult]

    public var failures: [ProbeResult] { results.filter { !$0.isPassed } }
    public var passed: Int { results.count - failures.count }

    /// `10 passed, 0 failed`.
    public var summary: String { "\(passed) passed, \(failures.count) failed" }
}
