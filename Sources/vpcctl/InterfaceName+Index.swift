import Glibc
import KernelNames
import Netlink
import Traffic

extension InterfaceName {
    /// The device's name in a network namespace; nil where it is gone.
    init?(index: UInt32, in namespace: NetworkNamespace) {
        if index == 0 { return nil }
        let known = try? namespace.run { InterfaceName(index: index) }
        guard let name = known ?? nil else { return nil }
        self = name
    }

    /// The same in that of the calling thread.
    private init?(index: UInt32) {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return nil }
        self.init(
            name.withUnsafeBufferPointer {
                String(decoding: $0.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            })
    }
}
