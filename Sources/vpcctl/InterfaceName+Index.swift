import Glibc
import KernelNames

extension InterfaceName {
    /// The device's name in the network namespace of the calling thread; nil where it is gone.
    init?(index: UInt32) {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard index != 0, if_indextoname(index, &name) != nil else { return nil }
        self.init(
            name.withUnsafeBufferPointer {
                String(decoding: $0.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            })
    }
}
