import Foundation

/// The seeds of a test that draws, as the test's arguments: Swift Testing names the one that a failure is with.
///
/// `VPCCTL_SEEDS=1,2` names others in their place. In continuous integration, which is to find the same each time
/// (`CI=true`, or `VPCCTL_SEEDS=fixed` where that does not reach), no seed is new.
package enum Seeds {
    /// The given ones, and one that is new in every run.
    package static func fresh(with fixed: UInt64...) -> [UInt64] {
        // Above a thousand: what is expected of the given ones may be too much for another.
        named ?? fixed + [isFixed ? 1000 : .random(in: 1000...999_999)]
    }

    /// The given ones.
    package static func only(_ fixed: UInt64...) -> [UInt64] { named ?? fixed }

    private static let wish = ProcessInfo.processInfo.environment["VPCCTL_SEEDS"]
    private static let isFixed = wish == "fixed" || ProcessInfo.processInfo.environment["CI"] == "true"

    private static let named: [UInt64]? = {
        let numbers = (wish ?? "").split(separator: ",").compactMap { UInt64($0) }
        return numbers.isEmpty ? nil : numbers
    }()
}
