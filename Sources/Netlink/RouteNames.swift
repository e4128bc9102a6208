internal import CLinux

/// rtnetlink's names, for error messages.
enum RouteNames {
    static func message(_ type: MessageType) -> MessageNames? {
        let raw = Int(type.rawValue)
        for family in families where raw & ~3 == family.first & ~3 {
            let verb = ["NEW", "DEL", "GET", "SET"][raw & 3]
            return MessageNames(
                name: "RTM_\(verb)\(family.noun)", headerLength: family.headerLength, attributes: family.attributes)
        }
        return nil
    }

    private struct Family: Sendable {
        var first: Int
        var noun: String
        var headerLength: Int
        var attributes: AttributeNames
    }

    private static let families = [
        Family(first: RTM_NEWLINK, noun: "LINK", headerLength: MemoryLayout<ifinfomsg>.size, attributes: link),
        Family(first: RTM_NEWADDR, noun: "ADDR", headerLength: MemoryLayout<ifaddrmsg>.size, attributes: address),
        Family(first: RTM_NEWROUTE, noun: "ROUTE", headerLength: MemoryLayout<rtmsg>.size, attributes: route),
        Family(first: RTM_NEWNEIGH, noun: "NEIGH", headerLength: MemoryLayout<ndmsg>.size, attributes: neighbour),
        Family(first: RTM_NEWRULE, noun: "RULE", headerLength: MemoryLayout<fib_rule_hdr>.size, attributes: rule),
        Family(
            first: RTM_NEWNEIGHTBL, noun: "NEIGHTBL", headerLength: MemoryLayout<ndtmsg>.size,
            attributes: neighbourTable),
        Family(first: RTM_NEWNSID, noun: "NSID", headerLength: MemoryLayout<rtgenmsg>.stride, attributes: namespace),
        Family(first: RTM_NEWNEXTHOP, noun: "NEXTHOP", headerLength: MemoryLayout<nhmsg>.size, attributes: nexthop),
        Family(
            first: RTM_NEWLINKPROP, noun: "LINKPROP", headerLength: MemoryLayout<ifinfomsg>.size, attributes: link),
    ]

    // MARK: Links (linux/if_link.h, linux/if_tunnel.h, linux/veth.h)

    private static let linkNames: KeyValuePairs = [
        IFLA_ADDRESS: "ADDRESS", IFLA_BROADCAST: "BROADCAST", IFLA_IFNAME: "IFNAME", IFLA_MTU: "MTU",
        IFLA_LINK: "LINK", IFLA_QDISC: "QDISC", IFLA_MASTER: "MASTER", IFLA_TXQLEN: "TXQLEN",
        IFLA_OPERSTATE: "OPERSTATE", IFLA_LINKMODE: "LINKMODE", IFLA_LINKINFO: "LINKINFO",
        IFLA_NET_NS_PID: "NET_NS_PID", IFLA_IFALIAS: "IFALIAS", IFLA_AF_SPEC: "AF_SPEC", IFLA_GROUP: "GROUP",
        IFLA_NET_NS_FD: "NET_NS_FD", IFLA_EXT_MASK: "EXT_MASK", IFLA_NUM_TX_QUEUES: "NUM_TX_QUEUES",
        IFLA_NUM_RX_QUEUES: "NUM_RX_QUEUES", IFLA_CARRIER: "CARRIER", IFLA_LINK_NETNSID: "LINK_NETNSID",
        IFLA_PROTO_DOWN: "PROTO_DOWN", IFLA_TARGET_NETNSID: "TARGET_NETNSID", IFLA_NEW_IFINDEX: "NEW_IFINDEX",
        IFLA_PROP_LIST: "PROP_LIST", IFLA_ALT_IFNAME: "ALT_IFNAME",
    ]

    private static let link = AttributeNames(
        "IFLA_", linkNames,
        contents: [
            IFLA_LINKINFO: .attributes(linkInfo),
            IFLA_AF_SPEC: .attributes(familySpecific),
            IFLA_PROP_LIST: .attributes(AttributeNames("IFLA_", [IFLA_ALT_IFNAME: "ALT_IFNAME"])),
        ])

    private static let linkInfo = AttributeNames(
        "IFLA_INFO_",
        [
            IFLA_INFO_KIND: "KIND", IFLA_INFO_DATA: "DATA", IFLA_INFO_SLAVE_KIND: "SLAVE_KIND",
            IFLA_INFO_SLAVE_DATA: "SLAVE_DATA",
        ],
        contents: [
            IFLA_INFO_DATA: .selectedByText(
                of: IFLA_INFO_KIND,
                ["veth": veth, "gre": gre, "gretap": gre, "erspan": gre, "vrf": vrf, "bridge": bridge, "vxlan": vxlan])
        ])

    private static let veth = AttributeNames(
        "VETH_INFO_", [VETH_INFO_PEER: "PEER"],
        contents: [
            // The same attributes as the outer message: one level of them is enough for a name.
            VETH_INFO_PEER: .structure(MemoryLayout<ifinfomsg>.size, AttributeNames("IFLA_", linkNames))
        ])

    private static let gre = AttributeNames(
        "IFLA_GRE_",
        [
            IFLA_GRE_LINK: "LINK", IFLA_GRE_IFLAGS: "IFLAGS", IFLA_GRE_OFLAGS: "OFLAGS", IFLA_GRE_IKEY: "IKEY",
            IFLA_GRE_OKEY: "OKEY", IFLA_GRE_LOCAL: "LOCAL", IFLA_GRE_REMOTE: "REMOTE", IFLA_GRE_TTL: "TTL",
            IFLA_GRE_TOS: "TOS", IFLA_GRE_PMTUDISC: "PMTUDISC", IFLA_GRE_ENCAP_TYPE: "ENCAP_TYPE",
            IFLA_GRE_ENCAP_FLAGS: "ENCAP_FLAGS", IFLA_GRE_ENCAP_SPORT: "ENCAP_SPORT",
            IFLA_GRE_ENCAP_DPORT: "ENCAP_DPORT", IFLA_GRE_COLLECT_METADATA: "COLLECT_METADATA",
            IFLA_GRE_IGNORE_DF: "IGNORE_DF", IFLA_GRE_FWMARK: "FWMARK",
        ])

    private static let vrf = AttributeNames("IFLA_VRF_", [IFLA_VRF_TABLE: "TABLE"])

    private static let bridge = AttributeNames(
        "IFLA_BR_",
        [
            IFLA_BR_FORWARD_DELAY: "FORWARD_DELAY", IFLA_BR_AGEING_TIME: "AGEING_TIME",
            IFLA_BR_STP_STATE: "STP_STATE", IFLA_BR_PRIORITY: "PRIORITY", IFLA_BR_VLAN_FILTERING: "VLAN_FILTERING",
            IFLA_BR_MCAST_SNOOPING: "MCAST_SNOOPING",
        ])

    private static let vxlan = AttributeNames(
        "IFLA_VXLAN_",
        [
            IFLA_VXLAN_ID: "ID", IFLA_VXLAN_GROUP: "GROUP", IFLA_VXLAN_LINK: "LINK", IFLA_VXLAN_LOCAL: "LOCAL",
            IFLA_VXLAN_TTL: "TTL", IFLA_VXLAN_LEARNING: "LEARNING", IFLA_VXLAN_PORT: "PORT",
            IFLA_VXLAN_COLLECT_METADATA: "COLLECT_METADATA", IFLA_VXLAN_GPE: "GPE",
        ])

    private static let familySpecific = AttributeNames(
        "", [Int(AF_INET): "AF_INET", Int(AF_INET6): "AF_INET6", Int(AF_BRIDGE): "AF_BRIDGE"],
        contents: [
            Int(AF_INET): .attributes(
                AttributeNames(
                    "IFLA_INET_", [IFLA_INET_CONF: "CONF"],
                    contents: [
                        IFLA_INET_CONF: .attributes(
                            AttributeNames(
                                "IPV4_DEVCONF_",
                                [
                                    IPV4_DEVCONF_FORWARDING: "FORWARDING", IPV4_DEVCONF_PROXY_ARP: "PROXY_ARP",
                                    IPV4_DEVCONF_ACCEPT_REDIRECTS: "ACCEPT_REDIRECTS",
                                    IPV4_DEVCONF_SECURE_REDIRECTS: "SECURE_REDIRECTS",
                                    IPV4_DEVCONF_SEND_REDIRECTS: "SEND_REDIRECTS",
                                    IPV4_DEVCONF_RP_FILTER: "RP_FILTER", IPV4_DEVCONF_LOG_MARTIANS: "LOG_MARTIANS",
                                    IPV4_DEVCONF_ARP_ANNOUNCE: "ARP_ANNOUNCE", IPV4_DEVCONF_ARP_IGNORE: "ARP_IGNORE",
                                    IPV4_DEVCONF_ARP_ACCEPT: "ARP_ACCEPT", IPV4_DEVCONF_ARP_NOTIFY: "ARP_NOTIFY",
                                    IPV4_DEVCONF_ACCEPT_LOCAL: "ACCEPT_LOCAL",
                                    IPV4_DEVCONF_ROUTE_LOCALNET: "ROUTE_LOCALNET",
                                ]))
                    ])),
            Int(AF_INET6): .attributes(
                AttributeNames(
                    "IFLA_INET6_",
                    [
                        IFLA_INET6_FLAGS: "FLAGS", IFLA_INET6_CONF: "CONF", IFLA_INET6_TOKEN: "TOKEN",
                        IFLA_INET6_ADDR_GEN_MODE: "ADDR_GEN_MODE",
                    ])),
        ])

    // MARK: Addresses, neighbours, rules (linux/if_addr.h, linux/neighbour.h, linux/fib_rules.h)

    private static let address = AttributeNames(
        "IFA_",
        [
            IFA_ADDRESS: "ADDRESS", IFA_LOCAL: "LOCAL", IFA_LABEL: "LABEL", IFA_BROADCAST: "BROADCAST",
            IFA_ANYCAST: "ANYCAST", IFA_CACHEINFO: "CACHEINFO", IFA_FLAGS: "FLAGS", IFA_RT_PRIORITY: "RT_PRIORITY",
            IFA_TARGET_NETNSID: "TARGET_NETNSID", IFA_PROTO: "PROTO",
        ])

    private static let neighbour = AttributeNames(
        "NDA_",
        [
            NDA_DST: "DST", NDA_LLADDR: "LLADDR", NDA_CACHEINFO: "CACHEINFO", NDA_PROBES: "PROBES",
            NDA_VLAN: "VLAN", NDA_PORT: "PORT", NDA_VNI: "VNI", NDA_IFINDEX: "IFINDEX", NDA_MASTER: "MASTER",
            NDA_SRC_VNI: "SRC_VNI", NDA_PROTOCOL: "PROTOCOL", NDA_NH_ID: "NH_ID", NDA_FLAGS_EXT: "FLAGS_EXT",
        ])

    private static let neighbourTable = AttributeNames(
        "NDTA_",
        [
            NDTA_NAME: "NAME", NDTA_THRESH1: "THRESH1", NDTA_THRESH2: "THRESH2", NDTA_THRESH3: "THRESH3",
            NDTA_PARMS: "PARMS", NDTA_GC_INTERVAL: "GC_INTERVAL",
        ],
        contents: [
            NDTA_PARMS: .attributes(
                AttributeNames(
                    "NDTPA_",
                    [
                        NDTPA_IFINDEX: "IFINDEX", NDTPA_BASE_REACHABLE_TIME: "BASE_REACHABLE_TIME",
                        NDTPA_RETRANS_TIME: "RETRANS_TIME", NDTPA_GC_STALETIME: "GC_STALETIME",
                        NDTPA_DELAY_PROBE_TIME: "DELAY_PROBE_TIME", NDTPA_QUEUE_LEN: "QUEUE_LEN",
                        NDTPA_APP_PROBES: "APP_PROBES", NDTPA_UCAST_PROBES: "UCAST_PROBES",
                        NDTPA_MCAST_PROBES: "MCAST_PROBES", NDTPA_ANYCAST_DELAY: "ANYCAST_DELAY",
                        NDTPA_PROXY_DELAY: "PROXY_DELAY", NDTPA_PROXY_QLEN: "PROXY_QLEN",
                        NDTPA_LOCKTIME: "LOCKTIME",
                    ]))
        ])

    private static let rule = AttributeNames(
        "FRA_",
        [
            FRA_DST: "DST", FRA_SRC: "SRC", FRA_IIFNAME: "IIFNAME", FRA_GOTO: "GOTO", FRA_PRIORITY: "PRIORITY",
            FRA_FWMARK: "FWMARK", FRA_FLOW: "FLOW", FRA_TUN_ID: "TUN_ID",
            FRA_SUPPRESS_IFGROUP: "SUPPRESS_IFGROUP", FRA_SUPPRESS_PREFIXLEN: "SUPPRESS_PREFIXLEN",
            FRA_TABLE: "TABLE", FRA_FWMASK: "FWMASK", FRA_OIFNAME: "OIFNAME", FRA_L3MDEV: "L3MDEV",
            FRA_UID_RANGE: "UID_RANGE", FRA_PROTOCOL: "PROTOCOL", FRA_IP_PROTO: "IP_PROTO",
            FRA_SPORT_RANGE: "SPORT_RANGE", FRA_DPORT_RANGE: "DPORT_RANGE",
        ])

    // MARK: Routes, nexthops, namespaces (linux/rtnetlink.h, linux/nexthop.h, linux/lwtunnel.h, linux/net_namespace.h)

    private static let ipEncapsulation = AttributeNames(
        "LWTUNNEL_IP_",
        [
            Int(LWTUNNEL_IP_ID.rawValue): "ID", Int(LWTUNNEL_IP_DST.rawValue): "DST",
            Int(LWTUNNEL_IP_SRC.rawValue): "SRC", Int(LWTUNNEL_IP_TTL.rawValue): "TTL",
            Int(LWTUNNEL_IP_TOS.rawValue): "TOS", Int(LWTUNNEL_IP_FLAGS.rawValue): "FLAGS",
            Int(LWTUNNEL_IP_OPTS.rawValue): "OPTS",
        ])

    private static let encapsulations = [UInt16(LWTUNNEL_ENCAP_IP.rawValue): ipEncapsulation]

    private static let route = AttributeNames(
        "RTA_",
        [
            Int(RTA_DST.rawValue): "DST", Int(RTA_SRC.rawValue): "SRC", Int(RTA_IIF.rawValue): "IIF",
            Int(RTA_OIF.rawValue): "OIF", Int(RTA_GATEWAY.rawValue): "GATEWAY",
            Int(RTA_PRIORITY.rawValue): "PRIORITY", Int(RTA_PREFSRC.rawValue): "PREFSRC",
            Int(RTA_METRICS.rawValue): "METRICS", Int(RTA_MULTIPATH.rawValue): "MULTIPATH",
            Int(RTA_FLOW.rawValue): "FLOW", Int(RTA_CACHEINFO.rawValue): "CACHEINFO",
            Int(RTA_TABLE.rawValue): "TABLE", Int(RTA_MARK.rawValue): "MARK", Int(RTA_VIA.rawValue): "VIA",
            Int(RTA_NEWDST.rawValue): "NEWDST", Int(RTA_PREF.rawValue): "PREF",
            Int(RTA_ENCAP_TYPE.rawValue): "ENCAP_TYPE", Int(RTA_ENCAP.rawValue): "ENCAP",
            Int(RTA_EXPIRES.rawValue): "EXPIRES", Int(RTA_UID.rawValue): "UID",
            Int(RTA_TTL_PROPAGATE.rawValue): "TTL_PROPAGATE", Int(RTA_IP_PROTO.rawValue): "IP_PROTO",
            Int(RTA_SPORT.rawValue): "SPORT", Int(RTA_DPORT.rawValue): "DPORT", Int(RTA_NH_ID.rawValue): "NH_ID",
        ],
        contents: [
            Int(RTA_ENCAP.rawValue): .selectedByNumber(of: Int(RTA_ENCAP_TYPE.rawValue), encapsulations),
            Int(RTA_METRICS.rawValue): .attributes(
                AttributeNames(
                    "RTAX_",
                    [RTAX_MTU: "MTU", RTAX_WINDOW: "WINDOW", RTAX_ADVMSS: "ADVMSS", RTAX_HOPLIMIT: "HOPLIMIT"])),
        ])

    private static let nexthop = AttributeNames(
        "NHA_",
        [
            NHA_ID: "ID", NHA_GROUP: "GROUP", NHA_GROUP_TYPE: "GROUP_TYPE", NHA_BLACKHOLE: "BLACKHOLE",
            NHA_OIF: "OIF", NHA_GATEWAY: "GATEWAY", NHA_ENCAP_TYPE: "ENCAP_TYPE", NHA_ENCAP: "ENCAP",
            NHA_GROUPS: "GROUPS", NHA_MASTER: "MASTER", NHA_FDB: "FDB", NHA_RES_GROUP: "RES_GROUP",
            NHA_RES_BUCKET: "RES_BUCKET",
        ],
        contents: [
            NHA_ENCAP: .selectedByNumber(of: NHA_ENCAP_TYPE, encapsulations),
            NHA_RES_GROUP: .attributes(
                AttributeNames(
                    "NHA_RES_GROUP_",
                    [
                        NHA_RES_GROUP_BUCKETS: "BUCKETS", NHA_RES_GROUP_IDLE_TIMER: "IDLE_TIMER",
                        NHA_RES_GROUP_UNBALANCED_TIMER: "UNBALANCED_TIMER",
                    ])),
        ])

    private static let namespace = AttributeNames(
        "NETNSA_", [NETNSA_NSID: "NSID", NETNSA_PID: "PID", NETNSA_FD: "FD", NETNSA_TARGET_NSID: "TARGET_NSID"])
}
