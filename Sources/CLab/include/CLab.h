/* What Swift's Glibc module lacks for the lab: raw packets, and commands inside a namespace. libc's headers first: the
 * kernel's stand down only when libc's structures were seen before. */
#pragma once
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/icmp.h>

/* Room for one IP_PKTINFO message. */
struct pktinfo_buffer {
    _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* recvmsg(2) that also says which address the datagram was sent to (the socket has IP_PKTINFO). */
static inline ssize_t receive_with_destination(
    int descriptor, void *buffer, size_t length, struct sockaddr_in *source, struct in_addr *destination) {
    struct pktinfo_buffer control;
    struct iovec vector = {.iov_base = buffer, .iov_len = length};
    struct msghdr message = {
        .msg_name = source,
        .msg_namelen = sizeof *source,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t count = recvmsg(descriptor, &message, 0);
    if (count < 0) return count;
    destination->s_addr = INADDR_ANY;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != IPPROTO_IP || header->cmsg_type != IP_PKTINFO) continue;
        struct in_pktinfo info;
        __builtin_memcpy(&info, CMSG_DATA(header), sizeof info);
        *destination = info.ipi_addr;
    }
    return count;
}

/* sendmsg(2) from one of several local addresses. */
static inline ssize_t send_from(
    int descriptor, const void *buffer, size_t length, const struct sockaddr_in *to, struct in_addr source) {
    struct pktinfo_buffer control = {{0}};
    struct iovec vector = {.iov_base = (void *)buffer, .iov_len = length};
    struct msghdr message = {
        .msg_name = (void *)to,
        .msg_namelen = sizeof *to,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_spec_dst = source};
    __builtin_memcpy(CMSG_DATA(header), &info, sizeof info);
    return sendmsg(descriptor, &message, 0);
}

/* Gives the calling thread mounts of its own in which /sys shows the network namespace that it is in, as
 * `ip netns exec` does. 0, or -1 with errno. */
int show_own_namespace_in_sys(void);
