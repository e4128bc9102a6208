import CLinux

/// The packets that the kernel has begun to judge.
enum PacketsUnderWay {
    /// Returns when all of them are through: they see the state of before, or of before and after mixed.
    ///
    /// The kernel handles a packet inside of one RCU read-side critical section, and membarrier(2) waits for the end of
    /// all that have begun: 10 to 20 ms. It refuses where `nohz_full` is set; there nothing is waited for.
    static func wait() { linux_wait_for_readers() }
}
