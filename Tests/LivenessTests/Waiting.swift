import Glibc
import TestSupport

/// Waits for somebody else's program, or a thread, to be as far.
func waitFor(_ what: String, seconds: Double = 20, _ body: () throws -> Bool) throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try !body() {
        guard ContinuousClock.now < end else { throw ProgramFailure("\(what): not within \(seconds) seconds") }
        usleep(5000)
    }
}
