/// Believes somebody who comes and goes less and less. Each turn costs every host of the VPC a replacement of groups, and a
/// guest can go up and down as often as it likes.
///
/// Who went down once is believed at once; who went down again within a minute only after a second of being up, then two,
/// four, up to a minute. Going down is always believed.
struct FlapDamping: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// The last ones, within ``window`` of each other.
    private var failures: [Instant] = []
    private var upSince: Instant?

    private static let window = Duration.seconds(60)
    private static let longestHold = Duration.seconds(60)
    private static let longestMemory = 8

    /// Takes note of how it is now.
    mutating func note(isUp: Bool, at now: Instant) {
        if isUp == (upSince != nil) { return }
        if isUp { return upSince = now }
        upSince = nil
        failures = failures.filter { $0 + Self.window > now }.suffix(Self.longestMemory - 1) + [now]
    }

    private var hold: Duration {
        guard let upSince else { return .zero }
        let count = failures.count { $0 + Self.window > upSince }
        return count < 2 ? .zero : min(.seconds(1 << (count - 2)), Self.longestHold)
    }

    /// When it is believed to be up; nil where it is not.
    var trustedFrom: Instant? { upSince.map { $0 + hold } }
}
