public import VPCManifest

/// Where the desired state comes from: a directory now, a distributed store later.
///
/// A source only says that something may have changed and hands over everything it has; what of it is accepted, and
/// that a revision is made of it, is the agent's business.
public protocol DesiredStateSource: AnyObject {
    /// What it is called in messages.
    var name: String { get }
    /// Readable when something may have changed; -1 where there is nothing to wait for.
    var fileDescriptor: Int32 { get }
    /// What an operator should know of it, a sentence each; as of the last reading.
    var warnings: [String] { get }
    /// Takes in what has happened.
    /// - Returns: when to load, once it is quiet; nil where nothing has changed.
    func noteChanges() throws(AgentError) -> ContinuousClock.Instant?
    /// From when on nothing is expected any more that belongs to what was read last.
    var isWholeFrom: ContinuousClock.Instant { get }
    /// Everything it holds now, whether valid or not.
    /// - Parameter known: Files that are left out if they still have that stamp, by name.
    func read(known: [String: FileStamp]) -> ManifestFiles
    /// The files that may say something else than when they were read last, where nothing else can have changed.
    /// - Parameter isKnown: Whether there was a file of that name.
    /// - Returns: nil where everything has to be looked at.
    func readChanged(_ isKnown: (String) -> Bool) -> [ManifestFile]?
}
