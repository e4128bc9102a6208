#include "CTraffic.h"

#include <string.h>
#include <sys/ioctl.h>

/* Room for one IP_PKTINFO message. */
struct pktinfo_buffer {
    _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* A datagram, and what the kernel says beside it of that type; `value` stays as it is where it says nothing. */
static ssize_t receive_with(
    int type, void *value, size_t size, int descriptor, void *buffer, size_t length, struct sockaddr_in *source) {
    /* Room for the largest that is asked for. */
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
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == type) memcpy(value, CMSG_DATA(header), size);
    }
    return count;
}

ssize_t receive_with_destination(
    int descriptor, void *buffer, size_t length, struct sockaddr_in *source, struct in_addr *destination) {
    struct in_pktinfo info = {.ipi_addr.s_addr = INADDR_ANY};
    ssize_t count = receive_with(IP_PKTINFO, &info, sizeof info, descriptor, buffer, length, source);
    if (count >= 0) *destination = info.ipi_addr;
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
    int value = -1;
    ssize_t count = receive_with(IP_TTL, &value, sizeof value, descriptor, buffer, length, source);
    if (count >= 0) *ttl = value;
    return count;
}

int device_name(int descriptor, unsigned index, char *name) {
    struct ifreq request = {.ifr_ifindex = (int)index};
    if (ioctl(descriptor, SIOCGIFNAME, &request) != 0) return -1;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    return 0;
}

int device_index(int descriptor, const char *name, unsigned *index) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(descriptor, SIOCGIFINDEX, &request) != 0) return -1;
    *index = (unsigned)request.ifr_ifindex;
    return 0;
}
