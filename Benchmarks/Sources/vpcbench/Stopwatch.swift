import Glibc

/// Runs `body` and prints how long it took, a line of `name seconds`.
func timed<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
    let clock = ContinuousClock()
    let start = clock.now
    let result = try body()
    let (seconds, attoseconds) = (clock.now - start).components
    print(name, Double(seconds) + Double(attoseconds) * 1e-18)
    return result
}

/// The most memory this process has had, in bytes (ru_maxrss).
func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}
