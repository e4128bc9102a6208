import Foundation
import KernelDriver
import KernelModel
import Testing

/// Whatever anybody does in whatever order, the mirror shows what the kernel shows.
///
/// VPCCTL_MIRROR_SEEDS and VPCCTL_MIRROR_ROUNDS ask for more: `1,2,3` and `300`.
@Suite struct MirrorFuzzTests {
    @Test(arguments: MirrorWorld.seeds([1, 2, 3, 4])) func mirrorShowsWhatThereIs(seed: UInt64) throws {
        try MirrorWorld.play(seed: seed, rounds: 60)
    }
}
