/* Kernel UAPI headers for Swift. <netinet/in.h> first: it and <linux/in6.h> define the same structures, and the
 * kernel's copy stands down only when libc's was seen before it.
 *
 * _GNU_SOURCE must not be defined here: Swift's own Glibc module is built without it, and some of libc's structures
 * (fd_set) then have members of other names, which ends in "different definitions in different modules". What needs it
 * is wrapped in CLinux.c. */
#pragma once
#include <netinet/in.h>
#include <net/if.h>
#include <sys/socket.h>

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/lwtunnel.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <sys/epoll.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/veth.h>

/* TUNNEL_KEY with TUNNEL_DONT_FRAGMENT, and GRE_KEY, of <linux/if_tunnel.h>, which Swift cannot import because they are
 * calls; in network order. */
static inline unsigned short linux_tunnel_flags(void) { return TUNNEL_KEY | TUNNEL_DONT_FRAGMENT; }
static inline unsigned short linux_gre_key_flag(void) { return GRE_KEY; }

/* setns(2) into a network namespace; the calling thread only. */
int linux_enter_network_namespace(int descriptor);
/* unshare(2) the network namespace; the calling thread only. */
int linux_unshare_network_namespace(void);
/* setns(2) into a mount namespace; the calling thread only, which then shares neither its root nor its directory. */
int linux_enter_mount_namespace(int descriptor);
/* Whether the descriptor is one of a network namespace (ioctl_nsfs(2)). */
int linux_is_network_namespace(int descriptor);
/* SO_NETNS_COOKIE of the calling thread's network namespace: a number that no other one has or will have until the
 * machine is started anew; 0 and errno where it cannot be told. */
unsigned long long linux_network_namespace_cookie(void);
/* mount(2) with MS_BIND, recursively if asked. */
int linux_bind_mount(const char *source, const char *target, int recursive);
/* mount(2) with MS_SHARED|MS_REC: makes a mount point propagate. */
int linux_share_mount(const char *target);
/* umount2(2) with MNT_DETACH. */
int linux_detach_mount(const char *target);
/* Gives the calling thread mounts of its own in which /sys shows the network namespace that it is in, as
 * `ip netns exec` does. */
int linux_show_own_namespace_in_sys(void);
/* membarrier(2) with MEMBARRIER_CMD_GLOBAL: returns after an RCU grace period. */
void linux_wait_for_readers(void);
/* prctl(2) with PR_SET_THP_DISABLE: the process and its children get no transparent huge pages. */
void linux_use_small_pages(void);
/* malloc_trim(3): gives memory that nobody uses back to the kernel. */
void linux_give_back_memory(void);
/* "ENOENT"; NULL for an unknown number. */
const char *linux_errno_name(int number);
/* "No such file or directory"; NULL for an unknown number. */
const char *linux_errno_description(int number);
