#include "CTraffic.h"

#include <string.h>

/* Room for one IP_PKTINFO message. */
struct pktinfo_buffer {
    _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

ssize_t receive_with_destination(
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
        memcpy(&info, CMSG_DATA(header), sizeof info);
        *destination = info.ipi_addr;
    }
    return count;
}

ssize_t send_from(
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
    memcpy(CMSG_DATA(header), &info, sizeof info);
    return sendmsg(descriptor, &message, 0);
}

ssize_t receive_with_ttl(int descriptor, void *buffer, size_t length, struct sockaddr_in *source, int *ttl) {
    union {
        _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(int))];
    } control;
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
    *ttl = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TTL) memcpy(ttl, CMSG_DATA(header), sizeof *ttl);
    }
    return count;
}
