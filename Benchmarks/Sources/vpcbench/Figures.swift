import Glibc

/// Runs `body` and prints a line each of `NAME SECONDS`, `NAME.cpu SECONDS` (user and system of the whole process) and
/// `NAME.peak BYTES` (the most memory the process has had so far).
func timed<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
    let (result, wall, processor) = try measured(body)
    note(name + ".cpu", processor)
    note(name, wall)
    note(name + ".peak", Double(peakMemory()))
    return result
}

/// What `body` returns, and the seconds it takes: on the clock, and of the processor.
private func measured<Result>(_ body: () throws -> Result) rethrows -> (Result, wall: Double, processor: Double) {
    let clock = ContinuousClock()
    let processorTime = processorSeconds()
    let start = clock.now
    let result = try body()
    let elapsed = start.duration(to: clock.now)
    return (result, seconds(elapsed), processorSeconds() - processorTime)
}

/// Stages of something that is done again and again in one process.
struct Repeated {
    /// Enough for a median; what is changed is spread over all there is.
    static let count = 33

    private var names: [String] = []
    private var wall: [String: [Double]] = [:]
    private var processor: [String: [Double]] = [:]

    mutating func timed<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        let (result, wall, processor) = try measured(body)
        if self.wall[name] == nil { names.append(name) }
        self.wall[name, default: []].append(wall)
        self.processor[name, default: []].append(processor)
        return result
    }

    /// Prints of every stage, as `timed` does, the median of all times but the first, which finds nothing of the program in
    /// the processor's caches, and that one as `first.NAME`.
    func note() {
        for name in names {
            for (suffix, times) in [("", wall[name] ?? []), (".cpu", processor[name] ?? [])] {
                vpcbench.note("first.\(name)\(suffix)", times[0])
                let later = times.dropFirst().sorted()
                if !later.isEmpty { vpcbench.note(name + suffix, later[later.count / 2]) }
            }
        }
    }
}

/// Prints one figure.
func note(_ name: String, _ value: Double) { print(name, value) }

func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds) * 1e-18
}

func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let (user, system) = (usage.ru_utime, usage.ru_stime)
    return Double(user.tv_sec + system.tv_sec) + Double(user.tv_usec + system.tv_usec) * 1e-6
}

/// The most memory this process has had, in bytes (ru_maxrss).
func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}

func fail(_ reason: String) -> Never {
    let text = Array("vpcbench: \(reason)\n".utf8)
    _ = text.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(1)
}
