import KernelDriver
import TestSupport
import Testing

/// Whatever anybody does in whatever order, the mirror shows what the kernel shows.
///
/// VPCCTL_MIRROR_ROUNDS asks for more, such as 300.
@Suite(.timeLimit(minutes: 10)) struct MirrorFuzzTests {
    @Test(arguments: Seeds.fresh(with: 1, 2, 3, 4)) func mirrorShowsWhatThereIs(seed: UInt64) throws {
        try MirrorWorld.play(seed: seed, rounds: 60)
    }
}
