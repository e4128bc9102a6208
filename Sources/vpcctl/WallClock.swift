import Glibc

/// The time of day, as people and programs read it.
enum WallClock {
    static var now: timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }

    /// `12:01:02.345`.
    static func localTime(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        localtime_r(&seconds, &parts)
        return format(parts, "%H:%M:%S") + fraction(time, digits: 3)
    }

    /// RFC 3339: `2026-01-02T12:01:02.345678Z`.
    static func universalTime(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return format(parts, "%Y-%m-%dT%H:%M:%S") + fraction(time, digits: 6) + "Z"
    }

    /// RFC 3339, of seconds since 1970: `2026-01-02T12:01:02Z`.
    static func text(secondsSince1970 seconds: Double) -> String {
        var time = Int(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        return format(parts, "%Y-%m-%dT%H:%M:%SZ")
    }

    private static func format(_ parts: tm, _ pattern: String) -> String {
        var parts = parts
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, pattern, &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func fraction(_ time: timespec, digits: Int) -> String {
        let nanoseconds = String(1_000_000_000 + time.tv_nsec).dropFirst()
        return "." + nanoseconds.prefix(digits)
    }
}

extension timespec {
    /// - Parameter duration: Since the epoch.
    init(sinceEpoch duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    }
}
