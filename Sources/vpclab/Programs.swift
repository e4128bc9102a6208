import Foundation

/// Other programs of this product.
enum Programs {
    /// The path of one that is installed beside this one, or, as daemons are, in a folder `sbin` beside this one's.
    static func beside(_ name: String) -> String {
        let own = URL(filePath: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/")
        let folder = own.deletingLastPathComponent()
        let beside = folder.appending(path: name).path()
        if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        return folder.deletingLastPathComponent().appending(path: "sbin/\(name)").path()
    }
}
