/// The exit codes of every command (the contract of docs/commands.md).
public enum ExitStatus: Int32, Sendable {
    case done = 0
    case failed = 1
    /// `plan` found something to do.
    case changesPending = 2
    /// Applied, but reading it back showed a difference.
    case verificationFailed = 3
    /// What was applied and what was not has been printed.
    case partlyApplied = 4
    case usage = 64
    case invalidManifest = 65
    case agentUnreachable = 69
    case timedOut = 75
    case notPermitted = 77
}
