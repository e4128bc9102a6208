import Glibc

/// Whole writes to the standard streams: data on one, everything else on the other.
public enum Streams {
    public static func output(_ text: String) { write(text, to: STDOUT_FILENO) }
    public static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    public static func outputLine(_ line: String) { output(line + "\n") }
    public static func errorLine(_ line: String) { error(line + "\n") }

    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var offset = 0
            while offset < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
                if count > 0 {
                    offset += count
                } else if errno != EINTR {
                    return  // The reader has gone (EPIPE): nobody is left to tell.
                }
            }
        }
    }
}
