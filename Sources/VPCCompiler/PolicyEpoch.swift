import NFTables

/// The number that a policy has in connections' marks (``ConnectionMark``): with another number all are judged anew.
///
/// Two policies have one number in one of 2 million cases. So the number of the policy in force is read back from the
/// kernel, with the policy's own digest of 64 bits, and another policy never takes that one.
struct PolicyEpoch: Equatable, Sendable {
    var number: UInt32
    /// ``HostCompiler/policyDigest``; nil where the rules that were found do not tell.
    var digest: UInt64?

    /// What the rule says that takes connections into the epoch: `policy 3f2a…`.
    var note: String? { digest.map { Self.word + String($0, radix: 16) } }

    private static let word = "policy "

    init(number: UInt32, digest: UInt64? = nil) {
        self.number = number
        self.digest = digest
    }

    /// That of a host's rules, also of a version that had more bits for it; nil where there are none.
    init?(in snapshot: NFSnapshot) {
        let chain = snapshot.table(FirewallTables.filter)?.chains.first { $0.name == "left" }
        for seen in chain?.rules ?? [] {
            let expressions = seen.rule.expressions
            for (expression, next) in zip(expressions, expressions.dropFirst()) {
                guard case .bitwise(_, _, _, let bits) = expression, case .setConnection(.mark, _, _) = next,
                    bits.count == 4
                else { continue }
                let number = bits.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
                let note = seen.rule.comment.flatMap { $0.hasPrefix(Self.word) ? $0.dropFirst(Self.word.count) : nil }
                self.init(
                    number: number & ConnectionMark.epochMask, digest: note.flatMap { UInt64($0, radix: 16) })
                return
            }
        }
        return nil
    }
}
