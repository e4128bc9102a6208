public import CLinux

extension NetlinkProtocol {
    /// nf_tables over nfnetlink.
    public static let tables = NetlinkProtocol(rawValue: NETLINK_NETFILTER, names: NFTablesNames.message)
}

extension MulticastGroup {
    /// Changes of nf_tables, and the generation that each transaction brought about.
    public static let tables = Self(rawValue: NFNLGRP_NFTABLES.rawValue)
}

extension MessageType {
    /// A message of nf_tables (`NFT_MSG_*`).
    @inlinable public static func tables(_ message: nf_tables_msg_types) -> MessageType {
        .netfilter(subsystem: NFNL_SUBSYS_NFTABLES, message: message.rawValue)
    }

    static let batchBegin = MessageType(NFNL_MSG_BATCH_BEGIN)
    static let batchEnd = MessageType(NFNL_MSG_BATCH_END)
}

extension nfgenmsg {
    /// - Parameter family: `NFPROTO_*`.
    @inlinable public init(family: UInt8) {
        self.init(nfgen_family: family, version: UInt8(NFNETLINK_V0), res_id: 0)
    }

    /// The header of a batch's first and last message.
    static let batch = nfgenmsg(
        nfgen_family: UInt8(AF_UNSPEC), version: UInt8(NFNETLINK_V0),
        res_id: UInt16(truncatingIfNeeded: NFNL_SUBSYS_NFTABLES).bigEndian)
}

// The attributes of nf_tables are C enumerations, each of a type of its own.
extension MessageWriter {
    @inlinable @inline(__always)
    public mutating func put<Value: BitwiseCopyable>(_ type: some RawRepresentable<UInt32>, _ value: Value) {
        put(type.rawValue, value)
    }

    @inlinable @inline(__always)
    public mutating func put(_ type: some RawRepresentable<UInt32>, _ text: String) { put(type.rawValue, text) }

    @inlinable @inline(__always)
    public mutating func put(_ type: some RawRepresentable<UInt32>, bytes: RawSpan) {
        put(type.rawValue, bytes: bytes)
    }

    /// A number of nf_tables: 32 bits in network order.
    @inlinable @inline(__always)
    public mutating func put(_ type: some RawRepresentable<UInt32>, number: UInt32) {
        put(type.rawValue, BigEndian(number))
    }

    @inlinable @inline(__always)
    public mutating func nested<Failure: Error>(
        _ type: some RawRepresentable<UInt32>, _ body: (inout MessageWriter) throws(Failure) -> Void
    ) throws(Failure) {
        try nested(type.rawValue, body)
    }
}

/// What nf_tables calls its messages and attributes.
enum NFTablesNames {
    static let data = AttributeNames(
        "NFTA_DATA_", [Int(NFTA_DATA_VALUE.rawValue): "VALUE", Int(NFTA_DATA_VERDICT.rawValue): "VERDICT"],
        contents: [Int(NFTA_DATA_VERDICT.rawValue): .attributes(verdict)])

    static let verdict = AttributeNames(
        "NFTA_VERDICT_", [Int(NFTA_VERDICT_CODE.rawValue): "CODE", Int(NFTA_VERDICT_CHAIN.rawValue): "CHAIN"])

    static let element = AttributeNames(
        "NFTA_SET_ELEM_",
        [
            Int(NFTA_SET_ELEM_KEY.rawValue): "KEY", Int(NFTA_SET_ELEM_DATA.rawValue): "DATA",
            Int(NFTA_SET_ELEM_FLAGS.rawValue): "FLAGS", Int(NFTA_SET_ELEM_USERDATA.rawValue): "USERDATA",
            Int(NFTA_SET_ELEM_OBJREF.rawValue): "OBJREF", Int(NFTA_SET_ELEM_KEY_END.rawValue): "KEY_END",
        ],
        contents: [
            Int(NFTA_SET_ELEM_KEY.rawValue): .attributes(data), Int(NFTA_SET_ELEM_DATA.rawValue): .attributes(data),
            Int(NFTA_SET_ELEM_KEY_END.rawValue): .attributes(data),
        ])

    static func list(_ names: AttributeNames) -> AttributeNames {
        AttributeNames(
            "NFTA_", [Int(NFTA_LIST_ELEM.rawValue): "LIST_ELEM"],
            contents: [Int(NFTA_LIST_ELEM.rawValue): .attributes(names)])
    }

    static let elements = AttributeNames(
        "NFTA_SET_ELEM_LIST_",
        [
            Int(NFTA_SET_ELEM_LIST_TABLE.rawValue): "TABLE", Int(NFTA_SET_ELEM_LIST_SET.rawValue): "SET",
            Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue): "ELEMENTS",
        ], contents: [Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue): .attributes(list(element))])

    static let table = AttributeNames(
        "NFTA_TABLE_", [Int(NFTA_TABLE_NAME.rawValue): "NAME", Int(NFTA_TABLE_FLAGS.rawValue): "FLAGS"])

    static let chain = AttributeNames(
        "NFTA_CHAIN_",
        [
            Int(NFTA_CHAIN_TABLE.rawValue): "TABLE", Int(NFTA_CHAIN_NAME.rawValue): "NAME",
            Int(NFTA_CHAIN_HOOK.rawValue): "HOOK", Int(NFTA_CHAIN_POLICY.rawValue): "POLICY",
            Int(NFTA_CHAIN_TYPE.rawValue): "TYPE", Int(NFTA_CHAIN_FLAGS.rawValue): "FLAGS",
        ],
        contents: [
            Int(NFTA_CHAIN_HOOK.rawValue): .attributes(
                AttributeNames(
                    "NFTA_HOOK_",
                    [
                        Int(NFTA_HOOK_HOOKNUM.rawValue): "HOOKNUM", Int(NFTA_HOOK_PRIORITY.rawValue): "PRIORITY",
                        Int(NFTA_HOOK_DEV.rawValue): "DEV", Int(NFTA_HOOK_DEVS.rawValue): "DEVS",
                    ]))
        ])

    static let rule = AttributeNames(
        "NFTA_RULE_",
        [
            Int(NFTA_RULE_TABLE.rawValue): "TABLE", Int(NFTA_RULE_CHAIN.rawValue): "CHAIN",
            Int(NFTA_RULE_HANDLE.rawValue): "HANDLE", Int(NFTA_RULE_EXPRESSIONS.rawValue): "EXPRESSIONS",
            Int(NFTA_RULE_POSITION.rawValue): "POSITION", Int(NFTA_RULE_USERDATA.rawValue): "USERDATA",
        ],
        contents: [
            Int(NFTA_RULE_EXPRESSIONS.rawValue): .attributes(
                list(
                    AttributeNames(
                        "NFTA_EXPR_",
                        [Int(NFTA_EXPR_NAME.rawValue): "NAME", Int(NFTA_EXPR_DATA.rawValue): "DATA"])))
        ])

    static let set = AttributeNames(
        "NFTA_SET_",
        [
            Int(NFTA_SET_TABLE.rawValue): "TABLE", Int(NFTA_SET_NAME.rawValue): "NAME",
            Int(NFTA_SET_FLAGS.rawValue): "FLAGS", Int(NFTA_SET_KEY_TYPE.rawValue): "KEY_TYPE",
            Int(NFTA_SET_KEY_LEN.rawValue): "KEY_LEN", Int(NFTA_SET_DATA_TYPE.rawValue): "DATA_TYPE",
            Int(NFTA_SET_DATA_LEN.rawValue): "DATA_LEN", Int(NFTA_SET_DESC.rawValue): "DESC",
            Int(NFTA_SET_ID.rawValue): "ID", Int(NFTA_SET_OBJ_TYPE.rawValue): "OBJ_TYPE",
        ])

    static let object = AttributeNames(
        "NFTA_OBJ_",
        [
            Int(NFTA_OBJ_TABLE.rawValue): "TABLE", Int(NFTA_OBJ_NAME.rawValue): "NAME",
            Int(NFTA_OBJ_TYPE.rawValue): "TYPE", Int(NFTA_OBJ_DATA.rawValue): "DATA",
        ])

    private static let messages: [UInt32: (String, AttributeNames)] = [
        NFT_MSG_NEWTABLE.rawValue: ("NEWTABLE", table), NFT_MSG_GETTABLE.rawValue: ("GETTABLE", table),
        NFT_MSG_DELTABLE.rawValue: ("DELTABLE", table), NFT_MSG_NEWCHAIN.rawValue: ("NEWCHAIN", chain),
        NFT_MSG_GETCHAIN.rawValue: ("GETCHAIN", chain), NFT_MSG_DELCHAIN.rawValue: ("DELCHAIN", chain),
        NFT_MSG_NEWRULE.rawValue: ("NEWRULE", rule), NFT_MSG_GETRULE.rawValue: ("GETRULE", rule),
        NFT_MSG_DELRULE.rawValue: ("DELRULE", rule), NFT_MSG_NEWSET.rawValue: ("NEWSET", set),
        NFT_MSG_GETSET.rawValue: ("GETSET", set), NFT_MSG_DELSET.rawValue: ("DELSET", set),
        NFT_MSG_NEWSETELEM.rawValue: ("NEWSETELEM", elements), NFT_MSG_GETSETELEM.rawValue: ("GETSETELEM", elements),
        NFT_MSG_DELSETELEM.rawValue: ("DELSETELEM", elements),
        NFT_MSG_NEWGEN.rawValue: ("NEWGEN", AttributeNames("NFTA_GEN_", [:])),
        NFT_MSG_GETGEN.rawValue: ("GETGEN", AttributeNames("NFTA_GEN_", [:])),
        NFT_MSG_NEWOBJ.rawValue: ("NEWOBJ", object), NFT_MSG_GETOBJ.rawValue: ("GETOBJ", object),
        NFT_MSG_DELOBJ.rawValue: ("DELOBJ", object),
    ]

    static func message(_ type: MessageType) -> MessageNames? {
        let size = MemoryLayout<nfgenmsg>.size
        if type == .batchBegin || type == .batchEnd {
            let attributes = AttributeNames(
                "NFNL_BATCH_", [Int(NFNL_BATCH_GENID.rawValue): "GENID"])
            let name = type == .batchBegin ? "NFNL_MSG_BATCH_BEGIN" : "NFNL_MSG_BATCH_END"
            return MessageNames(name: name, headerLength: size, attributes: attributes)
        }
        guard type.rawValue >> 8 == UInt16(NFNL_SUBSYS_NFTABLES),
            let (name, attributes) = messages[UInt32(type.rawValue & 0xFF)]
        else { return nil }
        return MessageNames(name: "NFT_MSG_\(name)", headerLength: size, attributes: attributes)
    }
}
