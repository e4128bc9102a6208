import CLinux
import NFTables

/// The kernel's numbers for the words of `KernelModel`.
enum FirewallCodes {
    static func family(_ family: NFFamily) -> UInt8 {
        switch family {
        case .ip: UInt8(NFPROTO_IPV4)
        case .ip6: UInt8(NFPROTO_IPV6)
        case .inet: UInt8(NFPROTO_INET)
        case .arp: UInt8(NFPROTO_ARP)
        case .bridge: UInt8(NFPROTO_BRIDGE)
        case .netdev: UInt8(NFPROTO_NETDEV)
        }
    }

    private static let metaKeys: [(NFMetaKey, nft_meta_keys)] = [
        (.length, NFT_META_LEN), (.protocol, NFT_META_PROTOCOL), (.priority, NFT_META_PRIORITY),
        (.mark, NFT_META_MARK), (.iif, NFT_META_IIF), (.oif, NFT_META_OIF), (.iifname, NFT_META_IIFNAME),
        (.oifname, NFT_META_OIFNAME), (.iiftype, NFT_META_IFTYPE), (.oiftype, NFT_META_OIFTYPE),
        (.nftrace, NFT_META_NFTRACE), (.nfproto, NFT_META_NFPROTO), (.l4proto, NFT_META_L4PROTO),
        (.pkttype, NFT_META_PKTTYPE), (.iifgroup, NFT_META_IIFGROUP), (.oifgroup, NFT_META_OIFGROUP),
        (.sdif, NFT_META_SDIF), (.sdifname, NFT_META_SDIFNAME),
    ]
    private static let connectionKeys: [(NFConnectionKey, nft_ct_keys)] = [
        (.state, NFT_CT_STATE), (.direction, NFT_CT_DIRECTION), (.status, NFT_CT_STATUS), (.mark, NFT_CT_MARK),
        (.zone, NFT_CT_ZONE), (.id, NFT_CT_ID), (.eventMask, NFT_CT_EVENTMASK),
        (.ipDestination, NFT_CT_DST_IP),
    ]
    private static let bases: [(NFPayload.Base, nft_payload_bases)] = [
        (.link, NFT_PAYLOAD_LL_HEADER), (.network, NFT_PAYLOAD_NETWORK_HEADER),
        (.transport, NFT_PAYLOAD_TRANSPORT_HEADER),
    ]
    private static let comparisons: [(NFComparison, nft_cmp_ops)] = [
        (.equal, NFT_CMP_EQ), (.notEqual, NFT_CMP_NEQ), (.less, NFT_CMP_LT), (.lessOrEqual, NFT_CMP_LTE),
        (.greater, NFT_CMP_GT), (.greaterOrEqual, NFT_CMP_GTE),
    ]
    private static let rejections: [(NFReject.Code, nft_reject_inet_code)] = [
        (.noRoute, NFT_REJECT_ICMPX_NO_ROUTE), (.port, NFT_REJECT_ICMPX_PORT_UNREACH),
        (.host, NFT_REJECT_ICMPX_HOST_UNREACH), (.prohibited, NFT_REJECT_ICMPX_ADMIN_PROHIBITED),
    ]
    private static let hooks: [(NFBaseChain.Hook, UInt32)] = [
        (.prerouting, NF_INET_PRE_ROUTING.rawValue), (.input, NF_INET_LOCAL_IN.rawValue),
        (.forward, NF_INET_FORWARD.rawValue), (.output, NF_INET_LOCAL_OUT.rawValue),
        (.postrouting, NF_INET_POST_ROUTING.rawValue), (.ingress, NF_INET_INGRESS.rawValue),
    ]
    private static let deviceHooks: [(NFBaseChain.Hook, UInt32)] = [
        (.ingress, NF_NETDEV_INGRESS.rawValue), (.egress, NF_NETDEV_EGRESS.rawValue),
    ]
    /// `NF_ARP_*` of linux/netfilter_arp.h, which is not among the headers that can be imported together.
    private static let arpHooks: [(NFBaseChain.Hook, UInt32)] = [(.input, 0), (.output, 1), (.forward, 2)]

    private static func code<Word: Equatable, Code>(_ word: Word, _ list: [(Word, Code)]) -> Code? {
        list.first { $0.0 == word }?.1
    }

    private static func word<Word, Code: RawRepresentable<UInt32>>(_ code: UInt32, _ list: [(Word, Code)]) -> Word? {
        list.first { $0.1.rawValue == code }?.0
    }

    static func meta(_ key: NFMetaKey) -> UInt32 { code(key, metaKeys)?.rawValue ?? .max }
    static func meta(_ code: UInt32) -> NFMetaKey? { word(code, metaKeys) }
    static func connection(_ key: NFConnectionKey) -> UInt32 { code(key, connectionKeys)?.rawValue ?? .max }
    static func connection(_ code: UInt32) -> NFConnectionKey? { word(code, connectionKeys) }
    static func base(_ base: NFPayload.Base) -> UInt32 { code(base, bases)?.rawValue ?? .max }
    static func base(_ code: UInt32) -> NFPayload.Base? { word(code, bases) }
    static func comparison(_ comparison: NFComparison) -> UInt32 { code(comparison, comparisons)?.rawValue ?? .max }
    static func comparison(_ code: UInt32) -> NFComparison? { word(code, comparisons) }
    static func rejection(_ reason: NFReject.Code) -> UInt8 { UInt8(code(reason, rejections)?.rawValue ?? .max) }
    static func rejection(_ code: UInt8) -> NFReject.Code? { word(UInt32(code), rejections) }

    private static func hooks(of family: NFFamily) -> [(NFBaseChain.Hook, UInt32)] {
        switch family {
        case .netdev: deviceHooks
        case .arp: arpHooks
        default: hooks
        }
    }

    static func hook(_ hook: NFBaseChain.Hook, _ family: NFFamily) -> UInt32 {
        code(hook, hooks(of: family)) ?? .max
    }
    static func hook(_ code: UInt32, _ family: NFFamily) -> NFBaseChain.Hook? {
        hooks(of: family).first { $0.1 == code }?.0
    }

    static func policy(_ policy: NFBaseChain.Policy) -> UInt32 {
        switch policy {
        case .accept: UInt32(NF_ACCEPT)
        case .drop: UInt32(NF_DROP)
        }
    }

    // MARK: Registers

    /// The kernel numbers its 4-byte registers from `NFT_REG32_00`, and in dumps uses the older numbers of the 16-byte
    /// registers where one of those begins.
    static func register(_ register: NFRegister) -> UInt32 {
        let index = UInt32(register.index)
        return index % 4 == 0 ? NFT_REG_1.rawValue + index / 4 : NFT_REG32_00.rawValue + index
    }

    static func register(_ code: UInt32) -> NFRegister? {
        switch code {
        case NFT_REG_1.rawValue...NFT_REG_4.rawValue: NFRegister(UInt8((code - NFT_REG_1.rawValue) * 4))
        case NFT_REG32_00.rawValue...NFT_REG32_15.rawValue: NFRegister(UInt8(code - NFT_REG32_00.rawValue))
        default: nil
        }
    }

    // MARK: Verdicts

    static func verdict(_ verdict: NFVerdict) -> Int32 {
        switch verdict {
        case .accept: Int32(NF_ACCEPT)
        case .drop: Int32(NF_DROP)
        case .continue: NFT_CONTINUE.rawValue
        case .return: NFT_RETURN.rawValue
        case .jump: NFT_JUMP.rawValue
        case .goto: NFT_GOTO.rawValue
        }
    }

    static func verdict(_ code: Int32, chain: String?) -> NFVerdict? {
        switch code {
        case Int32(NF_ACCEPT): .accept
        case Int32(NF_DROP): .drop
        case NFT_CONTINUE.rawValue: .continue
        case NFT_RETURN.rawValue: .return
        case NFT_JUMP.rawValue: chain.map { .jump($0) }
        case NFT_GOTO.rawValue: chain.map { .goto($0) }
        default: nil
        }
    }
}
