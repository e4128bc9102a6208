import CLinux
import NFTables
import Netlink

// Limits and timeouts with names (`NFTA_LIMIT_*`, `NFTA_CT_TIMEOUT_*`).

extension MessageWriter {
    mutating func put(_ body: NFObject.Body) {
        switch body {
        case .limit(let limit): put(limit)
        case .timeout(let timeout):
            put(NFTA_CT_TIMEOUT_L3PROTO, BigEndian(UInt16(NFPROTO_IPV4)))
            put(NFTA_CT_TIMEOUT_L4PROTO, timeout.ipProtocol.rawValue)
            nested(NFTA_CT_TIMEOUT_DATA) { list in
                for (state, seconds) in timeout.seconds.sorted(by: { $0.key < $1.key }) {
                    list.put(UInt32(state), BigEndian(seconds))
                }
            }
        }
    }
}

extension NFTimeout {
    init?(_ attributes: consuming AttributeReader) throws(CodecError) {
        self.init(0, seconds: [:])
        while let attribute = try attributes.next() {
            switch UInt32(attribute.type) {
            case NFTA_CT_TIMEOUT_L4PROTO.rawValue:
                ipProtocol = NFProtocol(try attribute.value(as: UInt8.self))
            case NFTA_CT_TIMEOUT_DATA.rawValue:
                var list = attribute.nested
                while let state = try list.next() {
                    seconds[UInt16(state.type)] = try state.value(as: BigEndian<UInt32>.self).value
                }
            default: break
            }
        }
        if ipProtocol == 0 { return nil }
    }
}
