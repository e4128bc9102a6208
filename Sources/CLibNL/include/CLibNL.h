/* libnl-3 and libnl-route-3 for Swift, loaded when they are asked for: a program that never does starts without them.
 *
 * Their functions have the names and types that their headers give them, which libnl.c makes sure of. */
#pragma once
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>

struct nl_addr;
struct nl_msg;
struct nl_object;
struct nl_sock;
struct rtnl_addr;
struct rtnl_link;
struct rtnl_neigh;
struct rtnl_nexthop;
struct rtnl_route;
struct rtnl_rule;

/* F(result, name, parameters) for every function that is used. */
#define LIBNL_FUNCTIONS(F) \
    /* Sockets. */ \
    F(struct nl_sock *, nl_socket_alloc, (void)) \
    F(void, nl_socket_free, (struct nl_sock *)) \
    F(int, nl_socket_get_fd, (const struct nl_sock *)) \
    F(int, nl_connect, (struct nl_sock *, int)) \
    F(int, nl_socket_set_msg_buf_size, (struct nl_sock *, size_t)) \
    F(int, nl_send_simple, (struct nl_sock *, int, int, void *, size_t)) \
    F(int, nl_recvmsgs_default, (struct nl_sock *)) \
    F(int, nl_wait_for_ack, (struct nl_sock *)) \
    F(const char *, nl_geterror, (int)) \
    /* Messages and attributes. */ \
    F(struct nlmsghdr *, nlmsg_hdr, (struct nl_msg *)) \
    F(int, nl_msg_parse, (struct nl_msg *, void (*)(struct nl_object *, void *), void *)) \
    F(struct nlattr *, nlmsg_find_attr, (struct nlmsghdr *, int, int)) \
    F(struct nlattr *, nlmsg_attrdata, (const struct nlmsghdr *, int)) \
    F(int, nlmsg_attrlen, (const struct nlmsghdr *, int)) \
    F(int, nla_ok, (const struct nlattr *, int)) \
    F(struct nlattr *, nla_next, (const struct nlattr *, int *)) \
    F(int, nla_type, (const struct nlattr *)) \
    F(int, nla_len, (const struct nlattr *)) \
    F(void *, nla_data, (const struct nlattr *)) \
    F(uint8_t, nla_get_u8, (const struct nlattr *)) \
    F(uint32_t, nla_get_u32, (const struct nlattr *)) \
    /* Addresses of any kind. */ \
    F(void *, nl_addr_get_binary_addr, (const struct nl_addr *)) \
    F(unsigned int, nl_addr_get_len, (const struct nl_addr *)) \
    F(unsigned int, nl_addr_get_prefixlen, (const struct nl_addr *)) \
    /* Links. */ \
    F(int, rtnl_link_get_ifindex, (struct rtnl_link *)) \
    F(char *, rtnl_link_get_name, (struct rtnl_link *)) \
    F(unsigned int, rtnl_link_get_flags, (struct rtnl_link *)) \
    F(unsigned int, rtnl_link_get_mtu, (struct rtnl_link *)) \
    F(uint32_t, rtnl_link_get_group, (struct rtnl_link *)) \
    F(const char *, rtnl_link_get_ifalias, (struct rtnl_link *)) \
    F(struct nl_addr *, rtnl_link_get_addr, (struct rtnl_link *)) \
    F(int, rtnl_link_get_master, (struct rtnl_link *)) \
    F(int, rtnl_link_get_link, (struct rtnl_link *)) \
    F(int, rtnl_link_get_link_netnsid, (const struct rtnl_link *, int32_t *)) \
    F(char *, rtnl_link_get_type, (struct rtnl_link *)) \
    F(uint8_t, rtnl_link_get_operstate, (struct rtnl_link *)) \
    F(int, rtnl_link_is_vrf, (struct rtnl_link *)) \
    F(int, rtnl_link_vrf_get_tableid, (struct rtnl_link *, uint32_t *)) \
    F(int, rtnl_link_is_ipgre, (struct rtnl_link *)) \
    F(uint32_t, rtnl_link_ipgre_get_local, (struct rtnl_link *)) \
    F(uint32_t, rtnl_link_ipgre_get_ikey, (struct rtnl_link *)) \
    F(uint8_t, rtnl_link_ipgre_get_ttl, (struct rtnl_link *)) \
    F(int, rtnl_link_is_vxlan, (struct rtnl_link *)) \
    F(int, rtnl_link_vxlan_get_link, (struct rtnl_link *, uint32_t *)) \
    F(int, rtnl_link_inet_get_conf, (struct rtnl_link *, const unsigned int, uint32_t *)) \
    F(int, rtnl_link_inet6_get_addr_gen_mode, (struct rtnl_link *, uint8_t *)) \
    /* Addresses of devices. */ \
    F(int, rtnl_addr_get_ifindex, (struct rtnl_addr *)) \
    F(int, rtnl_addr_get_prefixlen, (struct rtnl_addr *)) \
    F(struct nl_addr *, rtnl_addr_get_local, (struct rtnl_addr *)) \
    /* Neighbours. */ \
    F(int, rtnl_neigh_get_ifindex, (struct rtnl_neigh *)) \
    F(int, rtnl_neigh_get_state, (struct rtnl_neigh *)) \
    F(unsigned int, rtnl_neigh_get_flags, (struct rtnl_neigh *)) \
    F(struct nl_addr *, rtnl_neigh_get_dst, (struct rtnl_neigh *)) \
    F(struct nl_addr *, rtnl_neigh_get_lladdr, (struct rtnl_neigh *)) \
    /* Rules. */ \
    F(int, rtnl_rule_get_family, (struct rtnl_rule *)) \
    F(uint32_t, rtnl_rule_get_prio, (struct rtnl_rule *)) \
    F(uint8_t, rtnl_rule_get_action, (struct rtnl_rule *)) \
    F(uint32_t, rtnl_rule_get_table, (struct rtnl_rule *)) \
    F(int, rtnl_rule_get_l3mdev, (struct rtnl_rule *)) \
    F(struct nl_addr *, rtnl_rule_get_src, (struct rtnl_rule *)) \
    F(int, rtnl_rule_get_protocol, (struct rtnl_rule *, uint8_t *)) \
    /* Routes. */ \
    F(uint32_t, rtnl_route_get_table, (struct rtnl_route *)) \
    F(struct nl_addr *, rtnl_route_get_dst, (struct rtnl_route *)) \
    F(uint8_t, rtnl_route_get_tos, (struct rtnl_route *)) \
    F(uint32_t, rtnl_route_get_priority, (struct rtnl_route *)) \
    F(uint8_t, rtnl_route_get_type, (struct rtnl_route *)) \
    F(uint8_t, rtnl_route_get_scope, (struct rtnl_route *)) \
    F(struct nl_addr *, rtnl_route_get_pref_src, (struct rtnl_route *)) \
    F(int, rtnl_route_get_metric, (struct rtnl_route *, int, uint32_t *)) \
    F(int, rtnl_route_get_nnexthops, (struct rtnl_route *)) \
    F(struct rtnl_nexthop *, rtnl_route_nexthop_n, (struct rtnl_route *, int)) \
    F(int, rtnl_route_nh_get_ifindex, (struct rtnl_nexthop *)) \
    F(struct nl_addr *, rtnl_route_nh_get_gateway, (struct rtnl_nexthop *)) \
    F(struct nl_addr *, rtnl_route_nh_get_via, (struct rtnl_nexthop *)) \
    F(uint32_t, rtnl_route_nh_get_realms, (struct rtnl_nexthop *))

#define LIBNL_MEMBER(result, name, parameters) result (*name) parameters;
struct libnl {
    LIBNL_FUNCTIONS(LIBNL_MEMBER)
};

/* Codes that are asked for (netlink/errno.h). */
#define LIBNL_MESSAGE_TYPE_NOT_SUPPORTED 22
#define LIBNL_DUMP_INTERRUPTED 33

/* Loads libnl-route-3.so.200, and libnl-3.so.200 with it; they stay loaded. NULL where there is none or where it lacks a
 * function: `*problem` says what dlopen(3) or dlsym(3) said. May be called by any thread. */
const struct libnl *libnl_load(const char **problem);

/* Has `each` called with every valid message that the socket receives (NL_CB_VALID). */
int libnl_on_message(struct nl_sock *socket, int (*each)(struct nl_msg *message, void *context), void *context);
