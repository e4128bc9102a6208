import Glibc

/// What has happened in folders with manifests since somebody read them: if it was to regular files alone, it is enough to
/// read these again.
struct TouchedManifests {
    private var files: Set<String> = []
    /// Names beside the manifests that went away by a rename(2) of which the other end is not known yet.
    private var departures: Set<UInt32> = []
    /// Whether something else has happened as well: to folders, to links.
    private var isMore = false

    /// The manifests, ascending; nil where that is not all.
    var names: [String]? { isMore || !departures.isEmpty ? nil : files.sorted() }

    /// What has happened to a regular file of a folder, or to what was there before. It is about that name alone, unless it
    /// may have been a link on the way to some.
    mutating func add(_ file: String, _ event: inotify_event, isManifest: Bool) {
        let hasArrived = event.mask & UInt32(IN_MOVED_TO) != 0
        if isManifest {
            files.insert(file)
            if hasArrived { departures.remove(event.cookie) }
        } else if event.mask & UInt32(IN_MOVED_FROM) != 0 {
            departures.insert(event.cookie)
        } else if hasArrived || event.mask & UInt32(IN_DELETE) != 0 {
            isMore = true
        }
    }

    mutating func addOther() { isMore = true }
}
